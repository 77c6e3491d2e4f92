//! The rules for rooms.

use std::{iter, sync::Arc};

use super::Fold;
use crate::{
    event::{Kind, Source},
    state::{
        change::{Change, Entity, Fact},
        entity::{
            Counts, Participant, Room,
            room::{RoomDerived, Update, bits},
        },
        mask::Mask,
        project::RoomEntry,
        word::word,
    },
};

/// A participant of a room's former life must have joined this long before the second `room_started`, in milliseconds.
/// LiveKit stamps an event when its queue gets to it, so the first `room_started` can be a little later than the first
/// join; and a node that died is missed later than this.
pub const RESTART_MARGIN_MS: u64 = 10_000;

/// The event's room before the event.
pub(super) struct Before {
    /// True if the event has made the room live.
    created: bool,
    derived: RoomDerived,
    /// The stored fields that the event has changed.
    mask: Mask,
}

impl Before {
    /// Returns the room as it is, live before the event.
    pub fn of(room: &Room) -> Before {
        Before { created: false, derived: room.derived(), mask: 0 }
    }
}

impl Fold<'_> {
    /// Finds the event's room, makes it live if the event may do so, and updates it from what the event carries of it.
    pub(super) fn enter_room(&mut self) -> Option<Before> {
        let event = self.event;
        let sid = event.room_sid.as_ref().filter(|sid| !sid.is_empty())?;
        let created = !self.project.rooms.contains_key(sid);
        if created {
            // These are late by design: an egress ends when its upload does, long after its room.
            let is_late = match event.kind {
                Kind::EgressEnded | Kind::IngressEnded | Kind::AgentJobEnded => true,
                // The room of a known egress was live, and is over.
                Kind::EgressStarted | Kind::EgressUpdated => {
                    self.project.tombstones.get(sid).is_some()
                        || self.project.egress.contains_key(&*self.body.egress.get().egress_id)
                }
                _ => false,
            };
            if is_late || !(self.may_begin(sid) || self.room_returns(sid)) {
                return None;
            }
            let mut room = self.new_room(sid);
            if self.project.tombstones.get(sid).is_some() && event.source == Source::Webhook {
                room.returned_at_secs = self.body.created_at_secs.0;
            }
            self.project.tombstones.open(sid);
            self.project.begin(room);
        }
        let sent_at = self.sent_at();
        let entry = Arc::make_mut(self.project.rooms.get_mut(sid)?);
        let room = Arc::make_mut(&mut entry.room);
        let mut before = Before { created, ..Before::of(room) };
        room.last_event_at = room.last_event_at.max(event.received_at);
        room.last_seq = event.seq.0;
        let stale = match event.source {
            // Any webhook about the room shows that it is not a leftover.
            Source::Webhook => {
                room.webhook_at = sent_at;
                false
            }
            _ => self.body.roomwatch.stale.0.unwrap_or(room.stale),
        };
        if stale != room.stale {
            room.stale = stale;
            before.mask |= bits::STALE;
        }
        if self.body.room.is_full() {
            let update = &mut Update {
                body: &self.body.room,
                created_at_secs: self.body.created_at_secs.0,
                is_webhook: event.source == Source::Webhook,
            };
            before.mask |= room.take(update);
        }
        Some(before)
    }

    fn new_room(&mut self, sid: &Arc<str>) -> Room {
        let event = self.event;
        let mut room = Room::new(event.source, event.seq.0, event.received_at);
        room.project = event.project.clone();
        room.sid = sid.clone();
        // A room may have no name: LiveKit leaves an empty one out.
        room.name = event.room.clone().unwrap_or_default();
        room.counts = Counts { egress: self.project.egress_in(sid), ..Counts::default() };
        room.last_event_at = event.received_at;
        room.last_seq = event.seq.0;
        room
    }

    /// Reports what the event changed of its room: a new room first, changes of a known one last.
    pub(super) fn leave_room(&mut self, before: Option<Before>) {
        if let (Some(before), Some(sid)) = (before, &self.event.room_sid) {
            self.report_room(&before, sid);
        }
    }

    pub(super) fn report_room(&mut self, before: &Before, sid: &str) {
        let Some(entry) = self.project.rooms.get(sid) else { return };
        let room = &entry.room;
        let session = || Fact::Session {
            project: room.project.clone(),
            sid: room.sid.clone(),
            name: room.name.clone(),
            began_at: room.began_at(),
            participants: room.counts.participants,
            recording: room.recording(),
            metadata: room.metadata.clone(),
            source: room.source,
        };
        if before.created {
            // The end of its former life has removed its egress from what readers hold.
            let seq = self.event.seq.0;
            let mut egress: Vec<_> =
                self.project.egress_of(sid).filter(|egress| egress.last_seq != seq).cloned().collect();
            egress.sort_unstable_by_key(|egress| egress.last_seq);
            let began = iter::once(Entity::Room(room.clone())).chain(egress.into_iter().map(Entity::Egress));
            self.applied.changes.splice(0..0, began.map(Change::set));
            self.applied.facts.insert(0, session());
            return;
        }
        let mask = before.mask | room.differs(before.derived);
        if mask != 0 {
            self.applied.changes.push(Change::patch(Entity::Room(room.clone()), mask));
        }
        if mask & (bits::STARTED_AT | bits::PARTICIPANTS | bits::RECORDING | bits::METADATA) != 0 {
            self.applied.facts.push(session());
        }
    }

    pub(super) fn room_finished(&mut self) {
        let event = self.event;
        let Some(sid) = event.room_sid.as_ref().filter(|sid| !sid.is_empty()) else { return };
        let at = self.happened_at();
        let created_at_secs = self.body.created_at_secs.0;
        let is_of_former_life = |entry: &RoomEntry| {
            created_at_secs < entry.room.returned_at_secs
                || self.body.room.began_before(entry.room.started_at)
        };
        if event.source == Source::Webhook
            && created_at_secs > 0
            && self.project.rooms.get(sid).is_some_and(|entry| is_of_former_life(entry))
        {
            return;
        }
        let room = match self.project.end(sid) {
            Some(entry) => {
                for participant in entry.in_order() {
                    if !participant.restricted() {
                        self.applied.changes.push(Change::delete(Entity::Participant(participant.clone())));
                    }
                    self.left_without_event(participant.clone(), at);
                    // Who joined later is in the room's next life: a list has shown them before this late end. Within
                    // its second, one whose webhook came before it was in the life that ended.
                    let joined_secs = participant.joined_at / 1000;
                    let is_of_next_life = joined_secs > created_at_secs
                        || (joined_secs == created_at_secs && participant.webhook_at == 0);
                    if event.source == Source::Webhook && created_at_secs > 0 && is_of_next_life {
                        continue;
                    }
                    // The room may come back, and they are not in it.
                    self.bury(&participant.sid, participant.restricted(), participant.joined_at, 0);
                }
                self.applied.changes.push(Change::delete(Entity::Room(entry.room.clone())));
                entry.room.clone()
            }
            // The first event about its end, or a webhook about one that had been inferred.
            None => {
                let tombstone = self.project.tombstones.get(sid);
                if tombstone.is_some_and(|tombstone| !tombstone.source.is_inferred()) {
                    return;
                }
                let mut room = self.new_room(sid);
                room.started_at = self.body.room.started_at_ms();
                Arc::new(room)
            }
        };
        let reason = &*self.body.room_end_reason;
        let reason = (!reason.is_empty()).then(|| word(reason, "ROOM_END_", ""));
        let began_at = room.started_at;
        self.applied.facts.push(Fact::SessionEnded { room, at, reason, source: event.source });
        self.bury(sid, false, began_at, 0);
    }

    /// Handles a second `room_started` of one sid: LiveKit brings a room back after its node has died, and the
    /// participants of its former life are no longer in it.
    pub(super) fn room_started(&mut self, before: Option<&Before>) {
        let (Some(Before { created: false, .. }), Some(sid)) = (before, &self.event.room_sid) else { return };
        let started_at = self.body.created_at_secs.0.saturating_mul(1000);
        let Some(entry) = self.project.rooms.get_mut(sid) else { return };
        let former = |p: &Arc<Participant>| p.joined_at > 0 && p.joined_at + RESTART_MARGIN_MS < started_at;
        if !entry.participants.values().any(former) {
            return;
        }
        let entry = Arc::make_mut(entry);
        let sids: Vec<_> =
            entry.in_order().into_iter().filter(|p| former(p)).map(|p| p.sid.clone()).collect();
        let gone: Vec<_> = sids.iter().filter_map(|sid| entry.remove(sid)).collect();
        for participant in gone {
            // The room stays, so hidden participants have to be named too. A sid reveals nothing.
            self.applied.changes.push(Change::delete(Entity::Participant(participant.clone())));
            self.left_without_event(participant, started_at);
        }
    }

    /// Reports that a participant is no longer there although no event has reported a leave.
    fn left_without_event(&mut self, participant: Arc<Participant>, at: u64) {
        let at = at.max(participant.joined_at);
        let inferred = Some(participant.last_known_at().min(at));
        let publishing = !participant.tracks.is_empty();
        self.applied.facts.push(Fact::Left {
            participant,
            at,
            inferred,
            reason: None,
            publishing,
            never_there: false,
        });
    }
}
