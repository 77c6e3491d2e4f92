//! Promises of the embedded log only: epoch, retention, bounds.

use std::{fs, path::Path, sync::Arc, time::Duration};

use roomwatch::{
    clock::Clock,
    derived::Derived,
    event::{NewEvent, Seq},
    feed::{Feed, Filter, ReplayError},
    log::{EventLog, LogError, LogOptions, OpenError, sqlite::SqliteLog},
    rights::Window,
};

use super::open;
use crate::harness::promises::{append_one, id_of, new_event, read_all};
use crate::harness::until_async;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Where the clock of a test begins, in unix milliseconds.
const NOW: u64 = 1_787_486_406_123;

fn options(clock: &Clock) -> LogOptions {
    LogOptions { clock: clock.clone(), ..LogOptions::default() }
}

/// Sets the wall clock, and only that.
fn jump(clock: &Clock, millis: i64) {
    clock.set_wall(clock.unix_ms().saturating_add_signed(millis));
}

fn event_at(clock: &Clock, id: &str) -> NewEvent {
    NewEvent { received_at: clock.unix_ms(), ..new_event(id) }
}

#[tokio::test]
async fn a_closed_log_says_so_and_releases_the_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    append_one(&log, new_event("1")).await;
    log.close();
    assert!(matches!(log.append(vec![new_event("2")]).await, Err(LogError::Closed)));
    assert!(
        !dir.path().join("log.db-wal").metadata().is_ok_and(|wal| wal.len() > 0),
        "the WAL was checkpointed"
    );
    let again = open(dir.path());
    assert_eq!(again.bounds().last, Seq(1));
}

#[tokio::test]
async fn a_copied_log_begins_a_new_epoch() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    append_one(&log, new_event("1")).await;
    let original = log.bounds();
    drop(log);
    assert_eq!(open(dir.path()).bounds(), original, "a restart is none");

    // A backup is restored as a new file with the same name.
    let path = dir.path().join("log.db");
    let backup = fs::read(&path).expect("the backup");
    fs::remove_file(&path).expect("gone");
    fs::write(&path, backup).expect("restored");
    let log = open(dir.path());
    let restored = log.bounds();
    assert_ne!(restored.epoch, original.epoch);
    assert_eq!((restored.first, restored.last), (original.first, original.last));
    drop(log);
    assert_eq!(open(dir.path()).bounds(), restored, "once");

    // The instruction of the module for a restore in place.
    let file = rusqlite::Connection::open(&path).expect("the file");
    file.execute("DELETE FROM meta WHERE key = 'epoch'", []).expect("deleted");
    drop(file);
    assert_ne!(open(dir.path()).bounds().epoch, restored.epoch);
}

#[tokio::test]
async fn two_logs_have_two_epochs() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    assert_ne!(open(one.path()).bounds().epoch, open(two.path()).bounds().epoch);
}

#[test]
fn a_file_that_is_not_a_log_is_refused_and_unchanged() {
    let refused = |content: &[u8]| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log.db");
        fs::write(&path, content).expect("written");
        let Err(refused) = SqliteLog::open(dir.path(), LogOptions::default()) else { panic!("opened") };
        assert_eq!(fs::read(&path).expect("it is there"), content, "left alone");
        refused
    };
    assert!(matches!(refused(&[b'x'; 10_000]), OpenError::Damaged { .. }));

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("other.db");
    let other = rusqlite::Connection::open(&path).expect("a file");
    other.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").expect("filled");
    assert!(matches!(refused(&fs::read(&path).expect("read")), OpenError::Foreign { .. }));

    let newer = tempfile::tempdir().expect("a directory");
    drop(open(newer.path()));
    let path = newer.path().join("log.db");
    rusqlite::Connection::open(&path)
        .expect("the file")
        .pragma_update(None, "user_version", 99)
        .expect("set");
    let Err(refused) = SqliteLog::open(newer.path(), LogOptions::default()) else { panic!("opened") };
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
}

#[tokio::test]
async fn a_hole_at_the_end_is_found_when_the_log_is_opened() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    log.append((0..10).map(|n| new_event(&n.to_string())).collect()).await.expect("stored");
    drop(log);
    let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
    file.execute("DELETE FROM events WHERE seq = 8", []).expect("deleted");
    drop(file);
    let Err(refused) = SqliteLog::open(dir.path(), LogOptions::default()) else { panic!("opened") };
    assert!(
        matches!(&refused, OpenError::Damaged { what, .. } if what.contains("event 7 and event 9")),
        "{refused}"
    );
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LogOptions { queue_bytes_max: 1 << 20, ..LogOptions::default() };
    let log = SqliteLog::open(dir.path(), options).expect("it opens");
    let big = |id: usize| NewEvent { body: vec![b'x'; 400_000].into(), ..new_event(&id.to_string()) };
    // `append` queues when it is called: far more than the writer can take in the meantime.
    let answers = futures_util::future::join_all((0..200).map(|id| log.append(vec![big(id)]))).await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(answers.iter().any(|answer| matches!(answer, Err(LogError::Busy(_)))));
    assert!(answers.iter().all(|answer| matches!(answer, Ok(_) | Err(LogError::Busy(_)))));
    assert_eq!(log.bounds().last.0 as usize, stored, "what was refused was not stored");

    // A single event that is over the limit is accepted when the queue is empty.
    log.append((0..10).map(|id| big(1000 + id)).collect()).await.expect("stored");
}

#[tokio::test]
async fn old_events_are_trimmed_when_the_state_covers_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let time = Clock::held(NOW);
    let log = Arc::new(SqliteLog::open(dir.path(), options(&time)).expect("it opens"));
    for n in 0..1000 {
        append_one(&*log, event_at(&time, &format!("old {n}"))).await;
    }
    time.advance(20 * DAY);
    append_one(&*log, event_at(&time, "young")).await;
    time.advance(11 * DAY);
    append_one(&*log, event_at(&time, "younger")).await;
    assert_eq!(log.bounds().first, Seq(1), "nothing goes before a checkpoint covers it");

    log.retain(Seq(400));
    until_async("400 events are trimmed", async || log.bounds().first == Seq(401)).await;
    // A reader that retention has overtaken sees it, and is not moved past the missing events.
    let (history, _) = Derived::open(dir.path(), log.bounds(), Default::default()).expect("it opens");
    let feed = Feed::new(log.clone(), Arc::new(history), log.bounds().last);
    let replayed =
        async |after| feed.replay(&Filter::new(&Window::all(), &[], &[]), Seq(after), 10, 1 << 20).await;
    assert!(matches!(replayed(399).await, Err(ReplayError::Expired)));
    assert!(replayed(400).await.is_ok());
    log.retain(Seq(1002));
    until_async("all old events are trimmed", async || log.bounds().first == Seq(1001)).await;
    let left: Vec<_> =
        read_all(&*log, Seq::ZERO).await.iter().map(|event| (event.seq.0, id_of(event))).collect();
    assert_eq!(left, [(1001, "young".into()), (1002, "younger".into())]);

    time.advance(365 * DAY);
    until_async("the newest event stays", async || log.bounds().first == Seq(1002)).await;
    drop((feed, log));
    let log = SqliteLog::open(dir.path(), options(&time)).expect("it opens");
    assert_eq!((log.bounds().first, log.bounds().last), (Seq(1002), Seq(1002)), "so no seq is given twice");
    assert_eq!(append_one(&log, event_at(&time, "next")).await.seq, Seq(1003));
}

#[tokio::test]
async fn events_from_a_clock_that_was_ahead_are_trimmed_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let time = Clock::held(NOW);
    let log = SqliteLog::open(dir.path(), options(&time)).expect("it opens");
    let year = 365 * DAY.as_millis() as i64;
    jump(&time, 10 * year);
    append_one(&log, event_at(&time, "from the future")).await;
    jump(&time, -10 * year);
    append_one(&log, event_at(&time, "from now")).await;
    log.retain(Seq(2));
    mark(dir.path(), &log, &time, "mark").await;
    time.advance(31 * DAY);
    until_async("both are gone", async || log.bounds().first == Seq(3)).await;
}

/// Lets a minute pass, and waits until the log has written down where it stood then.
async fn mark(dir: &Path, log: &SqliteLog, time: &Clock, id: &str) {
    let seq = append_one(log, event_at(time, id)).await.seq;
    time.advance(Duration::from_secs(61));
    let file = rusqlite::Connection::open(dir.join("log.db")).expect("the file");
    let marked = || {
        file.query_row("SELECT max(seq) FROM marks", [], |row| row.get::<_, Option<i64>>(0)).expect("read")
    };
    until_async("it is marked", async || marked() == Some(seq.0 as i64)).await;
}

#[tokio::test]
async fn the_file_stays_under_its_size_and_its_space_is_used_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = LogOptions {
        quota: roomwatch::storage::Quota::of(2 << 20),
        retain_age: None,
        ..LogOptions::default()
    };
    let log = SqliteLog::open(dir.path(), options).expect("it opens");
    let body = vec![b'x'; 8000];
    let file_bytes = || fs::metadata(dir.path().join("log.db")).expect("the file").len();
    let (mut n, mut sizes) = (0, Vec::new());
    for _ in 0..8 {
        for _ in 0..10 {
            let batch = (0..50).map(|_| {
                n += 1;
                NewEvent { body: body.clone().into(), ..new_event(&n.to_string()) }
            });
            log.append(batch.collect()).await.expect("stored");
        }
        log.retain(log.bounds().last);
        // 500 events of two pages are 4 MiB, the limit 2: about half of them stay.
        until_async("it is trimmed", async || log.bounds().last.0 - log.bounds().first.0 < 300).await;
        assert!(log.bounds().last.0 - log.bounds().first.0 > 100, "and not more than it has to be");
        sizes.push(file_bytes());
    }
    assert!(*sizes.iter().max().expect("sizes") < 12 << 20, "freed pages are used again: {sizes:?}");
}

#[tokio::test]
async fn an_id_is_kept_for_a_day_whatever_the_clock_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let time = Clock::held(NOW);
    let open = |time: &Clock| {
        SqliteLog::open(dir.path(), LogOptions { retain_age: None, ..options(time) }).expect("it opens")
    };
    let number = |sql: &str| {
        let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number")
    };
    let log = open(&time);
    log.append((0..2500).map(|n| event_at(&time, &n.to_string())).collect()).await.expect("stored");
    mark(dir.path(), &log, &time, "first mark").await;

    // Forwards by ten years and back by twenty: less than a minute has passed.
    for years in [10, -20, 10] {
        jump(&time, years * 365 * DAY.as_millis() as i64);
        assert!(append_one(&log, event_at(&time, "7")).await.duplicate, "after a jump of {years} years");
    }
    time.advance(12 * HOUR);
    drop(log);

    // A restart: the new process' clock begins at zero, the log's time goes on.
    let time = Clock::held(time.unix_ms());
    let log = open(&time);
    time.advance(11 * HOUR);
    mark(dir.path(), &log, &time, "second mark").await;
    assert!(append_one(&log, event_at(&time, "7")).await.duplicate, "23 hours and a restart later");

    time.advance(2 * HOUR);
    let swept = "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM meta WHERE key = 'swept'";
    until_async("expired ids are swept", async || number(swept) >= 2501).await;
    assert!(number("SELECT count(*) FROM ids") < 100, "only what is younger is left");
    assert!(!append_one(&log, event_at(&time, "7")).await.duplicate, "25 hours later");
    assert!(append_one(&log, event_at(&time, "second mark")).await.duplicate, "what is younger is kept");
}

/// The newest ids are in memory, older ones in the table into which they are merged. An id must be found in both places, and
/// during the merge, and by the next process.
#[tokio::test]
async fn an_id_is_found_before_while_and_after_it_is_merged() {
    const EVENTS: usize = 40_000;
    let dir = tempfile::tempdir().expect("a directory");
    let options = || LogOptions { ids_max: 10_000, ..LogOptions::default() };
    let open = || SqliteLog::open(dir.path(), options()).expect("it opens");
    let events = |from: usize| (from..from + 500).map(|n| new_event(&n.to_string())).collect::<Vec<_>>();
    let merged = || {
        let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
        file.query_row("SELECT count(*) FROM ids", [], |row| row.get::<_, i64>(0)).expect("counted")
    };
    let mut log = open();
    for from in (0..EVENTS).step_by(500) {
        let stored = log.append(events(from)).await.expect("stored");
        assert!(stored.iter().all(|one| !one.duplicate), "after {from}");
        for earlier in [0, from / 2, from] {
            let again = append_one(&log, new_event(&(earlier + 7).to_string())).await;
            assert_eq!((again.duplicate, again.seq), (true, Seq(earlier as u64 + 8)), "after {from}");
        }
        if from % 10_000 == 5_000 {
            drop(log);
            log = open();
        }
    }
    until_async("most are merged", async || merged() > EVENTS as i64 / 2).await;
    for reopened in [false, true] {
        if reopened {
            drop(log);
            log = open();
        }
        for from in (0..EVENTS).step_by(500) {
            let again = log.append(events(from)).await.expect("known");
            let expected = (from as u64 + 1..).map(Seq);
            assert!(again.iter().zip(expected).all(|(one, seq)| one.duplicate && one.seq == seq), "{from}");
        }
    }
    assert_eq!(log.bounds().last, Seq(EVENTS as u64));
}

/// A log of format 1 has no notes of times: seeks are right from the start, and upkeep writes the notes.
#[tokio::test]
async fn a_log_of_an_older_format_is_migrated_and_seeks_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let event = |n: u64| NewEvent { received_at: NOW + n, ..new_event(&n.to_string()) };
    let log = open(dir.path());
    log.append((1..=4000).map(event).collect()).await.expect("stored");
    drop(log);
    let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
    let notes = || file.query_row("SELECT count(*) FROM times", [], |row| row.get::<_, i64>(0)).ok();
    let format_1 =
        "DROP TABLE times; DROP TABLE chunks; ALTER TABLE marks DROP COLUMN wall_ms; PRAGMA user_version = 1";
    file.execute_batch(format_1).expect("the format of that time");
    assert_eq!(notes(), None);
    let log = open(dir.path());
    let seek = async |n: u64| log.seek(NOW + n).await.expect("it seeks").map(|seq| seq.0);
    for noted in [false, true] {
        if noted {
            // 1,023 events, then 1,024 in each: the last 929 are less than a block.
            until_async("three blocks are noted", async || notes() == Some(3)).await;
        }
        for n in [1, 2, 1022, 1023, 1024, 2047, 2048, 3071, 3072, 3999, 4000] {
            assert_eq!(seek(n).await, Some(n), "noted: {noted}");
        }
        assert_eq!((seek(0).await, seek(4001).await), (None, Some(4000)));
    }
}
