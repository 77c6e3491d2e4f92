//! A seeded simulation of everything between LiveKit and the bytes that a reader gets, on one thread, without sockets
//! and with time held.
//!
//! LiveKit, its queues, the network, the disk and the readers are models. Between them are the program's own parts. A
//! seed decides a whole run: what happens in LiveKit, what fails, and which task goes on next at each moment.
//!
//! ```text
//! cargo test --test sim                      # some hundred seeds
//! SEED=7 cargo test --test sim a_seed        # one, twice; TELL=1 prints its story
//! make soak SEED=1 SECONDS=3600              # as long as one likes
//! tests/sim/plant                            # is each planted fault found?
//! ```
//!
//! Checked at every moment: an acknowledged event is in the log, once; a reader gets exactly the events of the log that
//! match its filter, byte for byte, wherever it was interrupted, and is woken for each; the list that it builds from the
//! stream equals the list that the API would answer; what a webhook reports is live; what comparison with LiveKit ends
//! has ended. At the end: the state is LiveKit's truth and stays it, and the history equals one that was derived from the
//! log without any trouble.

mod api;
mod disk;
mod network;
mod program;
mod reader;
mod run;
mod tasks;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use run::{Plan, Report, Run};

/// Length of the eventful part of a run, in milliseconds of simulated time.
const LENGTH: u64 = 60_000;
/// Of how many seeds one is run twice: only a run that repeats itself can be looked into.
const TWICE: u64 = 50;
/// Seeds of `cargo test`, and the time that they may take on a busy machine.
const SEEDS: u64 = 300;
const TIME_MAX: Duration = Duration::from_secs(45);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs one seed. An error is the story of what went wrong.
fn run(seed: u64, length: u64) -> Result<Report, String> {
    // Timers of tokio exist, and never fire: all time is the simulation's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _context = runtime.enter();
    let ran = catch_unwind(AssertUnwindSafe(|| Run::new(Plan::of(seed, length)).run()));
    let ran = ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", text.unwrap_or("without a message")))
    });
    ran.map_err(|story| {
        format!("{story}\nRepeat it with SEED={seed} LENGTH={length} cargo test --test sim a_seed")
    })
}

/// Runs a seed twice. It is an error if the runs differ: a fault must be found again.
fn run_twice(seed: u64, length: u64) -> Result<Report, String> {
    let report = run(seed, length)?;
    let again = run(seed, length)?;
    if report.digest != again.digest {
        return Err(format!("seed {seed} with LENGTH={length} does not repeat its run"));
    }
    Ok(report)
}

/// Runs seeds on every core until there are none left or the time is over, every [`TWICE`]th of them twice. Returns the
/// number of seeds and events.
fn run_all(seeds: impl Iterator<Item = u64> + Send, length: u64, time: Duration) -> (u64, u64) {
    let began = Instant::now();
    let (seeds, failed) = (Mutex::new(seeds), Mutex::new(None));
    let (ran, events) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        while began.elapsed() < time && failed.lock().expect("not poisoned").is_none() {
            let Some(seed) = seeds.lock().expect("not poisoned").next() else { break };
            let report = if seed % TWICE == 0 { run_twice(seed, length) } else { run(seed, length) };
            match report {
                Ok(report) => {
                    let ran = ran.fetch_add(1, Ordering::Relaxed) + 1;
                    let events = events.fetch_add(report.events as u64, Ordering::Relaxed);
                    if ran % 1_000 == 0 {
                        println!("{ran} seeds, {events} events in {:?}", began.elapsed());
                    }
                }
                Err(story) => *failed.lock().expect("not poisoned") = Some(story),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(story) = failed.into_inner().expect("not poisoned") {
        panic!("{story}");
    }
    (ran.into_inner(), events.into_inner())
}

#[test]
fn a_seed_repeats_its_run() {
    let seeds = number("SEED").map_or(1..=6, |seed| seed..=seed);
    for seed in seeds {
        let length = number("LENGTH").unwrap_or(LENGTH);
        let report = run_twice(seed, length).unwrap_or_else(|story| panic!("{story}"));
        let Report { events, frames, delivered, given_up, .. } = report;
        println!("seed {seed}: {events} events, {frames} frames, {delivered} delivered, {given_up} given up");
    }
}

#[test]
fn hundreds_of_seeds_find_nothing() {
    let (seeds, events) = run_all(1..=SEEDS, LENGTH, TIME_MAX);
    println!("{seeds} seeds, {events} events");
    assert!(seeds >= 20, "only {seeds} seeds in {TIME_MAX:?}");
}

/// `make soak`. Without `SEED` it begins anywhere.
#[test]
#[ignore = "it runs as long as one likes"]
fn soak() {
    let first = number("SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    let time = Duration::from_secs(number("SECONDS").unwrap_or(u64::MAX / 2));
    println!("from seed {first}");
    let (seeds, events) = run_all(first.., number("LENGTH").unwrap_or(10 * LENGTH), time);
    println!("{seeds} seeds from {first}, {events} events");
}
