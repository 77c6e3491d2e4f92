//! The time of a restart with many events in the log, and the cost of its parts.
//!
//! ```text
//! cargo bench --bench restart          BENCH_EVENTS=1000000 for a shorter run
//! ```

mod harness;

use std::{sync::Arc, time::Instant};

use harness::*;
use roomwatch::{
    event::{Kind, NewEvent, Source},
    log::{EventLog, LogOptions, sqlite::SqliteLog},
};

const BATCH: usize = 1_000;

#[tokio::main]
async fn main() {
    let count = setting("BENCH_EVENTS", 10_000_000);
    let dir = tempfile::tempdir().expect("a directory");
    fill(dir.path(), count).await;
    // The first start folds all events; a clean end leaves a checkpoint.
    let folded = ready(dir.path()).await;
    let mut starts = Vec::new();
    for _ in 0..3 {
        starts.push(ready(dir.path()).await);
    }
    println!("ready with {count} events in the log");
    println!(
        "  from a checkpoint  {:7.2} s   aim < 2 s   (folding all of them: {folded:.1} s)",
        median(starts)
    );
}

async fn ready(dir: &std::path::Path) -> f64 {
    roomwatch::cli::serve::install_tls();
    let began = Instant::now();
    let server = Server::roomwatch(dir);
    let url = format!("http://{}/readyz", server.address);
    while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let took = began.elapsed().as_secs_f64();
    server.stop();
    took
}

/// Rooms that start, fill and end, so that the state stays as small as a real one.
async fn fill(dir: &std::path::Path, count: usize) {
    let log = SqliteLog::open(dir, LogOptions::default()).expect("a log");
    let project: Arc<str> = "default".into();
    let now = roomwatch::clock::unix_ms();
    let mut next = 0;
    while next < count {
        let events = (next..(next + BATCH).min(count)).map(|i| {
            let (session, step) = (i / 8, i % 8);
            let room = format!("room-{}", session % 1_000);
            let sid = format!("RM_{session}");
            let who = format!("PA_{session}x{}", step.div_ceil(2) % 4);
            let (kind, person) = match step {
                0 => ("room_started", String::new()),
                7 => ("room_finished", String::new()),
                odd if odd % 2 == 1 => ("participant_joined", format!(",\"participant\":{{\"sid\":\"{who}\",\"identity\":\"{who}\",\"state\":\"ACTIVE\"}}")),
                _ => ("participant_left", format!(",\"participant\":{{\"sid\":\"{who}\",\"identity\":\"{who}\",\"state\":\"DISCONNECTED\"}}")),
            };
            let body = format!("{{\"event\":\"{kind}\",\"room\":{{\"sid\":\"{sid}\",\"name\":\"{room}\"}}{person},\"id\":\"EV_{i}\"}}");
            NewEvent {
                id: format!("EV_{i}").into(),
                project: project.clone(),
                source: Source::Webhook,
                received_at: now,
                kind: Kind::from(kind),
                room: Some(room.into()),
                room_sid: Some(sid.into()),
                body: body.into_bytes().into(),
            }
        });
        log.append(events.collect()).await.expect("appended");
        next += BATCH;
    }
    log.close();
}
