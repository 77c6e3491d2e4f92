//! The rules for ingress. LiveKit sends its events from a separate queue, in any order with those of its room.

use std::sync::Arc;

use super::Fold;
use crate::{
    event::Kind,
    state::{
        change::{Change, Entity},
        entity::Ingress,
        read::NS_PER_MS,
        word::word,
    },
};

impl Fold<'_> {
    pub(super) fn ingress(&mut self) {
        let new = self.read_ingress();
        let id = new.ingress_id.clone();
        if id.is_empty() {
            return;
        }
        let known = self.project.ingress.get(&id).cloned();
        let latest = match (&known, self.project.tombstones.get(&id)) {
            (Some(known), _) => Some(known.updated_at_ns),
            // The tombstone is the newest known fact: an event of the same moment is not newer.
            (None, Some(tombstone)) => Some(tombstone.updated_at_ns + 1),
            (None, None) => None,
        };
        if latest.is_some_and(|latest| new.updated_at_ns < latest) {
            return;
        }
        if self.event.kind == Kind::IngressEnded {
            self.bury(&id, false, 0, new.updated_at_ns);
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

    fn read_ingress(&self) -> Ingress {
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
