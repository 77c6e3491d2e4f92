//! A recording or a stream out of LiveKit.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::state::{
    mask::{Fields, Mask, Wire, fields, given, known},
    read::{Int, List, NS_PER_MS, Present, Text, object},
    word::Word,
};

/// An egress that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Egress {
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    pub room_sid: Option<Arc<str>>,
    /// Empty if LiveKit could not launch it.
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

/// One output of an egress. `kind` is `file`, `stream`, `segments` or `images`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub kind: Word,
    /// The name of a file, a playlist or a prefix, or the masked URL of a stream.
    pub name: Box<str>,
    pub location: Box<str>,
    pub status: Option<Box<str>>,
    pub error: Option<Box<str>>,
    pub size_bytes: u64,
    pub duration_ms: u64,
}

/// The bit of each field.
pub mod bits {
    pub use crate::state::mask::KEY;
    crate::state::mask::bits!(KIND STATUS STARTED_AT ENDED_AT ERROR OUTPUTS);
}

object!(EgressBody<'a> {
    egress_id: Text<'a> = "egressId",
    status: Text<'a> = "status",
    started_at_ns: Int = "startedAt",
    ended_at_ns: Int = "endedAt",
    updated_at_ns: Int = "updatedAt",
    error: Text<'a> = "error",
    room_composite: Present = "roomComposite",
    web: Present = "web",
    participant: Present = "participant",
    track_composite: Present = "trackComposite",
    track: Present = "track",
    files: List<OutputBody<'a>> = "fileResults",
    streams: List<OutputBody<'a>> = "streamResults",
    segments: List<OutputBody<'a>> = "segmentResults",
    images: List<OutputBody<'a>> = "imageResults",
});

object!(
    /// One result of an egress. LiveKit has four types of them; their names hardly overlap.
    OutputBody<'a> {
        filename: Text<'a> = "filename",
        playlist_name: Text<'a> = "playlistName",
        filename_prefix: Text<'a> = "filenamePrefix",
        location: Text<'a> = "location",
        playlist_location: Text<'a> = "playlistLocation",
        url: Text<'a> = "url",
        status: Text<'a> = "status",
        error: Text<'a> = "error",
        size: Int = "size",
        duration_ns: Int = "duration",
    }
);

impl Egress {
    /// Returns true if it does not change any more, whatever arrives late.
    pub fn ended(&self) -> bool {
        matches!(&*self.status, "complete" | "failed" | "aborted" | "limit_reached")
    }

    /// Orders the updates of one egress, which may arrive out of order: by LiveKit's clock, then by status.
    pub(in crate::state) fn progress(&self) -> (u64, u8) {
        let step = match &*self.status {
            "starting" => 0,
            "active" => 1,
            "ending" => 2,
            _ => 3,
        };
        (self.updated_at_ns, step)
    }

    /// Returns the fields that differ.
    pub(in crate::state) fn differs(&self, before: &Egress) -> Mask {
        use bits::*;
        fields([
            (self.kind != before.kind, KIND),
            (self.status != before.status, STATUS),
            (self.started_at != before.started_at, STARTED_AT),
            (self.ended_at != before.ended_at, ENDED_AT),
            (self.error != before.error, ERROR),
            (self.outputs != before.outputs, OUTPUTS),
        ])
    }
}

impl EgressBody<'_> {
    pub fn kind(&self) -> Word {
        let kinds = [
            (self.room_composite, "room_composite"),
            (self.web, "web"),
            (self.participant, "participant"),
            (self.track_composite, "track_composite"),
            (self.track, "track"),
        ];
        kinds.iter().find(|(present, _)| present.0).map_or("unknown", |(_, kind)| kind).into()
    }

    pub fn outputs(&self) -> Vec<Output> {
        let all = [
            (&self.files, "file"),
            (&self.streams, "stream"),
            (&self.segments, "segments"),
            (&self.images, "images"),
        ];
        all.iter().flat_map(|(list, kind)| list.0.iter().map(|output| output.read(kind))).collect()
    }
}

impl OutputBody<'_> {
    fn read(&self, kind: &'static str) -> Output {
        let first =
            |texts: [&str; 4]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default().into();
        let given = |text: &str| (!text.is_empty()).then(|| text.into());
        Output {
            kind: kind.into(),
            name: first([&self.filename, &self.playlist_name, &self.filename_prefix, &self.url]),
            location: first([&self.location, &self.playlist_location, "", ""]),
            status: given(&self.status.to_ascii_lowercase()),
            error: given(&self.error),
            size_bytes: self.size.0,
            duration_ms: self.duration_ns.0 / NS_PER_MS,
        }
    }
}

impl Serialize for Wire<'_, Egress> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use bits::*;
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

/// A recording or a stream out of LiveKit.
#[derive(ToSchema)]
#[schema(as = Egress, rename_all = "camelCase")]
pub struct EgressSchema {
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    /// Null if LiveKit could not launch it.
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

/// One output of an egress.
#[derive(ToSchema)]
#[schema(as = Output, rename_all = "camelCase")]
pub struct OutputSchema {
    /// `file`, `stream`, `segments` or `images`.
    pub kind: String,
    /// The name of a file, a playlist or a prefix, or the masked URL of a stream.
    pub name: String,
    pub location: String,
    #[schema(required)]
    pub status: Option<String>,
    #[schema(required)]
    pub error: Option<String>,
    pub size_bytes: u64,
    pub duration_ms: u64,
}
