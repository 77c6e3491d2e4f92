//! How one event changes one project: the rules of [`super`], kind by kind.

use std::sync::Arc;

use super::{
    Project, RoomEntry, Words,
    body::{Body, TrackBody},
    change::{Applied, Change, Entity, Fact, Inferred},
    entity::{Counts, Participant, Permission, Room, Track, word},
    tombstone::{TOMBSTONE_MS, Tombstone},
    wire::{Mask, participant, room},
};
use crate::event::{Event, Kind, Source};

/// How much earlier than a `room_started` somebody must have joined to be taken for a guest of the room's former
/// life. LiveKit stamps events when its queue gets to them, so the first `room_started` can be a little later than
/// the first join; a node that died takes longer than this to be missed.
pub const RESTART_MARGIN_MS: u64 = 10_000;

pub(super) fn fold(project: &mut Project, words: &mut Words, event: &Event, now: u64) -> Applied {
    // A body that cannot be read as a whole still has a room, and is an event.
    // Looked at as text once, so that it need not be for every string in it.
    let text = simdutf8::basic::from_utf8(&event.body).unwrap_or_default();
    let body = Body::parse(text);
    let mut fold = Fold { project, words, event, body: &body, now, applied: Applied::default() };
    // What ends the present session is of it, and so is what begins it.
    let present = fold.is_present();
    fold.run();
    let present = present || fold.is_present();
    fold.cut_for_joined(present);
    fold.applied
}

pub(super) struct Fold<'a> {
    pub project: &'a mut Project,
    pub words: &'a mut Words,
    pub event: &'a Event,
    pub body: &'a Body<'a>,
    /// The time of the newest event.
    pub now: u64,
    pub applied: Applied,
}

/// What a room looked like before the event.
struct Before {
    created: bool,
    counts: Counts,
    mask: Mask,
}

impl Fold<'_> {
    fn run(&mut self) {
        match self.event.kind {
            Kind::RoomFinished => return self.room_finished(),
            Kind::Unknown(_) => return self.unknown(),
            _ => {}
        }
        let before = self.enter();
        match self.event.kind {
            Kind::RoomStarted => self.restarted(before.as_ref()),
            Kind::ParticipantJoined | Kind::ParticipantUpdated => self.present(),
            Kind::ParticipantLeft | Kind::ParticipantConnectionAborted => self.left(),
            Kind::TrackPublished | Kind::TrackMuted | Kind::TrackUnmuted | Kind::TrackUnpublished => {
                self.track()
            }
            Kind::EgressStarted | Kind::EgressUpdated | Kind::EgressEnded => self.egress(),
            Kind::IngressStarted | Kind::IngressEnded => self.ingress(),
            _ => {}
        }
        self.depart(before);
    }

    /// An event that nobody knows yet changes nothing, but it may be about somebody who is not for everybody.
    fn unknown(&mut self) {
        let sid = &*self.body.participant.sid;
        self.applied.restricted |= !self.body.egress.get().egress_id.is_empty();
        let room = self.event.room_sid.as_ref().and_then(|room| self.project.rooms.get(room));
        match room.and_then(|room| room.participant(sid)) {
            Some(participant) => self.applied.restricted |= participant.restricted(),
            None if !sid.is_empty() => self.seen_too_late(sid),
            None => {}
        }
    }

    /// Is the event of the newest live session of its room, or of no session?
    fn is_present(&self) -> bool {
        let event = self.event;
        let (Some(room), Some(sid)) = (&event.room, &event.room_sid) else { return true };
        sid.is_empty() || self.project.is_newest(room, sid)
    }

    /// Who has only `roomJoin` sees the present session: nothing of an event of another one, and of an event that is
    /// about somebody unseen only what it changed of the room itself, which a list shows them, too.
    fn cut_for_joined(&mut self, present: bool) {
        self.applied.restricted |= !present;
        if self.applied.restricted && present {
            let sid = self.event.room_sid.as_ref();
            let of_room =
                |change: &&Change| matches!(&change.entity, Entity::Room(room) if Some(&room.sid) == sid);
            self.applied.joined = self.applied.changes.iter().filter(of_room).cloned().collect();
        }
    }

    /// When LiveKit said it, not later than when it came: a webhook may have waited for 45 s while we were away, and
    /// what it says then is older than what LiveKit's lists say. Seconds are all that `createdAt` has, and clocks
    /// are a little apart: it counts as late as it may have been.
    fn told_at(&self) -> u64 {
        match self.body.created_at_secs.0 {
            0 => self.event.received_at,
            secs => self.event.received_at.min(secs.saturating_mul(1000).saturating_add(1_999)),
        }
    }

    /// Finds the event's room, makes it live if that is due, and takes from the event what is said of the room.
    fn enter(&mut self) -> Option<Before> {
        let event = self.event;
        let sid = event.room_sid.as_ref().filter(|sid| !sid.is_empty())?;
        let created = !self.project.rooms.contains_key(sid);
        if created {
            // These come late by design: egress ends when its upload does, long after its room.
            if matches!(event.kind, Kind::EgressEnded | Kind::IngressEnded | Kind::AgentJobEnded)
                || !self.rises(sid)
            {
                return None;
            }
            self.project.tombstones.open(sid);
            let room = self.new_room(sid);
            self.project.begin(room);
        }
        let told_at = self.told_at();
        let entry = Arc::make_mut(self.project.rooms.get_mut(sid)?);
        let room = Arc::make_mut(&mut entry.room);
        let mut before = Before { created, counts: room.counts, mask: 0 };
        room.last_event_at = room.last_event_at.max(event.received_at);
        room.last_seq = event.seq.0;
        let mut stale = room.stale;
        match event.source {
            Source::Webhook => {
                room.webhook_at = told_at;
                stale = false;
            }
            Source::Reconcile => stale = self.body.roomwatch.stale.0.unwrap_or(stale),
        }
        if stale != room.stale {
            room.stale = stale;
            before.mask |= room::STALE;
        }
        if self.body.room.is_full() {
            if room.started_at == 0 {
                room.started_at = self.body.room.started_at_ms();
                before.mask |= room::STARTED_AT;
            }
            if self.body.created_at_secs.0 >= room.metadata_at_secs {
                room.metadata_at_secs = self.body.created_at_secs.0;
                if *room.metadata != *self.body.room.metadata {
                    room.metadata = (&*self.body.room.metadata).into();
                    before.mask |= room::METADATA;
                }
            }
        }
        Some(before)
    }

    fn new_room(&mut self, sid: &Arc<str>) -> Room {
        Room {
            project: self.event.project.clone(),
            sid: sid.clone(),
            // A room may have no name: LiveKit leaves an empty one out.
            name: self.event.room.clone().unwrap_or_default(),
            started_at: 0,
            metadata: Arc::default(),
            counts: Counts { egress: self.project.egress_in(sid), ..Counts::default() },
            stale: false,
            source: self.event.source,
            last_event_at: self.event.received_at,
            first_seq: self.event.seq.0,
            last_seq: self.event.seq.0,
            webhook_at: 0,
            first_event_at: self.event.received_at,
            metadata_at_secs: 0,
        }
    }

    /// Says what became of the room: first of all that it is there, last of all what has changed of it.
    fn depart(&mut self, before: Option<Before>) {
        let (Some(before), Some(sid)) = (before, &self.event.room_sid) else { return };
        let Some(entry) = self.project.rooms.get(sid) else { return };
        let room = &entry.room;
        let session = || Fact::Session {
            project: room.project.clone(),
            sid: room.sid.clone(),
            name: room.name.clone(),
            began_at: room.began_at(),
            participants: room.counts.participants,
            recording: room.recording(),
            source: room.source,
        };
        if before.created {
            self.applied.changes.insert(0, Change::set(Entity::Room(room.clone())));
            self.applied.facts.insert(0, session());
            return;
        }
        let mask = before.mask | room.counts.differs(&before.counts);
        if mask != 0 {
            self.applied.changes.push(Change::patch(Entity::Room(room.clone()), mask));
        }
        if mask & (room::STARTED_AT | room::PARTICIPANTS | room::RECORDING) != 0 {
            self.applied.facts.push(session());
        }
    }

    fn room_finished(&mut self) {
        let event = self.event;
        let Some(sid) = event.room_sid.as_ref().filter(|sid| !sid.is_empty()) else { return };
        let at = self.happened_at();
        let room = match self.project.end(sid) {
            Some(entry) => {
                for participant in entry.participants.values() {
                    if !participant.restricted() {
                        self.applied.changes.push(Change::delete(Entity::Participant(participant.clone())));
                    }
                    self.gone(participant.clone(), at);
                }
                self.applied.changes.push(Change::delete(Entity::Room(entry.room.clone())));
                entry.room.clone()
            }
            // The first news of its end, or the truth about one that had been inferred.
            None => {
                if self
                    .project
                    .tombstones
                    .get(sid)
                    .is_some_and(|tombstone| tombstone.source == Source::Webhook)
                {
                    return;
                }
                let mut room = self.new_room(sid);
                room.started_at = self.body.room.started_at_ms();
                Arc::new(room)
            }
        };
        let reason = &*self.body.room_end_reason;
        let reason = (!reason.is_empty()).then(|| word(reason, "ROOM_END_", ""));
        self.applied.facts.push(Fact::SessionEnded { room, at, reason, source: event.source });
        self.bury(sid, false, 0);
    }

    /// A second `room_started` of one sid: who was in its former life is in it no more.
    fn restarted(&mut self, before: Option<&Before>) {
        let (Some(Before { created: false, .. }), Some(sid)) = (before, &self.event.room_sid) else { return };
        let started_at = self.body.created_at_secs.0.saturating_mul(1000);
        let Some(entry) = self.project.rooms.get_mut(sid) else { return };
        let former = |p: &Arc<Participant>| p.joined_at > 0 && p.joined_at + RESTART_MARGIN_MS < started_at;
        if !entry.participants.values().any(former) {
            return;
        }
        let entry = Arc::make_mut(entry);
        let sids: Vec<_> = entry.participants.values().filter(|p| former(p)).map(|p| p.sid.clone()).collect();
        let gone: Vec<_> = sids.iter().filter_map(|sid| entry.remove(sid)).collect();
        for participant in gone {
            // The room stays, so even who is hidden has to be named: by a sid that says nothing.
            self.applied.changes.push(Change::delete(Entity::Participant(participant.clone())));
            self.gone(participant, started_at);
        }
    }

    /// Somebody who is there no longer though nobody said that they left.
    fn gone(&mut self, participant: Arc<Participant>, at: u64) {
        let inferred = Some(participant.last_known_at().min(at));
        let publishing = !participant.tracks.is_empty();
        self.applied.facts.push(Fact::Left { participant, at, inferred, reason: None, publishing });
    }

    /// `participant_joined` and `participant_updated`: somebody is there, and this is all about them.
    fn present(&mut self) {
        let permission = self.permission();
        self.with_participant(|fold, p| {
            let mask = fold.update(p, permission);
            let mut tracks = false;
            for track in &fold.body.participant.tracks.0 {
                tracks |= fold.publish(p, track, None);
            }
            if tracks { mask | participant::TRACKS } else { mask }
        });
    }

    fn left(&mut self) {
        let event = self.event;
        let body = &self.body.participant;
        if body.sid.is_empty() {
            return;
        }
        let permission = self.permission();
        let at = self.happened_at().max(body.joined_at_ms());
        let entry = event.room_sid.as_ref().and_then(|sid| self.project.rooms.get_mut(sid));
        let there = entry.and_then(|entry| Arc::make_mut(entry).remove(&body.sid));
        let inferred = (event.source == Source::Reconcile).then(|| {
            let known = there.as_ref().map_or(body.joined_at_ms(), |p| p.last_known_at());
            self.not_before().unwrap_or(known).min(at)
        });
        let was_there = there.is_some();
        let was_restricted = there.as_ref().is_some_and(|participant| participant.restricted());
        let mut participant = match there {
            Some(participant) => participant,
            None => Arc::new(self.stranger()),
        };
        self.update(Arc::make_mut(&mut participant), permission);
        let by_grave = self.project.tombstones.get(&body.sid).is_some_and(|tombstone| tombstone.restricted);
        let restricted = was_restricted || participant.restricted() || by_grave;
        self.applied.restricted |= restricted;
        if was_there {
            self.applied.changes.push(Change::delete(Entity::Participant(participant.clone())));
        }
        if event.room_sid.as_ref().is_some_and(|sid| self.project.rooms.contains_key(sid)) {
            self.bury(&participant.sid.clone(), restricted, 0);
        }
        // Somebody who never got in has not been there.
        if was_there || event.kind != Kind::ParticipantConnectionAborted {
            let reason = &*body.disconnect_reason;
            let reason = (!reason.is_empty()).then(|| word(reason, "", ""));
            // Its end may have been found out later than LiveKit says that they left.
            let late = at < participant.last_event_at;
            let publishing = !was_there || late || !participant.tracks.is_empty();
            self.applied.facts.push(Fact::Left { participant, at, inferred, reason, publishing });
        }
    }

    fn track(&mut self) {
        let (body, kind) = (self.body, &self.event.kind);
        let at = self.happened_at();
        self.with_participant(|fold, p| {
            let mut mask = 0;
            if p.identity.is_empty() && !body.participant.identity.is_empty() {
                p.identity = (&*body.participant.identity).into();
                mask |= participant::IDENTITY;
            }
            let changed = match kind {
                Kind::TrackUnpublished => fold.unpublish(p, at),
                Kind::TrackMuted => fold.publish(p, &body.track, Some(true)),
                Kind::TrackUnmuted => fold.publish(p, &body.track, Some(false)),
                _ => fold.publish(p, &body.track, None),
            };
            if changed { mask | participant::TRACKS } else { mask }
        });
    }

    /// Lets `alter` change the event's participant, who is listed first if that is due, and says what came of it.
    /// `alter` answers with the fields it changed.
    fn with_participant(&mut self, alter: impl FnOnce(&mut Self, &mut Participant) -> Mask) {
        let event = self.event;
        let sid = &*self.body.participant.sid;
        let Some(room_sid) = event.room_sid.as_ref().filter(|_| !sid.is_empty()) else { return };
        // Taken out and put back, so that `alter` has the whole project at hand.
        let known = match self.project.rooms.get_mut(room_sid) {
            Some(entry) if entry.participants.contains_key(sid) => {
                Arc::make_mut(entry).participants.remove(sid)
            }
            Some(_) => None,
            None => return self.seen_too_late(sid),
        };
        let created = known.is_none();
        if created && !self.rises(sid) {
            return self.seen_too_late(sid);
        }
        let mut participant = match known {
            Some(participant) => participant,
            None => {
                self.project.tombstones.open(sid);
                Arc::new(self.stranger())
            }
        };
        let counted = if created { Counts::default() } else { participant.counts() };
        let was_restricted = !created && participant.restricted();
        let facts = self.applied.facts.len();
        let told_at = self.told_at();
        let p = Arc::make_mut(&mut participant);
        let mask = alter(self, p);
        p.last_seq = event.seq.0;
        p.last_event_at = p.last_event_at.max(event.received_at);
        if event.source == Source::Webhook {
            p.webhook_at = told_at;
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
        // A join is always told whole, and so is somebody whom some readers have not seen before.
        let whole = created
            || self.event.kind == Kind::ParticipantJoined
            || (was_restricted && !participant.restricted());
        let entity = Entity::Participant(participant.clone());
        self.applied.changes.push(if whole { Change::set(entity) } else { Change::patch(entity, mask) });
        if created || mask != participant::TRACKS {
            // First the participant, then what is said of its tracks.
            self.applied.facts.insert(facts, Fact::Participation(participant));
        }
    }

    /// An event about somebody who is not there: it changes nothing, but not everybody may see it. Of whom nothing is
    /// known may be hidden.
    fn seen_too_late(&mut self, sid: &str) {
        let body = &self.body.participant;
        let by_body = self.permission().is_some_and(|p| p.hidden || p.recorder)
            || body.kind.eq_ignore_ascii_case("egress");
        let by_grave = self.project.tombstones.get(sid).is_none_or(|tombstone| tombstone.restricted);
        self.applied.restricted |= by_body || by_grave;
    }

    /// Somebody of whom only the sid and the identity are known.
    fn stranger(&mut self) -> Participant {
        let event = self.event;
        let body = &self.body.participant;
        Participant {
            project: event.project.clone(),
            room: event.room.clone().unwrap_or_default(),
            room_sid: event.room_sid.clone().unwrap_or_default(),
            sid: (&*body.sid).into(),
            identity: (&*body.identity).into(),
            name: "".into(),
            kind: "standard".into(),
            state: "unknown".into(),
            joined_at: 0,
            metadata: "".into(),
            attributes: None,
            permission: None,
            region: self.words.text(""),
            tracks: Vec::new(),
            version: 0,
            source: event.source,
            last_seq: event.seq.0,
            last_event_at: event.received_at,
            webhook_at: 0,
        }
    }

    /// Takes over what a whole `participant` says, unless it is older than what is known.
    fn update(&mut self, p: &mut Participant, permission: Option<Arc<Permission>>) -> Mask {
        use participant::*;
        let body = &self.body.participant;
        if p.state != "unknown" && body.version.0 < p.version {
            return 0;
        }
        let mut mask = 0;
        let mut text = |field: &mut Box<str>, new: &str, bit: Mask| {
            if **field != *new {
                *field = new.into();
                mask |= bit;
            }
        };
        text(&mut p.identity, &body.identity, IDENTITY);
        text(&mut p.name, &body.name, NAME);
        text(&mut p.metadata, &body.metadata, METADATA);
        p.version = body.version.0;
        let kind = word(&body.kind, "", "standard");
        if p.kind != kind {
            p.kind = kind;
            mask |= KIND;
        }
        let zero = if self.event.kind == Kind::ParticipantJoined { "active" } else { "joining" };
        let state = word(&body.state, "", zero);
        if p.state != state {
            p.state = state;
            mask |= STATE;
        }
        let joined_at = body.joined_at_ms();
        if joined_at > 0 && p.joined_at != joined_at {
            p.joined_at = joined_at;
            mask |= JOINED_AT;
        }
        let json =
            |permission: &Option<Arc<Permission>>| permission.as_ref().map(|p| p.json.get().to_owned());
        let same = match (&p.permission, &permission) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.json.get() == b.json.get(),
            (a, b) => json(a) == json(b),
        };
        if !same {
            let hidden = |permission: &Option<Arc<Permission>>| permission.as_ref().is_some_and(|p| p.hidden);
            if hidden(&p.permission) != hidden(&permission) {
                mask |= HIDDEN;
            }
            p.permission = permission;
            mask |= PERMISSION;
        }
        let written = body.attributes.object();
        if p.attributes.as_deref().map(|a| a.get()) != written {
            let attributes = written.and_then(super::entity::sorted_object);
            if p.attributes.as_deref().map(|a| a.get()) != attributes.as_deref().map(|a| a.get()) {
                p.attributes = attributes;
                mask |= ATTRIBUTES;
            }
        }
        if *p.region != *body.region {
            p.region = self.words.text(&body.region);
            mask |= REGION;
        }
        mask
    }

    /// Lists a track or takes over what is newer of it; `muted` is said by the event's kind. True if that
    /// changed anything.
    fn publish(&mut self, p: &mut Participant, body: &TrackBody, muted: Option<bool>) -> bool {
        if body.sid.is_empty() {
            return false;
        }
        let at = match body.version.unix_micros.0 / 1000 {
            0 => self.happened_at(),
            version_ms => version_ms,
        };
        let event = self.event;
        let place = p.tracks.iter().position(|track| *track.sid == *body.sid);
        let known = place.map(|place| &p.tracks[place]);
        if let Some(known) = known {
            // The same version is the same news: only a mute may be told without a newer one.
            let version = body.version.unix_micros.0;
            if version < known.version || (version == known.version && muted.is_none()) {
                return false;
            }
        } else if !self.rises(&body.sid) {
            return false;
        } else {
            self.project.tombstones.open(&body.sid);
        }
        let size = |length: u64| u32::try_from(length).unwrap_or(u32::MAX);
        let new = Track {
            sid: (&*body.sid).into(),
            name: (&*body.name).into(),
            kind: word(&body.kind, "", "audio"),
            source: word(&body.source, "", "unknown"),
            muted: muted.unwrap_or(body.muted.0),
            simulcast: body.simulcast.0,
            width: size(body.width.0),
            height: size(body.height.0),
            mime_type: self.words.text(&body.mime_type),
            published_at: known.map_or(at, |known| known.published_at.min(at)),
            version: body.version.unix_micros.0,
            last_seq: event.seq.0,
            webhook_at: match event.source {
                Source::Webhook => self.told_at(),
                Source::Reconcile => known.map_or(0, |known| known.webhook_at),
            },
        };
        let changed = known.is_none_or(|known| !known.looks_like(&new));
        if changed {
            let (project, room_sid, participant) = (p.project.clone(), p.room_sid.clone(), p.sid.clone());
            self.applied.facts.push(Fact::Track { project, room_sid, participant, track: new.clone() });
        }
        match place {
            Some(place) => p.tracks[place] = new,
            None => {
                // Most publish one or two: a vector that doubles would cost more than they do.
                p.tracks.reserve_exact(1);
                p.tracks.push(new);
            }
        }
        // The order of a list must not tell in which order the events came.
        p.tracks.sort_unstable_by(|a, b| (a.published_at, &a.sid).cmp(&(b.published_at, &b.sid)));
        changed
    }

    fn unpublish(&mut self, p: &mut Participant, at: u64) -> bool {
        let sid = &*self.body.track.sid;
        if sid.is_empty() {
            return false;
        }
        let inferred: Inferred = (self.event.source == Source::Reconcile)
            .then(|| self.not_before().unwrap_or(p.last_known_at()).min(at));
        let place = p.tracks.iter().position(|track| *track.sid == *sid);
        if let Some(place) = place {
            p.tracks.remove(place);
        }
        let (project, room_sid, participant) = (p.project.clone(), p.room_sid.clone(), p.sid.clone());
        self.applied.facts.push(Fact::Unpublished {
            project,
            room_sid,
            participant,
            sid: sid.into(),
            at,
            inferred,
        });
        self.bury(&sid.into(), p.restricted(), 0);
        place.is_some()
    }

    /// Whether an event about this sid, which is not live, may make it so.
    pub(super) fn rises(&self, sid: &str) -> bool {
        let Some(tombstone) = self.project.tombstones.get(sid) else { return true };
        let shows_it = matches!(
            self.event.kind,
            Kind::RoomStarted
                | Kind::ParticipantJoined
                | Kind::TrackPublished
                | Kind::EgressStarted
                | Kind::EgressUpdated
        );
        let created_at = self.body.created_at_secs.0.saturating_mul(1000);
        tombstone.source == Source::Reconcile && shows_it && created_at > tombstone.at
    }

    /// Leaves a tombstone. One of a webhook stays as it is.
    pub(super) fn bury(&mut self, sid: &Arc<str>, restricted: bool, updated_at_ns: u64) {
        let former = self.project.tombstones.get(sid);
        if former
            .is_some_and(|former| former.source == Source::Webhook && former.updated_at_ns >= updated_at_ns)
        {
            return;
        }
        let tombstone = Tombstone {
            at: self.happened_at(),
            source: self.event.source,
            seq: self.event.seq.0,
            expires_at: self.now + TOMBSTONE_MS,
            restricted: restricted || former.is_some_and(|former| former.restricted),
            updated_at_ns,
        };
        self.project.tombstones.bury(sid, tombstone);
    }

    /// When it happened, as nearly as can be known: when it came, but within the second that LiveKit gives. So of two
    /// events that come in their order neither happened before the other, however late they are.
    pub(super) fn happened_at(&self) -> u64 {
        let received_at = self.event.received_at;
        match self.body.created_at_secs.0.saturating_mul(1000) {
            0 => received_at,
            second => received_at.clamp(second, second.saturating_add(999)),
        }
    }

    pub(super) fn not_before(&self) -> Option<u64> {
        Some(self.body.roomwatch.not_before.0).filter(|time| *time > 0)
    }

    fn permission(&mut self) -> Option<Arc<Permission>> {
        self.words.permission(self.body.participant.permission.object()?)
    }
}
