//! The last webhook and the last rejection of each project. They show why no events arrive.
//!
//! A webhook notes its receipt in memory. A task shares changed receipts with the deployment every few seconds, so that
//! every node can show them, and so that they survive a restart.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    cluster::{Cluster, Expected, Map, MapChange},
};

/// Interval at which changed receipts are shared.
const SHARED_EVERY: Duration = Duration::from_secs(5);
/// Entry of the webhooks whose API key belongs to no project. Entries of projects begin with [`PROJECT`].
const UNKNOWN: &str = "unknown";
const PROJECT: &str = "project/";

/// The last receipts of one project. Times are in unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Receipt {
    pub last_at: Option<u64>,
    pub last_event: Option<Box<str>>,
    /// Time of the last event that could not be made durable. LiveKit may have given up on it.
    pub lost_at: Option<u64>,
    pub rejected: Option<Rejected>,
}

/// A request for the webhook receiver that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rejected {
    pub at: u64,
    /// The code of the error answer.
    pub reason: Box<str>,
    /// API key that its token names, shortened.
    pub iss: Option<Box<str>>,
}

impl Receipt {
    /// Takes the fields that are newer in `other`. Returns true if there were any.
    fn merge(&mut self, other: Receipt) -> bool {
        let before = self.clone();
        if other.last_at > self.last_at {
            (self.last_at, self.last_event) = (other.last_at, other.last_event);
        }
        self.lost_at = self.lost_at.max(other.lost_at);
        let at = |rejected: &Option<Rejected>| rejected.as_ref().map(|rejected| rejected.at);
        if at(&other.rejected) > at(&self.rejected) {
            self.rejected = other.rejected;
        }
        *self != before
    }
}

/// The receipts of every project.
pub struct Receipts {
    receipts: Mutex<HashMap<Option<Arc<str>>, Noted, RandomState>>,
    cluster: Arc<dyn Cluster>,
}

#[derive(Default)]
struct Noted {
    receipt: Receipt,
    /// True until it is shared with the deployment.
    is_new: bool,
}

impl Receipts {
    /// Reads the receipts of the deployment.
    pub async fn open(cluster: Arc<dyn Cluster>) -> Arc<Receipts> {
        let receipts = Arc::new(Receipts { receipts: Mutex::default(), cluster });
        receipts.take(receipts.cluster.watch(Map::Receipts).next().await);
        receipts
    }

    /// Returns the receipt of `project`, and the last rejection with an API key that belongs to no project.
    pub fn of(&self, project: &str) -> (Receipt, Option<Rejected>) {
        let receipts = self.receipts.lock();
        let of = |key| receipts.get(&key).map(|noted: &Noted| noted.receipt.clone()).unwrap_or_default();
        (of(Some(project.into())), of(None).rejected)
    }

    pub(super) fn accepted(&self, project: &Arc<str>, at: u64, event: &str) {
        self.note(Some(project.clone()), |receipt| {
            receipt.last_at = Some(at);
            if receipt.last_event.as_deref() != Some(event) {
                receipt.last_event = Some(event.into());
            }
        });
    }

    pub(super) fn lost(&self, project: &Arc<str>, at: u64) {
        self.note(Some(project.clone()), |receipt| receipt.lost_at = Some(at));
    }

    pub(super) fn rejected(&self, project: Option<Arc<str>>, rejected: Rejected) {
        self.note(project, |receipt| receipt.rejected = Some(rejected));
    }

    fn note(&self, project: Option<Arc<str>>, change: impl FnOnce(&mut Receipt)) {
        let mut receipts = self.receipts.lock();
        let noted = receipts.entry(project).or_default();
        change(&mut noted.receipt);
        noted.is_new = true;
    }

    /// Starts sharing receipts with the deployment. Dropping the set ends it.
    pub fn start(self: &Arc<Self>, clock: &Clock) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (receipts, clock) = (self.clone(), clock.clone());
        tasks.spawn(async move {
            loop {
                clock.sleep(SHARED_EVERY).await;
                receipts.share().await;
            }
        });
        let receipts = self.clone();
        tasks.spawn(async move {
            let mut watch = receipts.cluster.watch(Map::Receipts);
            loop {
                receipts.take(watch.next().await);
            }
        });
        tasks
    }

    /// Shares the receipts that have changed since the last call.
    pub async fn share(&self) {
        let new: Vec<_> = {
            let mut receipts = self.receipts.lock();
            let new = receipts.iter_mut().filter_map(|(project, noted)| {
                std::mem::take(&mut noted.is_new).then(|| (project.clone(), noted.receipt.clone()))
            });
            new.collect()
        };
        for (project, mut receipt) in new {
            let key = project.as_deref().map_or(UNKNOWN.to_owned(), |project| format!("{PROJECT}{project}"));
            let shared = async {
                // Another node may have a newer receipt of the same project.
                if let Some(entry) = self.cluster.get(Map::Receipts, &key).await? {
                    receipt.merge(read(&entry.value));
                }
                let json = serde_json::to_vec(&receipt).unwrap_or_default();
                self.cluster.put(Map::Receipts, &key, json.into(), Expected::Anything).await
            };
            if let Err(error) = shared.await {
                tracing::debug!("cannot share receipts, trying again: {error}");
                self.note(project, |_| ());
            }
        }
    }

    fn take(&self, changes: Vec<MapChange>) {
        let mut receipts = self.receipts.lock();
        for MapChange { key, entry } in changes {
            let project = match key.strip_prefix(PROJECT) {
                Some(project) => Some(project.into()),
                None if &*key == UNKNOWN => None,
                None => continue,
            };
            if let Some(entry) = entry {
                receipts.entry(project).or_default().receipt.merge(read(&entry.value));
            }
        }
    }
}

/// Reads a receipt. One of another version that cannot be read counts as none.
fn read(value: &Bytes) -> Receipt {
    serde_json::from_slice(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_value_of_each_field_wins() {
        let rejected = |at| Some(Rejected { at, reason: "forged".into(), iss: None });
        let mut receipt = Receipt {
            last_at: Some(5),
            last_event: Some("a".into()),
            lost_at: Some(9),
            rejected: rejected(1),
        };
        let older = Receipt { last_at: Some(4), last_event: Some("b".into()), ..Receipt::default() };
        assert!(!receipt.merge(older));
        let newer = Receipt {
            last_at: Some(6),
            last_event: Some("c".into()),
            lost_at: Some(8),
            rejected: rejected(2),
        };
        assert!(receipt.merge(newer));
        let want = Receipt {
            last_at: Some(6),
            last_event: Some("c".into()),
            lost_at: Some(9),
            rejected: rejected(2),
        };
        assert_eq!(receipt, want);
    }
}
