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

use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod body;
pub mod change;
mod checkpoint;
pub mod entity;
mod fold;
mod map;
mod mask;
mod part;
mod permission;
mod project;
mod read;
pub mod schema;
mod table;
mod tombstone;
pub mod wire;
mod word;
mod words;

pub use change::{Applied, Change, Entity, Fact, Inferred, Op};
pub use checkpoint::{CHECKPOINT_VERSION, CheckpointError};
pub use entity::{Egress, Ingress, Participant, Room, Track};
pub use fold::RESTART_MARGIN_MS;
pub use project::RoomEntry;
pub use tombstone::{TOMBSTONE_MS, TOMBSTONES_MAX, Tombstone};
pub use wire::Wire;

use crate::event::{Event, Seq};
use map::Map;
use project::Project;
use words::Words;

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

impl State {
    /// The last event that was applied.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// The newest `received_at` of the events that were applied, in unix milliseconds; 0 before the first.
    pub fn time(&self) -> u64 {
        self.now
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
