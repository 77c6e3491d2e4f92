//! The rooms, their people, their tracks, egress and ingress as they are now: a pure fold of the log.
//!
//! [`State::apply`] is the only way in; it reads no clock and does no I/O, so the same events give the same
//! state everywhere. Everything is keyed by project and sid. What the fold survives, because LiveKit does it:
//!
//! - a track before its participant (listed with state `unknown` until more is known), a leave without a join,
//!   the leave of an old sid after the join of a new one, duplicates, gaps, lost beginnings: an event of a room
//!   that has no tombstone makes that room live. Only the ends of egress, ingress and agent jobs do not: they
//!   come in queues of their own and may be later than any tombstone.
//! - late events: what has ended leaves a tombstone. It stands for [`TOMBSTONE_MS`] of event time. If it was
//!   reconciliation that missed the sid in a list, an event that LiveKit made later than that brings it back;
//!   what a webhook has ended stays ended.
//! - a second `room_started` of one sid, which is LiveKit bringing a room back after its node has died: those who
//!   were in it before are gone without an event ([`RESTART_MARGIN_MS`]).
//! - older news after newer: participants and tracks carry LiveKit's version, egress and ingress their `updatedAt`.
//!
//! # Events of reconciliation
//!
//! They have the shape of LiveKit's webhooks with whole objects; `createdAt` is when it asked. `track_muted` and
//! `track_unmuted` carry `room`, `participant` and the whole `track`; `participant_updated` the whole `participant`,
//! `room_updated` the whole `room`. What it knows beyond that stands in one more key at the top:
//!
//! ```json
//! {"event":"room_updated","room":{…},"roomwatch":{"stale":true},"id":"…","createdAt":"1787486405"}
//! {"event":"participant_left","room":{…},"participant":{…},"roomwatch":{"notBefore":1787486400123}, …}
//! ```
//!
//! `stale` (with `room_updated` or `room_started`) says whether the room is a leftover entry that nobody can be in;
//! any webhook about the room takes it back. `notBefore` (with endings) is the unix millisecond of the last answer of
//! LiveKit that still had it; without it, the last event about it is taken.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

mod body;
pub mod change;
mod checkpoint;
mod egress;
pub mod entity;
mod fold;
mod part;
pub mod schema;
mod tombstone;
pub mod wire;

pub use change::{Applied, Change, Entity, Fact, Inferred, Op};
pub use checkpoint::{CHECKPOINT_VERSION, CheckpointError};
pub use entity::{Egress, Ingress, Participant, Room, Track};
pub use fold::RESTART_MARGIN_MS;
pub use tombstone::{TOMBSTONE_MS, TOMBSTONES_MAX, Tombstone};
pub use wire::Wire;

use crate::event::{Event, Seq};
use entity::{Counts, Permission};
use tombstone::Tombstones;

/// Maps are keyed by sids, which LiveKit draws at random: SipHash's strength would cost a tenth of the fold. The
/// seed still differs from process to process.
type Map<K, V> = HashMap<K, V, RandomState>;

/// Everything that is live. Cloning it is cheap: rooms are shared until one of the two changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    head: Seq,
    /// The newest `received_at`: the only clock the fold has.
    now: u64,
    projects: Map<Arc<str>, Project>,
    #[serde(skip)]
    words: Words,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Project {
    rooms: Map<Arc<str>, Arc<RoomEntry>>,
    /// The live sessions of each name. There can be two: the next may begin before the last has ended.
    #[serde(skip)]
    sessions: Map<Arc<str>, Vec<Arc<str>>>,
    egress: Map<Arc<str>, Arc<Egress>>,
    ingress: Map<Arc<str>, Arc<Ingress>>,
    tombstones: Tombstones,
}

/// A live room and who is in it. A reader holds it by its `Arc` and serialises it outside any lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomEntry {
    pub room: Arc<Room>,
    participants: Map<Arc<str>, Arc<Participant>>,
}

/// Strings that many entities have in common, kept once. What it forgets costs memory only.
#[derive(Clone, Debug, Default)]
struct Words {
    texts: HashSet<Arc<str>, RandomState>,
    permissions: Map<Box<str>, Option<Arc<Permission>>>,
}

/// How many shared strings are remembered; then it starts afresh, so that odd input cannot grow it.
const WORDS_MAX: usize = 4_096;

impl State {
    /// The last event that was applied.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Goes on as if everything up to `seq` had been applied: the log has it no more.
    pub fn skip_to(&mut self, seq: Seq) {
        self.head = self.head.max(seq);
    }

    /// Folds one event in and says what it altered. Events come in the order of their seq; one that has
    /// been applied before changes nothing.
    pub fn apply(&mut self, event: &Event) -> Applied {
        if event.seq <= self.head {
            return Applied::default();
        }
        self.head = event.seq;
        self.now = self.now.max(event.received_at);
        if !self.projects.contains_key(&event.project) {
            self.projects.insert(event.project.clone(), Project::default());
        }
        let Some(project) = self.projects.get_mut(&event.project) else {
            return Applied::default();
        };
        project.tombstones.expire(self.now);
        fold::fold(project, &mut self.words, event, self.now)
    }

    /// The live rooms that `visible(project, name)` lets through, in no order.
    pub fn rooms(&self, mut visible: impl FnMut(&str, &str) -> bool) -> Vec<Arc<RoomEntry>> {
        let all = self.projects.values().flat_map(|project| project.rooms.values());
        all.filter(|entry| visible(&entry.room.project, &entry.room.name)).cloned().collect()
    }

    /// The live session with this sid.
    pub fn room(&self, project: &str, sid: &str) -> Option<&Arc<RoomEntry>> {
        self.projects.get(project)?.rooms.get(sid)
    }

    /// The newest live session of a room: the one that started last, then the one that was seen last.
    pub fn newest(&self, project: &str, name: &str) -> Option<&Arc<RoomEntry>> {
        self.projects.get(project)?.newest(name)
    }

    /// Every live session of a room.
    pub fn sessions(&self, project: &str, name: &str) -> impl Iterator<Item = &Arc<RoomEntry>> {
        self.projects.get(project).into_iter().flat_map(move |project| project.sessions(name))
    }

    /// The egress of a project that has not ended.
    pub fn egress(&self, project: &str) -> impl Iterator<Item = &Arc<Egress>> {
        self.projects.get(project).into_iter().flat_map(|project| project.egress.values())
    }

    /// The ingress of a project that is live.
    pub fn ingress(&self, project: &str) -> impl Iterator<Item = &Arc<Ingress>> {
        self.projects.get(project).into_iter().flat_map(|project| project.ingress.values())
    }

    /// The end of a sid or id, while it is remembered: why an event about it changes nothing.
    pub fn tombstone(&self, project: &str, sid: &str) -> Option<&Tombstone> {
        self.projects.get(project)?.tombstones.get(sid)
    }

    /// Live rooms, and the participants that `participantCount` counts, of one project.
    pub fn totals(&self, project: &str) -> (usize, usize) {
        let rooms = self.projects.get(project).map(|project| &project.rooms);
        let people = rooms
            .into_iter()
            .flat_map(|rooms| rooms.values())
            .map(|entry| entry.room.counts.participants as usize);
        (rooms.map_or(0, Map::len), people.sum())
    }
}

impl RoomEntry {
    /// Everybody who is in it, in no order.
    pub fn participants(&self) -> impl Iterator<Item = &Arc<Participant>> {
        self.participants.values()
    }

    pub fn participant(&self, sid: &str) -> Option<&Arc<Participant>> {
        self.participants.get(sid)
    }

    /// Those with this identity, the one that joined last first. There is more than one for a moment
    /// after a rejoin.
    pub fn identity(&self, identity: &str) -> Vec<&Arc<Participant>> {
        let mut found: Vec<_> = self.participants.values().filter(|p| &*p.identity == identity).collect();
        found.sort_by_key(|p| std::cmp::Reverse((p.joined_at, p.last_seq)));
        found
    }
}

impl RoomEntry {
    /// Takes somebody out, and out of the counts.
    fn remove(&mut self, sid: &str) -> Option<Arc<Participant>> {
        let participant = self.participants.remove(sid)?;
        Arc::make_mut(&mut self.room).counts.shift(participant.counts(), Counts::default());
        Some(participant)
    }
}

impl Project {
    /// Makes a session live.
    fn begin(&mut self, room: Room) {
        self.sessions.entry(room.name.clone()).or_default().push(room.sid.clone());
        let entry = RoomEntry { room: Arc::new(room), participants: Map::default() };
        self.rooms.insert(entry.room.sid.clone(), Arc::new(entry));
    }

    fn sessions(&self, name: &str) -> impl Iterator<Item = &Arc<RoomEntry>> {
        let sids = self.sessions.get(name).map_or(&[][..], Vec::as_slice);
        sids.iter().filter_map(|sid| self.rooms.get(sid))
    }

    fn newest(&self, name: &str) -> Option<&Arc<RoomEntry>> {
        self.sessions(name).max_by_key(|entry| entry.room.age())
    }

    fn is_newest(&self, name: &str, sid: &str) -> bool {
        match self.sessions.get(name).map(Vec::as_slice) {
            // As good as always: no need to look at the room.
            Some([only]) => **only == *sid,
            _ => self.newest(name).is_some_and(|entry| *entry.room.sid == *sid),
        }
    }

    /// Ends a session: who was in it goes with it.
    fn end(&mut self, sid: &str) -> Option<Arc<RoomEntry>> {
        let entry = self.rooms.remove(sid)?;
        if let Some(sids) = self.sessions.get_mut(&entry.room.name) {
            sids.retain(|other| **other != *sid);
            if sids.is_empty() {
                self.sessions.remove(&entry.room.name);
            }
        }
        Some(entry)
    }
}

impl Words {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        if self.texts.len() >= WORDS_MAX {
            self.texts.clear();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(text.clone());
        text
    }

    /// The permission that this JSON object says; `None` if it is no object after all.
    fn permission(&mut self, json: &str) -> Option<Arc<Permission>> {
        if let Some(known) = self.permissions.get(json) {
            return known.clone();
        }
        if self.permissions.len() >= WORDS_MAX {
            self.permissions.clear();
        }
        let permission = Permission::parse(json).map(Arc::new);
        self.permissions.insert(json.into(), permission.clone());
        permission
    }
}
