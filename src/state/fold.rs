//! The rules by which one event changes one project, one file per entity. [`State`](super::State) lists what LiveKit
//! does that the rules are made for.

use std::sync::Arc;

use super::{
    body::Body,
    change::{Applied, Change, Entity, Op},
    permission::Permission,
    project::Project,
    tombstone::{TOMBSTONE_MS, Tombstone},
    words::Words,
};
use crate::event::{Event, Kind, Source};

mod condition;
mod egress;
mod ingress;
mod participant;
mod room;
mod track;

pub use condition::{CONDITIONS_MAX, REOPENED_AFTER_MS};
pub use room::RESTART_MARGIN_MS;

/// Applies one event. `now` is the time of the newest event.
pub(super) fn fold(project: &mut Project, words: &mut Words, event: &Event, now: u64) -> Applied {
    // Checked as UTF-8 once, so that the strings in it need not be. An event whose body cannot be read still has a
    // room.
    let text = simdutf8::basic::from_utf8(&event.body).unwrap_or_default();
    let body = Body::parse(text);
    if event.source == Source::Webhook {
        project.note_webhook(event.received_at, event.kind.as_str());
        if body.created_at_secs.0 > 0 {
            project.skew.note(event.received_at, body.created_at_secs.0);
        }
    }
    let mut fold =
        Fold { project, words, event, body: &body, now, gone: Vec::new(), applied: Applied::default() };
    let before = fold.current_session();
    fold.run();
    fold.restrict(before);
    fold.applied
}

/// One event on its way into a project.
struct Fold<'a> {
    project: &'a mut Project,
    words: &'a mut Words,
    event: &'a Event,
    body: &'a Body<'a>,
    /// The time of the newest event.
    now: u64,
    /// Deletes of participants that were visible to callers with only `roomJoin` before the event, and no longer are.
    gone: Vec<Change>,
    applied: Applied,
}

impl Fold<'_> {
    fn run(&mut self) {
        if self.event.source == Source::Roomwatch {
            // Callers with only `roomJoin` do not see our own events.
            self.applied.restricted = true;
            return self.condition();
        }
        match self.event.kind {
            Kind::RoomFinished => return self.room_finished(),
            Kind::Unknown(_) => return self.unknown_kind(),
            _ => {}
        }
        let before = self.enter_room();
        match self.event.kind {
            Kind::RoomStarted => self.room_started(before.as_ref()),
            Kind::ParticipantJoined | Kind::ParticipantUpdated => self.participant(),
            Kind::ParticipantLeft | Kind::ParticipantConnectionAborted => self.participant_left(),
            Kind::TrackPublished | Kind::TrackMuted | Kind::TrackUnmuted | Kind::TrackUnpublished => {
                self.track()
            }
            Kind::EgressStarted | Kind::EgressUpdated | Kind::EgressEnded => self.egress(),
            Kind::IngressStarted | Kind::IngressEnded => self.ingress(),
            _ => {}
        }
        self.leave_room(before);
    }

    /// Handles an event name that Roomwatch does not know. It changes nothing, but it may be restricted.
    fn unknown_kind(&mut self) {
        let sid = &*self.body.participant.sid;
        self.applied.restricted |= !self.body.egress.get().egress_id.is_empty();
        let room = self.event.room_sid.as_ref().and_then(|room| self.project.rooms.get(room));
        match room.and_then(|room| room.participant(sid)) {
            Some(participant) => self.applied.restricted |= participant.restricted(),
            None if !sid.is_empty() => self.restrict_absent(sid),
            None => {}
        }
    }

    /// Returns the newest live session of the event's room.
    fn current_session(&self) -> Option<Arc<str>> {
        self.project.newest_sid(self.event.room.as_ref()?).cloned()
    }

    /// Decides what a caller with only `roomJoin` gets of the event. Such a caller sees the current session, `before`
    /// and after the event. Of an event about a restricted participant they get its effect on what a list shows them:
    /// the changes of the room itself, and the delete of a participant that they no longer see.
    fn restrict(&mut self, before: Option<Arc<str>>) {
        let after = self.current_session();
        let is_egress = |change: &Change| matches!(change.entity, Entity::Egress(_));
        // The event may begin or end the current session. One without a room or a session belongs to every session.
        let is_current = match (&self.event.room, &self.event.room_sid) {
            (Some(_), Some(sid)) if !sid.is_empty() => [&before, &after].contains(&&Some(sid.clone())),
            _ => true,
        };
        self.applied.restricted |= !is_current;
        if let (Some(before), Some(after)) = (&before, &after)
            && before != after
        {
            self.applied.joined = Some(self.switch(before, after));
        } else if self.applied.restricted {
            let current = after.or(before);
            let is_of = |sid: &Arc<str>| Some(sid) == current.as_ref();
            let mut joined = std::mem::take(&mut self.gone);
            joined.retain(|change| matches!(&change.entity, Entity::Participant(p) if is_of(&p.room_sid)));
            let of_room = |change: &&Change| match &change.entity {
                Entity::Room(room) => is_of(&room.sid),
                // A list shows the ingress of a name, whatever session its event belongs to.
                Entity::Ingress(_) => true,
                Entity::Participant(_) | Entity::Egress(_) | Entity::Condition(_) => false,
            };
            joined.extend(self.applied.changes.iter().filter(of_room).cloned());
            self.applied.joined = Some(joined);
        } else if self.applied.changes.iter().any(is_egress) {
            let others = self.applied.changes.iter().filter(|change| !is_egress(change));
            self.applied.joined = Some(others.cloned().collect());
        }
    }

    /// Returns the changes for a caller that saw one session of a room and now sees another one.
    fn switch(&self, before: &Arc<str>, after: &Arc<str>) -> Vec<Change> {
        let ended = |change: &&Change| {
            change.op == Op::Delete && matches!(&change.entity, Entity::Room(room) if room.sid == *before)
        };
        let mut changes: Vec<_> = match self.project.rooms.get(before) {
            Some(entry) => vec![Change::delete(Entity::Room(entry.room.clone()))],
            None => self.applied.changes.iter().filter(ended).cloned().collect(),
        };
        if let Some(entry) = self.project.rooms.get(after) {
            changes.push(Change::set(Entity::Room(entry.room.clone())));
            let visible = entry.in_order().into_iter().filter(|participant| !participant.restricted());
            changes.extend(visible.map(|participant| Change::set(Entity::Participant(participant.clone()))));
        }
        let ingress = |change: &&Change| matches!(change.entity, Entity::Ingress(_));
        changes.extend(self.applied.changes.iter().filter(ingress).cloned());
        changes
    }

    /// Returns true if the event was found by comparison with LiveKit's API. Then the time at which it happened is
    /// known by its bounds only.
    fn is_inferred(&self) -> bool {
        self.event.source.is_inferred()
    }

    /// Returns when LiveKit sent the event, and never later than its arrival. A webhook may have waited for 45 s while
    /// Roomwatch was down, and then it is older than LiveKit's lists. `createdAt` has whole seconds only and clocks
    /// differ a little, so the latest possible moment counts.
    fn sent_at(&self) -> u64 {
        match self.body.created_at_secs.0 {
            0 => self.event.received_at,
            secs => {
                let latest = secs.saturating_mul(1000).saturating_add(1_999);
                self.event.received_at.min(self.project.skew.ours(latest))
            }
        }
    }

    /// Returns when it happened, as nearly as can be known: the time of arrival, moved into the second that LiveKit
    /// gives. So events that arrive in order keep their order, however late they are.
    fn happened_at(&self) -> u64 {
        let received_at = self.event.received_at;
        match self.body.created_at_secs.0.saturating_mul(1000) {
            0 => received_at,
            second => received_at.clamp(second, second.saturating_add(999)),
        }
    }

    /// Returns the earliest time at which an inferred ending can have happened, where reconciliation knows it.
    fn not_before(&self) -> Option<u64> {
        Some(self.body.roomwatch.not_before.0).filter(|time| *time > 0)
    }

    fn permission(&mut self) -> Option<Arc<Permission>> {
        self.words.permission(self.body.participant.permission.object()?)
    }

    /// Returns true if this event may make a sid live that is not live now and that no webhook has ended.
    fn may_begin(&self, sid: &str) -> bool {
        let Some(tombstone) = self.project.tombstones.get(sid) else { return true };
        let shows_it = matches!(
            self.event.kind,
            Kind::RoomStarted
                | Kind::ParticipantJoined
                | Kind::TrackPublished
                | Kind::EgressStarted
                | Kind::EgressUpdated
        );
        if self.event.source == Source::Reconcile && shows_it && self.body.roomwatch.returned.0 {
            return true;
        }
        let created_at = self.body.created_at_secs.0.saturating_mul(1000);
        let created_at = match self.event.source {
            Source::Webhook => self.project.skew.ours(created_at),
            _ => created_at,
        };
        tombstone.source.is_inferred() && shows_it && created_at > tombstone.at
    }

    /// Returns true if a webhook proves that the event's room is back although a webhook has ended it. The times are all
    /// LiveKit's.
    fn room_returns(&self, sid: &str) -> bool {
        let (body, kind) = (self.body, &self.event.kind);
        let Some(Tombstone { at, began_at, .. }) = self.end_by_webhook(sid) else { return false };
        let is_another_life = *began_at > 0 && body.room.started_at_ms() > *began_at;
        match kind {
            // One queue has all events of a room, in the order in which LiveKit made them. So within one second the order
            // of arrival counts.
            Kind::RoomStarted => is_another_life || body.created_at_secs.0 >= at / 1000,
            Kind::ParticipantJoined => {
                let sid = &*body.participant.sid;
                (is_another_life || body.participant.joined_at_ms() > *at)
                    && (self.may_begin(sid) || self.participant_returns(sid))
            }
            _ => false,
        }
    }

    /// Returns true if a webhook proves that its participant is back although a webhook has reported that they left. A
    /// repeated join has the time of the former one.
    fn participant_returns(&self, sid: &str) -> bool {
        let body = &self.body.participant;
        let joined_at = body.joined_at_ms();
        self.event.kind == Kind::ParticipantJoined
            && &*body.state != "DISCONNECTED"
            && self.end_by_webhook(sid).is_some_and(|t| joined_at > t.at && joined_at > t.began_at)
    }

    /// Returns the tombstone if both it and the event come from webhooks, so that their times can be compared.
    fn end_by_webhook(&self, sid: &str) -> Option<&Tombstone> {
        let tombstone = self.project.tombstones.get(sid)?;
        (self.event.source == Source::Webhook && !tombstone.source.is_inferred()).then_some(tombstone)
    }

    /// Stores a tombstone. It replaces the tombstone of a webhook only if this ending is newer.
    fn bury(&mut self, sid: &Arc<str>, restricted: bool, began_at: u64, updated_at_ns: u64) {
        let former = self.project.tombstones.get(sid);
        if former.is_some_and(|former| !former.source.is_inferred() && former.updated_at_ns >= updated_at_ns)
        {
            return;
        }
        let tombstone = Tombstone {
            at: self.happened_at(),
            source: self.event.source,
            seq: self.event.seq.0,
            expires_at: self.now + TOMBSTONE_MS,
            restricted: restricted || former.is_some_and(|former| former.restricted),
            began_at,
            updated_at_ns,
        };
        self.project.tombstones.bury(sid, tombstone);
    }
}
