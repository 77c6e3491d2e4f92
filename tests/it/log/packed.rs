//! Events that are older than ten minutes: compressed, and read back as before.

use std::{path::Path, time::Duration};

use roomwatch::{
    clock::Clock,
    event::{Event, NewEvent, Seq},
    log::{EventLog, LogOptions, sqlite::SqliteLog},
};

use crate::harness::promises::{append_one, id_of, new_event, read_all};
use crate::harness::{said, until_async};

const NOW: u64 = 1_787_486_406_123;
const MINUTE: Duration = Duration::from_secs(60);

fn open(dir: &Path, clock: &Clock) -> SqliteLog {
    SqliteLog::open(dir, LogOptions { clock: clock.clone(), ..LogOptions::default() }).expect("it opens")
}

fn number(dir: &Path, sql: &str) -> i64 {
    let file = rusqlite::Connection::open(dir.join("log.db")).expect("the file");
    file.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Lets ten minutes pass, and waits until at most `rows` events are not packed.
async fn pack(dir: &Path, clock: &Clock, rows: i64) {
    // The marks tell which events are older.
    let last = number(dir, "SELECT max(seq) FROM events");
    clock.advance(MINUTE);
    until_async("they are marked", async || number(dir, "SELECT max(seq) FROM marks") == last).await;
    clock.advance(10 * MINUTE);
    until_async("they are packed", async || number(dir, "SELECT count(*) FROM events") <= rows).await;
}

/// An event as LiveKit sends it, of one of a few rooms and many participants.
fn real(n: u64) -> NewEvent {
    let body = String::from_utf8(said::fixture("participant_joined")).expect("text");
    // What differs between two joins: names, sids and times.
    let mut random = fastrand::Rng::with_seed(n);
    let mut sid = |prefix: &str| {
        let letters = std::iter::repeat_with(|| random.alphanumeric()).take(12).collect::<String>();
        format!("{prefix}_{letters}")
    };
    let mut body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    body["id"] = sid("EV").into();
    body["createdAt"] = (NOW / 1000 + n).to_string().into();
    body["participant"]["sid"] = sid("PA").into();
    body["participant"]["identity"] = format!("user-{n}").into();
    body["room"]["sid"] = format!("RM_{}", n % 20).into();
    let id = body["id"].as_str().expect("an id").to_owned();
    NewEvent {
        received_at: NOW + n * 20,
        room: Some(format!("room {}", n % 20).into()),
        body: body.to_string().into_bytes().into(),
        ..new_event(&id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_events_are_the_same_from_each_position_and_after_a_restart() {
    const EVENTS: u64 = 2_000;
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::held(NOW);
    let mut log = open(dir.path(), &clock);
    let odd = |n: u64| match n % 7 {
        0 => NewEvent { room: None, room_sid: None, project: "другой".into(), ..real(n) },
        1 => NewEvent { room: Some("".into()), body: vec![b' '; 9_000].into(), ..real(n) },
        2 => NewEvent { received_at: NOW + n * 20 - 3_000, body: "".into(), ..real(n) },
        _ => real(n),
    };
    log.append((1..=EVENTS).map(odd).collect()).await.expect("stored");
    let show = |events: &[Event]| events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>();
    let all = show(&read_all(&log, Seq::ZERO).await);
    let mut times = Vec::new();
    for n in (0..EVENTS * 20).step_by(977) {
        times.push((n, log.seek(NOW + n).await.expect("it seeks")));
    }
    pack(dir.path(), &clock, 300).await;
    assert!(number(dir.path(), "SELECT count(*) FROM chunks") >= 7);

    for reopened in [false, true] {
        if reopened {
            drop(log);
            log = open(dir.path(), &clock);
        }
        assert_eq!((log.bounds().first, log.bounds().last), (Seq(1), Seq(EVENTS)));
        assert_eq!(show(&read_all(&log, Seq::ZERO).await), all);
        for after in (0..EVENTS).step_by(61) {
            for limit in [1, 2, 300] {
                let page = show(&log.read(Seq(after), limit).await.expect("it reads"));
                let to = all.len().min(after as usize + limit);
                assert_eq!(page, all[after as usize..to], "{limit} after {after}");
            }
        }
        for (n, expected) in &times {
            assert_eq!(log.seek(NOW + n).await.expect("it seeks"), *expected, "at {n}");
        }
        // Ids are known, whether they are in memory, in the table or in a chunk.
        for n in (1..=EVENTS).step_by(97) {
            let again = append_one(&log, odd(n)).await;
            assert_eq!((again.duplicate, again.seq), (true, Seq(n)));
        }
    }
    assert_eq!(append_one(&log, real(EVENTS + 1)).await.seq, Seq(EVENTS + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_event_takes_a_tenth_of_the_space() {
    const EVENTS: u64 = 20_000;
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::held(NOW);
    let log = open(dir.path(), &clock);
    for from in (0..EVENTS).step_by(1000) {
        log.append((from..from + 1000).map(real).collect()).await.expect("stored");
    }
    pack(dir.path(), &clock, 400).await;
    log.close();
    // Without the pages that the next events use again.
    let used = "SELECT (page_count - freelist_count) * page_size
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
    let bytes = number(dir.path(), used) as u64 / EVENTS;
    println!("{bytes} bytes an event, of {} in its body", real(1).body.len());
    assert!(bytes < 110, "{bytes} bytes an event");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_whole_chunks_by_age_and_by_bytes() {
    for by_bytes in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::held(NOW);
        let options = LogOptions {
            clock: clock.clone(),
            quota: if by_bytes { roomwatch::storage::Quota::of(64 << 10) } else { Default::default() },
            ..LogOptions::default()
        };
        let log = SqliteLog::open(dir.path(), options).expect("it opens");
        log.append((1..=1_500).map(real).collect()).await.expect("stored");
        pack(dir.path(), &clock, 300).await;
        assert_eq!(log.bounds().first, Seq(1), "nothing is removed before it is allowed");
        if !by_bytes {
            clock.advance(31 * 24 * 60 * MINUTE);
        }
        log.retain(Seq(600));
        until_async("two chunks are removed", async || log.bounds().first == Seq(513)).await;
        assert_eq!(read_all(&log, Seq::ZERO).await[0].seq, Seq(513));
        log.retain(Seq(1_500));
        until_async("most are removed", async || log.bounds().first > Seq(1_200)).await;
        if by_bytes {
            let again = append_one(&log, real(3)).await;
            assert_eq!((again.duplicate, again.seq), (true, Seq(3)), "ids are kept longer than chunks");
        }
    }
}

/// Format 3 did not have chunks. An older program must not open a file that has them.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_format_3_is_packed_after_its_migration() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::held(NOW);
    let log = open(dir.path(), &clock);
    log.append((1..=1_000).map(|n| new_event(&n.to_string())).collect()).await.expect("stored");
    drop(log);
    let file = rusqlite::Connection::open(dir.path().join("log.db")).expect("the file");
    file.execute_batch("DROP TABLE chunks; PRAGMA user_version = 3").expect("the format of that time");
    let log = open(dir.path(), &clock);
    assert_eq!(number(dir.path(), "SELECT user_version FROM pragma_user_version"), 4);
    pack(dir.path(), &clock, 300).await;
    let all = read_all(&log, Seq::ZERO).await;
    assert!(all.iter().zip(1..).all(|(event, n)| id_of(event) == n.to_string()));
    assert_eq!(all.len(), 1_000);
}
