//! Claims of LiveKit's answers that are believed only when a later answer repeats them.
//!
//! LiveKit's store lags, and a list can be empty or short once. So the absence of a live entity is a claim, and so is the
//! presence of one that a webhook has ended. One answer makes the claim, and another, at least [`CONFIRM_MS`] later,
//! confirms it. An answer in between that says the opposite, or a webhook, withdraws it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{correction::Correction, diff::Asked};
use crate::event::Kind;

/// Minimum time between two answers that agree, in milliseconds.
pub const CONFIRM_MS: u64 = 2_000;
/// Times for which an entity must be absent: the first, and after one, two and more ends of the same entity that a
/// webhook has contradicted. A list that lacks a live room must not end it again and again. What only a list has
/// contradicted does not count: that list may have lagged.
const PATIENCE_MS: [u64; 4] = [CONFIRM_MS, 10 * 60_000, 60 * 60_000, 12 * 60 * 60_000];
/// Maximum number of entities whose inferred ends are remembered. At the limit all are forgotten: then one may end once
/// more.
const ENDED_MAX: usize = 20_000;

/// Result of one more answer that makes a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Two answers agree.
    Confirmed,
    /// The question has to be asked again soon.
    Asked,
    /// Later answers decide. No question has to be asked for it.
    Waits,
}

/// Claims of one project.
#[derive(Debug, Default)]
pub struct Doubts {
    absent: HashMap<Arc<str>, First>,
    present: HashMap<Arc<str>, First>,
    /// The sid of the room of each entity in `present`; of a room its own.
    rooms: HashMap<Arc<str>, Arc<str>>,
    ended: HashMap<Arc<str>, Ended>,
}

/// The inferred ends of one entity.
#[derive(Debug, Default)]
struct Ended {
    /// The time of the last one, in unix milliseconds; 0 if a webhook has contradicted it.
    at: u64,
    /// The number that a webhook has contradicted.
    contradicted: usize,
}

/// The first answer that makes a claim.
#[derive(Clone, Copy, Debug)]
struct First {
    running: Duration,
    /// The same time in unix milliseconds.
    at: u64,
    /// The last answer that makes it.
    last: Duration,
}

impl Doubts {
    /// Notes that an answer lacks a live entity. `webhook_at` is when LiveKit sent the last webhook about it.
    pub fn absent(&mut self, sid: &Arc<str>, webhook_at: u64, asked: Asked) -> Claim {
        let contradicted = self.ended.get_mut(sid).map_or(0, |ended| {
            // An end is never inferred so soon after a webhook.
            if ended.at > 0 && webhook_at + CONFIRM_MS > ended.at {
                *ended = Ended { at: 0, contradicted: ended.contradicted + 1 };
            }
            ended.contradicted.min(PATIENCE_MS.len() - 1)
        });
        claim(&mut self.absent, sid, asked, PATIENCE_MS[contradicted])
    }

    /// Notes that an answer has an entity, or that a webhook about it is newer than the answer.
    pub fn is_there(&mut self, sid: &str) {
        self.absent.remove(sid);
    }

    /// Notes that an answer has an entity that a webhook has ended. `room_sid` of a room is its own.
    pub fn returned(&mut self, room_sid: &Arc<str>, sid: &Arc<str>, asked: Asked) -> Claim {
        self.rooms.insert(sid.clone(), room_sid.clone());
        claim(&mut self.present, sid, asked, CONFIRM_MS)
    }

    /// Notes that an answer has only these of the entities that webhooks have ended: a list of all rooms (no `room_sid`)
    /// has these rooms, or a list of participants has these participants and tracks of its room.
    pub fn still_there(&mut self, room_sid: Option<&str>, has: impl Fn(&str) -> bool) {
        let rooms = &self.rooms;
        self.present.retain(|sid, _| match (rooms.get(sid), room_sid) {
            (Some(room), None) => has(room),
            (Some(room), Some(listed)) if **room == *listed && room != sid => has(sid),
            _ => true,
        });
        let present = &self.present;
        self.rooms.retain(|sid, _| present.contains_key(sid));
    }

    /// Returns since when answers lack a live entity, in unix milliseconds.
    pub fn absent_since(&self, sid: &str) -> Option<u64> {
        self.absent.get(sid).map(|first| first.at)
    }

    /// Returns the ids of the absent entities among these, in order, so that equal inputs give equal questions.
    pub fn among<'a>(&self, ids: impl Iterator<Item = &'a Arc<str>>) -> Vec<Arc<str>> {
        let mut absent: Vec<_> = ids.filter(|id| self.absent.contains_key(*id)).cloned().collect();
        absent.sort_unstable();
        absent
    }

    /// Notes that corrections are in the log.
    pub fn settled<'a>(&mut self, corrections: impl IntoIterator<Item = &'a Correction>) {
        for correction in corrections {
            self.present.remove(&correction.sid);
            self.rooms.remove(&correction.sid);
            let ends = matches!(
                correction.kind,
                Kind::RoomFinished
                    | Kind::ParticipantLeft
                    | Kind::TrackUnpublished
                    | Kind::EgressEnded
                    | Kind::IngressEnded
            );
            if ends {
                self.absent.remove(&correction.sid);
                if self.ended.len() >= ENDED_MAX {
                    self.ended.clear();
                }
                self.ended.entry(correction.sid.clone()).or_default().at = correction.received_at;
            }
        }
    }

    /// Forgets claims that no answer has made for `time`: their entities have ended, or are listed again.
    pub(super) fn forget(&mut self, now: Duration, time: Duration) {
        let is_kept = |_: &Arc<str>, first: &mut First| first.last + time >= now;
        self.absent.retain(is_kept);
        self.present.retain(is_kept);
        let present = &self.present;
        self.rooms.retain(|sid, _| present.contains_key(sid));
    }
}

fn claim(claims: &mut HashMap<Arc<str>, First>, sid: &Arc<str>, asked: Asked, patience_ms: u64) -> Claim {
    let first = First { running: asked.running, at: asked.at, last: asked.running };
    let first = claims.entry(sid.clone()).or_insert(first);
    first.last = asked.running;
    if asked.running >= first.running + Duration::from_millis(patience_ms) {
        Claim::Confirmed
    } else if patience_ms <= CONFIRM_MS {
        Claim::Asked
    } else {
        Claim::Waits
    }
}
