//! Power losses, full disks and failing disks: no acknowledged event is ever lost.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use roomwatch::{
    event::{NewEvent, Seq},
    log::{EventLog, LogError, LogOptions, OpenError, sqlite::SqliteLog},
};
use rusqlite::ffi;

use crate::harness::promises::{append_one, id_of, new_event, read_all};
use crate::harness::{
    PATIENCE,
    disk::{Dice, Disk, Fault, On},
};

/// Number of power losses, and of different results of each that are examined.
const CUTS: u64 = 120;
const REMAINS: u64 = 3;

/// The answers to senders, and the positions of readers: by id, over all crashes.
#[derive(Default)]
struct Told {
    acknowledged: Mutex<BTreeMap<String, (Seq, usize)>>,
    read: AtomicU64,
}

fn options(disk: Option<String>) -> LogOptions {
    LogOptions {
        vfs: disk,
        quota: roomwatch::storage::Quota::of(1 << 20),
        retain_age: None,
        ..LogOptions::default()
    }
}

#[test]
fn no_power_loss_loses_an_acknowledged_event() {
    let mut dice = Dice::seeded();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::new(dice.roll());
    let told = Arc::new(Told::default());
    let mut opened = 0;
    for cut in 0..CUTS {
        // During the opening of the log, early in the load, or after some checkpoints.
        disk.cut_after(match dice.below(8) {
            0 | 1 => dice.below(60),
            2 => dice.below(4000),
            _ => 300 + dice.below(1000),
        });
        if let Ok(log) = SqliteLog::open(dir.path(), options(disk.vfs())) {
            opened += 1;
            runtime.block_on(load(log, &told, dice.roll()));
        }
        assert!(disk.is_dead(), "the load ends with the power");
        if dice.below(4) == 0 {
            // Killed, and a power loss later: what the next process reads from the system's cache and sends to readers has
            // to be on the disk by then.
            disk.kill_process();
            continue;
        }
        for _ in 0..REMAINS {
            let survived = disk.lose_power(&mut dice);
            disk.power_on(&survived);
            runtime.block_on(check(dir.path(), disk.vfs(), &told, cut));
            disk.power_on(&survived);
        }
    }
    let acknowledged = told.acknowledged.lock().len();
    println!("{CUTS} cuts, {opened} loads, {acknowledged} events acknowledged");
    assert!(acknowledged > 500 && opened > CUTS / 4, "it was a load");
}

/// Several senders and one reader, until the power is cut.
async fn load(log: SqliteLog, told: &Arc<Told>, seed: u64) {
    let log = Arc::new(log);
    told.read.fetch_max(log.bounds().last.0, Ordering::Relaxed);
    let senders = (0..4).map(|sender| {
        let (log, told) = (log.clone(), told.clone());
        tokio::spawn(async move {
            for n in 0.. {
                // The length of a body follows from its id; each fourth id was sent before.
                let id = |n: u64| format!("{seed:x}/{sender}/{n}");
                let event = |id: String| {
                    let length = id.bytes().fold(0usize, |sum, b| (sum * 31 + usize::from(b)) % 16_000);
                    let body = format!(r#"{{"id":"{id}","x":"{}"}}"#, "x".repeat(length));
                    NewEvent { body: body.into_bytes().into(), ..new_event(&id) }
                };
                let events = vec![event(id(n)), event(id(n / 4))];
                let sent: Vec<_> =
                    events.iter().map(|event| (event.id.to_string(), event.body.len())).collect();
                let Ok(answers) = log.append(events).await else { return };
                for ((id, length), answer) in sent.into_iter().zip(answers) {
                    let before = told.acknowledged.lock().insert(id.clone(), (answer.seq, length));
                    assert!(before.is_none_or(|(seq, _)| seq == answer.seq), "{id} has two seqs");
                }
                log.retain(log.bounds().last);
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let reader = tokio::spawn({
        let (log, told) = (log.clone(), told.clone());
        async move {
            let mut after = log.bounds().last;
            loop {
                log.wait(after).await;
                match log.read(after, 100).await {
                    Ok(events) => after = events.last().map_or(log.bounds().first, |event| event.seq),
                    Err(_) => return,
                }
                told.read.fetch_max(after.0, Ordering::Relaxed);
            }
        }
    });
    for sender in senders {
        sender.await.expect("no sender panics");
    }
    reader.abort();
    // Aborted tasks hold the log until they have ended.
    let _ = reader.await;
    told.read.fetch_max(log.bounds().last.0, Ordering::Relaxed);
}

/// Opens the rest, and looks for every event that a sender or a reader was told of.
async fn check(dir: &Path, disk: Option<String>, told: &Told, cut: u64) {
    let acknowledged = told.acknowledged.lock().clone();
    let log = match SqliteLog::open(dir, LogOptions { quota: Default::default(), ..options(disk) }) {
        Ok(log) => log,
        // The power was cut while the file was created.
        Err(OpenError::Foreign { .. }) if acknowledged.is_empty() => return,
        Err(cause) => panic!("cut {cut}: {cause}"),
    };
    let bounds = log.bounds();
    let read = told.read.load(Ordering::Relaxed);
    assert!(bounds.last.0 >= read, "cut {cut}: readers were told of {read}, the log ends at {}", bounds.last);
    let events = read_all(&log, Seq::ZERO).await;
    assert_eq!(events.len() as u64, bounds.last.0 + 1 - bounds.first.0, "cut {cut}: no holes");
    let by_seq: BTreeMap<_, _> = events.iter().map(|event| (event.seq, event)).collect();
    for (id, (seq, length)) in &acknowledged {
        if *seq >= bounds.first {
            let event =
                by_seq.get(seq).unwrap_or_else(|| panic!("cut {cut}: {id} was acknowledged as {seq}"));
            assert_eq!((&id_of(event), event.body.len()), (id, *length), "cut {cut}: event {seq}");
        }
    }
    // Ids are kept longer than their events: the newest and the oldest are known.
    for (id, (seq, _)) in acknowledged.iter().take(5).chain(acknowledged.iter().rev().take(5)) {
        let again = append_one(&log, new_event(id)).await;
        assert_eq!((again.seq, again.duplicate), (*seq, true), "cut {cut}: {id} was acknowledged");
    }
}

fn no_space(after: u64) -> Fault {
    Fault { on: On::Write, after, times: u64::MAX, code: ffi::SQLITE_FULL }
}

fn failing_sync(after: u64, times: u64) -> Fault {
    Fault { on: On::Sync, after, times, code: ffi::SQLITE_IOERR_FSYNC }
}

/// Appends until it succeeds, as LiveKit does. Returns the number of failures.
async fn persist(log: &SqliteLog, id: &str) -> usize {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut refused = 0;
    while let Err(cause) = log.append(vec![new_event(id)]).await {
        assert!(tokio::time::Instant::now() < deadline, "{id}: {cause}");
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::new(1);
    let log = SqliteLog::open(dir.path(), LogOptions { vfs: disk.vfs(), ..LogOptions::default() })
        .expect("it opens");
    append_one(&log, new_event("before")).await;
    for after in 0..6 {
        disk.fail(no_space(after));
        let id = format!("full {after}");
        // A few writes may still fit. Then each append fails with `Full`, and nothing is stored.
        let mut refused = 0;
        for n in 0..10 {
            match log.append(vec![new_event(&format!("{id}, {n}")), new_event(&format!("{id}, {n}'"))]).await
            {
                Ok(_) => assert_eq!(refused, 0, "there is no more room than before"),
                Err(LogError::Full) => refused += 1,
                Err(cause) => panic!("{cause}"),
            }
        }
        assert!(refused > 5);
        let last = log.bounds().last;
        assert!(!log.read(Seq::ZERO, 10).await.expect("reading goes on").is_empty());
        disk.mend();
        assert!(persist(&log, &id).await < 100);
        persist(&log, &format!("{id}'")).await;
        assert_eq!(log.bounds().last, Seq(last.0 + 2), "no hole, no twin");
    }
    let events = read_all(&log, Seq::ZERO).await;
    assert!(events.iter().zip(1..).all(|(event, seq)| event.seq.0 == seq));
}

#[tokio::test]
async fn a_failed_sync_is_never_taken_for_a_success() {
    let mut dice = Dice::seeded();
    for round in 0..30 {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = Disk::new(dice.roll());
        let options = |vfs| LogOptions { vfs, ..LogOptions::default() };
        let log = SqliteLog::open(dir.path(), options(disk.vfs())).expect("it opens");
        let mut stored = Vec::new();
        for n in 0..15 {
            if dice.below(5) == 0 {
                disk.fail(failing_sync(dice.below(4), 1 + dice.below(3)));
            }
            let id = format!("{n}");
            // Half of the refused events are not sent again: nothing may depend on them.
            match log.append(vec![new_event(&id)]).await {
                Ok(answer) => stored.push((id, answer[0].seq)),
                Err(_) if dice.below(2) == 0 => {
                    persist(&log, &id).await;
                    stored.push((id.clone(), append_one_again(&log, &id).await));
                }
                Err(_) => {}
            }
        }
        let last = log.bounds().last;
        // The disk is disconnected, so that closing writes nothing, and then the power is cut.
        disk.cut_after(0);
        drop(log);
        disk.power_on(&disk.lose_power(&mut dice));
        let log = SqliteLog::open(dir.path(), options(disk.vfs())).expect("it opens");
        assert!(log.bounds().last >= last, "round {round}: readers were told of {last}");
        let events = read_all(&log, Seq::ZERO).await;
        for (id, seq) in stored {
            let event = &events[seq.0 as usize - 1];
            assert_eq!((event.seq, id_of(event)), (seq, id), "round {round}");
        }
    }
}

async fn append_one_again(log: &SqliteLog, id: &str) -> Seq {
    // The fault may still be active: more appends are refused.
    persist(log, id).await;
    loop {
        if let Ok(answer) = log.append(vec![new_event(id)]).await {
            assert!(answer[0].duplicate);
            return answer[0].seq;
        }
    }
}

/// Not a test: a separate process, because the test reads its log, and a process has one log.
#[tokio::test]
#[ignore = "run by a_full_disk_and_its_end_are_logged_once, as a separate process"]
async fn outage() {
    if std::env::var_os(OUTAGE).is_none() {
        return;
    }
    tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(std::io::stdout).init();
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::new(1);
    let log = SqliteLog::open(dir.path(), LogOptions { vfs: disk.vfs(), ..LogOptions::default() })
        .expect("it opens");
    for outage in 0..2 {
        disk.fail(no_space(0));
        for n in 0..5 {
            let refused = log.append(vec![new_event(&format!("{outage} {n}"))]).await;
            refused.expect_err("there is no room");
        }
        disk.mend();
        persist(&log, &format!("{outage}")).await;
        append_one(&log, new_event(&format!("{outage}, and on"))).await;
    }
}

const OUTAGE: &str = "ROOMWATCH_TEST_OUTAGE";

#[test]
fn a_full_disk_and_its_end_are_logged_once() {
    let output = std::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "log::power::outage", "--ignored", "--nocapture"])
        .env(OUTAGE, "1")
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = text.lines().filter(|line| line.contains("roomwatch::")).collect();
    assert_eq!(lines.len(), 4, "two outages have two begins and two ends: {lines:#?}");
    for outage in lines.chunks(2) {
        let [begin, end] = outage else { panic!("{lines:#?}") };
        assert!(begin.contains("ERROR") && begin.contains("no space left"), "{begin}");
        assert!(begin.contains("Free space on the disk"), "it says what to do: {begin}");
        assert!(end.contains("can be written again") && !end.contains("outage.refused=0"), "{end}");
    }
}

#[tokio::test]
async fn events_that_a_disk_lost_begin_a_new_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::new(1);
    let options = || LogOptions { vfs: disk.vfs(), ..LogOptions::default() };
    let log = SqliteLog::open(dir.path(), options()).expect("it opens");
    log.append((0..10).map(|n| new_event(&n.to_string())).collect()).await.expect("stored");
    let epoch = log.bounds().epoch;

    // No code can prevent this: the disk confirmed three events and lost them.
    let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
    file.execute("DELETE FROM events WHERE seq > 7", []).expect("deleted");
    drop(file);
    disk.fail(Fault { on: On::Write, after: 0, times: 1, code: ffi::SQLITE_IOERR_WRITE });
    for _ in 0..3 {
        log.append(vec![new_event("more")]).await.expect_err("seqs are not given twice in one epoch");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    drop(log);
    let log = SqliteLog::open(dir.path(), options()).expect("it opens");
    assert_ne!(log.bounds().epoch, epoch, "readers with a cursor of lost events get a reset");
    assert!(append_one(&log, new_event("more")).await.seq > Seq(7));
}

#[tokio::test]
async fn events_in_the_cache_of_a_killed_process_are_durable_before_they_are_read() {
    let mut dice = Dice::seeded();
    let dir = tempfile::tempdir().expect("a directory");
    let disk = Disk::new(dice.roll());
    let open = || SqliteLog::open(dir.path(), LogOptions { vfs: disk.vfs(), ..LogOptions::default() });
    drop(open().expect("it opens"));
    // Killed at each operation of an append: also between its last write and its sync.
    for operations in 0..24 {
        let log = open().expect("it opens");
        let before = log.bounds().last;
        disk.cut_after(operations);
        let _ = log.append(vec![new_event(&format!("killed at {operations}"))]).await;
        drop(log);
        disk.kill_process();

        let log = open().expect("it opens");
        let told = log.bounds().last;
        disk.cut_after(0);
        drop(log);
        for _ in 0..8 {
            let survived = disk.lose_power(&mut dice);
            disk.power_on(&survived);
            let last = open().expect("it opens").bounds().last;
            assert!(
                last >= told,
                "killed at operation {operations} after {before}, {told} was seen, {last} is left"
            );
            disk.power_on(&survived);
        }
    }
}
