//! Compares the state with LiveKit's API, and appends what no webhook has reported.
//!
//! LiveKit's webhooks are best effort: after 15 s without a receiver, or 30 s in a queue, an event is lost. So rooms
//! and participants are listed at the start, every `reconcile_secs`, and at each sign of a loss, and the differences
//! become ordinary events of the log with `source: "reconcile"`. Facts that have no webhook (mutes, metadata,
//! permissions) are found in the same way, every two seconds in rooms that are watched.
//!
//! [`schedule`] decides when to ask what, [`diff`] what is to be corrected, [`doubt`] what one answer is not enough for;
//! all three are pure. The engine does the I/O. It
//! never touches the state, which learns from the log alone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::{sync::Notify, task::JoinSet};

use crate::{
    clock::Clock,
    cluster::Cluster,
    config::{self, Config},
    event::body::Redaction,
    feed::Feed,
    ingest::Receipts,
    livekit::LiveKit,
    log::EventLog,
    metrics::Metrics,
    state::{Room, State, entity::Confirmed},
};

pub mod correction;
pub mod diff;
pub mod doubt;
mod engine;
mod health;
pub mod schedule;
mod told;
pub mod watchers;

pub use health::{Capability, Health, Reach, ShownCorrection};

use diff::LastSeen;
use doubt::Doubts;
use health::Checked;
use schedule::Requests;

/// The comparison of every project with its LiveKit.
pub struct Reconcile {
    projects: HashMap<Arc<str>, Arc<Project>>,
    shared: Arc<Shared>,
}

/// Handles that the loops of all projects share.
struct Shared {
    clock: Clock,
    log: Arc<dyn EventLog>,
    state: Arc<RwLock<State>>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    receipts: Arc<Receipts>,
    redaction: Redaction,
    /// The interval between two full runs; `None` means never.
    every: Option<Duration>,
}

/// One project, shared by its loop and the callers of [`Reconcile`].
struct Project {
    name: Arc<str>,
    livekit: Option<LiveKit>,
    health: Mutex<Health>,
    checked: Mutex<Checked>,
    doubts: Mutex<Doubts>,
    requests: Mutex<Requests>,
    wake: Notify,
}

impl Reconcile {
    /// `livekit` returns the API of a project, if it has one.
    pub fn new(
        config: &Config,
        livekit: impl Fn(&config::Project) -> Option<LiveKit>,
        log: Arc<dyn EventLog>,
        state: Arc<RwLock<State>>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        receipts: Arc<Receipts>,
    ) -> Reconcile {
        let project = |project: &config::Project| {
            let livekit = livekit(project);
            let reach = if livekit.is_some() { Reach::Unknown } else { Reach::Unconfigured };
            let handle = Project {
                name: project.name.clone(),
                livekit,
                health: Mutex::new(Health { reach, since: config.clock.unix_ms(), ..Health::default() }),
                checked: Mutex::default(),
                doubts: Mutex::default(),
                requests: Mutex::default(),
                wake: Notify::new(),
            };
            (project.name.clone(), Arc::new(handle))
        };
        let projects = config.projects.iter().map(project).collect();
        let (clock, redaction) = (config.clock.clone(), config.redaction.clone());
        let shared =
            Shared { clock, log, state, feed, metrics, receipts, redaction, every: config.reconcile };
        Reconcile { projects, shared: Arc::new(shared) }
    }

    /// Starts the loop of each project. They run until the set is dropped.
    pub fn start(&self, cluster: &Arc<dyn Cluster>) -> JoinSet<()> {
        self.loops(cluster).into_iter().collect()
    }

    /// Returns the loop of each project, to be run by the caller. The list is empty if `reconcile_secs` is 0. In a deployment
    /// of several nodes, the node that holds the lease of a project compares it.
    pub fn loops(&self, cluster: &Arc<dyn Cluster>) -> Vec<BoxFuture<'static, ()>> {
        let Some(every) = self.shared.every else { return Vec::new() };
        let configured = self.projects.values().filter(|project| project.livekit.is_some());
        let run = |project: &Arc<Project>| -> BoxFuture<'static, ()> {
            let (shared, project, cluster) = (self.shared.clone(), project.clone(), cluster.clone());
            Box::pin(async move {
                let job = format!("reconcile/{}", project.name);
                loop {
                    let lease = tokio::select! {
                        // Alone, a node never waits for it.
                        biased;
                        lease = cluster.lease(&job) => lease,
                        () = told::follow(&shared, &project, &*cluster) => continue,
                    };
                    // A new holder begins with a full comparison.
                    let engine = engine::Engine::new(&shared, &project, every);
                    tokio::select! {
                        () = engine.run() => {}
                        () = told::lead(&shared, &project, &*cluster) => {}
                        () = lease.lost() => tracing::info!("another node compares {} with LiveKit", project.name),
                    }
                }
            })
        };
        configured.map(run).collect()
    }

    /// Returns the API of a project's LiveKit, or `None` if its URL is unknown.
    pub fn livekit(&self, project: &str) -> Option<&LiveKit> {
        self.projects.get(project)?.livekit.as_ref()
    }

    /// Notes that a reader looks at this room: it is compared every 2 s for a while.
    pub fn watch(&self, project: &str, room: &str) {
        let Some(project) = self.projects.get(project) else { return };
        if project.requests.lock().watch(self.shared.clock.running(), room) {
            project.wake.notify_one();
        }
    }

    /// Notes that a command has changed this room: it is compared at once, or a little later if LiveKit sends a webhook
    /// for the change.
    pub fn changed(&self, project: &str, room: &str, has_webhook: bool) {
        let Some(project) = self.projects.get(project) else { return };
        project.requests.lock().change(self.shared.clock.running(), room, has_webhook);
        project.wake.notify_one();
    }

    /// Returns how the comparison of a project is going.
    pub fn health(&self, project: &str) -> Option<Health> {
        self.projects.get(project).map(|project| project.health.lock().clone())
    }

    /// Returns LiveKit's last answer, and since when it has given none that can be compared, in unix milliseconds.
    pub fn reach(&self, project: &str) -> (Reach, Option<u64>) {
        let Some(project) = self.projects.get(project) else { return Default::default() };
        let health = project.health.lock();
        (health.reach, health.away_since)
    }

    /// Returns the seconds between two full runs; 0 means never.
    pub fn every_secs(&self) -> u64 {
        self.shared.every.map_or(0, |every| every.as_secs())
    }

    /// Returns how each session is confirmed by LiveKit. The sessions of one project are side by side: they cost one
    /// lock.
    pub fn confirmed<'a>(&self, sessions: impl IntoIterator<Item = &'a Room>) -> Vec<Confirmed> {
        let mut of: Option<(&Project, MutexGuard<'_, Checked>, Option<u64>)> = None;
        let confirmed = |room: &'a Room| {
            if of.as_ref().is_none_or(|(locked, ..)| locked.name != room.project) {
                of = None;
                of = self.projects.get(&room.project).map(|project| {
                    let away_since = project.health.lock().away_since;
                    (&**project, project.checked.lock(), away_since)
                });
            }
            let Some((handle, checked, away_since)) = &of else { return Confirmed::default() };
            let absent_since = handle.doubts.lock().absent_since(&room.sid);
            let since = [absent_since, *away_since].into_iter().flatten().min();
            Confirmed {
                checked_at: checked.room(&room.sid),
                // A webhook confirms a room too.
                unconfirmed_since: since.map(|since| since.max(room.webhook_at)),
            }
        };
        sessions.into_iter().map(confirmed).collect()
    }
}
