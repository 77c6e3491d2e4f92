//! The story: the promises that every implementation of the log has to keep.

use std::sync::Arc;

use roomwatch::{
    clock::Clock,
    event::{NewEvent, Seq},
    log::{self, Appended, EventLog, IDS_KEPT, LogOptions, LogUrl},
};

use crate::harness::{
    promises::{append_one, log_story, new_event, read_all},
    until_async,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_promises() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = LogUrl::Sqlite(dir.path().join("one"));
    log_story(open(&url, LogOptions::default())).await;
    a_restart(&url).await;
    time(&LogUrl::Sqlite(dir.path().join("two"))).await;
    retention_by_size(&LogUrl::Sqlite(dir.path().join("three"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_promises_but_durability() {
    log_story(open(&LogUrl::Memory, LogOptions::default())).await;
    time(&LogUrl::Memory).await;
    retention_by_size(&LogUrl::Memory).await;
}

fn open(url: &LogUrl, options: LogOptions) -> Arc<dyn EventLog> {
    log::open(url, options).expect("the log opens")
}

/// The log at `url` has the same content in the next process.
async fn a_restart(url: &LogUrl) {
    let log = open(url, LogOptions::default());
    let before = log.bounds();
    assert!(before.last > Seq(500), "it has a past");
    let events = read_all(&*log, Seq::ZERO).await;
    drop(log);
    let log = open(url, LogOptions::default());
    assert_eq!(log.bounds(), before, "the same epoch, the same ends");
    let again = read_all(&*log, Seq::ZERO).await;
    assert_eq!(events.len(), again.len());
    for (before, after) in events.iter().zip(&again) {
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }
    let known = append_one(&*log, new_event("first")).await;
    assert_eq!(known, Appended { seq: Seq(1), duplicate: true }, "also across a restart");
    let next = append_one(&*log, new_event("after the restart")).await;
    assert_eq!(next, Appended { seq: before.last.next(), duplicate: false });
}

/// Retention by age, seeks and the time for which ids are remembered, with a clock that the test moves.
async fn time(url: &LogUrl) {
    const START: u64 = 1_787_486_400_000;
    const DAY: u64 = 86_400_000;
    let clock = Clock::held(START);
    let days = |days: u64| std::time::Duration::from_millis(days * DAY);
    let log =
        open(url, LogOptions { retain_age: Some(days(10)), clock: clock.clone(), ..LogOptions::default() });
    let append = async |id: &str, received_at: u64| {
        append_one(&*log, NewEvent { received_at, ..new_event(id) }).await.seq
    };
    let seek = async |unix_ms: u64| log.seek(unix_ms).await.expect("it seeks").map(|seq| seq.0);

    assert_eq!(seek(u64::MAX).await, None, "an empty log");
    for n in 1..=5 {
        append(&format!("time {n}"), START + n * 1000).await;
    }
    assert_eq!(seek(START + 999).await, None, "before the first event");
    assert_eq!(seek(START + 1000).await, Some(1), "at the moment of an event");
    assert_eq!(seek(START + 3999).await, Some(3), "between two events");
    assert_eq!(seek(u64::MAX).await, Some(5), "the end");

    // Twins of one moment, an event from a clock that was a year ahead, and one from a clock that was behind.
    append("twin", START + 5000).await;
    append("ahead", START + 365 * DAY).await;
    append("now", START + 6000).await;
    append("behind", START + 2500).await;
    assert_eq!(seek(START + 5999).await, Some(9), "the last one that says so, though its clock was behind");
    assert_eq!(seek(START + 2499).await, Some(2), "before the time that it says");
    append("later", START + 7000).await;
    assert_eq!(seek(START + 6999).await, Some(9), "the event from the future hides nothing after it");
    assert_eq!(seek(START + 365 * DAY).await, Some(10));

    // Many more than an implementation looks at in one piece; every answer is checked against the definition.
    let mut random = fastrand::Rng::with_seed(7);
    for batch in 0..50 {
        let event = |n: u64| {
            let about = START + 10_000 + (batch * 100 + n) * 100;
            let received_at = about.saturating_add_signed(random.i64(-2_000..=2_000));
            NewEvent { received_at, ..new_event(&format!("{batch}:{n}")) }
        };
        log.append((0..100).map(event).collect()).await.expect("stored");
    }
    let all = read_all(&*log, Seq::ZERO).await;
    for _ in 0..200 {
        let unix_ms = START + random.u64(0..520_000);
        let expected = all.iter().rfind(|event| event.received_at <= unix_ms).map(|event| event.seq.0);
        assert_eq!(seek(unix_ms).await, expected, "at {unix_ms}");
    }

    // Nothing is removed before it is allowed, whatever its age.
    clock.advance(days(11));
    append("young", clock.unix_ms()).await;
    assert_eq!(log.bounds().first, Seq(1));
    log.retain(Seq(3));
    log.retain(Seq(2));
    until_async("three events are removed", async || log.bounds().first == Seq(4)).await;
    assert_eq!(read_all(&*log, Seq::ZERO).await[0].seq, Seq(4), "a read begins with what is left");
    assert_eq!(seek(START + 3999).await, Some(9), "event 3 is gone, and event 9 says 2500");
    assert_eq!(seek(START + 2499).await, None);
    log.retain(Seq(6));
    until_async("all that is allowed is removed", async || log.bounds().first == Seq(7)).await;
    log.retain(log.bounds().last);
    clock.advance(days(400));
    until_async("the newest event stays", async || log.bounds().first == log.bounds().last).await;
    assert_eq!(seek(u64::MAX).await, Some(log.bounds().last.0));
    assert_eq!(seek(START).await, None);

    // Ids are remembered for a day of running time.
    let last = append("id", clock.unix_ms()).await;
    clock.advance(IDS_KEPT / 2);
    clock.set_wall(START);
    assert_eq!(append("id", START).await, last, "half a day later, by a clock that was set back");
}

async fn retention_by_size(url: &LogUrl) {
    let log = open(
        url,
        LogOptions {
            retain_age: None,
            quota: roomwatch::storage::Quota::of(2 << 20),
            ..LogOptions::default()
        },
    );
    let big = |n: usize| NewEvent { body: vec![b'x'; 8_000].into(), ..new_event(&n.to_string()) };
    for batch in 0..10 {
        log.append((0..50).map(|n| big(batch * 50 + n)).collect()).await.expect("stored");
    }
    assert_eq!(log.bounds().first, Seq(1), "not before it is allowed");
    log.retain(log.bounds().last);
    until_async("about two MiB are left", async || log.bounds().last.0 - log.bounds().first.0 < 300).await;
    assert!(log.bounds().last.0 - log.bounds().first.0 > 100, "and not less");
}
