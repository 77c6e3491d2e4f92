//! The cost of an append with 1 to 128 concurrent senders, and of a follower's read.
//!
//! The floor is a file to which one thread appends whatever is waiting, with one fdatasync for all of it: no ids, no seqs, no
//! reads by position.
//!
//! ```text
//! cargo bench --bench log          BENCH_LOG_MILLIS=5000 for longer runs
//! ```

mod harness;

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use harness::{median, millis, percentile, setting};
use parking_lot::{Condvar, Mutex};
use roomwatch::{
    event::{Kind, NewEvent, Seq, Source},
    log::{EventLog, LogOptions, sqlite::SqliteLog},
};
use tokio::sync::oneshot;

const SENDERS: [usize; 4] = [1, 16, 64, 128];
const ROUNDS: usize = 3;
/// Size of LiveKit's larger events.
const BODY_BYTES: usize = 850;
const READS: usize = 2_000;

/// A way to make one body durable.
trait Durable: Send + Sync + 'static {
    fn append(&self, n: u64, body: Bytes) -> BoxFuture<'_, ()>;
}

/// One run: appends a second, p99, CPU of the whole process an append.
struct Run {
    rate: f64,
    p99: Duration,
    cpu_micros: f64,
}

#[tokio::main]
async fn main() {
    let duration = Duration::from_millis(setting("BENCH_LOG_MILLIS", 1_500) as u64);
    println!("append, {BODY_BYTES} byte bodies, medians of {ROUNDS} alternating runs of {duration:?}");
    println!(
        "  senders   events/s (floor, ratio)       p99 ms (floor, ratio)       CPU µs/event (floor, ratio)"
    );
    for senders in SENDERS {
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let dir = tempfile::tempdir().expect("a directory");
            floors.push(run(Arc::new(Floor::open(dir.path())), senders, duration).await);
            let log = SqliteLog::open(dir.path(), LogOptions::default()).expect("it opens");
            ours.push(run(Arc::new(log), senders, duration).await);
        }
        let (rate, floor_rate) = medians(&ours, &floors, |run| run.rate);
        let (p99, floor_p99) = medians(&ours, &floors, |run| millis(run.p99));
        let (cpu, floor_cpu) = medians(&ours, &floors, |run| run.cpu_micros);
        println!(
            "  {senders:7}   {rate:8.0} ({floor_rate:8.0}, {:4.2})   {p99:8.2} ({floor_p99:8.2}, {:5.2})   {cpu:8.1} ({floor_cpu:8.1}, {:5.2})",
            rate / floor_rate,
            p99 / floor_p99,
            cpu / floor_cpu,
        );
    }
    println!("a follower's read of the newest event, median of {READS}");
    let memory = read_newest(LogOptions::default()).await;
    let file = read_newest(LogOptions { tail_bytes_max: 0, ..LogOptions::default() }).await;
    println!("  from memory {memory:6.1} µs   from the file {file:6.1} µs   ratio {:.3}", memory / file);
}

fn medians(ours: &[Run], floors: &[Run], of: impl Fn(&Run) -> f64) -> (f64, f64) {
    (median(ours.iter().map(&of).collect()), median(floors.iter().map(&of).collect()))
}

async fn run(durable: Arc<impl Durable>, senders: usize, duration: Duration) -> Run {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let next = Arc::new(AtomicU64::new(0));
    let (began, cpu) = (Instant::now(), cpu_secs());
    let tasks = (0..senders).map(|_| {
        let (durable, next, body) = (durable.clone(), next.clone(), body.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            while began.elapsed() < duration {
                let sent = Instant::now();
                durable.append(next.fetch_add(1, Ordering::Relaxed), body.clone()).await;
                took.push(sent.elapsed());
            }
            took
        })
    });
    let took = join_all(tasks.collect::<Vec<_>>()).await;
    let (secs, cpu) = (began.elapsed().as_secs_f64(), cpu_secs() - cpu);
    let mut took: Vec<Duration> = took.into_iter().flat_map(|took| took.expect("no panic")).collect();
    let count = took.len() as f64;
    Run { rate: count / secs, p99: percentile(&mut took, 0.99), cpu_micros: cpu / count * 1e6 }
}

/// In microseconds.
async fn read_newest(options: LogOptions) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let log = SqliteLog::open(dir.path(), options).expect("it opens");
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let mut took = Vec::new();
    for n in 0..READS as u64 {
        Durable::append(&log, n, body.clone()).await;
        let began = Instant::now();
        let newest = log.read(Seq(n), 100).await.expect("it reads");
        took.push(began.elapsed().as_secs_f64() * 1e6);
        assert_eq!(newest.len(), 1);
    }
    median(took)
}

/// User and system time of this process.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<_> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}

impl Durable for SqliteLog {
    fn append(&self, n: u64, body: Bytes) -> BoxFuture<'_, ()> {
        let event = NewEvent {
            id: format!("EV_{n:012}").into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: n,
            kind: Kind::ParticipantJoined,
            room: Some("standup".into()),
            room_sid: Some("RM_hycFrzyc8LMX".into()),
            body,
        };
        Box::pin(async move { drop(EventLog::append(self, vec![event]).await.expect("stored")) })
    }
}

/// The same queue and the same group commit, into a plain file.
struct Floor {
    queue: Arc<Queue>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    bodies: Vec<(Bytes, oneshot::Sender<()>)>,
    closed: bool,
}

impl Floor {
    fn open(dir: &Path) -> Floor {
        let mut file = File::create(dir.join("floor")).expect("a file");
        let queue = Arc::new(Queue::default());
        let writer = std::thread::spawn({
            let queue = queue.clone();
            move || {
                let mut bytes = Vec::new();
                loop {
                    let mut waiting = queue.waiting.lock();
                    queue
                        .wake
                        .wait_while(&mut waiting, |waiting| waiting.bodies.is_empty() && !waiting.closed);
                    let batch = std::mem::take(&mut waiting.bodies);
                    drop(waiting);
                    if batch.is_empty() {
                        return;
                    }
                    bytes.clear();
                    batch.iter().for_each(|(body, _)| bytes.extend_from_slice(body));
                    file.write_all(&bytes).expect("written");
                    file.sync_data().expect("synced");
                    for (_, answer) in batch {
                        let _ = answer.send(());
                    }
                }
            }
        });
        Floor { queue, writer: Some(writer) }
    }
}

impl Durable for Floor {
    fn append(&self, _n: u64, body: Bytes) -> BoxFuture<'_, ()> {
        let (answer, answered) = oneshot::channel();
        self.queue.waiting.lock().bodies.push((body, answer));
        self.queue.wake.notify_one();
        Box::pin(async move { answered.await.expect("answered") })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.queue.waiting.lock().closed = true;
        self.queue.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            writer.join().expect("no panic");
        }
    }
}
