//! The rules for participants.

use std::sync::Arc;

use super::{Fold, room::Before};
use crate::{
    event::{Kind, Source},
    state::{
        change::{Change, Entity, Fact},
        entity::{
            Counts, Participant,
            participant::{Update, bits},
        },
        mask::Mask,
        permission::Permission,
        project::RoomEntry,
        word::word,
    },
};

impl Fold<'_> {
    /// Handles `participant_joined` and `participant_updated`, which carry the whole participant.
    pub(super) fn participant(&mut self) {
        let permission = self.permission();
        self.with_participant(|fold, p| {
            let mask = fold.update(p, permission);
            let mut tracks = false;
            for track in &fold.body.participant.tracks.0 {
                tracks |= fold.publish(p, track, None);
            }
            if tracks { mask | bits::TRACKS } else { mask }
        });
    }

    /// Updates a participant from a whole `participant`, unless that is older than what is known.
    fn update(&mut self, p: &mut Participant, permission: Option<Arc<Permission>>) -> Mask {
        let body = &self.body.participant;
        if p.state != "unknown" && body.version.0 < p.version {
            return 0;
        }
        p.version = body.version.0;
        let state_zero = if self.event.kind == Kind::ParticipantJoined { "active" } else { "joining" };
        p.take(&mut Update { body, permission, state_zero, words: self.words })
    }

    /// Lets `alter` change the event's participant, and reports the result. A participant who is not in the room
    /// is added first if the event may do so. `alter` returns the fields it changed.
    pub(super) fn with_participant(&mut self, alter: impl FnOnce(&mut Self, &mut Participant) -> Mask) {
        let event = self.event;
        let sid = &*self.body.participant.sid;
        let Some(room_sid) = event.room_sid.as_ref().filter(|_| !sid.is_empty()) else { return };
        // Taken out and put back, so that `alter` can borrow the whole project.
        let known = match self.project.rooms.get_mut(room_sid) {
            Some(entry) if entry.participants.contains_key(sid) => {
                Arc::make_mut(entry).participants.remove(sid)
            }
            Some(_) => None,
            None => return self.restrict_absent(sid),
        };
        let created = known.is_none();
        if created && !(self.may_begin(sid) || self.participant_returns(sid)) {
            return self.restrict_absent(sid);
        }
        let mut participant = match known {
            Some(participant) => participant,
            None => {
                self.project.tombstones.open(sid);
                Arc::new(self.unknown_participant())
            }
        };
        let counted = if created { Counts::default() } else { participant.counts() };
        let was_restricted = !created && participant.restricted();
        let facts = self.applied.facts.len();
        let sent_at = self.sent_at();
        let p = Arc::make_mut(&mut participant);
        let mask = alter(self, p);
        p.last_seq = event.seq.0;
        p.last_event_at = p.last_event_at.max(event.received_at);
        if event.source == Source::Webhook {
            p.webhook_at = sent_at;
        }
        let counts = p.counts();
        self.applied.restricted |= participant.restricted();
        if let Some(entry) = self.project.rooms.get_mut(room_sid) {
            let RoomEntry { room, participants } = Arc::make_mut(entry);
            if counts != counted {
                Arc::make_mut(room).counts.shift(counted, counts);
            }
            participants.insert(participant.sid.clone(), participant.clone());
        }
        if !created && mask == 0 {
            return;
        }
        // A join is always sent whole, and so is a participant who becomes visible to restricted readers.
        let whole = created
            || self.event.kind == Kind::ParticipantJoined
            || (was_restricted && !participant.restricted());
        let entity = Entity::Participant(participant.clone());
        if !created && !was_restricted && participant.restricted() {
            self.gone.push(Change::delete(entity.clone()));
        }
        self.applied.changes.push(if whole { Change::set(entity) } else { Change::patch(entity, mask) });
        if created || mask != bits::TRACKS {
            // The participant comes before the facts about its tracks.
            self.applied.facts.insert(facts, Fact::Participation(participant));
        }
    }

    pub(super) fn participant_left(&mut self) {
        let event = self.event;
        let body = &self.body.participant;
        if body.sid.is_empty() {
            return;
        }
        let permission = self.permission();
        let at = self.happened_at().max(body.joined_at_ms());
        let other = self.other_session(&body.sid);
        let before = other.as_ref().map(|sid| Before::of(&self.project.rooms[sid].room));
        let session = other.as_ref().or(event.room_sid.as_ref());
        let entry = session.and_then(|sid| self.project.rooms.get_mut(sid));
        // A leave that LiveKit sent before they joined is of a former life of the sid.
        let sent_by = self.body.created_at_secs.0.saturating_mul(1000).saturating_add(999);
        if let Some(there) = entry.as_ref().and_then(|entry| entry.participant(&body.sid))
            && event.source == Source::Webhook
            && sent_by > 999
            && there.joined_at > sent_by
        {
            self.applied.restricted |= there.restricted();
            return;
        }
        let there = entry.and_then(|entry| Arc::make_mut(entry).remove(&body.sid));
        let inferred = self.is_inferred().then(|| {
            let known = there.as_ref().map_or(body.joined_at_ms(), |p| p.last_known_at());
            self.not_before().unwrap_or(known).min(at)
        });
        let was_there = there.is_some();
        let was_restricted = there.as_ref().is_some_and(|participant| participant.restricted());
        let mut participant = match there {
            Some(participant) => participant,
            None => Arc::new(self.unknown_participant()),
        };
        self.update(Arc::make_mut(&mut participant), permission);
        let tombstone = self.project.tombstones.get(&body.sid);
        let restricted = was_restricted
            || participant.restricted()
            || tombstone.is_some_and(|tombstone| tombstone.restricted);
        self.applied.restricted |= restricted;
        if was_there {
            let delete = Change::delete(Entity::Participant(participant.clone()));
            if !was_restricted {
                self.gone.push(delete.clone());
            }
            self.applied.changes.push(delete);
        }
        let is_live = session.is_some_and(|sid| self.project.rooms.contains_key(sid));
        if is_live || self.project.tombstones.get(&body.sid).is_some() {
            self.bury(&participant.sid.clone(), restricted, participant.joined_at, 0);
        }
        // A participant whose connection was aborted has never been in the room. A phone is a call that failed.
        let never_there = !was_there && event.kind == Kind::ParticipantConnectionAborted;
        if !never_there || participant.kind == "sip" {
            let reason = &*body.disconnect_reason;
            let reason = (!reason.is_empty()).then(|| word(reason, "", ""));
            // The end of a track may have been inferred for a later moment than this leave.
            let late = at < participant.last_event_at;
            let publishing = !was_there || late || !participant.tracks.is_empty();
            self.applied.facts.push(Fact::Left {
                participant,
                at,
                inferred,
                reason,
                publishing,
                never_there,
            });
        }
        if let (Some(before), Some(other)) = (before, other) {
            self.report_room(&before, &other);
        }
    }

    /// Returns the session that shows the participant, if it is another one of the same name: the list of a name's
    /// participants may be older than its session.
    fn other_session(&self, sid: &str) -> Option<Arc<str>> {
        let (name, room_sid) = (self.event.room.as_ref()?, self.event.room_sid.as_ref()?);
        let shows = |entry: &&Arc<RoomEntry>| entry.participants.contains_key(sid);
        if self.event.source != Source::Webhook || self.project.rooms.get(room_sid).is_some_and(|e| shows(&e))
        {
            return None;
        }
        self.project.sessions(name).find(shows).map(|entry| entry.room.sid.clone())
    }

    /// Restricts an event about a participant who is not there. It changes nothing. An unknown participant may be
    /// hidden.
    pub(super) fn restrict_absent(&mut self, sid: &str) {
        let body = &self.body.participant;
        let by_body = self.permission().is_some_and(|p| p.hidden || p.recorder)
            || body.kind.eq_ignore_ascii_case("egress");
        let by_tombstone = self.project.tombstones.get(sid).is_none_or(|tombstone| tombstone.restricted);
        self.applied.restricted |= by_body || by_tombstone;
    }

    /// Returns a participant of whom only the sid and the identity are known.
    fn unknown_participant(&mut self) -> Participant {
        let event = self.event;
        let body = &self.body.participant;
        let mut p = Participant::new(event.source);
        p.project = event.project.clone();
        p.room = event.room.clone().unwrap_or_default();
        p.room_sid = event.room_sid.clone().unwrap_or_default();
        p.sid = (&*body.sid).into();
        p.identity = (&*body.identity).into();
        p.kind = "standard".into();
        p.state = "unknown".into();
        p.region = self.words.text("");
        p.last_seq = event.seq.0;
        p.last_event_at = event.received_at;
        p
    }
}
