//! `roomwatch simulate`: a seeded workload of signed webhooks, posted as LiveKit posts them.
//!
//! The events of one room are sent one after another, those of different rooms at the same time. An event that gets 429
//! or 5xx is retried after 1, 2, 4 and 8 seconds (livekit/protocol webhook/resource_url_notifier.go).

use std::{
    collections::{HashMap, VecDeque},
    io::{IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::{
    clock::unix_ms,
    config::{DEV_KEY, shown},
    http::{Client, Limits},
    token::{Claims, Secret, sign},
};

pub mod world;

use world::World;

#[derive(Args)]
#[command(after_help = "\
The same seed gives the same meetings. Send only to loopback or to your own server.

Example:
  roomwatch simulate --rooms 200 --participants 10 --rate 500 --duration 60")]
pub struct Arguments {
    /// URL of a Roomwatch, or of any receiver of LiveKit's webhooks with its path
    #[arg(long, env = "ROOMWATCH_URL", default_value = "http://127.0.0.1:3001", value_name = "URL")]
    url: String,
    /// API key that signs the webhooks
    #[arg(long, env = "LIVEKIT_API_KEY", default_value = DEV_KEY.0, value_name = "KEY")]
    api_key: String,
    /// Secret of that key
    #[arg(long, env = "LIVEKIT_API_SECRET", default_value = DEV_KEY.1, hide_env_values = true, value_name = "SECRET")]
    api_secret: String,
    /// Rooms that are live at a time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    rooms: u32,
    /// Participants per room, on average
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    participants: u32,
    /// Events per second once the rooms are filled
    #[arg(long, default_value_t = 50.0, value_name = "EVENTS")]
    rate: f64,
    /// Seconds after the rooms are filled; 0 runs until interrupted
    #[arg(long, default_value_t = 60, value_name = "SECS")]
    duration: u64,
    /// Seed of the meetings: the same seed gives the same ones
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// The answer to a webhook is small.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), answer_bytes: 64 << 10 };
/// Maximum time for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Waits before each retry, in seconds, as LiveKit has them.
const RETRIES: [u64; 4] = [1, 2, 4, 8];
/// Maximum number of waiting events of a room. LiveKit drops further ones.
const QUEUE_MAX: usize = 200;
/// Interval between two batches of events.
const TICK: Duration = Duration::from_millis(20);

pub async fn main(arguments: Arguments) -> anyhow::Result<()> {
    crate::cli::serve::install_tls();
    ensure!(
        arguments.rate > 0.0 && arguments.rate <= 100_000.0,
        "--rate must be more than 0 and at most 100000"
    );
    let sender = Sender::new(&arguments.url, &arguments.api_key, Secret::new(arguments.api_secret))?;
    let world = World::new(arguments.seed, arguments.rooms, arguments.participants);
    let workload = Workload {
        rate: arguments.rate,
        duration: (arguments.duration > 0).then(|| Duration::from_secs(arguments.duration)),
    };
    let is_terminal = std::io::stderr().is_terminal();
    let mut progress = |line: &str| {
        let end = if is_terminal { "\r" } else { "\n" };
        let _ = write!(std::io::stderr(), "{line}{}{end}", if is_terminal { "\x1b[K" } else { "" });
    };
    let report = workload.run(world, sender, &mut progress).await?;
    if is_terminal {
        eprintln!();
    }
    writeln!(std::io::stdout(), "{report}")?;
    ensure!(report.failed == 0, "{} events were not accepted", report.failed);
    Ok(())
}

/// A workload: how fast and how long.
pub struct Workload {
    /// Events a second after the rooms are filled.
    pub rate: f64,
    pub duration: Option<Duration>,
}

/// The result of a workload.
#[derive(Debug, Default)]
pub struct Report {
    pub sent: u64,
    pub failed: u64,
    pub dropped: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} events accepted in {:.1} s ({:.0}/s), answered in {:.1} ms (p50) and {:.1} ms (p99); {} refused, {} dropped",
            self.sent,
            self.seconds,
            self.sent as f64 / self.seconds.max(0.001),
            self.p50_ms,
            self.p99_ms,
            self.failed,
            self.dropped,
        )
    }
}

#[derive(Default)]
struct Tally {
    sent: AtomicU64,
    failed: AtomicU64,
    millis: Mutex<VecDeque<f32>>,
}

impl Workload {
    /// Fills the rooms, sends events for the duration, and then ends every meeting.
    pub async fn run(
        &self,
        mut world: World,
        sender: Sender,
        mut progress: impl FnMut(&str),
    ) -> anyhow::Result<Report> {
        sender.wait_until_up().await?;
        let began = Instant::now();
        let tally = Arc::new(Tally::default());
        let mut rooms: HashMap<u32, mpsc::Sender<String>> = HashMap::new();
        let mut workers = tokio::task::JoinSet::new();
        let mut dropped = 0_u64;
        let mut shown = Instant::now();
        let mut filling: Option<std::vec::IntoIter<(u32, String)>> = Some(world.fill().into_iter());
        let mut filled_at = Instant::now();
        let mut due = 0.0;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            ticks.tick().await;
            due += last.elapsed().as_secs_f64() * self.rate;
            last = Instant::now();
            let mut batch = Vec::new();
            if let Some(events) = &mut filling {
                batch.extend(events.by_ref().take(500));
                if events.len() == 0 {
                    filling = None;
                    filled_at = Instant::now();
                    due = 0.0;
                }
            } else if self.duration.is_some_and(|duration| filled_at.elapsed() >= duration) {
                for (room, body) in world.finish() {
                    push(&mut rooms, &mut workers, &sender, &tally, room, body, true).await;
                }
                break;
            } else {
                while due >= 1.0 {
                    due -= 1.0;
                    batch.push(world.step());
                }
            }
            let wait = filling.is_some();
            for (room, body) in batch {
                if !push(&mut rooms, &mut workers, &sender, &tally, room, body, wait).await {
                    dropped += 1;
                }
            }
            if shown.elapsed() >= Duration::from_secs(1) {
                shown = Instant::now();
                progress(&tally.report(began, dropped).to_string());
            }
        }
        drop(rooms);
        while workers.join_next().await.is_some() {}
        Ok(tally.report(began, dropped))
    }
}

/// Hands an event to its room's worker. Returns false if the room's queue is full: LiveKit drops the event then too.
async fn push(
    rooms: &mut HashMap<u32, mpsc::Sender<String>>,
    workers: &mut tokio::task::JoinSet<()>,
    sender: &Sender,
    tally: &Arc<Tally>,
    room: u32,
    body: String,
    wait: bool,
) -> bool {
    let queue = rooms.entry(room).or_insert_with(|| {
        let (queue, mut events) = mpsc::channel::<String>(QUEUE_MAX);
        let (sender, tally) = (sender.clone(), tally.clone());
        workers.spawn(async move {
            while let Some(body) = events.recv().await {
                let began = Instant::now();
                let accepted = sender.send(body).await;
                tally.note(began.elapsed().as_secs_f32() * 1000.0);
                let count = if accepted { &tally.sent } else { &tally.failed };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        queue
    });
    if wait { queue.send(body).await.is_ok() } else { queue.try_send(body).is_ok() }
}

/// Number of answers, the newest, of which the percentiles are computed.
const ANSWERS_KEPT: usize = 100_000;

impl Tally {
    fn note(&self, millis: f32) {
        let mut kept = self.millis.lock();
        if kept.len() == ANSWERS_KEPT {
            kept.pop_front();
        }
        kept.push_back(millis);
    }

    fn report(&self, began: Instant, dropped: u64) -> Report {
        let mut millis: Vec<f32> = self.millis.lock().iter().copied().collect();
        millis.sort_by(f32::total_cmp);
        let at = |share: f64| {
            let index = ((millis.len() as f64) * share) as usize;
            millis.get(index.min(millis.len().saturating_sub(1))).copied().unwrap_or(0.0).into()
        };
        Report {
            sent: self.sent.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            dropped,
            seconds: began.elapsed().as_secs_f64(),
            p50_ms: at(0.50),
            p99_ms: at(0.99),
        }
    }
}

/// Signs bodies as LiveKit does and posts them.
#[derive(Clone)]
pub struct Sender {
    http: Client,
    url: reqwest::Url,
    key: Arc<str>,
    secret: Secret,
}

impl Sender {
    /// `url` is that of a Roomwatch, or the whole URL of a receiver of webhooks.
    pub fn new(url: &str, key: &str, secret: Secret) -> anyhow::Result<Sender> {
        let mut url = reqwest::Url::parse(url).with_context(|| format!("the URL {:?}", shown(url)))?;
        if !url.path().contains("webhook") {
            let prefix = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{prefix}{}", crate::ingest::webhook::PATH));
        }
        let http = Client::new(LIMITS)?.trust(url.as_str())?;
        Ok(Sender { http, url, key: key.into(), secret })
    }

    /// Waits until the server listens, so that both can be started at once.
    pub async fn wait_until_up(&self) -> anyhow::Result<()> {
        let address = self
            .url
            .socket_addrs(|| None)
            .with_context(|| format!("cannot resolve {}", shown(self.url.as_str())))?;
        for _ in 0..150 {
            if tokio::net::TcpStream::connect(&address[..]).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("nothing listens at {}; start the server first", shown(self.url.as_str()))
    }

    /// Posts one body until it is accepted or LiveKit would give up. Returns true if it was accepted.
    pub async fn send(&self, body: String) -> bool {
        let now = i64::try_from(unix_ms() / 1000).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: self.key.to_string(),
            exp: now + 300,
            nbf: Some(now),
            sha256: Some(STANDARD.encode(Sha256::digest(&body))),
            ..Claims::default()
        };
        // One token for all tries, as in LiveKit.
        let token = sign(&claims, &self.secret);
        let mut waits = RETRIES.iter();
        loop {
            let Ok(request) = self.http.post(self.url.as_str()) else { return false };
            let request =
                request.header("authorization", &token).header("content-type", "application/webhook+json");
            match self.http.send(request.body(body.clone()), ANSWER_TIME_MAX).await {
                Ok(answer) if answer.status.is_success() => return true,
                Ok(answer) if !answer.status.is_server_error() && answer.status.as_u16() != 429 => {
                    return false;
                }
                _ => {}
            }
            let Some(wait) = waits.next() else { return false };
            tokio::time::sleep(Duration::from_secs(*wait)).await;
        }
    }
}
