//! The live rooms, egress, ingress and open conditions of one project.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    entity::{Condition, Counts, Egress, Ingress, Participant, Room, condition::Acknowledged},
    map::Map,
    skew::Skew,
    tombstone::Tombstones,
};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Project {
    pub rooms: Map<Arc<str>, Arc<RoomEntry>>,
    /// The sids of the live sessions of each name. There can be two: the next may begin before the last has ended.
    #[serde(skip)]
    pub sessions: Map<Arc<str>, Vec<Arc<str>>>,
    pub egress: Map<Arc<str>, Arc<Egress>>,
    pub ingress: Map<Arc<str>, Arc<Ingress>>,
    /// The open conditions.
    #[serde(default)]
    pub conditions: Map<Arc<str>, Arc<Condition>>,
    /// When each condition was last opened. An entry is kept for a minute.
    #[serde(default)]
    pub opened: Map<Arc<str>, u64>,
    /// Conditions that stay acknowledged until a time, even if they are opened again.
    #[serde(default)]
    pub quiet: Map<Arc<str>, Acknowledged>,
    /// Entities that have ended, so that a late event does not bring them back. Older checkpoints call them `graves`.
    #[serde(alias = "graves")]
    pub tombstones: Tombstones,
    #[serde(default)]
    pub skew: Skew,
    /// When the last webhook was received, in unix milliseconds, and its type.
    #[serde(default)]
    pub last_webhook: (u64, Arc<str>),
}

impl Project {
    pub fn note_webhook(&mut self, at: u64, kind: &str) {
        let (last_at, last_kind) = &mut self.last_webhook;
        *last_at = at.max(*last_at);
        if **last_kind != *kind {
            *last_kind = kind.into();
        }
    }
}

/// A live room and its participants. A reader holds it by its `Arc` and serialises it outside any lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomEntry {
    pub room: Arc<Room>,
    pub(super) participants: Map<Arc<str>, Arc<Participant>>,
}

impl RoomEntry {
    /// Returns its participants, in no order.
    pub fn participants(&self) -> impl Iterator<Item = &Arc<Participant>> {
        self.participants.values()
    }

    /// Returns its participants in the order in which they joined. What becomes part of a change needs an order: the same
    /// log gives the same bytes in every process.
    pub fn in_order(&self) -> Vec<&Arc<Participant>> {
        let mut all: Vec<_> = self.participants.values().collect();
        all.sort_unstable_by(|a, b| (a.joined_at, &a.sid).cmp(&(b.joined_at, &b.sid)));
        all
    }

    pub fn participant(&self, sid: &str) -> Option<&Arc<Participant>> {
        self.participants.get(sid)
    }

    /// Returns the participants with this identity, the one that joined last first. For a moment after a rejoin there
    /// is more than one.
    pub fn identity(&self, identity: &str) -> Vec<&Arc<Participant>> {
        let mut found: Vec<_> = self.participants.values().filter(|p| &*p.identity == identity).collect();
        found.sort_by_key(|p| std::cmp::Reverse((p.joined_at, p.last_seq)));
        found
    }

    /// Returns the room without some of its participants.
    pub fn without(&self, leaves_out: impl Fn(&Participant) -> bool) -> RoomEntry {
        let mut entry = self.clone();
        for participant in self.participants.values().filter(|p| leaves_out(p)) {
            entry.remove(&participant.sid);
        }
        entry
    }

    /// Removes a participant, and subtracts it from the counts.
    pub(super) fn remove(&mut self, sid: &str) -> Option<Arc<Participant>> {
        let participant = self.participants.remove(sid)?;
        Arc::make_mut(&mut self.room).counts.shift(participant.counts(), Counts::default());
        Some(participant)
    }
}

impl Project {
    /// Makes a session live.
    pub fn begin(&mut self, room: Room) {
        self.sessions.entry(room.name.clone()).or_default().push(room.sid.clone());
        let entry = RoomEntry { room: Arc::new(room), participants: Map::default() };
        self.rooms.insert(entry.room.sid.clone(), Arc::new(entry));
    }

    /// Ends a session, and removes it with its participants.
    pub fn end(&mut self, sid: &str) -> Option<Arc<RoomEntry>> {
        let entry = self.rooms.remove(sid)?;
        if let Some(sids) = self.sessions.get_mut(&entry.room.name) {
            sids.retain(|other| **other != *sid);
            if sids.is_empty() {
                self.sessions.remove(&entry.room.name);
            }
        }
        Some(entry)
    }

    /// Returns the live sessions of a room name.
    pub fn sessions(&self, name: &str) -> impl Iterator<Item = &Arc<RoomEntry>> {
        let sids = self.sessions.get(name).map_or(&[][..], Vec::as_slice);
        sids.iter().filter_map(|sid| self.rooms.get(sid))
    }

    pub fn newest(&self, name: &str) -> Option<&Arc<RoomEntry>> {
        self.sessions(name).max_by_key(|entry| entry.room.age())
    }

    pub fn newest_sid(&self, name: &str) -> Option<&Arc<str>> {
        match self.sessions.get(name)?.as_slice() {
            // Nearly always: no need to look at the room.
            [only] => Some(only),
            _ => self.newest(name).map(|entry| &entry.room.sid),
        }
    }

    /// Returns the number of egress of a session that have not ended.
    pub fn egress_in(&self, sid: &str) -> u32 {
        u32::try_from(self.egress_of(sid).count()).unwrap_or(u32::MAX)
    }

    /// Returns the egress of a session that have not ended, in no order.
    pub fn egress_of(&self, sid: &str) -> impl Iterator<Item = &Arc<Egress>> {
        self.egress.values().filter(move |egress| egress.room_sid.as_deref() == Some(sid))
    }
}
