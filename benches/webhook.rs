//! What a durable webhook costs, and how soon it is answered.
//!
//! The floor is a minimal HTTP server that appends the same bodies to a file and answers after an
//! fdatasync that covers many of them: no verification, no log that can be read, no state, no feed.
//!
//! ```text
//! cargo bench --bench webhook          BENCH_WEBHOOKS=20000 for a longer run
//! ```

mod harness;

use std::{
    io::Write,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use harness::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

const SENDERS: usize = 64;
const ROUNDS: usize = 3;
/// The rate at which LiveKit's own limits begin to matter: 1,000 events/s.
const RATE: usize = 1_000;

#[tokio::main]
async fn main() {
    if std::env::var_os(FLOOR).is_some() {
        return floor().await;
    }
    let count = setting("BENCH_WEBHOOKS", 12_000);
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    let (mut our_p99, mut floor_p99) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for floor in [true, false] {
            let dir = tempfile::tempdir().expect("a directory");
            let server =
                if floor { Server::floor("webhook", dir.path()) } else { Server::roomwatch(dir.path()) };
            let cost = saturate(&server, count, round).await;
            let p99 = at_rate(&server, round).await;
            server.stop();
            let (costs, p99s) = if floor { (&mut floors, &mut floor_p99) } else { (&mut ours, &mut our_p99) };
            costs.push(cost);
            p99s.push(p99);
        }
    }
    let (ours, floors) = (median(ours), median(floors));
    println!(
        "durable webhook, {SENDERS} senders, {count} events a run, medians of {ROUNDS} alternating runs"
    );
    println!(
        "  CPU a webhook      {:7.1} µs   floor {:7.1} µs   ratio {:.2}   aim 2.00",
        ours * 1e6,
        floors * 1e6,
        ours / floors
    );
    let (ours, floors) = (median(our_p99), median(floor_p99));
    println!("answer at {RATE} events/s");
    println!(
        "  p99                {ours:7.2} ms   floor {floors:7.2} ms   ratio {:.2}   aim < 20 ms",
        ours / floors
    );
}

/// CPU seconds of the server for each webhook, when every sender sends as fast as it is answered.
async fn saturate(server: &Server, count: usize, round: usize) -> f64 {
    let each = count / SENDERS;
    let requests: Vec<Vec<Vec<u8>>> = (0..SENDERS)
        .map(|s| (0..each).map(|i| webhook(&format!("s{round}x{s}x{i}"), &format!("room-{s}"))).collect())
        .collect();
    let before = server.cpu_secs();
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
    (server.cpu_secs() - before) / (each * SENDERS) as f64
}

/// The 99th percentile of the time to the answer in milliseconds, at a fixed rate. Each event is due
/// at its time, whether or not the one before was answered: waiting in line counts.
async fn at_rate(server: &Server, round: usize) -> f64 {
    let total = RATE * setting("BENCH_SECS", 5);
    let requests: Vec<_> =
        (0..total).map(|i| webhook(&format!("r{round}x{i}"), &format!("room-{}", i % SENDERS))).collect();
    let requests = Arc::new(requests);
    let began = Instant::now() + Duration::from_millis(50);
    let mut senders = tokio::task::JoinSet::new();
    for s in 0..SENDERS {
        let requests = requests.clone();
        let mut poster = Poster::connect(server.address).await;
        senders.spawn(async move {
            let mut times = Vec::new();
            for i in (s..requests.len()).step_by(SENDERS) {
                let due = began + Duration::from_micros(i as u64 * 1_000_000 / RATE as u64);
                tokio::time::sleep_until(due.into()).await;
                poster.post(&requests[i]).await;
                times.push(due.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = senders.join_all().await.into_iter().flatten().collect();
    millis(percentile(&mut times, 0.99))
}

type Waiting = (Vec<u8>, oneshot::Sender<()>);

/// The floor: just enough HTTP, one file, one fdatasync for all that waits.
async fn floor() {
    let (queue, waiting) = mpsc::channel::<Waiting>();
    std::thread::spawn(move || {
        let mut file = std::fs::File::create("floor.log").expect("a file");
        while let Ok(first) = waiting.recv() {
            let batch: Vec<Waiting> = std::iter::once(first).chain(waiting.try_iter()).collect();
            let bytes: Vec<u8> = batch.iter().flat_map(|(body, _)| body.iter().copied()).collect();
            file.write_all(&bytes).expect("written");
            file.sync_data().expect("synced");
            for (_, answer) in batch {
                let _ = answer.send(());
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    eprintln!("listening on http://{}", listener.local_addr().expect("an address"));
    loop {
        let (mut socket, _) = listener.accept().await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let queue = queue.clone();
        tokio::spawn(async move {
            let mut bytes = Vec::with_capacity(8192);
            while socket.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                let text = String::from_utf8_lossy(&bytes[..head]);
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let end = head + 4 + length.unwrap_or(0);
                if bytes.len() < end {
                    continue;
                }
                let (answer, durable) = oneshot::channel();
                queue.send((bytes[head + 4..end].to_vec(), answer)).expect("the writer lives");
                bytes.drain(..end);
                if durable.await.is_err() {
                    return;
                }
                if socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
        });
    }
}
