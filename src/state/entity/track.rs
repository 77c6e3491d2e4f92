//! A published track.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::state::{
    mask::{Wire, known},
    read::{Flag, Int, Text, object},
    word::{Word, share},
    words::Words,
};

/// A track of a participant.
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

object!(TrackBody<'a> {
    sid: Text<'a> = "sid",
    kind: Text<'a> = "type",
    name: Text<'a> = "name",
    muted: Flag = "muted",
    width: Int = "width",
    height: Int = "height",
    simulcast: Flag = "simulcast",
    source: Text<'a> = "source",
    mime_type: Text<'a> = "mimeType",
    version: VersionBody = "version",
});

object!(VersionBody { unix_micros: Int = "unixMicro" });

impl Track {
    /// Returns true if a reader sees no difference.
    pub(in crate::state) fn looks_like(&self, other: &Track) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.source == other.source
            && (self.muted, self.simulcast) == (other.muted, other.simulcast)
            && (self.width, self.height) == (other.width, other.height)
            && self.mime_type == other.mime_type
            && self.published_at == other.published_at
    }

    /// Gives the fields of a restored track their shared memory back.
    pub(in crate::state) fn share(&mut self, words: &mut Words) {
        self.mime_type = words.text(&self.mime_type);
        share(&mut self.kind);
        share(&mut self.source);
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

/// A published track.
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
