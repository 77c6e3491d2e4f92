//! The rules for egress and ingress, whose events come in queues of their own: in any order with their room's,
//! several times, and with states left out.

use std::sync::Arc;

use super::{
    Project,
    body::{EgressBody, OutputBody},
    change::{Change, Entity, Fact},
    entity::{Egress, Ingress, Output, Word, word},
    fold::Fold,
    wire::{Mask, egress, ingress},
};
use crate::event::Kind;

const NS_PER_MS: u64 = 1_000_000;

impl Fold<'_> {
    pub(super) fn egress(&mut self) {
        self.applied.restricted = true;
        let new = Arc::new(self.told_egress());
        let seq = self.event.seq.0;
        let ended = self.event.kind == Kind::EgressEnded || new.ended();
        if new.egress_id.is_empty() {
            // It could not even be launched: there is nothing to follow, only something to remember.
            if ended {
                self.applied.facts.push(Fact::Egress { egress: new, seq });
            }
            return;
        }
        let id = new.egress_id.clone();
        let known = self.project.egress.get(&id).cloned();
        if known.is_none() && !self.rises(&id) {
            // Late, but it may know better than reconciliation did how it ended.
            if ended {
                self.applied.facts.push(Fact::Egress { egress: new, seq });
                self.bury(&id, true, 0);
            }
            return;
        }
        if ended {
            self.bury(&id, true, 0);
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
                // It stays in the room in which it began, whatever a later event says.
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

    /// Counts a room's egress again. The event's own room is told of when the event is done; another one, which
    /// only a contradictory event reaches, at once.
    fn recount(&mut self, room_sid: Option<&str>) {
        let Some(sid) = room_sid else { return };
        let count = self.project.egress_in(sid);
        let Some(entry) = self.project.rooms.get_mut(sid) else { return };
        let room = Arc::make_mut(&mut Arc::make_mut(entry).room);
        let was_recording = room.recording();
        room.counts.egress = count;
        if self.event.room_sid.as_deref() != Some(sid) && was_recording != room.recording() {
            let room = entry.room.clone();
            self.applied.changes.push(Change::patch(Entity::Room(room), super::wire::room::RECORDING));
        }
    }

    fn told_egress(&self) -> Egress {
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
            outputs: body.outputs(),
            updated_at_ns: body.updated_at_ns.0,
            last_seq: event.seq.0,
        }
    }

    pub(super) fn ingress(&mut self) {
        let new = self.told_ingress();
        let id = new.ingress_id.clone();
        if id.is_empty() {
            return;
        }
        let known = self.project.ingress.get(&id).cloned();
        let latest = match (&known, self.project.tombstones.get(&id)) {
            (Some(known), _) => Some(known.updated_at_ns),
            // Its end is news, and so is what came at the same time.
            (None, Some(tombstone)) => Some(tombstone.updated_at_ns + 1),
            (None, None) => None,
        };
        if latest.is_some_and(|latest| new.updated_at_ns < latest) {
            return;
        }
        if self.event.kind == Kind::IngressEnded {
            self.bury(&id, false, new.updated_at_ns);
            if let Some(known) = self.project.ingress.remove(&id) {
                self.applied.changes.push(Change::delete(Entity::Ingress(known)));
            }
            return;
        }
        self.project.tombstones.open(&id);
        let new = Arc::new(new);
        match known {
            Some(known) => {
                let mask = new.differs(&known);
                if mask != 0 {
                    self.applied.changes.push(Change::patch(Entity::Ingress(new.clone()), mask));
                }
            }
            None => self.applied.changes.push(Change::set(Entity::Ingress(new.clone()))),
        }
        self.project.ingress.insert(id, new);
    }

    fn told_ingress(&self) -> Ingress {
        let (event, body) = (self.event, self.body.ingress.get());
        Ingress {
            project: event.project.clone(),
            room: event.room.clone().filter(|room| !room.is_empty()),
            ingress_id: (&*body.ingress_id).into(),
            name: (&*body.name).into(),
            kind: match body.input_type.strip_suffix("_INPUT") {
                Some(kind) => word(kind, "", ""),
                None => word(&body.input_type, "", "rtmp"),
            },
            status: word(&body.state.status, "ENDPOINT_", "inactive"),
            participant_identity: (&*body.participant_identity).into(),
            started_at: body.state.started_at_ns.0 / NS_PER_MS,
            ended_at: body.state.ended_at_ns.0 / NS_PER_MS,
            error: (&*body.state.error).into(),
            updated_at_ns: body.state.updated_at_ns.0,
            last_seq: event.seq.0,
        }
    }
}

impl Project {
    /// How many egress of a session have not ended.
    pub(super) fn egress_in(&self, sid: &str) -> u32 {
        let here = self.egress.values().filter(|egress| egress.room_sid.as_deref() == Some(sid));
        u32::try_from(here.count()).unwrap_or(u32::MAX)
    }
}

impl Egress {
    fn differs(&self, before: &Egress) -> Mask {
        use egress::*;
        bits([
            (self.kind != before.kind, KIND),
            (self.status != before.status, STATUS),
            (self.started_at != before.started_at, STARTED_AT),
            (self.ended_at != before.ended_at, ENDED_AT),
            (self.error != before.error, ERROR),
            (self.outputs != before.outputs, OUTPUTS),
        ])
    }
}

impl Ingress {
    fn differs(&self, before: &Ingress) -> Mask {
        use ingress::*;
        bits([
            (self.room != before.room, ROOM),
            (self.name != before.name, NAME),
            (self.kind != before.kind, KIND),
            (self.status != before.status, STATUS),
            (self.participant_identity != before.participant_identity, IDENTITY),
            (self.started_at != before.started_at, STARTED_AT),
            (self.ended_at != before.ended_at, ENDED_AT),
            (self.error != before.error, ERROR),
        ])
    }
}

fn bits<const N: usize>(fields: [(bool, Mask); N]) -> Mask {
    fields.iter().filter(|(differs, _)| *differs).fold(0, |mask, (_, bit)| mask | bit)
}

impl EgressBody<'_> {
    fn kind(&self) -> Word {
        let kinds = [
            (self.room_composite, "room_composite"),
            (self.web, "web"),
            (self.participant, "participant"),
            (self.track_composite, "track_composite"),
            (self.track, "track"),
        ];
        kinds.iter().find(|(present, _)| present.0).map_or("unknown", |(_, kind)| kind).into()
    }

    fn outputs(&self) -> Vec<Output> {
        let all = [
            (&self.files, "file"),
            (&self.streams, "stream"),
            (&self.segments, "segments"),
            (&self.images, "images"),
        ];
        all.iter().flat_map(|(list, kind)| list.0.iter().map(|output| output.told(kind))).collect()
    }
}

impl OutputBody<'_> {
    fn told(&self, kind: &'static str) -> Output {
        let first =
            |texts: [&str; 4]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().into();
        let given = |text: &str| (!text.is_empty()).then(|| text.into());
        Output {
            kind: kind.into(),
            name: first([&self.filename, &self.playlist_name, &self.filename_prefix, &self.url]),
            location: first([&self.location, &self.playlist_location, "", ""]),
            status: given(&self.status.to_ascii_lowercase()),
            error: given(&self.error),
            size_bytes: self.size.0,
            duration_ms: self.duration_ns.0 / NS_PER_MS,
        }
    }
}
