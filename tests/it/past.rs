//! `?at=` in a long log, for `make nightly`. `ROOMWATCH_TEST_PAST` is the number of events.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use roomwatch::{
    clock,
    event::{Kind, NewEvent, Source},
    log::{EventLog, LogOptions, sqlite::SqliteLog},
};

use crate::harness::Start;

const EVENTS: usize = 10_000_000;
/// Rooms that are live at the same time. Each has four participants in turn, and then another session.
const ROOMS: usize = 1_000;
const BATCH: usize = 1_000;
const MOMENTS: usize = 200;
/// Maximum time of an answer at 95 %.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// Event `i` of the log, received a millisecond after the one before.
fn event(i: usize, first_at: u64) -> NewEvent {
    let (room, turn) = (i % ROOMS, i / ROOMS);
    let (session, step) = (turn / 8, turn % 8);
    let sid = format!("RM_{room}x{session}");
    let who = format!("PA_{room}x{session}x{}", step.div_ceil(2));
    let person = |state| format!(r#","participant":{{"sid":"{who}","identity":"{who}","state":"{state}"}}"#);
    let (kind, person) = match step {
        0 => ("room_started", String::new()),
        7 => ("room_finished", String::new()),
        odd if odd % 2 == 1 => ("participant_joined", person("ACTIVE")),
        _ => ("participant_left", person("DISCONNECTED")),
    };
    let body = format!(
        r#"{{"event":"{kind}","room":{{"sid":"{sid}","name":"room-{room}"}}{person},"id":"EV_{i}"}}"#
    );
    NewEvent {
        id: format!("EV_{i}").into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: first_at + i as u64,
        kind: Kind::from(kind),
        room: Some(format!("room-{room}").into()),
        room_sid: Some(sid.into()),
        body: body.into_bytes().into(),
    }
}

/// Number of live rooms after `n` events.
fn live(n: usize) -> usize {
    // A room is live from the first to the last but one event of each eight.
    (0..ROOMS).filter(|room| !(n + ROOMS - 1 - room).div_euclid(ROOMS).is_multiple_of(8)).count()
}

#[tokio::test]
#[ignore = "fills a log with ten million events"]
async fn a_moment_of_a_long_log_is_answered_within_300_ms() {
    let count =
        std::env::var("ROOMWATCH_TEST_PAST").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS);
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let first_at = clock::unix_ms() - count as u64;
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a data directory");
    let log = SqliteLog::open(&data, LogOptions::default()).expect("a log");
    for from in (0..count).step_by(BATCH) {
        let events = (from..(from + BATCH).min(count)).map(|i| event(i, first_at));
        log.append(events.collect()).await.expect("appended");
    }
    log.close();

    let began = Instant::now();
    let server = Start::new().on_disk().dir(&dir).start_unready();
    while server.get("/readyz").await.0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(3_600), "it folds all events within an hour");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{count} events are folded after {:.0} s", began.elapsed().as_secs_f64());

    let mut rng = fastrand::Rng::with_seed(17);
    let mut times = Vec::new();
    for _ in 0..MOMENTS {
        let n = rng.usize(1..=count);
        let began = Instant::now();
        let (status, answer) = server.get(&format!("/api/rooms?at={}", first_at + n as u64 - 1)).await;
        times.push(began.elapsed());
        assert_eq!(
            (status, &answer["exact"]),
            (200, &true.into()),
            "after {n} events: {answer}\n{}",
            server.log()
        );
        assert_eq!(answer["rooms"].as_array().map(Vec::len), Some(live(n)), "after {n} events");
    }
    times.sort_unstable();
    let [median, most, max] = [times[MOMENTS / 2], times[MOMENTS * 95 / 100], times[MOMENTS - 1]];
    println!("a moment of {count} events: median {median:.0?}, 95 % {most:.0?}, at most {max:.0?}");
    assert!(most < ANSWER_MAX, "{most:?}");
}
