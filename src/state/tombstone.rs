//! Tombstones: sids that have ended. A late event must not make them live again.

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use super::map::Map;
use crate::event::Source;

/// Lifetime of a tombstone, in milliseconds of event time. LiveKit delivers at most about 45 s late, but an operator may
/// raise the age limit of its queue, and its store may list an ended entity for minutes.
pub const TOMBSTONE_MS: u64 = 30 * 60 * 1000;

/// Maximum number of tombstones in one project. At the limit the oldest is dropped: then a late event makes one wrong row,
/// until reconciliation has compared it.
pub const TOMBSTONES_MAX: usize = 200_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Map<Arc<str>, Tombstone>", into = "Map<Arc<str>, Tombstone>")]
pub(super) struct Tombstones {
    by_sid: Map<Arc<str>, Tombstone>,
    /// The oldest first. A sid that was buried again is here twice, and only the newer entry counts.
    order: VecDeque<(u64, Arc<str>)>,
}

/// The end of one sid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tombstone {
    /// When it ended, in unix milliseconds.
    pub at: u64,
    /// The source of the event that ended it. An end that reconciliation has inferred from a list is revoked by a later
    /// event. After an end that a webhook has reported it takes proof that the sid has come back.
    pub source: Source,
    /// The event that ended it.
    pub seq: u64,
    pub(super) expires_at: u64,
    pub(super) restricted: bool,
    /// When the life that ended began, by LiveKit's clock, in unix milliseconds; 0 if that is unknown.
    #[serde(default)]
    pub(super) began_at: u64,
    /// For ingress, which may start again under its id: its last `updatedAt`, in nanoseconds.
    pub(super) updated_at_ns: u64,
}

impl Tombstone {
    /// Returns when the event that ended it was received, in unix milliseconds.
    pub fn buried_at(&self) -> u64 {
        self.expires_at - TOMBSTONE_MS
    }
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

    /// Drops the tombstones that have expired at `now`, the time of the newest event.
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
