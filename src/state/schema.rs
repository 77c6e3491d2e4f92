//! The wire's entities as OpenAPI describes them. Nothing makes one: what is written comes from
//! [`super::Wire`], and a test holds the two to the same fields.

use utoipa::ToSchema;

/// One live session of a room.
#[derive(ToSchema)]
#[schema(as = Room, rename_all = "camelCase")]
pub struct RoomSchema {
    pub project: String,
    /// LiveKit's id of this life of the room; a name may have several over time.
    pub sid: String,
    pub name: String,
    /// Unix milliseconds; null while only partial events have told of the room.
    #[schema(required)]
    pub started_at: Option<u64>,
    pub metadata: String,
    /// Those that are neither hidden, nor agents, nor egress.
    pub participant_count: u32,
    pub agent_count: u32,
    /// Those of `participantCount` that publish something.
    pub publisher_count: u32,
    #[schema(inline)]
    pub track_counts: TrackCountsSchema,
    pub recording: bool,
    /// LiveKit lists it, but it is an entry that a crashed node has left behind.
    pub stale: bool,
    /// `webhook` or `reconcile`: who told of it first.
    #[schema(inline)]
    pub source: SourceSchema,
    /// When the last event about it was received. In lists; take it from the messages' `timestamp` after that.
    pub last_event_at: u64,
    /// When LiveKit was last asked about it; null if it has not been. In lists only, in no change.
    pub checked_at: Option<u64>,
}

#[derive(ToSchema)]
#[schema(as = TrackCounts)]
pub struct TrackCountsSchema {
    pub audio: u32,
    pub video: u32,
    pub screen: u32,
}

#[derive(ToSchema)]
#[schema(as = Source, rename_all = "lowercase")]
pub enum SourceSchema {
    Webhook,
    Reconcile,
}

/// Somebody who is in a room now.
#[derive(ToSchema)]
#[schema(as = Participant, rename_all = "camelCase")]
pub struct ParticipantSchema {
    pub project: String,
    pub room: String,
    pub room_sid: String,
    pub sid: String,
    pub identity: String,
    pub name: String,
    /// `standard`, `agent`, `sip`, `ingress`, `egress`, or what LiveKit adds.
    pub kind: String,
    /// `joining`, `joined`, `active`, `disconnected`, or `unknown` where only a track has told of them.
    pub state: String,
    pub hidden: bool,
    /// Roomwatch's own guest, who watches the room for an operator.
    pub watcher: bool,
    #[schema(required)]
    pub joined_at: Option<u64>,
    pub metadata: String,
    #[schema(value_type = std::collections::HashMap<String, String>)]
    pub attributes: (),
    /// LiveKit's `ParticipantPermission`, without what is false.
    #[schema(required, value_type = Option<Object>)]
    pub permission: (),
    #[schema(required)]
    pub region: Option<String>,
    /// Null while they are there.
    #[schema(required)]
    pub disconnect_reason: Option<String>,
    pub tracks: Vec<TrackSchema>,
}

#[derive(ToSchema)]
#[schema(as = Track, rename_all = "camelCase")]
pub struct TrackSchema {
    pub sid: String,
    pub name: String,
    /// `audio`, `video` or `data`.
    pub r#type: String,
    /// `camera`, `microphone`, `screen_share`, `screen_share_audio` or `unknown`.
    pub source: String,
    pub muted: bool,
    pub width: u32,
    pub height: u32,
    pub simulcast: bool,
    pub mime_type: String,
    #[schema(required)]
    pub published_at: Option<u64>,
}

/// A recording or a stream out of LiveKit.
#[derive(ToSchema)]
#[schema(as = Egress, rename_all = "camelCase")]
pub struct EgressSchema {
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    /// Null where LiveKit could not even launch it.
    #[schema(required)]
    pub egress_id: Option<String>,
    /// `room_composite`, `web`, `participant`, `track_composite`, `track` or `unknown`.
    pub kind: String,
    /// `starting`, `active`, `ending`, `complete`, `failed`, `aborted` or `limit_reached`.
    pub status: String,
    #[schema(required)]
    pub started_at: Option<u64>,
    #[schema(required)]
    pub ended_at: Option<u64>,
    #[schema(required)]
    pub error: Option<String>,
    pub outputs: Vec<OutputSchema>,
}

/// Where an egress wrote to.
#[derive(ToSchema)]
#[schema(as = Output, rename_all = "camelCase")]
pub struct OutputSchema {
    /// `file`, `stream`, `segments` or `images`.
    pub kind: String,
    /// A file's, a playlist's or a prefix's name, or the masked URL of a stream.
    pub name: String,
    pub location: String,
    #[schema(required)]
    pub status: Option<String>,
    #[schema(required)]
    pub error: Option<String>,
    pub size_bytes: u64,
    pub duration_ms: u64,
}

/// Media that is sent into LiveKit.
#[derive(ToSchema)]
#[schema(as = Ingress, rename_all = "camelCase")]
pub struct IngressSchema {
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    pub ingress_id: String,
    pub name: String,
    /// `rtmp`, `whip` or `url`.
    pub kind: String,
    /// `inactive`, `buffering`, `publishing`, `error` or `complete`.
    pub status: String,
    #[schema(required)]
    pub participant_identity: Option<String>,
    #[schema(required)]
    pub started_at: Option<u64>,
    #[schema(required)]
    pub ended_at: Option<u64>,
    #[schema(required)]
    pub error: Option<String>,
}

/// What one event altered of one entity.
#[derive(ToSchema)]
#[schema(as = Change, rename_all = "camelCase")]
pub struct ChangeSchema {
    pub op: OpSchema,
    pub kind: EntityKindSchema,
    /// Its sid or id.
    pub id: String,
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    /// `set`: the whole entity. `patch`: the top-level fields that changed, each whole. `delete`: null; a room takes
    /// everything under its `roomSid` with it.
    #[schema(required, value_type = Option<Object>)]
    pub value: (),
}

#[derive(ToSchema)]
#[schema(as = ChangeOp, rename_all = "lowercase")]
pub enum OpSchema {
    Set,
    Patch,
    Delete,
}

#[derive(ToSchema)]
#[schema(as = EntityKind, rename_all = "lowercase")]
pub enum EntityKindSchema {
    Room,
    Participant,
    Egress,
    Ingress,
}
