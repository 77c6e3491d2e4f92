//! The progress of a project's comparison with LiveKit, as `GET /api/projects` shows it.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::livekit::CallError;

use super::{correction::Correction, diff::LastSeen};

/// Maximum number of corrections that are shown.
const SHOWN_CORRECTIONS: usize = 50;

/// LiveKit's last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    Ok,
    /// It does not answer, or its answers are not LiveKit's.
    Unreachable,
    /// It refuses the project's key.
    Unauthorized,
    /// The project has no URL: Roomwatch has only its webhooks.
    Unconfigured,
    /// Roomwatch has not asked yet.
    #[default]
    Unknown,
}

impl Reach {
    /// Returns true if LiveKit gave no answer that can be used.
    pub fn is_away(self) -> bool {
        matches!(self, Reach::Unreachable | Reach::Unauthorized)
    }
}

/// Egress or ingress of a LiveKit. Both need its Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    Ok,
    Unavailable,
    #[default]
    Unknown,
}

/// One correction. `at` is in unix milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[schema(as = Correction)]
pub struct ShownCorrection {
    pub at: u64,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = String)]
    pub room: Arc<str>,
    #[schema(value_type = String)]
    pub sid: Arc<str>,
    #[schema(value_type = String)]
    pub why: Cow<'static, str>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Health {
    pub reach: Reach,
    /// The reason why `reach` is not [`Reach::Ok`].
    pub error: Option<Box<str>>,
    /// When LiveKit last gave an answer, in unix milliseconds.
    pub(super) answered_at: Option<u64>,
    /// Since when LiveKit has given no answer that the state could be compared with, in unix milliseconds. `None` if its
    /// last answer was one.
    pub away_since: Option<u64>,
    /// When the last full run was done, in unix milliseconds.
    pub reconciled_at: Option<u64>,
    /// When the process began to count corrections, in unix milliseconds.
    pub since: u64,
    /// Number of corrections since then.
    pub corrections: u64,
    /// The last corrections, the newest first.
    pub last: VecDeque<ShownCorrection>,
    /// When the last corrections were made that a webhook should have reported, the newest first. Other corrections, such as
    /// mutes, are normal and more frequent.
    pub missed: VecDeque<u64>,
    pub egress: Capability,
    pub ingress: Capability,
}

impl Health {
    pub(super) fn failed(&mut self, error: &CallError, at: u64) {
        self.away_since.get_or_insert(self.answered_at.unwrap_or(at));
        self.reach = match error {
            CallError::Unauthorized { .. } => Reach::Unauthorized,
            _ => Reach::Unreachable,
        };
        self.error = Some(error.to_string().into());
    }

    pub(super) fn answered(&mut self, at: u64) {
        self.answered_at = Some(at);
        self.away_since = None;
        self.reach = Reach::Ok;
        self.error = None;
    }

    pub(super) fn corrected(&mut self, correction: &Correction) {
        self.corrections += 1;
        if correction.kind.has_webhook() {
            self.missed.truncate(SHOWN_CORRECTIONS - 1);
            self.missed.push_front(correction.received_at);
        }
        self.last.truncate(SHOWN_CORRECTIONS - 1);
        self.last.push_front(ShownCorrection {
            at: correction.received_at,
            kind: correction.kind.wire().to_owned(),
            room: correction.room.clone(),
            sid: correction.sid.clone(),
            why: correction.why.into(),
        });
    }
}

/// A sid is fresh if it was absent less than this before, in milliseconds.
const FRESH_MS: u64 = 10_000;

/// When each session was last compared, and which participants and tracks it had then.
#[derive(Debug, Default)]
pub struct Checked(HashMap<Arc<str>, Check>);

#[derive(Debug)]
struct Check {
    at: u64,
    sids: HashSet<Arc<str>>,
}

impl Checked {
    pub(super) fn note(&mut self, room_sid: &Arc<str>, at: u64, sids: impl Iterator<Item = Arc<str>>) {
        self.0.insert(room_sid.clone(), Check { at, sids: sids.collect() });
    }

    pub(super) fn retain(&mut self, live: impl Fn(&str) -> bool) {
        self.0.retain(|sid, _| live(sid));
    }

    /// Puts the sessions first whose last comparison is the longest ago: a full run may be replaced before its end.
    pub(super) fn sort<T>(&self, sessions: &mut [T], sid: impl Fn(&T) -> &str) {
        sessions.sort_by_key(|session| self.0.get(sid(session)).map_or(0, |check| check.at));
    }
}

impl LastSeen for Checked {
    fn room(&self, room_sid: &str) -> Option<u64> {
        self.0.get(room_sid).map(|check| check.at)
    }

    fn participant(&self, room_sid: &str, sid: &str) -> Option<u64> {
        self.0.get(room_sid).filter(|check| check.sids.contains(sid)).map(|check| check.at)
    }

    fn is_fresh(&self, room_sid: &str, sid: &str, at: u64) -> bool {
        let check = self.0.get(room_sid).filter(|check| at.saturating_sub(check.at) < FRESH_MS);
        check.is_some_and(|check| !check.sids.contains(sid))
    }
}
