//! One live session of a room.

use std::sync::Arc;

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeStruct},
};

use super::Counts;
use crate::{
    event::Source,
    state::{
        mask::{ALL, known},
        read::{Int, Text},
        table::entity,
    },
};

/// A room's part of an event.
pub(in crate::state) struct Update<'a, 'b> {
    /// Carries the whole room: see [`RoomBody::is_full`].
    pub body: &'a RoomBody<'b>,
    /// `createdAt` of the event.
    pub created_at_secs: u64,
    /// True if `createdAt` was read from LiveKit's clock. The one of a correction was read from ours.
    pub is_webhook: bool,
}

entity! {
    /// One live session of a room.
    Room { derived: RoomDerived, body: RoomBody<'a>, schema: RoomSchema as Room, }
    |room, update: Update<'_, '_>, words|
    fields {
        KEY project {
            stored: Arc<str>,
            shares: room.project = words.text(&room.project),
            wire: "project",
            schema: String,
        }
        /// LiveKit's id of this session; a name may have several over time.
        KEY sid {
            stored: Arc<str>,
            wire: "sid",
            schema: String,
        }
        KEY name {
            stored: Arc<str>,
            wire: "name",
            schema: String,
        }
        /// Unix milliseconds; null while only partial events about the room have arrived.
        STARTED_AT started_at {
            stored: u64,
            body: { created_at_secs: Int = "creationTime", created_at_ms: Int = "creationTimeMs" },
            takes: room.started_at == 0 && {
                room.started_at = update.body.started_at_ms();
                true
            },
            wire: "startedAt" = known(room.started_at),
            schema: #[schema(required)] Option<u64>,
        }
        // Shared: it may be half a megabyte, and an event copies the room if a reader still holds it.
        METADATA metadata {
            stored: Arc<str>,
            body: { metadata: Text<'a> = "metadata" },
            takes: update.created_at_secs >= room.metadata_at_secs && {
                if update.is_webhook {
                    room.metadata_at_secs = update.created_at_secs;
                }
                let changed = *room.metadata != *update.body.metadata;
                if changed {
                    room.metadata = (&*update.body.metadata).into();
                }
                changed
            },
            wire: "metadata",
            schema: String,
        }
        /// Participants that are neither hidden, nor agents, nor egress.
        PARTICIPANTS participant_count {
            derived: u32 = room.counts.participants,
            wire: "participantCount",
            schema: u32,
        }
        AGENTS agent_count {
            derived: u32 = room.counts.agents,
            wire: "agentCount",
            schema: u32,
        }
        /// Those of `participantCount` that are phones: participants of kind SIP.
        CALLS call_count {
            derived: u32 = room.counts.calls,
            wire: "callCount",
            schema: u32,
        }
        /// Those of `participantCount` that publish at least one track.
        PUBLISHERS publisher_count {
            derived: u32 = room.counts.publishers,
            wire: "publisherCount",
            schema: u32,
        }
        TRACKS track_counts {
            derived: TrackCounts = room.track_counts(),
            wire: "trackCounts",
            schema: #[schema(inline)] TrackCounts,
        }
        RECORDING recording {
            derived: bool = room.recording(),
            wire: "recording",
            schema: bool,
        }
        /// True for an entry that a crashed LiveKit node has left behind: LiveKit lists the room, and it is empty.
        STALE stale {
            stored: bool,
            wire: "stale",
            schema: bool,
        }
        /// The origin of the first event about it: `webhook` or `reconcile`.
        KEY source {
            wire: "source" = room.source.as_str(),
            schema: SourceSchema,
        }
        /// When Roomwatch received the last event about it. In lists; later, use the `timestamp` of the messages.
        KEY last_event_at {
            stored: u64,
            wire: "lastEventAt",
            schema: u64,
        }
    }
    body_only {}
    internal {
        counts: Counts,
        /// The last event about the room or anything in it.
        last_seq: u64,
        /// When a webhook about it last arrived; 0 if none has. Reconciliation waits a little after one.
        webhook_at: u64,
        /// The `createdAt` of the webhook that made it live again; 0 for a first life. An end from before is of the former
        /// life.
        #[serde(default)]
        returned_at_secs: u64,
        /// The `createdAt` of the last webhook that `metadata` is from: older bodies do not overwrite it.
        metadata_at_secs: u64,
    }
    given {
        /// The origin of the first event about it.
        source: Source,
        /// The first event about the room or anything in it.
        first_seq: u64,
        /// When that event was received: replaces `started_at` while that is unknown.
        first_event_at: u64,
    }
    listed {
        /// When LiveKit was last asked about it; null if it has not been. In lists only, in no change.
        checked_at: Option<u64>,
        /// Since when neither LiveKit's API nor a webhook has confirmed the room: LiveKit does not answer, or its answers
        /// lack the room. Null while the room is confirmed. In lists only, in no change.
        unconfirmed_since: Option<u64>,
    }
}

/// Confirmation of a room by LiveKit. Times are unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// When LiveKit was last asked about it.
    pub checked_at: Option<u64>,
    /// Start of the time without a confirmation. `None` while it is confirmed.
    pub unconfirmed_since: Option<u64>,
}

/// Tracks of a room by what they show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema)]
pub struct TrackCounts {
    pub audio: u32,
    pub video: u32,
    pub screen: u32,
}

impl Serialize for TrackCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut counts = serializer.serialize_struct("TrackCounts", 3)?;
        counts.serialize_field("audio", &self.audio)?;
        counts.serialize_field("video", &self.video)?;
        counts.serialize_field("screen", &self.screen)?;
        counts.end()
    }
}

impl Room {
    pub fn recording(&self) -> bool {
        self.counts.is_recording()
    }

    fn track_counts(&self) -> TrackCounts {
        let Counts { audio, video, screen, .. } = self.counts;
        TrackCounts { audio, video, screen }
    }

    /// Returns when it started, or when the first event about it was received while the start is unknown.
    pub fn began_at(&self) -> u64 {
        if self.started_at > 0 { self.started_at } else { self.first_event_at }
    }

    /// Sorts the newest of several live sessions of one name last.
    pub(in crate::state) fn age(&self) -> (u64, u64) {
        (self.began_at(), self.first_seq)
    }

    /// Writes the whole room as a list shows it: with how LiveKit confirms it, which no change carries.
    pub fn listed<S: Serializer>(&self, confirmed: Confirmed, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = self.write(ALL, serializer)?;
        map.serialize_entry("checkedAt", &confirmed.checked_at)?;
        map.serialize_entry("unconfirmedSince", &confirmed.unconfirmed_since)?;
        map.end()
    }
}

impl RoomBody<'_> {
    /// Returns true if the event carries the whole room. Track events carry its sid and name only: what they leave
    /// out is unknown, not empty.
    pub fn is_full(&self) -> bool {
        self.created_at_ms.0 > 0 || self.created_at_secs.0 > 0
    }

    pub fn started_at_ms(&self) -> u64 {
        Int::millis(self.created_at_ms, self.created_at_secs)
    }

    /// Returns true if its session was created before this time. Older LiveKit servers send seconds only.
    pub fn began_before(&self, started_at: u64) -> bool {
        match (self.created_at_ms.0, self.created_at_secs.0) {
            (0, secs) => secs > 0 && secs < started_at / 1000,
            (ms, _) => ms < started_at,
        }
    }
}

#[derive(utoipa::ToSchema)]
#[schema(as = Source, rename_all = "lowercase")]
pub enum SourceSchema {
    Webhook,
    Reconcile,
}
