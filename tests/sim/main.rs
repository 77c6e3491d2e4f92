//! A seeded simulation of everything between LiveKit and the bytes that a reader gets, on one thread, without sockets
//! and with time held.
//!
//! LiveKit, its queues, the network, the disk and the readers are models. Between them are the program's own parts. A
//! run is decided by its seed: `SEED=7 cargo test --test sim a_seed -- --nocapture` repeats one, and `TELL=1` prints its
//! story.

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
    time::{Duration, Instant},
};

use run::{Plan, Report, Run};

/// Length of the eventful part of a run, in milliseconds of its own time.
const LENGTH: u64 = 60_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run(seed: u64) -> Report {
    // Timers of tokio exist, and never fire: all time is the simulation's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _context = runtime.enter();
    let plan = Plan::of(seed, number("LENGTH").unwrap_or(LENGTH));
    match catch_unwind(AssertUnwindSafe(|| Run::new(plan).run())) {
        Ok(Ok(report)) => report,
        Ok(Err(story)) => panic!("SEED={seed}\n{story}"),
        Err(panic) => {
            eprintln!("SEED={seed} panicked");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_seed() {
    let seed = number("SEED").unwrap_or(1);
    let report = run(seed);
    println!(
        "seed {seed}: {} events, {} frames, {} delivered, {} given up",
        report.events, report.frames, report.delivered, report.given_up
    );
    let again = run(seed);
    assert_eq!(report.digest, again.digest, "seed {seed} does not repeat its run");
}

/// As many seeds as fit into the time.
fn seeds(first: u64, time: Duration) -> (u64, usize) {
    let began = Instant::now();
    let (mut seeds, mut events) = (0, 0);
    while began.elapsed() < time {
        events += run(first + seeds).events;
        seeds += 1;
    }
    (seeds, events)
}

#[test]
fn many_seeds() {
    let (seeds, events) =
        seeds(number("SEED").unwrap_or(1), Duration::from_secs(number("SECONDS").unwrap_or(20)));
    println!("{seeds} seeds, {events} events");
}
