//! A recording or a stream out of LiveKit.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::{
    event::body::mask_location,
    state::{
        mask::{Fields, Mask, Wire, fields, given, known},
        read::{Int, Later, List, NS_PER_MS, Present, Text, object},
        word::Word,
    },
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
    /// LiveKit's words for the reason of an end that is not an error.
    #[serde(default)]
    pub details: Box<str>,
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
    crate::state::mask::bits!(KIND STATUS STARTED_AT ENDED_AT ERROR DETAILS OUTPUTS);
}

object!(EgressBody<'a> {
    egress_id: Text<'a> = "egressId",
    status: Text<'a> = "status",
    started_at_ns: Int = "startedAt",
    ended_at_ns: Int = "endedAt",
    updated_at_ns: Int = "updatedAt",
    error: Text<'a> = "error",
    details: Text<'a> = "details",
    room_composite: Later<'a, RequestBody<'a>> = "roomComposite",
    web: Later<'a, RequestBody<'a>> = "web",
    participant: Later<'a, RequestBody<'a>> = "participant",
    track_composite: Later<'a, RequestBody<'a>> = "trackComposite",
    track: Later<'a, RequestBody<'a>> = "track",
    egress: Later<'a, RequestBody<'a>> = "egress",
    replay: Later<'a, RequestBody<'a>> = "replay",
    files: List<OutputBody<'a>> = "fileResults",
    streams: List<OutputBody<'a>> = "streamResults",
    segments: List<OutputBody<'a>> = "segmentResults",
    images: List<OutputBody<'a>> = "imageResults",
});

object!(
    /// The request that started an egress, as far as it names outputs. Older requests have one output without a list.
    RequestBody<'a> {
        template: Present = "template",
        web: Present = "web",
        media: Present = "media",
        file_outputs: List<OutputBody<'a>> = "fileOutputs",
        stream_outputs: List<OutputBody<'a>> = "streamOutputs",
        segment_outputs: List<OutputBody<'a>> = "segmentOutputs",
        image_outputs: List<OutputBody<'a>> = "imageOutputs",
        file: Later<'a, OutputBody<'a>> = "file",
        stream: Later<'a, OutputBody<'a>> = "stream",
        segments: Later<'a, OutputBody<'a>> = "segments",
        websocket_url: Text<'a> = "websocketUrl",
        outputs: List<OneOutputBody<'a>> = "outputs",
    }
);

object!(
    /// One output of a request that can have outputs of every type.
    OneOutputBody<'a> {
        file: Later<'a, OutputBody<'a>> = "file",
        stream: Later<'a, OutputBody<'a>> = "stream",
        segments: Later<'a, OutputBody<'a>> = "segments",
        images: Later<'a, OutputBody<'a>> = "images",
    }
);

object!(
    /// One result of an egress. LiveKit has four types of them; their names hardly overlap.
    OutputBody<'a> {
        filename: Text<'a> = "filename",
        filepath: Text<'a> = "filepath",
        playlist_name: Text<'a> = "playlistName",
        filename_prefix: Text<'a> = "filenamePrefix",
        location: Text<'a> = "location",
        playlist_location: Text<'a> = "playlistLocation",
        url: Text<'a> = "url",
        urls: List<Text<'a>> = "urls",
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
            (self.details != before.details, DETAILS),
            (self.outputs != before.outputs, OUTPUTS),
        ])
    }
}

impl EgressBody<'_> {
    /// Returns the word for the request, and the request.
    fn request(&self) -> Option<(&'static str, RequestBody<'_>)> {
        let requests = [
            (&self.room_composite, "room_composite"),
            (&self.web, "web"),
            (&self.participant, "participant"),
            (&self.track_composite, "track_composite"),
            (&self.track, "track"),
            (&self.egress, "unknown"),
            (&self.replay, "replay"),
        ];
        let (kind, request) = requests.iter().find_map(|(request, kind)| Some((*kind, request.object()?)))?;
        // The newest requests have one form for every source.
        let sources = [(request.template, "template"), (request.web, "web"), (request.media, "media")];
        let source = sources.iter().find(|(present, _)| present.0 && kind == "unknown");
        Some((source.map_or(kind, |(_, source)| source), request))
    }

    pub fn kind(&self) -> Word {
        self.request().map_or("unknown", |(kind, _)| kind).into()
    }

    /// Returns the results. Until LiveKit reports one, these are the outputs as they were requested: an egress that could
    /// not start has no other.
    pub fn outputs(&self) -> Vec<Output> {
        let all = [
            (&self.files, "file"),
            (&self.streams, "stream"),
            (&self.segments, "segments"),
            (&self.images, "images"),
        ];
        let results: Vec<Output> =
            all.iter().flat_map(|(list, kind)| list.0.iter().map(|output| output.read(kind))).collect();
        match self.request() {
            Some((_, request)) if results.is_empty() => request.outputs(),
            _ => results,
        }
    }
}

impl RequestBody<'_> {
    fn outputs(&self) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut add = |body: &OutputBody, kind: &'static str| {
            let output = body.read(kind);
            for url in &body.urls.0 {
                outputs.push(Output { name: (**url).into(), ..output.clone() });
            }
            if body.urls.0.is_empty() {
                outputs.push(output);
            }
        };
        let lists = [
            (&self.file_outputs, "file"),
            (&self.stream_outputs, "stream"),
            (&self.segment_outputs, "segments"),
            (&self.image_outputs, "images"),
        ];
        for (list, kind) in lists {
            list.0.iter().for_each(|body| add(body, kind));
        }
        let ones = self.outputs.0.iter().flat_map(|one| {
            [
                (&one.file, "file"),
                (&one.stream, "stream"),
                (&one.segments, "segments"),
                (&one.images, "images"),
            ]
        });
        let older = [(&self.file, "file"), (&self.stream, "stream"), (&self.segments, "segments")];
        for (body, kind) in ones.chain(older) {
            if let Some(body) = body.object() {
                add(&body, kind);
            }
        }
        if !self.websocket_url.is_empty() {
            add(&OutputBody { url: Text::from(&*self.websocket_url), ..OutputBody::default() }, "stream");
        }
        outputs
    }
}

impl OutputBody<'_> {
    fn read(&self, kind: &'static str) -> Output {
        let given = |text: &str| (!text.is_empty()).then(|| text.into());
        let names: [&str; 5] =
            [&self.filename, &self.filepath, &self.playlist_name, &self.filename_prefix, &self.url];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let location: &str = if self.location.is_empty() { &self.playlist_location } else { &self.location };
        Output {
            kind: kind.into(),
            name: name.into(),
            // Events of an earlier version have it with its signature.
            location: mask_location(location).into(),
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
        to.put(DETAILS, "details", given(&of.details))?;
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
    /// `room_composite`, `web`, `participant`, `track_composite`, `track`, `template`, `media`, `replay` or `unknown`.
    pub kind: String,
    /// `starting`, `active`, `ending`, `complete`, `failed`, `aborted` or `limit_reached`.
    pub status: String,
    #[schema(required)]
    pub started_at: Option<u64>,
    #[schema(required)]
    pub ended_at: Option<u64>,
    #[schema(required)]
    pub error: Option<String>,
    /// LiveKit's words for an end that is not an error, such as `End reason: StopEgress API`.
    #[schema(required)]
    pub details: Option<String>,
    /// As requested, until LiveKit reports the first result.
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
