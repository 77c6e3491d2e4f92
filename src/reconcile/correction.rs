//! A correction: one event that LiveKit should have sent.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    event::{
        Event, Kind, NewEvent, Seq, Source,
        body::{Body, Redaction},
    },
    state::State,
};

/// A fact from LiveKit's API that no webhook has reported, as an event in the shape of a webhook.
#[derive(Clone, Debug)]
pub struct Correction {
    pub kind: Kind,
    pub room: Arc<str>,
    /// The sid of the room, participant or track, or the id of the egress or ingress.
    pub sid: Arc<str>,
    /// The reason, as operators read it.
    pub why: &'static str,
    pub received_at: u64,
    /// The last event that changed the entity. The same correction after another event gets another id.
    touched: Seq,
    project: Arc<str>,
    /// The body without `event`, `id` and `createdAt`.
    members: Map<String, Value>,
}

impl Correction {
    /// Returns the event, with its body redacted like a webhook's, or `None` if the body is nested too deep.
    pub fn event(&self, asked_at: u64, redaction: &Redaction) -> Option<NewEvent> {
        let mut hash = Sha256::new();
        for part in [&*self.project, self.kind.as_str(), &self.sid, &self.touched.to_string()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(serde_json::to_vec(&self.members).ok()?);
        let id = format!("RC_{}", HEXLOWER.encode(&hash.finalize()[..16]));

        let mut body = self.members.clone();
        body.insert("event".into(), self.kind.as_str().into());
        body.insert("id".into(), id.into());
        body.insert("createdAt".into(), (asked_at / 1000).to_string().into());
        let body = Body::read(&serde_json::to_vec(&body).ok()?, redaction).ok()?;
        Some(NewEvent {
            id: body.id,
            project: self.project.clone(),
            source: Source::Reconcile,
            received_at: self.received_at,
            kind: self.kind.clone(),
            room: body.room,
            room_sid: body.room_sid,
            body: body.json,
        })
    }

    /// Gives the correction another id. The same correction was appended before, at `seq`, and is needed again: so that
    /// event is the last one that changed the entity.
    pub fn again_after(&mut self, seq: Seq) {
        self.touched = seq;
    }
}

/// Corrections in the order in which they are appended, each tried on a part of the state first.
///
/// The fold itself decides whether a correction is due: one that would change nothing is dropped. So a second run finds
/// nothing, whatever the fold's rules are.
pub struct Draft<'a> {
    project: &'a Arc<str>,
    scratch: State,
    redaction: &'a Redaction,
    asked_at: u64,
    now: u64,
    made: Vec<Correction>,
}

impl<'a> Draft<'a> {
    pub fn new(
        project: &'a Arc<str>,
        scratch: State,
        redaction: &'a Redaction,
        asked_at: u64,
        now: u64,
    ) -> Draft<'a> {
        Draft { project, scratch, redaction, asked_at, now, made: Vec::new() }
    }

    pub fn finish(self) -> Vec<Correction> {
        self.made
    }

    /// Appends the correction if it would change anything.
    pub fn offer(&mut self, about: About<'_>, members: Map<String, Value>) {
        self.put(about, members, false);
    }

    /// Appends the correction even if it changes nothing of the state: the history needs it.
    pub fn append(&mut self, about: About<'_>, members: Map<String, Value>) {
        self.put(about, members, true);
    }

    fn put(&mut self, about: About<'_>, members: Map<String, Value>, always: bool) {
        let correction = Correction {
            kind: about.kind,
            room: about.room.into(),
            sid: about.sid.into(),
            why: about.why,
            received_at: self.now,
            touched: about.touched,
            project: self.project.clone(),
            members,
        };
        let Some(new) = correction.event(self.asked_at, self.redaction) else { return };
        let event = Event {
            seq: self.scratch.head().next(),
            project: new.project,
            source: new.source,
            received_at: new.received_at,
            kind: new.kind,
            room: new.room,
            room_sid: new.room_sid,
            body: new.body,
        };
        let applied = self.scratch.apply(&event);
        if always || !applied.changes.is_empty() {
            self.made.push(correction);
        }
    }
}

/// The subject of a correction.
pub struct About<'a> {
    pub kind: Kind,
    pub room: &'a str,
    pub sid: &'a str,
    /// The last event that changed the entity; 0 if none has.
    pub touched: Seq,
    pub why: &'static str,
}
