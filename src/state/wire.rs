//! The JSON of the contract: an entity as readers get it, whole or only the fields of a [`Mask`].

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;

use super::entity::{Counts, Egress, Ingress, Participant, Room, Track};

/// Which fields of an entity to write: one bit each.
pub type Mask = u32;

/// Every field, and what the entity is keyed by.
pub const ALL: Mask = Mask::MAX;

/// What never changes and only a whole entity carries.
const KEY: Mask = 1 << 31;

macro_rules! bits {
    ($module:ident: $($name:ident)*) => {
        pub(crate) mod $module {
            bits!(@ 0, $($name)*);
        }
    };
    (@ $bit:expr, $name:ident $($rest:ident)*) => {
        pub const $name: super::Mask = 1 << ($bit);
        bits!(@ $bit + 1, $($rest)*);
    };
    (@ $bit:expr,) => {};
}

bits!(room: STARTED_AT METADATA PARTICIPANTS AGENTS PUBLISHERS TRACKS RECORDING STALE);
bits!(participant: IDENTITY NAME KIND STATE HIDDEN JOINED_AT METADATA ATTRIBUTES PERMISSION REGION TRACKS);
bits!(egress: KIND STATUS STARTED_AT ENDED_AT ERROR OUTPUTS);
bits!(ingress: NAME KIND STATUS IDENTITY STARTED_AT ENDED_AT ERROR ROOM);

/// The contract's JSON of an entity, or of those of its fields that a mask names.
pub struct Wire<'a, T>(pub &'a T, pub Mask);

/// Writes the fields that the mask asks for.
struct Fields<M> {
    map: M,
    mask: Mask,
}

impl<M: SerializeMap> Fields<M> {
    fn put(&mut self, bit: Mask, key: &'static str, value: impl Serialize) -> Result<(), M::Error> {
        if self.mask & bit != 0 {
            self.map.serialize_entry(key, &value)?;
        }
        Ok(())
    }
}

fn known(time: u64) -> Option<u64> {
    (time > 0).then_some(time)
}

fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[derive(Serialize)]
struct TrackCounts {
    audio: u32,
    video: u32,
    screen: u32,
}

impl Serialize for Wire<'_, Room> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(self.1, serializer)?.end()
    }
}

impl Room {
    /// The whole room as a list shows it: with when LiveKit was last asked about it, which no change carries.
    pub fn listed<S: Serializer>(&self, checked_at: Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = self.write(ALL, serializer)?;
        map.serialize_entry("checkedAt", &checked_at)?;
        map.end()
    }

    fn write<S: Serializer>(&self, mask: Mask, serializer: S) -> Result<S::SerializeMap, S::Error> {
        use room::*;
        let Counts { audio, video, screen, .. } = self.counts;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &self.project)?;
        to.put(KEY, "sid", &self.sid)?;
        to.put(KEY, "name", &self.name)?;
        to.put(STARTED_AT, "startedAt", known(self.started_at))?;
        to.put(METADATA, "metadata", &self.metadata)?;
        to.put(PARTICIPANTS, "participantCount", self.counts.participants)?;
        to.put(AGENTS, "agentCount", self.counts.agents)?;
        to.put(PUBLISHERS, "publisherCount", self.counts.publishers)?;
        to.put(TRACKS, "trackCounts", TrackCounts { audio, video, screen })?;
        to.put(RECORDING, "recording", self.recording())?;
        to.put(STALE, "stale", self.stale)?;
        to.put(KEY, "source", self.source.as_str())?;
        to.put(KEY, "lastEventAt", self.last_event_at)?;
        Ok(to.map)
    }
}

impl Serialize for Wire<'_, Participant> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use participant::*;
        let Wire(of, mask) = *self;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &of.project)?;
        to.put(KEY, "room", &of.room)?;
        to.put(KEY, "roomSid", &of.room_sid)?;
        to.put(KEY, "sid", &of.sid)?;
        to.put(IDENTITY, "identity", &of.identity)?;
        to.put(NAME, "name", &of.name)?;
        to.put(KIND, "kind", &of.kind)?;
        to.put(STATE, "state", &of.state)?;
        to.put(HIDDEN, "hidden", of.hidden())?;
        to.put(HIDDEN | IDENTITY, "watcher", of.watcher())?;
        to.put(JOINED_AT, "joinedAt", known(of.joined_at))?;
        to.put(METADATA, "metadata", &of.metadata)?;
        to.put(ATTRIBUTES, "attributes", Attributes(of.attributes.as_deref()))?;
        to.put(PERMISSION, "permission", of.permission.as_deref().map(|p| &*p.json))?;
        to.put(REGION, "region", given(&of.region))?;
        to.put(KEY, "disconnectReason", None::<&str>)?;
        to.put(TRACKS, "tracks", Tracks(&of.tracks))?;
        to.map.end()
    }
}

/// None is an empty object.
struct Attributes<'a>(Option<&'a RawValue>);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(attributes) => attributes.serialize(serializer),
            None => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

struct Tracks<'a>(&'a [Track]);

impl Serialize for Tracks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for track in self.0 {
            list.serialize_element(&Wire(track, ALL))?;
        }
        list.end()
    }
}

impl Serialize for Wire<'_, Track> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sid", &of.sid)?;
        map.serialize_entry("name", &of.name)?;
        map.serialize_entry("type", &of.kind)?;
        map.serialize_entry("source", &of.source)?;
        map.serialize_entry("muted", &of.muted)?;
        map.serialize_entry("width", &of.width)?;
        map.serialize_entry("height", &of.height)?;
        map.serialize_entry("simulcast", &of.simulcast)?;
        map.serialize_entry("mimeType", &of.mime_type)?;
        map.serialize_entry("publishedAt", &known(of.published_at))?;
        map.end()
    }
}

impl Serialize for Wire<'_, Egress> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use egress::*;
        let Wire(of, mask) = *self;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &of.project)?;
        to.put(KEY, "room", &of.room)?;
        to.put(KEY, "roomSid", &of.room_sid)?;
        to.put(KEY, "egressId", given(&of.egress_id))?;
        to.put(KIND, "kind", &of.kind)?;
        to.put(STATUS, "status", &of.status)?;
        to.put(STARTED_AT, "startedAt", known(of.started_at))?;
        to.put(ENDED_AT, "endedAt", known(of.ended_at))?;
        to.put(ERROR, "error", given(&of.error))?;
        to.put(OUTPUTS, "outputs", &of.outputs)?;
        to.map.end()
    }
}

impl Serialize for Wire<'_, Ingress> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use ingress::*;
        let Wire(of, mask) = *self;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &of.project)?;
        to.put(ROOM, "room", &of.room)?;
        to.put(KEY, "ingressId", &of.ingress_id)?;
        to.put(NAME, "name", &of.name)?;
        to.put(KIND, "kind", &of.kind)?;
        to.put(STATUS, "status", &of.status)?;
        to.put(IDENTITY, "participantIdentity", given(&of.participant_identity))?;
        to.put(STARTED_AT, "startedAt", known(of.started_at))?;
        to.put(ENDED_AT, "endedAt", known(of.ended_at))?;
        to.put(ERROR, "error", given(&of.error))?;
        to.map.end()
    }
}
