//! The cost and the delay of a delivery, and the memory of an idle or a stuck reader.
//!
//! The floor is a server that does one `write(2)` of the same bytes for each reader and event, and nothing else.
//!
//! ```text
//! cargo bench --bench fanout           BENCH_READERS=10000 for 10,000 idle readers
//! ```

mod harness;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use harness::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const READERS: usize = 1_000;
const ROUNDS: usize = 3;
const EVENTS: usize = 150;
/// One event at a time: 50 a second.
const INTERVAL: Duration = Duration::from_millis(20);
const BURST: usize = 8;
const STUCK: usize = 50;

#[tokio::main]
async fn main() {
    if std::env::var_os(FLOOR).is_some() {
        return floor().await;
    }
    for burst in [1, BURST] {
        let mut figures: [Vec<Figures>; 2] = Default::default();
        for round in 0..ROUNDS {
            for (which, figures) in figures.iter_mut().enumerate() {
                let dir = tempfile::tempdir().expect("a directory");
                let server = if which == 0 {
                    Server::floor("fanout", dir.path())
                } else {
                    Server::roomwatch(dir.path())
                };
                figures.push(deliver(&server, burst, 0, round).await);
            }
        }
        let of =
            |which: usize, figure: fn(&Figures) -> f64| median(figures[which].iter().map(figure).collect());
        println!("{READERS} readers, bursts of {burst}, medians of {ROUNDS} alternating runs");
        for (name, unit, figure) in [
            ("CPU a delivery", "µs", (|f| f.cpu_micros) as fn(&Figures) -> f64),
            ("p50 to reader ", "ms", |f| f.p50_ms),
            ("p99 to reader ", "ms", |f| f.p99_ms),
        ] {
            let (floor, ours) = (of(0, figure), of(1, figure));
            println!("  {name}  {ours:8.2} {unit}   floor {floor:8.2} {unit}   ratio {:.2}", ours / floor);
        }
    }
    // Alternating runs of the same server, with and without readers that never read.
    let mut p99: [Vec<f64>; 2] = Default::default();
    for round in 0..ROUNDS {
        for (which, p99) in p99.iter_mut().enumerate() {
            let dir = tempfile::tempdir().expect("a directory");
            let server = Server::roomwatch(dir.path());
            p99.push(deliver(&server, 1, which * STUCK, round).await.p99_ms);
        }
    }
    let [without, with] = p99.map(median);
    println!("p99 with {STUCK} readers that never read");
    println!("  {with:8.2} ms   without {without:8.2} ms   ratio {:.2}   aim 1.50", with / without);
    idle().await;
}

struct Figures {
    cpu_micros: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Opens the readers, posts the events, and measures until every reader has every event.
async fn deliver(server: &Server, burst: usize, stuck: usize, round: usize) -> Figures {
    let request = stream_request("");
    let received = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut readers = tokio::task::JoinSet::new();
    let mut silent = Vec::new();
    for _ in 0..stuck {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(&request).await.expect("written");
        silent.push(socket);
    }
    let opened = Arc::new(AtomicU64::new(0));
    for _ in 0..READERS {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(&request).await.expect("written");
        let (received, opened) = (received.clone(), opened.clone());
        readers.spawn(async move {
            let mut times = Vec::with_capacity(EVENTS);
            let mut bytes = Vec::with_capacity(64 << 10);
            let mut said = false;
            while times.len() < EVENTS {
                let read = socket.read_buf(&mut bytes).await.expect("the stream goes on");
                assert!(read > 0, "the stream ended");
                let now = began.elapsed();
                let mut from = 0;
                while let Some(at) = find(&bytes[from..], b"\n\n") {
                    let block = &bytes[from..from + at];
                    if !said && find(block, b"\"connected\"").is_some() {
                        said = true;
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                    if let Some(id) = find(block, b"EV_") {
                        // The id contains the time of the post.
                        let digits = &block[id + 3..];
                        let end = digits.iter().position(|b| *b == b'x').expect("an id");
                        let sent: u64 =
                            std::str::from_utf8(&digits[..end]).expect("text").parse().expect("a time");
                        times.push(now.saturating_sub(Duration::from_micros(sent)));
                        received.fetch_add(1, Ordering::Relaxed);
                    }
                    from += at + 2;
                }
                bytes.drain(..from);
            }
            times
        });
    }
    while opened.load(Ordering::Relaxed) < READERS as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut poster = Poster::connect(server.address).await;
    let cpu = server.cpu_secs();
    let mut sent = 0;
    let mut due = Instant::now();
    while sent < EVENTS {
        for _ in 0..burst.min(EVENTS - sent) {
            let id = format!("{}x{round}x{sent}", began.elapsed().as_micros());
            poster.post(&webhook(&id, "standup")).await;
            sent += 1;
        }
        due += INTERVAL * burst as u32;
        tokio::time::sleep_until(due.into()).await;
    }
    let mut times: Vec<Duration> = readers.join_all().await.into_iter().flatten().collect();
    let cpu_micros = (server.cpu_secs() - cpu) * 1e6 / (EVENTS * READERS) as f64;
    drop(silent);
    Figures {
        cpu_micros,
        p50_ms: millis(percentile(&mut times, 0.50)),
        p99_ms: millis(percentile(&mut times, 0.99)),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// Memory of an idle reader.
async fn idle() {
    let count = setting("BENCH_READERS", 4_000);
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::roomwatch(dir.path());
    let request = stream_request("");
    let mut first = TcpStream::connect(server.address).await.expect("a connection");
    first.write_all(&request).await.expect("written");
    let before = server.resident_bytes();
    let mut readers = Vec::with_capacity(count);
    for _ in 0..count {
        let mut socket = TcpStream::connect(server.address).await.expect("a connection");
        socket.write_all(&request).await.expect("written");
        let mut answer = [0; 1024];
        assert!(socket.read(&mut answer).await.expect("an answer") > 0);
        readers.push(socket);
    }
    let each = (server.resident_bytes() - before) as f64 / count as f64 / 1024.0;
    println!("idle reader, {count} of them\n  {each:8.2} KiB   aim 1.50 KiB");
}

/// The floor: a webhook's body goes to every reader with one write each.
async fn floor() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    eprintln!("listening on http://{}", listener.local_addr().expect("an address"));
    let readers: Arc<parking_lot::Mutex<Vec<Arc<TcpStream>>>> = Arc::default();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        socket.set_nodelay(true).expect("an option");
        let readers = readers.clone();
        tokio::spawn(async move {
            let socket = Arc::new(socket);
            let mut bytes = Vec::with_capacity(8192);
            loop {
                if socket.readable().await.is_err() {
                    return;
                }
                match socket.try_read_buf(&mut bytes) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                    Err(_) => return,
                }
                let Some(head) = find(&bytes, b"\r\n\r\n") else { continue };
                if bytes.starts_with(b"GET") {
                    let _ = socket.try_write(b"HTTP/1.1 200 OK\r\n\r\ndata: {\"type\":\"connected\"}\n\n");
                    readers.lock().push(socket.clone());
                    bytes.clear();
                    continue;
                }
                let text = String::from_utf8_lossy(&bytes[..head]);
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let end = head + 4 + length.unwrap_or(0);
                if bytes.len() < end {
                    continue;
                }
                let frame = [b"data: ", &bytes[head + 4..end], b"\n\n"].concat();
                bytes.drain(..end);
                for reader in readers.lock().iter() {
                    let _ = reader.try_write(&frame);
                }
                let _ = socket.try_write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
    }
}
