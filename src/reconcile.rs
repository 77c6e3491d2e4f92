//! Asks LiveKit what is true and appends what no webhook has told.
//!
//! LiveKit's webhooks are best effort: 15 s of outage of the receiver, 30 s in a queue, and an event is
//! gone. So rooms and participants are listed at start, every `reconcile_secs`, and at any sign of a gap,
//! and the differences become ordinary events of the log with `source: "reconcile"`. What there is no
//! webhook for (mutes, metadata, permissions) is found the same way, every two seconds in rooms that
//! somebody watches.
//!
//! Nothing here touches the state: it learns from the log, like everybody.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    config::Config, event::body::Redaction, feed::Feed, ingest::Receipts, livekit::LiveKit, log::EventLog,
    metrics::Metrics, state::State,
};

pub mod correction;
pub mod diff;
mod engine;
mod health;

pub use health::{Availability, Health, Note, Reach};

use diff::LastSeen;
use health::Checked;

/// A room counts as watched for this long after its page was read.
const LOOKED_AT: Duration = Duration::from_secs(10);
/// A command's effect may reach LiveKit's store a little later than its answer reaches us: so its room is
/// asked about at once, and again.
const AFTER_COMMAND: &[Duration] = &[Duration::ZERO, Duration::from_millis(700), Duration::from_secs(3)];
/// The same where LiveKit sends a webhook: it shall have the time to arrive.
const AFTER_WEBHOOK: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(4)];
/// How many rooms can be waiting to be asked about for one project; more are left to the next full run.
const WAITING_ROOMS_MAX: usize = 1_000;

/// The comparison of every project with its LiveKit.
pub struct Reconcile {
    projects: HashMap<Arc<str>, Arc<Project>>,
    shared: Arc<Shared>,
}

/// What the projects' loops have in common.
struct Shared {
    log: Arc<dyn EventLog>,
    state: Arc<RwLock<State>>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    receipts: Arc<Receipts>,
    redaction: Redaction,
    /// None: never.
    every: Option<Duration>,
}

/// One project: what its loop and those who ask about it share.
struct Project {
    name: Arc<str>,
    livekit: Option<LiveKit>,
    health: Mutex<Health>,
    checked: Mutex<Checked>,
    asks: Mutex<Asks>,
    wake: Notify,
}

/// Rooms that somebody wants to be true now.
#[derive(Default)]
struct Asks {
    /// By name, until when.
    watched: HashMap<Arc<str>, Instant>,
    /// When to ask about them.
    due: Vec<(Instant, Arc<str>)>,
}

impl Reconcile {
    pub fn new(
        config: &Config,
        log: Arc<dyn EventLog>,
        state: Arc<RwLock<State>>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
    ) -> Reconcile {
        let project = |project: &crate::config::Project| {
            let livekit = LiveKit::new(project, &config.clock);
            let reach = if livekit.is_some() { Reach::Unknown } else { Reach::Unconfigured };
            let handle = Project {
                name: project.name.clone(),
                livekit,
                health: Mutex::new(Health { reach, ..Health::default() }),
                checked: Mutex::default(),
                asks: Mutex::default(),
                wake: Notify::new(),
            };
            (project.name.clone(), Arc::new(handle))
        };
        let projects = config.projects.iter().map(project).collect();
        let redaction = config.redaction.clone();
        let shared = Shared { log, state, feed, metrics, receipts, redaction, every: config.reconcile };
        Reconcile { projects, shared: Arc::new(shared) }
    }

    /// Compares until the set is dropped. Without an interval, never.
    pub fn start(&self) -> JoinSet<()> {
        let mut loops = JoinSet::new();
        let Some(every) = self.shared.every else { return loops };
        for project in self.projects.values().filter(|project| project.livekit.is_some()) {
            let (shared, project) = (self.shared.clone(), project.clone());
            loops.spawn(async move { engine::Engine::new(&shared, &project, every).run().await });
        }
        loops
    }

    /// The API of a project's LiveKit, if its URL is known.
    pub fn livekit(&self, project: &str) -> Option<&LiveKit> {
        self.projects.get(project)?.livekit.as_ref()
    }

    /// Somebody looks at this room: it is asked about every 2 s for a while.
    pub fn watch(&self, project: &str, room: &str) {
        let Some(project) = self.projects.get(project) else { return };
        let now = Instant::now();
        let mut asks = project.asks.lock();
        asks.watched.retain(|_, until| *until > now);
        if asks.watched.len() < WAITING_ROOMS_MAX
            && asks.watched.insert(room.into(), now + LOOKED_AT).is_none()
        {
            project.wake.notify_one();
        }
    }

    /// A command has changed something in this room: it is asked about at once, or, if LiveKit sends a
    /// webhook for what has changed, a little later.
    pub fn changed(&self, project: &str, room: &str, has_webhook: bool) {
        let Some(project) = self.projects.get(project) else { return };
        let room: Arc<str> = room.into();
        let now = Instant::now();
        let mut asks = project.asks.lock();
        if asks.due.len() < WAITING_ROOMS_MAX {
            let waits = if has_webhook { AFTER_WEBHOOK } else { AFTER_COMMAND };
            asks.due.extend(waits.iter().map(|wait| (now + *wait, room.clone())));
        }
        project.wake.notify_one();
    }

    /// How the comparison of a project is going.
    pub fn health(&self, project: &str) -> Option<Health> {
        self.projects.get(project).map(|project| project.health.lock().clone())
    }

    /// Seconds between two full comparisons; 0 is never.
    pub fn every_secs(&self) -> u64 {
        self.shared.every.map_or(0, |every| every.as_secs())
    }

    /// When sessions were last compared with LiveKit, in unix milliseconds, by project and sid.
    pub fn checked_at<'a>(&self, sessions: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Option<u64>> {
        let mut of: Option<(&str, MutexGuard<'_, Checked>)> = None;
        let checked_at = |(project, sid): (&'a str, &str)| {
            // Those of one project stand together in a list: they cost one lock.
            if of.as_ref().is_none_or(|(locked, _)| *locked != project) {
                of = None;
                of = self.projects.get(project).map(|handle| (project, handle.checked.lock()));
            }
            of.as_ref()?.1.room(sid)
        };
        sessions.into_iter().map(checked_at).collect()
    }
}
