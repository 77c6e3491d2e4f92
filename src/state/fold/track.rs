//! The rules for tracks.

use super::Fold;
use crate::{
    event::{Kind, Source},
    state::{
        change::{Fact, Inferred},
        entity::{Participant, Track, TrackBody, participant::bits},
        word::word,
    },
};

impl Fold<'_> {
    pub(super) fn track(&mut self) {
        let (body, kind) = (self.body, &self.event.kind);
        let at = self.happened_at();
        self.with_participant(|fold, p| {
            let mut mask = 0;
            if p.identity.is_empty() && !body.participant.identity.is_empty() {
                p.identity = (&*body.participant.identity).into();
                mask |= bits::IDENTITY;
            }
            let changed = match kind {
                Kind::TrackUnpublished => fold.unpublish(p, at),
                Kind::TrackMuted => fold.publish(p, &body.track, Some(true)),
                Kind::TrackUnmuted => fold.publish(p, &body.track, Some(false)),
                _ => fold.publish(p, &body.track, None),
            };
            if changed { mask | bits::TRACKS } else { mask }
        });
    }

    /// Lists a track, or updates it if the event is newer. `muted` is the state that the event's kind implies. Returns
    /// true if that changed anything a reader sees.
    pub(super) fn publish(&mut self, p: &mut Participant, body: &TrackBody, muted: Option<bool>) -> bool {
        if body.sid.is_empty() {
            return false;
        }
        let at = match body.version.unix_micros.0 / 1000 {
            0 => self.happened_at(),
            version_ms => version_ms,
        };
        let event = self.event;
        let index = p.tracks.iter().position(|track| *track.sid == *body.sid);
        let known = index.map(|index| &p.tracks[index]);
        if let Some(known) = known {
            // An equal version carries nothing new, except that a mute need not have a newer one.
            let version = body.version.unix_micros.0;
            if version < known.version || (version == known.version && muted.is_none()) {
                return false;
            }
        } else if !self.may_begin(&body.sid) {
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
                Source::Webhook => self.sent_at(),
                _ => known.map_or(0, |known| known.webhook_at),
            },
        };
        let changed = known.is_none_or(|known| !known.looks_like(&new));
        if changed {
            let (project, room_sid, participant) = (p.project.clone(), p.room_sid.clone(), p.sid.clone());
            self.applied.facts.push(Fact::Track { project, room_sid, participant, track: new.clone() });
        }
        match index {
            Some(index) => p.tracks[index] = new,
            None => {
                // Most participants publish one or two: a vector that doubles would cost more than the tracks.
                p.tracks.reserve_exact(1);
                p.tracks.push(new);
            }
        }
        // The order of the list must not depend on the order in which the events arrived.
        p.tracks.sort_unstable_by(|a, b| (a.published_at, &a.sid).cmp(&(b.published_at, &b.sid)));
        changed
    }

    fn unpublish(&mut self, p: &mut Participant, at: u64) -> bool {
        let sid = &*self.body.track.sid;
        if sid.is_empty() {
            return false;
        }
        let inferred: Inferred =
            self.is_inferred().then(|| self.not_before().unwrap_or(p.last_known_at()).min(at));
        let index = p.tracks.iter().position(|track| *track.sid == *sid);
        if let Some(index) = index {
            p.tracks.remove(index);
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
        self.bury(&sid.into(), p.restricted(), 0, 0);
        index.is_some()
    }
}
