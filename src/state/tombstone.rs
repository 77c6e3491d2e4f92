//! Tombstones: what has ended, so that a late event cannot bring it back.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::map::Map;
use crate::event::Source;

/// How long a tombstone stands, in milliseconds of event time. LiveKit itself delivers at most some 45 s
/// late; an operator may raise its queue's age, and a store behind it may list what is gone for minutes.
pub const TOMBSTONE_MS: u64 = 30 * 60 * 1000;

/// How many stand in one project. The oldest go first: a reader costs memory, a late event costs one
/// wrong row until reconciliation has asked.
pub const TOMBSTONES_MAX: usize = 200_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Map<Arc<str>, Tombstone>", into = "Map<Arc<str>, Tombstone>")]
pub(super) struct Tombstones {
    by_sid: Map<Arc<str>, Tombstone>,
    /// Oldest first. A sid that was buried again stands here twice; only the younger entry counts.
    order: VecDeque<(u64, Arc<str>)>,
}

/// The end of one sid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tombstone {
    /// When LiveKit said it happened, in unix milliseconds.
    pub at: u64,
    /// Who said so. What a webhook has ended stays ended; what reconciliation has only missed in a list
    /// comes back when a later event shows it.
    pub source: Source,
    /// The event that ended it.
    pub seq: u64,
    pub(super) expires_at: u64,
    pub(super) restricted: bool,
    /// For ingress, which may start again under its id: its last `updatedAt`, in nanoseconds.
    pub(super) updated_at_ns: u64,
}

impl Tombstones {
    pub fn get(&self, sid: &str) -> Option<&Tombstone> {
        self.by_sid.get(sid)
    }

    pub fn bury(&mut self, sid: &Arc<str>, tombstone: Tombstone) {
        self.order.push_back((tombstone.expires_at, sid.clone()));
        self.by_sid.insert(sid.clone(), tombstone);
        while self.by_sid.len() > TOMBSTONES_MAX {
            self.drop_oldest();
        }
    }

    pub fn open(&mut self, sid: &str) {
        self.by_sid.remove(sid);
    }

    /// Forgets what had expired at `now`, the time of the newest event.
    pub fn expire(&mut self, now: u64) {
        while self.order.front().is_some_and(|(expires_at, _)| *expires_at <= now) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((expires_at, sid)) = self.order.pop_front()
            && self.by_sid.get(&sid).is_some_and(|tombstone| tombstone.expires_at <= expires_at)
        {
            self.by_sid.remove(&sid);
        }
    }
}

impl From<Map<Arc<str>, Tombstone>> for Tombstones {
    fn from(by_sid: Map<Arc<str>, Tombstone>) -> Tombstones {
        let mut order: Vec<_> =
            by_sid.iter().map(|(sid, tombstone)| (tombstone.expires_at, sid.clone())).collect();
        order.sort_unstable();
        Tombstones { by_sid, order: order.into() }
    }
}

impl From<Tombstones> for Map<Arc<str>, Tombstone> {
    fn from(tombstones: Tombstones) -> Self {
        tombstones.by_sid
    }
}
