//! Rooms, participants, tracks, egress and ingress as they are now.
//!
//! Each has two written forms: [`Wire`](super::Wire) for readers, and the derived one, which only the checkpoint uses.
//! Times are unix milliseconds; 0 inside means that nobody has said, and is `null` to a reader.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, Value};

use super::wire::{Mask, room};
use crate::{event::Source, json::scan::Scan};

/// A name out of LiveKit's vocabulary, in lower snake case. The known ones cost no memory.
pub type Word = Cow<'static, str>;

/// One live session of a room, and what is counted of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Room {
    pub project: Arc<str>,
    pub sid: Arc<str>,
    pub name: Arc<str>,
    pub started_at: u64,
    /// Shared, for it may be half a megabyte and every event copies the room that somebody still holds.
    pub metadata: Arc<str>,
    pub counts: Counts,
    /// LiveKit lists it but nobody can be in it: an entry that a crashed node has left behind.
    pub stale: bool,
    /// Who told of it first.
    pub source: Source,
    /// When Roomwatch received the last event about it.
    pub last_event_at: u64,
    /// The first and the last event that was about it or anything in it.
    pub first_seq: u64,
    pub last_seq: u64,
    /// When a webhook last told of it; 0 if none has. Reconciliation waits a little after one.
    pub webhook_at: u64,
    /// When the first event about it was received: stands in for `started_at` while that is unknown.
    pub(super) first_event_at: u64,
    /// The `createdAt` of the body that `metadata` is from: older ones do not overwrite it.
    pub(super) metadata_at_secs: u64,
}

/// What a room's participants add up to. Sums, so that one participant's change costs no recount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Neither hidden, nor agents, nor egress.
    pub participants: u32,
    pub agents: u32,
    /// Those of `participants` that publish at least one track.
    pub publishers: u32,
    /// Tracks of everybody who is neither hidden nor egress.
    pub audio: u32,
    pub video: u32,
    /// The video of shared screens; their sound counts as audio.
    pub screen: u32,
    /// Egress participants, hidden as they are, and egress that has not ended: either means `recording`.
    pub recorders: u32,
    pub egress: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Participant {
    #[serde(skip)]
    pub project: Arc<str>,
    #[serde(skip)]
    pub room: Arc<str>,
    #[serde(skip)]
    pub room_sid: Arc<str>,
    pub sid: Arc<str>,
    pub identity: Box<str>,
    pub name: Box<str>,
    pub kind: Word,
    /// `unknown` until an event has told more than the identity.
    pub state: Word,
    pub joined_at: u64,
    pub metadata: Box<str>,
    /// An object with sorted keys; none is `{}`.
    pub attributes: Option<Box<RawValue>>,
    pub permission: Option<Arc<Permission>>,
    pub region: Arc<str>,
    pub tracks: Vec<Track>,
    /// LiveKit counts the versions of a participant: an older one does not overwrite a newer.
    pub version: u64,
    pub source: Source,
    pub last_seq: u64,
    pub last_event_at: u64,
    pub webhook_at: u64,
}

/// What a participant may do, as LiveKit wrote it but for its falsy members and the order of its keys.
/// Few differ in one deployment, so they are shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Permission {
    pub json: Box<RawValue>,
    pub hidden: bool,
    pub recorder: bool,
    pub agent: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Track {
    pub sid: Box<str>,
    pub name: Box<str>,
    pub kind: Word,
    pub source: Word,
    pub muted: bool,
    pub simulcast: bool,
    pub width: u32,
    pub height: u32,
    pub mime_type: Arc<str>,
    pub published_at: u64,
    /// `TrackInfo.version`, in microseconds: an older one does not overwrite a newer.
    pub version: u64,
    pub last_seq: u64,
    pub webhook_at: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Egress {
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    pub room_sid: Option<Arc<str>>,
    /// Empty where LiveKit could not even launch it.
    pub egress_id: Arc<str>,
    pub kind: Word,
    pub status: Word,
    pub started_at: u64,
    pub ended_at: u64,
    pub error: Box<str>,
    pub outputs: Vec<Output>,
    pub updated_at_ns: u64,
    pub last_seq: u64,
}

/// Where an egress wrote to. `kind` is `file`, `stream`, `segments` or `images`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub kind: Word,
    /// A file's, a playlist's or a prefix's name, or the masked URL of a stream.
    pub name: Box<str>,
    pub location: Box<str>,
    pub status: Option<Box<str>>,
    pub error: Option<Box<str>>,
    pub size_bytes: u64,
    pub duration_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ingress {
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    pub ingress_id: Arc<str>,
    pub name: Box<str>,
    pub kind: Word,
    pub status: Word,
    pub participant_identity: Box<str>,
    pub started_at: u64,
    pub ended_at: u64,
    pub error: Box<str>,
    pub updated_at_ns: u64,
    pub last_seq: u64,
}

impl Room {
    pub fn recording(&self) -> bool {
        self.counts.recorders + self.counts.egress > 0
    }

    /// When it started; while nobody has said, when the first event about it was received.
    pub fn began_at(&self) -> u64 {
        if self.started_at > 0 { self.started_at } else { self.first_event_at }
    }

    /// Sorts the newest of several live sessions of one name last.
    pub(super) fn age(&self) -> (u64, u64) {
        (self.began_at(), self.first_seq)
    }
}

impl Participant {
    pub fn hidden(&self) -> bool {
        self.permission.as_ref().is_some_and(|p| p.hidden)
    }

    /// Roomwatch's own guests, who watch a room for an operator.
    pub fn watcher(&self) -> bool {
        self.hidden() && self.identity.starts_with("roomwatch:")
    }

    pub fn agent(&self) -> bool {
        self.kind == "agent" || self.permission.as_ref().is_some_and(|p| p.agent)
    }

    pub fn egress(&self) -> bool {
        self.kind == "egress" || self.permission.as_ref().is_some_and(|p| p.recorder)
    }

    /// In the room, but the others there do not see it.
    fn unseen(&self) -> bool {
        self.hidden() || self.egress()
    }

    /// Not for somebody who sees only what joining the room would show. Of whom nothing is known may be hidden.
    pub fn restricted(&self) -> bool {
        self.unseen() || self.state == "unknown"
    }

    /// Counts as one of the people: what `participantCount` is about.
    pub fn counted(&self) -> bool {
        !self.unseen() && !self.agent()
    }

    /// When it was last known to be there; what an inferred leave is not before.
    pub fn last_known_at(&self) -> u64 {
        self.last_event_at.max(self.joined_at)
    }

    pub fn track(&self, sid: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| &*track.sid == sid)
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts { recorders: self.egress().into(), ..Counts::default() };
        if self.unseen() {
            return counts;
        }
        counts.agents = self.agent().into();
        counts.participants = self.counted().into();
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

impl Permission {
    /// None for what is no object.
    pub(super) fn parse(json: &str) -> Option<Permission> {
        let mut members: BTreeMap<String, Value> = serde_json::from_str(json).ok()?;
        members.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::String(text) => !text.is_empty(),
            _ => true,
        });
        let may = |name: &str| members.get(name) == Some(&Value::Bool(true));
        Some(Permission {
            hidden: may("hidden"),
            recorder: may("recorder"),
            agent: may("agent"),
            json: serde_json::value::to_raw_value(&members).ok()?,
        })
    }
}

impl Track {
    /// A reader sees no difference.
    pub(super) fn looks_like(&self, other: &Track) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.source == other.source
            && (self.muted, self.simulcast) == (other.muted, other.simulcast)
            && (self.width, self.height) == (other.width, other.height)
            && self.mime_type == other.mime_type
            && self.published_at == other.published_at
    }
}

impl Egress {
    /// It will not change any more, whatever arrives late.
    pub fn ended(&self) -> bool {
        matches!(&*self.status, "complete" | "failed" | "aborted" | "limit_reached")
    }

    /// Egress updates overtake one another: by LiveKit's clock, then by how far it has come.
    pub(super) fn progress(&self) -> (u64, u8) {
        let step = match &*self.status {
            "starting" => 0,
            "active" => 1,
            "ending" => 2,
            _ => 3,
        };
        (self.updated_at_ns, step)
    }
}

impl Counts {
    pub(super) fn shift(&mut self, from: Counts, to: Counts) {
        // Every `from` has been added before, so no sum goes below zero.
        let step = |sum: &mut u32, from: u32, to: u32| *sum = (*sum + to).saturating_sub(from);
        step(&mut self.participants, from.participants, to.participants);
        step(&mut self.agents, from.agents, to.agents);
        step(&mut self.publishers, from.publishers, to.publishers);
        step(&mut self.audio, from.audio, to.audio);
        step(&mut self.video, from.video, to.video);
        step(&mut self.screen, from.screen, to.screen);
        step(&mut self.recorders, from.recorders, to.recorders);
    }

    /// Which fields of a room show the difference.
    pub(super) fn differs(&self, before: &Counts) -> Mask {
        let mut mask = 0;
        let mut differs = |differs: bool, bit: Mask| {
            if differs {
                mask |= bit;
            }
        };
        differs(self.participants != before.participants, room::PARTICIPANTS);
        differs(self.agents != before.agents, room::AGENTS);
        differs(self.publishers != before.publishers, room::PUBLISHERS);
        let tracks = |counts: &Counts| (counts.audio, counts.video, counts.screen);
        differs(tracks(self) != tracks(before), room::TRACKS);
        let recording = |counts: &Counts| counts.recorders + counts.egress > 0;
        differs(recording(self) != recording(before), room::RECORDING);
        mask
    }
}

/// A JSON object with its keys in order and no spaces: LiveKit's bytes differ from build to build.
pub(super) fn sorted_object(json: &str) -> Option<Box<RawValue>> {
    if let Some(sorted) = sorted_texts(json) {
        return RawValue::from_string(sorted).ok();
    }
    let members: BTreeMap<String, Value> = serde_json::from_str(json).ok()?;
    serde_json::value::to_raw_value(&members).ok()
}

/// The same of an object as LiveKit's attributes mostly are: texts without escapes, their keys in order already.
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

/// LiveKit's `UPPER_SNAKE` in lower case, without `prefix`; `zero` where it was left out, which is how
/// LiveKit writes an enum's zero value. What is not known here passes through.
pub(super) fn word(text: &str, prefix: &str, zero: &'static str) -> Word {
    if text.is_empty() {
        return Cow::Borrowed(zero);
    }
    let text = text.strip_prefix(prefix).unwrap_or(text);
    match KNOWN.iter().find(|known| known.eq_ignore_ascii_case(text)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.to_lowercase()),
    }
}

/// The words that need no memory of their own, the frequent ones first.
const KNOWN: &[&str] = &[
    "active",
    "video",
    "camera",
    "microphone",
    "audio",
    "screen_share",
    "screen_share_audio",
    "disconnected",
    "agent",
    "sip",
    "egress",
    "ingress",
    "standard",
    "connector",
    "bridge",
    "joined",
    "joining",
    "unknown",
    "data",
    "starting",
    "ending",
    "complete",
    "failed",
    "aborted",
    "limit_reached",
    "room_composite",
    "web",
    "participant",
    "track_composite",
    "track",
    "rtmp",
    "whip",
    "url",
    "inactive",
    "buffering",
    "publishing",
    "error",
    "file",
    "stream",
    "segments",
    "images",
];

/// Checkpoints own every word; reading one gives the shared ones their shared memory back.
pub(super) fn shared(word: &mut Word) {
    if let Some(known) = KNOWN.iter().find(|known| **known == *word) {
        *word = Cow::Borrowed(known);
    }
}
