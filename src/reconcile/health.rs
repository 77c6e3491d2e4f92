//! How a project's comparison with LiveKit is going: what `GET /api/projects` shows.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use serde::Serialize;

use crate::livekit::CallError;

use super::{correction::Correction, diff::LastSeen};

/// How many corrections are remembered to be shown.
const SHOWN_CORRECTIONS: usize = 50;

/// How LiveKit answered last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    Ok,
    /// It does not answer, or not as LiveKit does.
    Unreachable,
    /// It does not take the project's key.
    Unauthorized,
    /// The project has no URL: webhooks are all there is.
    Unconfigured,
    /// It has not been asked yet.
    #[default]
    Unknown,
}

/// Whether LiveKit has egress, or ingress: both need its Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    Ok,
    Unavailable,
    #[default]
    Unknown,
}

/// One correction, as it is shown. `at` in unix milliseconds.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Note {
    pub at: u64,
    #[serde(rename = "type")]
    pub kind: String,
    #[schema(value_type = String)]
    pub room: Arc<str>,
    #[schema(value_type = String)]
    pub sid: Arc<str>,
    pub why: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct Health {
    pub reach: Reach,
    /// Why it is not [`Reach::Ok`].
    pub error: Option<Box<str>>,
    /// When the last full comparison was done, in unix milliseconds.
    pub reconciled_at: Option<u64>,
    /// Since the process began.
    pub corrections: u64,
    /// The last of them, the newest first.
    pub last: VecDeque<Note>,
    pub egress: Availability,
    pub ingress: Availability,
}

impl Health {
    pub(super) fn failed(&mut self, error: &CallError) {
        self.reach = match error {
            CallError::Unauthorized { .. } => Reach::Unauthorized,
            _ => Reach::Unreachable,
        };
        self.error = Some(error.to_string().into());
    }

    pub(super) fn answered(&mut self) {
        self.reach = Reach::Ok;
        self.error = None;
    }

    pub(super) fn corrected(&mut self, correction: &Correction) {
        self.corrections += 1;
        self.last.truncate(SHOWN_CORRECTIONS - 1);
        self.last.push_front(Note {
            at: correction.received_at,
            kind: correction.kind.wire().to_owned(),
            room: correction.room.clone(),
            sid: correction.sid.clone(),
            why: correction.why,
        });
    }
}

/// A sid that was not there so shortly before is fresh, in milliseconds.
const FRESH_MS: u64 = 10_000;

/// When each session was last compared, and which participants and tracks were in it then.
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
