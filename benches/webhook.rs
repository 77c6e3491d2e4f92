//! The cost of a durable webhook, and the time until its answer: 64 meetings at once, each with one sender and with bodies of
//! a real LiveKit, in which participants join, publish and leave.
//!
//! The floor is a minimal HTTP server, one route of axum, that appends the same bodies to a file and answers after an
//! fdatasync that covers many of them: no verification, no readable log, no state, no feed. A second floor writes the same
//! bodies as rows of SQLite, which shows the store's part of the difference. Our cost is two numbers: until the answer, when
//! the event is durable, and with the work behind the answer, which no floor does.
//!
//! ```text
//! cargo bench --bench webhook          BENCH_WEBHOOKS=20000 for a shorter run
//! ```

mod harness;

use std::{
    io::Write,
    sync::mpsc,
    time::{Duration, Instant},
};

use axum::{Router, routing::post, serve::ListenerExt};
use bytes::Bytes;
use harness::*;
use tokio::{net::TcpListener, sync::oneshot};

const SENDERS: usize = 64;
const ROUNDS: usize = 3;
/// The rate at which LiveKit's own limits begin to matter: 1,000 events/s.
const RATE: usize = 1_000;

/// The threads that fold, encode, store and look at an event after it is durable.
const BEHIND: [&str; 4] = ["fold", "history", "attention", "watchers"];

/// Time until the last event is in the history.
const SETTLED: Duration = Duration::from_secs(2);

/// The measured server, and the floors.
const SERVERS: [Option<&str>; 3] = [None, Some("file"), Some("sqlite")];

#[tokio::main]
async fn main() {
    match std::env::var(FLOOR).as_deref() {
        Ok("sqlite") => return serve(group_commit(rows("floor.db"))).await,
        Ok(_) => return serve(group_commit(file("floor.log"))).await,
        Err(_) => {}
    }
    // First, before the disk has a hundred megabytes to write.
    let mut p99s = [const { Vec::new() }; 3];
    for round in 0..ROUNDS {
        for (which, p99s) in SERVERS.into_iter().zip(&mut p99s) {
            let (server, _dir) = start(which);
            p99s.push(at_rate(&server, round).await);
            server.stop();
        }
    }
    let [ours, floor, sqlite] = p99s.map(median);
    println!("answer at {RATE} events/s, medians of {ROUNDS} alternating runs");
    println!(
        "  p99                {ours:7.2} ms   floor {floor:7.2} ms   ratio {:.2}   aim < 20 ms   (SQLite {sqlite:.2} ms)",
        ours / floor
    );

    let count = setting("BENCH_WEBHOOKS", 100_000);
    let mut costs = [const { Vec::new() }; 3];
    let mut answers = Vec::new();
    for round in 0..ROUNDS {
        for (which, costs) in SERVERS.into_iter().zip(&mut costs) {
            let (server, _dir) = start(which);
            let (whole, behind) = saturate(&server, count, round).await;
            costs.push(whole);
            if which.is_none() {
                answers.push(whole - behind);
            }
            server.stop();
        }
    }
    let [whole, floor, sqlite] = costs.map(median);
    let answer = median(answers);
    println!(
        "durable webhook, {SENDERS} senders, {count} events a run, medians of {ROUNDS} alternating runs"
    );
    println!(
        "  CPU to the answer  {answer:7.1} µs   floor {floor:7.1} µs   ratio {:.2}   aim 2.00   (SQLite {sqlite:.1} µs, {:.2})",
        answer / floor,
        answer / sqlite
    );
    println!(
        "  CPU in all         {whole:7.1} µs                      ratio {:.2}               (SQLite {:.2}): with state, feed, history and followers, behind the answer",
        whole / floor,
        whole / sqlite
    );
}

/// One of [`SERVERS`], and the directory it writes to.
fn start(which: Option<&str>) -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let server = match which {
        Some(floor) => Server::floor(floor, dir.path()),
        None => Server::roomwatch(dir.path()),
    };
    (server, dir)
}

/// CPU microseconds of the server for each webhook, and how many of them behind the answer, when every sender sends as
/// fast as it is answered.
async fn saturate(server: &Server, count: usize, round: usize) -> (f64, f64) {
    let each = count / SENDERS;
    let requests: Vec<_> = (0..SENDERS).map(|s| meeting(&format!("saturate{round}x{s}"), each)).collect();
    let before = (server.cpu_secs(), server.cpu_secs_of(&BEHIND));
    let mut senders = tokio::task::JoinSet::new();
    for requests in requests {
        let mut poster = Poster::connect(server.address).await;
        senders.spawn(async move {
            for request in &requests {
                poster.post(request).await;
            }
        });
    }
    senders.join_all().await;
    // The work behind the answers counts, too.
    tokio::time::sleep(SETTLED).await;
    let micros = |secs: f64| secs * 1e6 / (each * SENDERS) as f64;
    (micros(server.cpu_secs() - before.0), micros(server.cpu_secs_of(&BEHIND) - before.1))
}

/// The 99th percentile of the time to the answer in milliseconds, at a fixed rate. Each event is due
/// at its time, even if the one before is not answered yet: waiting in the queue counts.
async fn at_rate(server: &Server, round: usize) -> f64 {
    let total = RATE * setting("BENCH_SECS", 5);
    let requests: Vec<_> =
        (0..SENDERS).map(|s| meeting(&format!("rate{round}x{s}"), total / SENDERS)).collect();
    let began = Instant::now() + Duration::from_millis(50);
    let mut senders = tokio::task::JoinSet::new();
    for (s, requests) in requests.into_iter().enumerate() {
        let mut poster = Poster::connect(server.address).await;
        senders.spawn(async move {
            let mut times = Vec::new();
            for (i, request) in requests.iter().enumerate() {
                let nth = (i * SENDERS + s) as u64;
                let due = began + Duration::from_micros(nth * 1_000_000 / RATE as u64);
                tokio::time::sleep_until(due.into()).await;
                poster.post(request).await;
                times.push(due.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    millis(percentile(&mut times, 0.99))
}

type Waiting = (Bytes, oneshot::Sender<()>);

/// One append for everything that is waiting.
fn group_commit(mut append: impl FnMut(&[Waiting]) + Send + 'static) -> mpsc::Sender<Waiting> {
    let (queue, waiting) = mpsc::channel::<Waiting>();
    std::thread::spawn(move || {
        while let Ok(first) = waiting.recv() {
            let batch: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter()).collect();
            append(&batch);
            for (_, answer) in batch {
                let _ = answer.send(());
            }
        }
    });
    queue
}

/// A file, and one fdatasync for a batch.
fn file(path: &str) -> impl FnMut(&[Waiting]) + Send + use<> {
    let mut file = std::fs::File::create(path).expect("a file");
    move |batch| {
        let bytes: Vec<u8> = batch.iter().flat_map(|(body, _)| body.iter().copied()).collect();
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
    }
}

/// A table, and one transaction for a batch.
fn rows(path: &str) -> impl FnMut(&[Waiting]) + Send + use<> {
    let connection = rusqlite::Connection::open(path).expect("a file");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        )
        .expect("a table");
    move |batch| {
        let transaction = connection.unchecked_transaction().expect("begun");
        let mut insert =
            transaction.prepare_cached("INSERT INTO events (body) VALUES (?1)").expect("prepared");
        for (body, _) in batch {
            insert.execute([&body[..]]).expect("inserted");
        }
        drop(insert);
        transaction.commit().expect("committed");
    }
}

/// One route.
async fn serve(queue: mpsc::Sender<Waiting>) {
    let append = move |body: Bytes| async move {
        let (answer, answered) = oneshot::channel();
        queue.send((body, answer)).expect("the thread");
        answered.await.expect("the thread");
        "{}"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    eprintln!("listening on http://{}", listener.local_addr().expect("an address"));
    let listener = listener.tap_io(|socket| socket.set_nodelay(true).expect("an option"));
    axum::serve(listener, Router::new().route("/api/webhooks/livekit", post(append)))
        .await
        .expect("it serves");
}
