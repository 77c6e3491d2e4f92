//! The rooms, participants, tracks and recordings of the demo, as LiveKit's API lists them.
//!
//! Each has its JSON in Twirp's spelling. [`shape`](crate::livekit::shape) turns it into that of a webhook, so the lists
//! and the webhooks agree.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

/// A sid or an id of LiveKit.
pub type Sid = Arc<str>;

pub struct Room {
    pub sid: Sid,
    pub name: String,
    pub metadata: String,
    pub created_ms: u64,
    pub empty_timeout_secs: u64,
    pub max_participants: u64,
    /// Time at which it ends if no participant has joined by then.
    pub closes_at: Option<u64>,
    /// Number of people that its meeting has at most.
    pub people_max: usize,
    pub people: Vec<Person>,
}

/// Seconds for which a room waits after its last participant has left: LiveKit's default.
pub const DEPARTURE_TIMEOUT_SECS: u64 = 20;
/// Seconds for which a new room waits for its first participant: LiveKit's default.
pub const EMPTY_TIMEOUT_SECS: u64 = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Standard,
    Agent,
    Sip,
}

/// A participant before and after joining: a guest who loses the connection joins again.
#[derive(Clone, Debug)]
pub struct Guest {
    pub identity: String,
    pub name: String,
    pub kind: Kind,
    pub has_camera: bool,
    pub attributes: BTreeMap<String, String>,
    pub leaves_at: u64,
}

impl Guest {
    /// Returns the reason for which a call ends that is not answered.
    pub fn call_failure(&self) -> Option<&'static str> {
        match self.attributes.get("sip.callStatus")?.as_str() {
            "ringing" => Some("USER_UNAVAILABLE"),
            "dialing" => Some("USER_REJECTED"),
            _ => None,
        }
    }
}

pub fn agent_attributes() -> BTreeMap<String, String> {
    [("lk.agent.name", "receptionist"), ("lk.agent.state", "listening")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

pub struct Person {
    pub sid: Sid,
    pub guest: Guest,
    pub metadata: String,
    pub permission: Map<String, Value>,
    pub joined_ms: u64,
    pub version: u64,
    pub tracks: Vec<Track>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Microphone,
    Camera,
    Screen,
}

pub struct Track {
    pub sid: Sid,
    pub source: Source,
    pub muted: bool,
}

/// A recording. It stays in the list for a day after its end.
pub struct Egress {
    pub id: Sid,
    pub room_sid: Sid,
    pub room: String,
    pub status: &'static str,
    pub error: Option<&'static str>,
    pub started_ms: u64,
    pub updated_ms: u64,
    pub ended_ms: Option<u64>,
}

impl Room {
    pub fn json(&self, is_recorded: bool) -> Value {
        let standard = self.people.iter().filter(|person| person.guest.kind != Kind::Agent);
        let publishers = self.people.iter().filter(|person| !person.tracks.is_empty());
        json!({
            "sid": &*self.sid,
            "name": self.name,
            "empty_timeout": self.empty_timeout_secs,
            "departure_timeout": DEPARTURE_TIMEOUT_SECS,
            "max_participants": self.max_participants,
            "creation_time": (self.created_ms / 1000).to_string(),
            "creation_time_ms": self.created_ms.to_string(),
            "turn_password": "REDACT-ME-simulated",
            "enabled_codecs": [{ "mime": "audio/opus" }, { "mime": "video/VP8" }],
            "metadata": self.metadata,
            "num_participants": standard.count(),
            "num_publishers": publishers.count(),
            "active_recording": is_recorded,
        })
    }

    /// Returns the room as webhooks about tracks and recordings name it.
    pub fn brief(&self) -> Value {
        json!({ "sid": &*self.sid, "name": self.name })
    }

    /// Returns the number of participants that are not agents.
    pub fn counted(&self) -> usize {
        self.people.iter().filter(|person| person.guest.kind != Kind::Agent).count()
    }
}

impl Person {
    pub fn json(&self, state: &str, reason: &str) -> Value {
        json!({
            "sid": &*self.sid,
            "identity": self.guest.identity,
            "state": state,
            "tracks": self.tracks.iter().map(Track::json).collect::<Vec<_>>(),
            "metadata": self.metadata,
            "joined_at": (self.joined_ms / 1000).to_string(),
            "joined_at_ms": self.joined_ms.to_string(),
            "name": self.guest.name,
            "version": self.version,
            "permission": self.permission,
            "is_publisher": !self.tracks.is_empty(),
            "kind": match self.guest.kind {
                Kind::Standard => "STANDARD",
                Kind::Agent => "AGENT",
                Kind::Sip => "SIP",
            },
            "attributes": self.guest.attributes,
            "disconnect_reason": reason,
        })
    }

    /// Mutes the microphone, or unmutes it.
    pub fn mute_self(&mut self) {
        if let Some(track) = self.tracks.iter_mut().find(|track| track.source == Source::Microphone) {
            track.muted = !track.muted;
            self.version += 1;
        }
    }

    /// Returns the participant as webhooks about tracks name it.
    pub fn brief(&self) -> Value {
        json!({ "sid": &*self.sid, "identity": self.guest.identity })
    }
}

impl Track {
    pub fn json(&self) -> Value {
        let (kind, source, mime, width, height) = match self.source {
            Source::Microphone => ("AUDIO", "MICROPHONE", "audio/opus", 0, 0),
            Source::Camera => ("VIDEO", "CAMERA", "video/VP8", 1280, 720),
            Source::Screen => ("VIDEO", "SCREEN_SHARE", "video/VP8", 1920, 1080),
        };
        json!({
            "sid": &*self.sid,
            "type": kind,
            "source": source,
            "muted": self.muted,
            "width": width,
            "height": height,
            "simulcast": self.source == Source::Camera,
            "mime_type": mime,
        })
    }
}

impl Egress {
    pub fn is_live(&self) -> bool {
        self.ended_ms.is_none()
    }

    pub fn json(&self) -> Value {
        let ns = |ms: u64| (u128::from(ms) * 1_000_000).to_string();
        let path = format!("recordings/{}-{}.mp4", self.room, self.id);
        let file = json!({
            "filename": path,
            "started_at": ns(self.started_ms),
            "ended_at": ns(self.ended_ms.unwrap_or_default()),
            "duration": ns(self.ended_ms.unwrap_or_default().saturating_sub(self.started_ms)),
            "size": (self.ended_ms.unwrap_or_default().saturating_sub(self.started_ms) * 180).to_string(),
            "location": format!("https://acme-recordings.s3.eu-west-1.amazonaws.com/{path}"),
        });
        let is_complete = self.status == "EGRESS_COMPLETE";
        json!({
            "egress_id": &*self.id,
            "room_id": &*self.room_sid,
            "room_name": self.room,
            "status": self.status,
            "started_at": ns(self.started_ms),
            "updated_at": ns(self.updated_ms),
            "ended_at": ns(self.ended_ms.unwrap_or_default()),
            "error": self.error.unwrap_or_default(),
            "error_code": if self.error.is_some() { 403 } else { 0 },
            "room_composite": {
                "room_name": self.room,
                "layout": "grid",
                "file_outputs": [{ "file_type": "MP4", "filepath": path }],
            },
            "file_results": if is_complete { vec![file] } else { Vec::new() },
        })
    }
}

/// Returns the permission of a new participant.
pub fn permission(kind: Kind) -> Map<String, Value> {
    let may = ["can_subscribe", "can_publish", "can_publish_data"];
    let mut permission: Map<String, Value> =
        may.iter().map(|name| ((*name).to_owned(), true.into())).collect();
    if kind == Kind::Agent {
        permission.insert("agent".into(), true.into());
    }
    permission
}
