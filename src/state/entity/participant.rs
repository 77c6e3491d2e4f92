//! A participant of a live session.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::value::{RawValue, Value};

use super::{Counts, Track, TrackBody, TrackSchema};
use crate::{
    event::Source,
    json::scan::Scan,
    state::{
        mask::{ALL, Wire, given, known},
        permission::Permission,
        read::{Int, List, Raw, Text},
        table::entity,
        word::{Word, share, word},
        words::Words,
    },
};

/// A participant's part of an event.
pub(in crate::state) struct Update<'a, 'b> {
    pub body: &'a ParticipantBody<'b>,
    pub permission: Option<Arc<Permission>>,
    /// The state that LiveKit left out because it is the zero value.
    pub state_zero: &'static str,
    pub words: &'a mut Words,
}

entity! {
    /// A participant who is in a room now.
    Participant {
        derived: ParticipantDerived,
        body: ParticipantBody<'a>,
        schema: ParticipantSchema as Participant,
    }
    |p, update: Update<'_, '_>, words|
    fields {
        KEY project {
            stored: #[serde(skip)] Arc<str>,
            wire: "project",
            schema: String,
        }
        KEY room {
            stored: #[serde(skip)] Arc<str>,
            wire: "room",
            schema: String,
        }
        KEY room_sid {
            stored: #[serde(skip)] Arc<str>,
            wire: "roomSid",
            schema: String,
        }
        KEY sid {
            stored: Arc<str>,
            body: { sid: Text<'a> = "sid" },
            wire: "sid",
            schema: String,
        }
        IDENTITY identity {
            stored: Box<str>,
            body: { identity: Text<'a> = "identity" },
            takes: replace_text(&mut p.identity, &update.body.identity),
            wire: "identity",
            schema: String,
        }
        NAME name {
            stored: Box<str>,
            body: { name: Text<'a> = "name" },
            takes: replace_text(&mut p.name, &update.body.name),
            wire: "name",
            schema: String,
        }
        /// `standard`, `agent`, `sip`, `ingress`, `egress`, or what LiveKit adds.
        KIND kind {
            stored: Word,
            body: { kind: Text<'a> = "kind" },
            takes: replace(&mut p.kind, word(&update.body.kind, "", "standard")),
            shares: share(&mut p.kind),
            wire: "kind",
            schema: String,
        }
        /// `joining`, `joined`, `active`, `disconnected`, or `unknown` while only track events have arrived.
        STATE state {
            stored: Word,
            body: { state: Text<'a> = "state" },
            takes: replace(&mut p.state, word(&update.body.state, "", update.state_zero)),
            shares: share(&mut p.state),
            wire: "state",
            schema: String,
        }
        HIDDEN hidden {
            derived: bool = p.hidden(),
            wire: "hidden",
            schema: bool,
        }
        /// True for the hidden participant through which an operator watches the room in Roomwatch.
        WATCHER watcher {
            derived: bool = p.watcher(),
            wire: "watcher",
            schema: bool,
        }
        JOINED_AT joined_at {
            stored: u64,
            body: { joined_at_secs: Int = "joinedAt", joined_at_ms: Int = "joinedAtMs" },
            takes: {
                let joined_at = update.body.joined_at_ms();
                joined_at > 0 && replace(&mut p.joined_at, joined_at)
            },
            wire: "joinedAt" = known(p.joined_at),
            schema: #[schema(required)] Option<u64>,
        }
        METADATA metadata {
            stored: Box<str>,
            body: { metadata: Text<'a> = "metadata" },
            takes: replace_text(&mut p.metadata, &update.body.metadata),
            wire: "metadata",
            schema: String,
        }
        // An object with sorted keys; `None` is `{}`.
        ATTRIBUTES attributes {
            stored: Option<Box<RawValue>>,
            body: { attributes: Raw<'a> = "attributes" },
            takes: replace_attributes(&mut p.attributes, update.body.attributes.object()),
            wire: "attributes" = Attributes(p.attributes.as_deref()),
            schema: #[schema(value_type = std::collections::HashMap<String, String>)] (),
        }
        /// LiveKit's `ParticipantPermission`, without members that are false.
        PERMISSION permission {
            stored: Option<Arc<Permission>>,
            body: { permission: Raw<'a> = "permission" },
            takes: replace_permission(&mut p.permission, &update.permission),
            shares: p.permission =
                p.permission.take().and_then(|permission| words.permission(permission.json.get())),
            wire: "permission" = p.permission.as_deref().map(|permission| &*permission.json),
            schema: #[schema(required, value_type = Option<Object>)] (),
        }
        REGION region {
            stored: Arc<str>,
            body: { region: Text<'a> = "region" },
            takes: *p.region != *update.body.region && {
                p.region = update.words.text(&update.body.region);
                true
            },
            shares: p.region = words.text(&p.region),
            wire: "region" = given(&p.region),
            schema: #[schema(required)] Option<String>,
        }
        /// Null while the participant is in the room.
        KEY disconnect_reason {
            body: { disconnect_reason: Text<'a> = "disconnectReason" },
            wire: "disconnectReason" = None::<&str>,
            schema: #[schema(required)] Option<String>,
        }
        // The fold updates each track by itself.
        TRACKS tracks {
            stored: Vec<Track>,
            body: { tracks: List<TrackBody<'a>> = "tracks" },
            shares: {
                p.tracks.shrink_to_fit();
                p.tracks.iter_mut().for_each(|track| track.share(words));
            },
            wire: "tracks" = Tracks(&p.tracks),
            schema: Vec<TrackSchema>,
        }
    }
    body_only { version: Int = "version" }
    internal {
        /// LiveKit counts the versions of a participant: an older one does not overwrite a newer.
        version: u64,
        last_seq: u64,
        last_event_at: u64,
        /// When a webhook about them last arrived; 0 if none has.
        webhook_at: u64,
    }
    given {
        /// The origin of the first event about them.
        source: Source,
    }
    listed {}
}

impl Participant {
    pub fn hidden(&self) -> bool {
        self.permission.as_ref().is_some_and(|p| p.hidden)
    }

    /// Returns true for a participant through whom an operator watches a room in Roomwatch.
    pub fn watcher(&self) -> bool {
        self.hidden() && self.identity.starts_with("roomwatch:")
    }

    pub fn agent(&self) -> bool {
        self.kind == "agent" || self.permission.as_ref().is_some_and(|p| p.agent)
    }

    /// Returns the attributes that are texts.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let all = self.attributes.as_deref().map(RawValue::get).unwrap_or_default();
        let all: BTreeMap<String, Value> = serde_json::from_str(all).unwrap_or_default();
        let text = |(name, value)| match value {
            Value::String(text) => Some((name, text)),
            _ => None,
        };
        all.into_iter().filter_map(text).collect()
    }

    /// Returns the name of an agent's worker, as livekit-agents writes it into the attributes after the join.
    pub fn agent_name(&self) -> Option<String> {
        let mut texts = self.texts();
        let names = ["lk.agent.name", "lk.agentName"].map(|name| texts.remove(name));
        names.into_iter().flatten().find(|name| !name.is_empty())
    }

    pub fn egress(&self) -> bool {
        self.kind == "egress" || self.permission.as_ref().is_some_and(|p| p.recorder)
    }

    /// Returns true for a participant whom the others in the room do not see.
    fn is_invisible(&self) -> bool {
        self.hidden() || self.egress()
    }

    /// Returns true for a participant that a caller with only `roomJoin` must not see. An unknown participant may be
    /// hidden, so it is restricted too.
    pub fn restricted(&self) -> bool {
        self.is_invisible() || self.state == "unknown"
    }

    /// Returns true for a participant that `participantCount` counts.
    pub fn counted(&self) -> bool {
        !self.is_invisible() && !self.agent()
    }

    /// Returns the phone number of a caller, as LiveKit's SIP service gives it. `None` if it is hidden.
    pub fn phone_number(&self) -> Option<Cow<'_, str>> {
        if self.kind != "sip" {
            return None;
        }
        let mut from = Scan::new(self.attributes.as_deref()?.get());
        if !from.enters(b'{') {
            return None;
        }
        while let Some(key) = from.key() {
            if key == "sip.phoneNumber" && from.peek() == b'"' {
                return Some(from.string()).filter(|number| !number.is_empty());
            }
            from.skip();
        }
        None
    }

    /// Returns when the participant was last known to be there: the earliest time of an inferred leave.
    pub fn last_known_at(&self) -> u64 {
        self.last_event_at.max(self.joined_at)
    }

    pub fn track(&self, sid: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| &*track.sid == sid)
    }

    /// Returns this participant's share of the room's counts.
    pub(in crate::state) fn counts(&self) -> Counts {
        let mut counts = Counts { recorders: self.egress().into(), ..Counts::default() };
        if self.is_invisible() {
            return counts;
        }
        counts.agents = self.agent().into();
        counts.participants = self.counted().into();
        counts.calls = (self.counted() && self.kind == "sip").into();
        counts.publishers = (self.counted() && !self.tracks.is_empty()).into();
        for track in &self.tracks {
            match &*track.kind {
                "audio" => counts.audio += 1,
                "video" if track.source == "screen_share" => counts.screen += 1,
                "video" => counts.video += 1,
                _ => {}
            }
        }
        counts
    }
}

impl ParticipantBody<'_> {
    pub fn joined_at_ms(&self) -> u64 {
        Int::millis(self.joined_at_ms, self.joined_at_secs)
    }
}

fn replace<T: PartialEq>(field: &mut T, new: T) -> bool {
    let changed = *field != new;
    if changed {
        *field = new;
    }
    changed
}

fn replace_text(field: &mut Box<str>, new: &str) -> bool {
    let changed = **field != *new;
    if changed {
        *field = new.into();
    }
    changed
}

fn replace_attributes(field: &mut Option<Box<RawValue>>, written: Option<&str>) -> bool {
    if field.as_deref().map(RawValue::get) == written {
        return false;
    }
    let new = written.and_then(sorted_object);
    let changed = field.as_deref().map(RawValue::get) != new.as_deref().map(RawValue::get);
    if changed {
        *field = new;
    }
    changed
}

fn replace_permission(field: &mut Option<Arc<Permission>>, new: &Option<Arc<Permission>>) -> bool {
    let changed = match (&*field, new) {
        (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && old.json.get() != new.json.get(),
        (old, new) => old.is_some() != new.is_some(),
    };
    if changed {
        field.clone_from(new);
    }
    changed
}

/// Writes `None` as an empty object.
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

/// Returns a JSON object with its keys sorted and no spaces: LiveKit's bytes differ between its builds.
fn sorted_object(json: &str) -> Option<Box<RawValue>> {
    if let Some(sorted) = sorted_texts(json) {
        return RawValue::from_string(sorted).ok();
    }
    let members: BTreeMap<String, Value> = serde_json::from_str(json).ok()?;
    serde_json::value::to_raw_value(&members).ok()
}

/// The fast path of [`sorted_object`] for attributes as LiveKit mostly sends them: texts without escapes whose keys are
/// sorted already.
fn sorted_texts(json: &str) -> Option<String> {
    let mut from = Scan::new(json);
    let mut out = String::with_capacity(json.len());
    let mut last = None;
    if !from.enters(b'{') {
        return None;
    }
    while let Some(key) = from.key() {
        if last.is_some_and(|last| last >= key) || key.contains('\\') || from.peek() != b'"' {
            return None;
        }
        let Cow::Borrowed(value) = from.string() else { return None };
        let comma = if last.is_some() { "," } else { "{" };
        out.extend([comma, "\"", key, "\":\"", value, "\""]);
        last = Some(key);
    }
    out.push_str(if last.is_some() { "}" } else { "{}" });
    (!from.is_cut()).then_some(out)
}
