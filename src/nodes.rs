//! The nodes of a deployment: each tells the others every few seconds who it is and how far it has come. Every node keeps
//! what it has heard, so that any of them can show all.
//!
//! A node alone tells only itself.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    bootstrap,
    clock::Clock,
    cluster::{Cluster, Expected, Map, MapChange, NodeId},
    event::{Cursor, Seq},
    feed::Feed,
    log::EventLog,
};

/// Interval at which a node looks at itself, at which it tells what it saw, and at which it looks at what all share.
const NOTE_EVERY: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A node that could not tell anything for this time could not hear the others either.
const TOUCH_MAX: Duration = Duration::from_secs(15);
/// A node tells every [`TELL_EVERY`], so it should have been heard within this time.
const SILENT_AFTER: Duration = Duration::from_secs(15);
/// A node that has been silent for this time is not expected to come back.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A node, as it describes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Told {
    /// New at each start.
    pub id: Box<str>,
    pub version: Box<str>,
    /// Unix milliseconds of its start.
    pub since: u64,
    /// The last event that its readers have.
    pub cursor: Box<str>,
    /// Number of events of the log that its readers do not have.
    pub lag: u64,
    /// Time for which its readers have not had the whole log, in milliseconds.
    pub behind_ms: u64,
    /// The last time in which it could not reach the log.
    pub away: Option<Away>,
}

/// A time in which a node could not reach the log, in unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Away {
    pub from: u64,
    /// `None` while it lasts.
    pub to: Option<u64>,
}

/// A node of the deployment, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: Box<str>,
    pub told: Told,
    /// Time since it was last heard.
    pub heard: Duration,
    /// The part of that time for which this node has been in touch with the others.
    pub silent: Duration,
    pub is_own: bool,
    /// Jobs that it does for all.
    pub leases: Vec<String>,
}

impl Known {
    /// Returns true if it should have been heard since.
    pub fn is_silent(&self) -> bool {
        self.silent >= SILENT_AFTER
    }
}

/// Derived data that a new node begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    pub cursor: Cursor,
    /// Unix milliseconds.
    pub at: u64,
}

/// The nodes of a deployment.
pub struct Nodes {
    id: NodeId,
    cluster: Arc<dyn Cluster>,
    log: Arc<dyn EventLog>,
    feed: Arc<Feed>,
    clock: Clock,
    since: u64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Name of this node, once it listens.
    name: Option<Box<str>>,
    away: Option<Away>,
    /// An end of the log that this node did not have yet, and when it was seen.
    ahead: (Seq, Duration),
    /// Running time at which this node last had the whole log.
    whole_at: Duration,
    others: BTreeMap<Box<str>, (Told, Duration)>,
    /// Running times of the first and the last message of this node without a longer pause.
    touch: Option<(Duration, Duration)>,
    leases: BTreeMap<String, String>,
    /// `None` before the first answer.
    saved: Option<Option<Saved>>,
}

impl Nodes {
    pub fn new(
        id: NodeId,
        cluster: Arc<dyn Cluster>,
        log: Arc<dyn EventLog>,
        feed: Arc<Feed>,
        clock: Clock,
    ) -> Arc<Nodes> {
        let now = clock.running();
        let inner = Inner { ahead: (Seq::ZERO, now), whole_at: now, ..Inner::default() };
        let since = clock.unix_ms();
        Arc::new(Nodes { id, cluster, log, feed, clock, since, inner: Mutex::new(inner) })
    }

    /// Returns true if there may be other nodes.
    pub fn are_several(&self) -> bool {
        self.log.servers().is_some()
    }

    /// Returns the unix milliseconds of the start of this node.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Returns all nodes, sorted by name.
    pub fn all(&self) -> Vec<Known> {
        let (own, now) = (self.own(), self.clock.running());
        let inner = self.inner.lock();
        // While this node is out of touch, the silence of others means nothing.
        let touch = touch(&inner, now).unwrap_or_default();
        let others = inner.others.iter().map(|(name, (told, heard_at))| Known {
            name: name.clone(),
            heard: now.saturating_sub(*heard_at),
            silent: now.saturating_sub(*heard_at).min(touch),
            is_own: false,
            leases: leases(&inner, &told.id),
            told: told.clone(),
        });
        let own = inner.name.iter().map(|name| Known {
            name: name.clone(),
            heard: Duration::ZERO,
            silent: Duration::ZERO,
            is_own: true,
            leases: leases(&inner, &own.id),
            told: own.clone(),
        });
        let mut all: Vec<_> = others.chain(own).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Returns the time for which this node has been in touch with the others, or `None` if it is not.
    pub fn touch(&self) -> Option<Duration> {
        touch(&self.inner.lock(), self.clock.running())
    }

    /// Returns the newest data that a new node begins with. The outer option is `None` if that is unknown.
    pub fn saved(&self) -> Option<Option<Saved>> {
        self.inner.lock().saved
    }

    /// Starts telling and hearing, for a node that listens at `address`. Dropping the set ends it.
    pub fn start(self: &Arc<Self>, address: SocketAddr) -> JoinSet<()> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.inner.lock().name = Some(format!("{host}:{}", address.port()).into());
        let mut tasks = JoinSet::new();
        let nodes = self.clone();
        tasks.spawn(async move {
            loop {
                nodes.note();
                nodes.clock.sleep(NOTE_EVERY).await;
            }
        });
        let nodes = self.clone();
        tasks.spawn(async move {
            loop {
                nodes.tell().await;
                nodes.clock.sleep(TELL_EVERY).await;
            }
        });
        let nodes = self.clone();
        tasks.spawn(async move {
            let mut watch = nodes.cluster.watch(Map::Nodes);
            loop {
                nodes.hear(watch.next().await);
            }
        });
        if self.are_several() {
            let nodes = self.clone();
            tasks.spawn(async move {
                loop {
                    nodes.look().await;
                    nodes.clock.sleep(LOOK_EVERY).await;
                }
            });
        }
        tasks
    }

    /// Tells the others that this node ends, so that they do not miss it.
    pub async fn leave(&self) {
        let name = self.inner.lock().name.take();
        if let Some(name) = name {
            // If this fails, they notice its silence.
            let _ = self.cluster.delete(Map::Nodes, &name, Expected::Anything).await;
        }
    }

    /// Notes whether this node has the log, and can reach it.
    fn note(&self) {
        let (now, wall) = (self.clock.running(), self.clock.unix_ms());
        let (head, contact) = (self.feed.head().seq, self.log.contact());
        let end = self.end();
        let silent = self.log.servers().map_or(Duration::ZERO, |servers| servers.age);
        let mut inner = self.inner.lock();
        if head >= inner.ahead.0 {
            (inner.whole_at, inner.ahead) = (inner.ahead.1, (end, now));
        }
        match inner.away {
            Some(Away { from, to: None }) if !contact.is_away => {
                inner.away = Some(Away { from, to: Some(wall) });
            }
            Some(Away { to: None, .. }) => {}
            _ if contact.is_away => {
                let silent = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
                inner.away = Some(Away { from: wall.saturating_sub(silent), to: None });
            }
            _ => {}
        }
    }

    /// Returns the end of the log, as far as this node knows.
    fn end(&self) -> Seq {
        let known = self.log.servers().map_or(Seq::ZERO, |servers| servers.newest);
        known.max(self.log.bounds().last)
    }

    fn own(&self) -> Told {
        let (head, epoch) = (self.feed.head().seq, self.feed.epoch());
        let inner = self.inner.lock();
        let behind = self.clock.running().saturating_sub(inner.whole_at);
        let lag = self.end().0.saturating_sub(head.0);
        Told {
            id: self.id.to_string().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            since: self.since,
            cursor: Cursor { epoch, seq: head }.to_string().into(),
            lag,
            behind_ms: if lag == 0 { 0 } else { u64::try_from(behind.as_millis()).unwrap_or(u64::MAX) },
            away: inner.away,
        }
    }

    async fn tell(&self) {
        let Some(name) = self.inner.lock().name.clone() else { return };
        let told = serde_json::to_vec(&self.own()).expect("a node is JSON");
        let began = self.clock.running();
        match self.cluster.put(Map::Nodes, &name, told.into(), Expected::Anything).await {
            Ok(_) => {
                let mut inner = self.inner.lock();
                let first = match inner.touch {
                    Some((first, last)) if began.saturating_sub(last) < TOUCH_MAX => first,
                    _ => began,
                };
                inner.touch = Some((first, began));
            }
            Err(error) => tracing::debug!("the other nodes cannot be told of this one: {error}"),
        }
    }

    fn hear(&self, changes: Vec<MapChange>) {
        let now = self.clock.running();
        let mut inner = self.inner.lock();
        for MapChange { key, entry } in changes {
            let told = entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
            match told {
                _ if inner.name.as_ref() == Some(&key) => {}
                Some(told) => drop(inner.others.insert(key, (told, now))),
                None => drop(inner.others.remove(&key)),
            }
        }
    }

    /// Asks who does which job, and for the data of new nodes, and forgets nodes that have been silent for long.
    async fn look(&self) {
        if let Ok(leases) = self.cluster.leases().await {
            self.inner.lock().leases = leases;
        }
        if let Ok(newest) = bootstrap::newest(&*self.cluster).await {
            self.inner.lock().saved = Some(newest.map(|(cursor, at)| Saved { cursor, at }));
        }
        for node in self.all().into_iter().filter(|node| node.silent >= FORGOTTEN_AFTER) {
            let _ = self.cluster.delete(Map::Nodes, &node.name, Expected::Anything).await;
        }
    }
}

fn touch(inner: &Inner, now: Duration) -> Option<Duration> {
    let (first, last) = inner.touch?;
    (now.saturating_sub(last) < TOUCH_MAX).then(|| now.saturating_sub(first))
}

fn leases(inner: &Inner, id: &str) -> Vec<String> {
    inner.leases.iter().filter(|(_, holder)| **holder == *id).map(|(job, _)| job.clone()).collect()
}
