//! The story: the promises that every implementation of the log has to keep.

use std::sync::Arc;

use futures_util::{FutureExt, future::join_all};
use roomwatch::{
    clock::Clock,
    event::{Kind, NewEvent, Seq, Source},
    log::{self, Appended, EventLog, IDS_KEPT, LogError, LogOptions, LogUrl},
};

use super::{append_one, id_of, new_event, read_all};
use crate::harness::{PATIENCE, until_async};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_promises() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = LogUrl::Sqlite(dir.path().join("one"));
    story(open(&url, LogOptions::default())).await;
    a_restart(&url).await;
    time(&LogUrl::Sqlite(dir.path().join("two"))).await;
    retention_by_size(&LogUrl::Sqlite(dir.path().join("three"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_promises_but_durability() {
    story(open(&LogUrl::Memory, LogOptions::default())).await;
    time(&LogUrl::Memory).await;
    retention_by_size(&LogUrl::Memory).await;
}

fn open(url: &LogUrl, options: LogOptions) -> Arc<dyn EventLog> {
    log::open(url, options).expect("the log opens")
}

/// `log` is empty.
async fn story(log: Arc<dyn EventLog>) {
    an_empty_log(&*log).await;
    a_first_event(&*log).await;
    every_field_comes_back(&*log).await;
    the_same_id_again(&*log).await;
    one_answer_an_event(&*log).await;
    reading_is_paged_and_bounded(&*log).await;
    waiting(&log).await;
    many_senders(&log).await;
    closing(&*log).await;
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

async fn an_empty_log(log: &dyn EventLog) {
    let bounds = log.bounds();
    assert_eq!((bounds.first, bounds.last), (Seq(1), Seq(0)));
    assert!(log.read(Seq::ZERO, 10).await.expect("it reads").is_empty());
    assert!(log.append(Vec::new()).await.expect("nothing is stored").is_empty());
    assert!(log.wait(Seq::ZERO).now_or_never().is_none(), "there is nothing to wait for yet");
}

async fn a_first_event(log: &dyn EventLog) {
    let first = append_one(log, new_event("first")).await;
    assert_eq!(first, Appended { seq: Seq(1), duplicate: false });
    let bounds = log.bounds();
    assert_eq!((bounds.first, bounds.last), (Seq(1), Seq(1)), "visible once it is acknowledged");
    assert_eq!(id_of(&log.read(Seq::ZERO, 10).await.expect("it reads")[0]), "first");
    assert!(log.read(Seq(1), 10).await.expect("it reads").is_empty(), "caught up");
    assert!(log.read(Seq(u64::MAX), 10).await.expect("it reads").is_empty(), "from the future");
}

async fn every_field_comes_back(log: &dyn EventLog) {
    let bare = NewEvent {
        id: "bare".into(),
        project: "другой".into(),
        source: Source::Reconcile,
        received_at: 0,
        kind: Kind::from("room_exploded"),
        room: None,
        room_sid: None,
        body: vec![b'{', 0, 0xff, b'}'].into(),
    };
    let odd = NewEvent {
        received_at: i64::MAX as u64,
        room: Some("".into()),
        room_sid: Some("a\0b\u{2028}'\"".into()),
        body: vec![b' '; 300_000].into(),
        ..new_event("odd")
    };
    let after = log.bounds().last;
    log.append(vec![bare.clone(), odd.clone()]).await.expect("stored");
    let events = log.read(after, 10).await.expect("it reads");
    for (seq, (new, event)) in (after.0 + 1..).zip([bare, odd].iter().zip(&events)) {
        assert_eq!(event.seq, Seq(seq));
        assert_eq!(
            (&event.project, event.source, event.received_at),
            (&new.project, new.source, new.received_at)
        );
        assert_eq!((&event.kind, &event.room, &event.room_sid), (&new.kind, &new.room, &new.room_sid));
        assert_eq!(event.body, new.body);
    }
}

async fn the_same_id_again(log: &dyn EventLog) {
    let last = log.bounds().last;
    let other_body = NewEvent { body: "{}".into(), ..new_event("first") };
    assert_eq!(append_one(log, other_body).await, Appended { seq: Seq(1), duplicate: true });
    assert_eq!(log.bounds().last, last, "a duplicate stores nothing");

    // The same id of another project is another event, and project and id are never joined ambiguously.
    let other = NewEvent { project: "defaultf".into(), ..new_event("irst") };
    assert_eq!(append_one(log, other).await, Appended { seq: last.next(), duplicate: false });
    let other = NewEvent { project: "other".into(), ..new_event("first") };
    assert_eq!(append_one(log, other).await, Appended { seq: last.next().next(), duplicate: false });
}

async fn one_answer_an_event(log: &dyn EventLog) {
    let last = log.bounds().last.0;
    let events = ["x", "first", "y", "x", "z"].map(new_event).to_vec();
    let answers = log.append(events).await.expect("stored");
    let expected = [(last + 1, false), (1, true), (last + 2, false), (last + 1, true), (last + 3, false)];
    let expected = expected.map(|(seq, duplicate)| Appended { seq: Seq(seq), duplicate });
    assert_eq!(answers, expected, "in order, also for twins within one call");
}

async fn reading_is_paged_and_bounded(log: &dyn EventLog) {
    let all = read_all(log, Seq::ZERO).await;
    assert_eq!(
        all.iter().map(|event| event.seq.0).collect::<Vec<_>>(),
        (1..=log.bounds().last.0).collect::<Vec<_>>()
    );
    assert!(log.read(Seq::ZERO, 0).await.expect("it reads").is_empty());
    let page = log.read(Seq(2), 3).await.expect("it reads");
    assert_eq!(page.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [3, 4, 5]);

    // Bodies of 8 MiB: a page of them is short, but never empty, and nothing is missing.
    let after = log.bounds().last;
    for id in ["big 1", "big 2", "big 3", "big 4"] {
        append_one(log, NewEvent { body: vec![b'x'; 8 << 20].into(), ..new_event(id) }).await;
    }
    let page = log.read(after, 1000).await.expect("it reads");
    assert!((1..4).contains(&page.len()), "{} bodies of 8 MiB in one page", page.len());
    assert_eq!(read_all(log, after).await.len(), 4);
}

async fn waiting(log: &Arc<dyn EventLog>) {
    let last = log.bounds().last;
    log.wait(Seq(last.0 - 1)).now_or_never().expect("it is there already");

    let waiter = tokio::spawn({
        let log = log.clone();
        async move {
            log.wait(last).await;
            log.read(last, 10).await.expect("it reads").len()
        }
    });
    append_one(&**log, new_event("awaited")).await;
    let seen = tokio::time::timeout(PATIENCE, waiter).await.expect("it wakes").expect("it does not panic");
    assert_eq!(seen, 1, "what woke it can be read");
}

async fn many_senders(log: &Arc<dyn EventLog>) {
    const SENDERS: usize = 50;
    let start = log.bounds().last;
    let senders = (0..SENDERS).map(|sender| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut seqs = Vec::new();
            for n in 0..20 {
                // Two senders send half of the ids at the same time.
                let id = if n % 2 == 0 { format!("{sender}:{n}") } else { format!("{}:{n}", sender / 2) };
                seqs.push((id.clone(), append_one(&*log, new_event(&id)).await));
            }
            seqs
        })
    });
    let answers = join_all(senders).await.into_iter().flat_map(|answers| answers.expect("no panic"));
    let stored = read_all(&**log, start).await;
    assert_eq!(stored.len(), SENDERS * 10 + SENDERS / 2 * 10);
    for (id, answer) in answers {
        let event = &stored[(answer.seq.0 - start.0 - 1) as usize];
        assert_eq!((event.seq, id_of(event)), (answer.seq, id));
    }
    for (seq, event) in (start.0 + 1..).zip(&stored) {
        assert_eq!(event.seq.0, seq, "no holes");
    }
}

async fn closing(log: &dyn EventLog) {
    let bounds = log.bounds();
    log.close();
    log.close();
    assert!(matches!(log.append(vec![new_event("late")]).await, Err(LogError::Closed)));
    assert!(matches!(log.seek(u64::MAX).await, Err(LogError::Closed)));
    assert_eq!(log.bounds(), bounds);
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
