//! One fact from LiveKit, and its position in the log.
//!
//! Nothing here does I/O or reads a clock: the fold over events must have the same result on every machine, at every
//! time.

pub mod body;
pub mod own;
pub mod reasons;

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::json::scan::Scan;

/// A position in the log: 1, 2, 3 … without holes. 0 is the position before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub const ZERO: Seq = Seq(0);

    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of one log. It is new when a log is created, restored or imported, so that a cursor of another log is
/// never taken for one of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// `<epoch>-<seq>`: the `id` of a server-sent event, and all that a reader has to keep.
///
/// It has only `[0-9a-z-]`, so a browser sends it back in `Last-Event-ID` without a CORS preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub epoch: Epoch,
    pub seq: Seq,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not a cursor. A reader then gets `unknown_epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is eight lower-case hex digits, a dash and a number")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (epoch, seq) = text.split_once('-').ok_or(NotACursor)?;
        let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        // `parse` alone would also take "+1" and upper-case digits: two spellings of one cursor.
        if epoch.len() != 8 || !epoch.bytes().all(hex) {
            return Err(NotACursor);
        }
        let padded = seq.len() > 1 && seq.starts_with('0');
        if seq.is_empty() || padded || !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotACursor);
        }
        Ok(Cursor {
            epoch: Epoch(u32::from_str_radix(epoch, 16).map_err(|_| NotACursor)?),
            seq: Seq(seq.parse().map_err(|_| NotACursor)?),
        })
    }
}

/// The sender of an event: LiveKit by a webhook, reconciliation after it asked LiveKit's API, or Roomwatch about
/// itself ([`own`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Webhook,
    Reconcile,
    Roomwatch,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Webhook => "webhook",
            Source::Reconcile => "reconcile",
            Source::Roomwatch => "roomwatch",
        }
    }

    /// Returns true for events that Roomwatch has inferred from LiveKit's lists.
    pub fn is_inferred(self) -> bool {
        self == Source::Reconcile
    }
}

macro_rules! kinds {
    ($($variant:ident = $name:literal,)*) => {
        /// The kind of an event: LiveKit's `event` field.
        ///
        /// LiveKit adds names without notice. An unknown name is kept as it arrived.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($variant,)* Unknown(Box<str>) }

        impl Kind {
            /// Every known name, in LiveKit's order. Roomwatch's names for facts without a webhook come last.
            pub const KNOWN: &'static [&'static str] = &[$($name),*];

            pub fn as_str(&self) -> &str {
                match self { $(Kind::$variant => $name,)* Kind::Unknown(name) => name }
            }
        }

        impl From<&str> for Kind {
            fn from(name: &str) -> Kind {
                match name { $($name => Kind::$variant,)* other => Kind::Unknown(other.into()) }
            }
        }
    };
}

kinds! {
    RoomStarted = "room_started",
    RoomFinished = "room_finished",
    ParticipantJoined = "participant_joined",
    ParticipantLeft = "participant_left",
    ParticipantConnectionAborted = "participant_connection_aborted",
    TrackPublished = "track_published",
    TrackUnpublished = "track_unpublished",
    EgressStarted = "egress_started",
    EgressUpdated = "egress_updated",
    EgressEnded = "egress_ended",
    IngressStarted = "ingress_started",
    IngressEnded = "ingress_ended",
    AgentJobStarted = "agent_job_started",
    AgentJobEnded = "agent_job_ended",
    // LiveKit has no webhooks for these (livekit#1501): only reconciliation finds them.
    TrackMuted = "track_muted",
    TrackUnmuted = "track_unmuted",
    ParticipantUpdated = "participant_updated",
    RoomUpdated = "room_updated",
}

impl Kind {
    /// Returns the index of the name in [`Kind::KNOWN`], if it is there.
    pub fn known(&self) -> Option<usize> {
        Kind::KNOWN.iter().position(|name| *name == self.as_str())
    }

    /// Returns false for facts that only reconciliation finds, because LiveKit has no webhook for them (livekit#1501).
    pub fn has_webhook(&self) -> bool {
        !matches!(self, Kind::TrackMuted | Kind::TrackUnmuted | Kind::ParticipantUpdated | Kind::RoomUpdated)
    }

    /// Returns the `type` that a reader gets. `connected` is Roomwatch's own, so an event of LiveKit with that name
    /// would be renamed.
    pub fn wire(&self) -> &str {
        match self.as_str() {
            "connected" => "livekit.connected",
            name => name,
        }
    }
}

/// One fact from LiveKit or from reconciliation, verified and redacted, at its position in the log.
#[derive(Clone, Debug)]
pub struct Event {
    pub seq: Seq,
    /// The project whose key signed it.
    pub project: Arc<str>,
    pub source: Source,
    /// When Roomwatch received it, in unix milliseconds. Retention counts from it.
    pub received_at: u64,
    pub kind: Kind,
    /// The room's name: `room.name`, else `egressInfo.roomName`, `ingressInfo.roomName`,
    /// `job.room.name`, else none.
    pub room: Option<Arc<str>>,
    /// The session the event belongs to, where LiveKit says: `room.sid`, else `egressInfo.roomId`,
    /// `ingressInfo.state.roomId`, `job.room.sid`.
    pub room_sid: Option<Arc<str>>,
    /// LiveKit's JSON object as it arrived, without secrets and without CR or LF.
    pub body: Bytes,
}

impl Event {
    /// Returns the identity of the event's participant: `participant.identity`.
    pub fn participant(&self) -> Option<Cow<'_, str>> {
        participant_of(&self.body)
    }
}

/// Returns `participant.identity` of the JSON object at the beginning of `text`.
pub fn participant_of(text: &[u8]) -> Option<Cow<'_, str>> {
    let mut from = Scan::new(std::str::from_utf8(text).ok()?);
    for wanted in ["participant", "identity"] {
        if !from.enters(b'{') {
            return None;
        }
        while from.key()? != wanted {
            from.skip();
        }
    }
    (from.peek() == b'"').then(|| from.string()).filter(|identity| !identity.is_empty())
}

/// An event that has no position in the log yet.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// LiveKit's `id`, or the SHA-256 of the body in hex where it sent none. Appending is
    /// idempotent by (project, id).
    pub id: Box<str>,
    pub project: Arc<str>,
    pub source: Source,
    pub received_at: u64,
    pub kind: Kind,
    pub room: Option<Arc<str>>,
    pub room_sid: Option<Arc<str>>,
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor: Cursor = "7f3a9c21-1042".parse().expect("a cursor");
        assert_eq!(cursor.to_string(), "7f3a9c21-1042");
        assert_eq!("7f3a9c21-0".parse::<Cursor>().map(|c| c.seq), Ok(Seq(0)));
        for junk in [
            "",
            "-",
            "7f3a9c21",
            "7f3a9c21-",
            "-1",
            "7F3A9C21-1",
            "7f3a9c2-1",
            "7f3a9c211-1",
            "7f3a9c21-+1",
            "7f3a9c21--1",
            "7f3a9c21-1 ",
            "7f3a9c21-00",
            "7f3a9c21-01",
            "7f3a9c21-18446744073709551616",
            "zzzzzzzz-1",
        ] {
            assert_eq!(junk.parse::<Cursor>(), Err(NotACursor), "{junk:?}");
        }
    }

    #[test]
    fn every_known_name_is_kept_and_connected_stays_ours() {
        for name in Kind::KNOWN {
            let kind = Kind::from(*name);
            assert!(!matches!(kind, Kind::Unknown(_)), "{name}");
            assert_eq!(kind.as_str(), *name);
        }
        assert_eq!(Kind::from("room_exploded").wire(), "room_exploded");
        assert_eq!(Kind::from("connected").wire(), "livekit.connected");
    }
}
