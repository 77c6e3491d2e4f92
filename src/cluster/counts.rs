//! Counts that a deployment keeps together, such as the open streams of each user.
//!
//! A node counts in memory, and publishes its counts shortly afterwards. So no node waits for another, and a limit over
//! several nodes may be exceeded for a moment if streams open on two of them at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, task::JoinSet};

use super::{Cluster, ClusterError, Expected, Map, MapChange, NodeId};
use crate::clock::Clock;

/// Interval at which a node shows that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(10);
/// Time after which the counts of a silent node are ignored.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// Delay before a changed count is published. Changes within this time are published together.
const PUBLISH_DELAY: Duration = Duration::from_millis(10);

/// The counts of one map.
pub struct Counts {
    cluster: Arc<dyn Cluster>,
    map: Map,
    node: NodeId,
    clock: Clock,
    own: Mutex<Own>,
    changed: Notify,
    others: Mutex<HashMap<Box<str>, Other>>,
}

#[derive(Default)]
struct Own {
    counts: HashMap<Box<str>, u32>,
    /// Keys whose count has not been published yet.
    untold: HashSet<Box<str>>,
}

/// Another node.
struct Other {
    counts: HashMap<Box<str>, u32>,
    /// [`Clock::running`] at its last sign of life.
    heard_at: Duration,
}

impl Counts {
    pub fn new(cluster: Arc<dyn Cluster>, map: Map, node: NodeId, clock: Clock) -> Arc<Counts> {
        let (own, others) = (Mutex::default(), Mutex::default());
        Arc::new(Counts { cluster, map, node, clock, own, changed: Notify::new(), others })
    }

    /// Notes this node's count of `key`.
    pub fn set(&self, key: &str, count: u32) {
        let key = shortened(key);
        let mut own = self.own.lock();
        own.untold.insert(key.clone());
        match count {
            0 => own.counts.remove(&key),
            count => own.counts.insert(key, count),
        };
        drop(own);
        self.changed.notify_one();
    }

    /// Returns the count of `key` on all other nodes.
    pub fn elsewhere(&self, key: &str) -> u32 {
        let others = self.others.lock();
        if others.is_empty() {
            return 0;
        }
        let (key, now) = (shortened(key), self.clock.running());
        let alive = others.values().filter(|other| now.saturating_sub(other.heard_at) < SILENT_MAX);
        alive.filter_map(|other| other.counts.get(&key)).sum()
    }

    /// Starts publishing counts and following those of other nodes. Dropping the set ends it.
    pub fn start(self: &Arc<Self>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let counts = self.clone();
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = counts.changed.notified() => counts.clock.sleep(PUBLISH_DELAY).await,
                    () = counts.clock.sleep(ALIVE_EVERY) => {}
                }
                if let Err(error) = counts.tell().await {
                    tracing::debug!("counts could not be shared: {error}");
                }
            }
        });
        let counts = self.clone();
        tasks.spawn(async move {
            let mut watch = counts.cluster.watch(counts.map);
            loop {
                counts.take(watch.next().await);
            }
        });
        tasks
    }

    /// Removes this node's counts, because it ends.
    pub async fn leave(&self) {
        let keys: Vec<_> = {
            let mut own = self.own.lock();
            own.untold.clear();
            own.counts.drain().map(|(key, _)| format!("{}/{key}", self.node)).collect()
        };
        for key in keys.into_iter().chain([self.node.to_string()]) {
            // If this fails, the node is silent, which has the same effect a little later.
            let _ = self.cluster.delete(self.map, &key, Expected::Anything).await;
        }
    }

    async fn tell(&self) -> Result<(), ClusterError> {
        let untold: Vec<_> = self.own.lock().untold.drain().collect();
        for (told, key) in untold.iter().enumerate() {
            let count = self.own.lock().counts.get(key).copied();
            let shared = format!("{}/{key}", self.node);
            let done = match count {
                Some(count) => {
                    let value = count.to_string().into();
                    self.cluster.put(self.map, &shared, value, Expected::Anything).await.map(drop)
                }
                None => self.cluster.delete(self.map, &shared, Expected::Anything).await,
            };
            if let Err(error) = done {
                self.own.lock().untold.extend(untold[told..].iter().cloned());
                return Err(error);
            }
        }
        let alive = self.node.to_string();
        self.cluster.put(self.map, &alive, "alive".into(), Expected::Anything).await.map(drop)
    }

    fn take(&self, changes: Vec<MapChange>) {
        let now = self.clock.running();
        let mut others = self.others.lock();
        for MapChange { key, entry } in changes {
            let (node, counted) = key.split_once('/').map_or((&*key, None), |(node, key)| (node, Some(key)));
            if node == self.node.to_string() {
                continue;
            }
            let count = entry.as_ref().and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse().ok());
            match (counted, entry.is_some()) {
                (None, false) => {
                    others.remove(node);
                }
                (counted, _) => {
                    let new = || Other { counts: HashMap::new(), heard_at: now };
                    let other = others.entry(node.into()).or_insert_with(new);
                    other.heard_at = now;
                    match (counted, count) {
                        (None, _) => {}
                        (Some(counted), Some(count)) => drop(other.counts.insert(counted.into(), count)),
                        (Some(counted), None) => drop(other.counts.remove(counted)),
                    }
                }
            }
        }
    }
}

/// Returns the hash of a user's key: the key itself is long and must not be readable for everyone.
fn shortened(key: &str) -> Box<str> {
    HEXLOWER.encode(&Sha256::digest(key)[..16]).into()
}
