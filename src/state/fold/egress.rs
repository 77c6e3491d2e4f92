//! The rules for egress. LiveKit sends its events from a separate queue: in any order with those of its room, repeated,
//! and with states left out.

use std::sync::Arc;

use super::Fold;
use crate::{
    event::Kind,
    state::{
        change::{Change, Entity, Fact},
        entity::{Egress, room},
        read::NS_PER_MS,
        word::word,
    },
};

impl Fold<'_> {
    pub(super) fn egress(&mut self) {
        self.applied.restricted = true;
        let new = Arc::new(self.read_egress());
        let seq = self.event.seq.0;
        let ended = self.event.kind == Kind::EgressEnded || new.ended();
        if new.egress_id.is_empty() {
            // LiveKit could not launch it: no later event is about it, and only the history keeps it.
            if ended {
                self.applied.facts.push(Fact::Egress { egress: new, seq });
            }
            return;
        }
        let id = new.egress_id.clone();
        let known = self.project.egress.get(&id).cloned();
        if known.is_none() && !self.may_begin(&id) {
            // It is late, but it may know more about the end than reconciliation did.
            if ended {
                self.applied.facts.push(Fact::Egress { egress: new, seq });
                self.bury(&id, true, 0, 0);
            }
            return;
        }
        if ended {
            self.bury(&id, true, 0, 0);
            self.applied.facts.push(Fact::Egress { egress: new, seq });
            if let Some(known) = self.project.egress.remove(&id) {
                self.applied.changes.push(Change::delete(Entity::Egress(known.clone())));
                self.recount(known.room_sid.as_deref());
            }
            return;
        }
        match known {
            Some(known) if new.progress() < known.progress() => {}
            Some(known) => {
                let mask = new.differs(&known);
                // It stays in the room where it began, whatever a later event contains.
                let (room, room_sid) = (known.room.clone(), known.room_sid.clone());
                let new = Arc::new(Egress { room, room_sid, ..Arc::unwrap_or_clone(new) });
                if mask != 0 {
                    self.applied.changes.push(Change::patch(Entity::Egress(new.clone()), mask));
                    self.applied.facts.push(Fact::Egress { egress: new.clone(), seq });
                }
                self.project.egress.insert(id, new);
            }
            None => {
                self.project.tombstones.open(&id);
                self.applied.changes.push(Change::set(Entity::Egress(new.clone())));
                self.applied.facts.push(Fact::Egress { egress: new.clone(), seq });
                let room_sid = new.room_sid.clone();
                self.project.egress.insert(id, new);
                self.recount(room_sid.as_deref());
            }
        }
    }

    /// Counts a room's egress again. The change of the event's own room is reported at the end of the event, that of
    /// another room, which only a contradictory event reaches, at once.
    fn recount(&mut self, room_sid: Option<&str>) {
        let Some(sid) = room_sid else { return };
        let count = self.project.egress_in(sid);
        let Some(entry) = self.project.rooms.get_mut(sid) else { return };
        let room = Arc::make_mut(&mut Arc::make_mut(entry).room);
        let was_recording = room.recording();
        room.counts.egress = count;
        if self.event.room_sid.as_deref() != Some(sid) && was_recording != room.recording() {
            let room = entry.room.clone();
            self.applied.changes.push(Change::patch(Entity::Room(room), room::bits::RECORDING));
        }
    }

    fn read_egress(&self) -> Egress {
        let (event, body) = (self.event, self.body.egress.get());
        Egress {
            project: event.project.clone(),
            room: event.room.clone(),
            room_sid: event.room_sid.clone().filter(|sid| !sid.is_empty()),
            egress_id: (&*body.egress_id).into(),
            kind: body.kind(),
            status: word(&body.status, "EGRESS_", "starting"),
            started_at: body.started_at_ns.0 / NS_PER_MS,
            ended_at: body.ended_at_ns.0 / NS_PER_MS,
            error: (&*body.error).into(),
            details: (&*body.details).into(),
            outputs: body.outputs(),
            updated_at_ns: body.updated_at_ns.0,
            last_seq: event.seq.0,
        }
    }
}
