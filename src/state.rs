//! Rooms, participants, tracks, egress and ingress as they are now: a pure fold of the log.
//!
//! [`State::apply`] is the only way to change it. It reads no clock and does no I/O, so the same events give the same
//! state everywhere. Everything is keyed by project and sid. LiveKit does the following, and the fold handles it:
//!
//! - A track arrives before its participant (then listed with state `unknown`), a leave without a
//!   join, the leave of an old sid after the join of a new one; events are repeated or lost. An event of a room that has
//!   no tombstone makes that room live. The ends of egress, ingress and agent jobs do not: they have separate
//!   queues, and may be later than any tombstone.
//! - Events arrive late. Whatever ends leaves a tombstone for [`TOMBSTONE_MS`] of event time. If reconciliation has
//!   inferred the end from a list, an event that LiveKit made later revokes it. An end that a webhook has reported takes
//!   proof that the sid has come back: see docs/adr/0017.
//! - One sid gets a second `room_started`: LiveKit brings a room back after its node has died. The participants of its
//!   former life have left without an event ([`RESTART_MARGIN_MS`]).
//! - LiveKit's clock differs from ours. The fold estimates by how much.
//! - An older event arrives after a newer one. Participants and tracks carry LiveKit's version, egress and ingress their
//!   `updatedAt`.
//!
//! # Events of reconciliation
//!
//! They have the shape of LiveKit's webhooks with whole objects; `createdAt` is the time of the question. `track_muted`
//! and `track_unmuted` carry `room`, `participant` and the whole `track`; `participant_updated` the whole `participant`,
//! `room_updated` the whole `room`. What reconciliation knows beyond that is in one more member at the top:
//!
//! ```json
//! {"event":"room_updated","room":{…},"roomwatch":{"stale":true},"id":"…","createdAt":"1787486405"}
//! {"event":"participant_left","room":{…},"participant":{…},"roomwatch":{"notBefore":1787486400123}, …}
//! ```
//!
//! `stale` (with `room_updated` or `room_started`) is true for a leftover entry of a room that cannot have participants;
//! any webhook about the room makes it false. `returned` (with `room_started`, `participant_joined` or `track_published`)
//! makes a sid live that a webhook has ended: LiveKit has listed it twice since. `notBefore` (with endings) is the time of the last answer of LiveKit that
//! still listed the entity, in unix milliseconds; without it, the last event about the entity counts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod body;
pub mod change;
mod checkpoint;
pub mod entity;
mod fold;
mod map;
pub mod mask;
mod part;
mod permission;
mod project;
mod read;
pub mod schema;
mod skew;
mod table;
mod tombstone;
mod word;
mod words;

pub use change::{Applied, Change, Entity, Fact, Inferred, Op};
pub use checkpoint::{CHECKPOINT_VERSION, CheckpointError};
pub use entity::{Condition, Egress, Ingress, Participant, Room, Track};
pub use fold::{CONDITIONS_MAX, REOPENED_AFTER_MS, RESTART_MARGIN_MS};
pub use mask::Wire;
pub use project::RoomEntry;
pub use tombstone::{TOMBSTONE_MS, TOMBSTONES_MAX, Tombstone};

use crate::event::{Event, Seq};
use map::Map;
use project::Project;
use words::Words;

/// Everything that is live. A clone is cheap: it shares each room until one of the two changes it.
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
    /// Returns the last event that was applied.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Returns when the newest applied event was received, in unix milliseconds; 0 before the first.
    pub fn time(&self) -> u64 {
        self.now
    }

    /// Continues as if everything up to `seq` had been applied: the log no longer has those events.
    pub fn skip_to(&mut self, seq: Seq) {
        self.head = self.head.max(seq);
    }

    /// Applies one event and returns what it changed. Events come in the order of their seq. One that was applied before
    /// changes nothing.
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

    /// Returns the live rooms for which `visible(project, name)` is true, in no order.
    pub fn rooms(&self, mut visible: impl FnMut(&str, &str) -> bool) -> Vec<Arc<RoomEntry>> {
        let all = self.projects.values().flat_map(|project| project.rooms.values());
        all.filter(|entry| visible(&entry.room.project, &entry.room.name)).cloned().collect()
    }

    /// Returns the live session with this sid.
    pub fn room(&self, project: &str, sid: &str) -> Option<&Arc<RoomEntry>> {
        self.projects.get(project)?.rooms.get(sid)
    }

    /// Returns the newest live session of a room: the one that started last, or, of two that started together, the one
    /// whose first event is later.
    pub fn newest(&self, project: &str, name: &str) -> Option<&Arc<RoomEntry>> {
        self.projects.get(project)?.newest(name)
    }

    /// Returns every live session of a room.
    pub fn sessions(&self, project: &str, name: &str) -> impl Iterator<Item = &Arc<RoomEntry>> {
        self.projects.get(project).into_iter().flat_map(move |project| project.sessions(name))
    }

    /// Returns the egress of a project that has not ended.
    pub fn egress(&self, project: &str) -> impl Iterator<Item = &Arc<Egress>> {
        self.projects.get(project).into_iter().flat_map(|project| project.egress.values())
    }

    /// Returns the ingress of a project that is live.
    pub fn ingress(&self, project: &str) -> impl Iterator<Item = &Arc<Ingress>> {
        self.projects.get(project).into_iter().flat_map(|project| project.ingress.values())
    }

    /// Returns the open conditions of a project, in no order. The empty name has those of Roomwatch itself.
    pub fn conditions(&self, project: &str) -> impl Iterator<Item = &Arc<Condition>> {
        self.projects.get(project).into_iter().flat_map(|project| project.conditions.values())
    }

    /// Returns the open condition with this id.
    pub fn condition(&self, project: &str, id: &str) -> Option<&Arc<Condition>> {
        self.projects.get(project)?.conditions.get(id)
    }

    /// Returns the open conditions of every project.
    pub fn all_conditions(&self) -> impl Iterator<Item = &Arc<Condition>> {
        self.projects.values().flat_map(|project| project.conditions.values())
    }

    /// Returns when a condition was last opened, if that was less than [`REOPENED_AFTER_MS`] before the newest event
    /// about a condition.
    pub fn last_opened(&self, project: &str, id: &str) -> Option<u64> {
        self.projects.get(project)?.opened.get(id).copied()
    }

    /// Returns the tombstone of a sid or id: because of it, an event about the sid changes nothing.
    pub fn tombstone(&self, project: &str, sid: &str) -> Option<&Tombstone> {
        self.projects.get(project)?.tombstones.get(sid)
    }

    /// Returns when the last webhook of a project was received, in unix milliseconds, and its type.
    pub fn last_webhook(&self, project: &str) -> Option<(u64, &str)> {
        let (at, kind) = &self.projects.get(project)?.last_webhook;
        (*at > 0).then_some((*at, &**kind))
    }

    /// Returns a time of LiveKit's clock on ours, in unix milliseconds, as far as webhooks show the difference.
    pub fn ours(&self, project: &str, livekit_ms: u64) -> u64 {
        self.projects.get(project).map_or(livekit_ms, |project| project.skew.ours(livekit_ms))
    }

    /// Returns the number of live rooms of a project, and of the participants that `participantCount` counts.
    pub fn totals(&self, project: &str) -> (usize, usize) {
        let rooms = self.projects.get(project).map(|project| &project.rooms);
        let participants = rooms
            .into_iter()
            .flat_map(|rooms| rooms.values())
            .map(|entry| entry.room.counts.participants as usize);
        (rooms.map_or(0, Map::len), participants.sum())
    }
}
