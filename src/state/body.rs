//! What the fold reads of LiveKit's JSON.
//!
//! An authentic event is never refused, so nothing here can fail because of one field: a field that is
//! absent, null or of a surprising type is its zero value, 64-bit numbers may be strings or numbers,
//! enums stay text, a key that comes twice counts once (the last). Text is borrowed from the body, and
//! what the fold does not need is passed by without being read: that is most of the bytes.

use std::{borrow::Cow, marker::PhantomData};

use crate::json::scan::Scan;

/// What can be read wherever a JSON value stands, whatever the value is: nothing is left of what it was before.
pub(super) trait Read<'a>: Default {
    fn read(&mut self, from: &mut Scan<'a>);
}

/// A string, or the digits of a number (an enum value which the sender did not know is one).
#[derive(Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// An integer, written as a number or as a string of digits. Negative and broken ones are 0.
#[derive(Clone, Copy, Default)]
pub(super) struct Int(pub u64);

/// `true`, and nothing else.
#[derive(Clone, Copy, Default)]
pub(super) struct Flag(pub bool);

/// Something is there, whatever it is; null is nothing.
#[derive(Clone, Copy, Default)]
pub(super) struct Present(pub bool);

/// An array; anything else is an empty one.
pub(super) struct List<T>(pub Vec<T>);

/// JSON kept as it is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Raw<'a>(&'a str);

/// What only few events have: it is read when it is asked for, and costs the others nothing.
pub(super) struct Later<'a, T>(&'a str, PhantomData<T>);

/// `stale`, where "not said" differs from `false`.
#[derive(Clone, Copy, Default)]
pub(super) struct Stale(pub Option<bool>);

impl<T> Default for Later<'_, T> {
    fn default() -> Self {
        Later("", PhantomData)
    }
}

impl<'a, T: Read<'a>> Later<'a, T> {
    pub fn get(&self) -> T {
        let mut value = T::default();
        value.read(&mut Scan::new(self.0));
        value
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Raw<'_> {
    /// The text of a JSON object with something in it.
    pub fn object(&self) -> Option<&str> {
        (self.0.len() > 2 && self.0.starts_with('{')).then_some(self.0)
    }
}

impl<'a> Read<'a> for Text<'a> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.peek() {
            b'"' => from.string(),
            b'-' | b'0'..=b'9' => {
                let number = from.token();
                let whole = number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok();
                Cow::Borrowed(if whole { number } else { "" })
            }
            _ => {
                from.skip();
                Cow::default()
            }
        };
    }
}

impl<'a> Read<'a> for Int {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.peek() {
            b'"' => from.quoted_digits().unwrap_or_else(|| from.string().parse().unwrap_or(0)),
            b'-' | b'0'..=b'9' => {
                let number = from.token();
                // The cast saturates, and makes a NaN 0.
                number.parse().unwrap_or_else(|_| number.parse::<f64>().unwrap_or(0.0) as u64)
            }
            _ => {
                from.skip();
                0
            }
        };
    }
}

impl<'a> Read<'a> for Raw<'a> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw();
    }
}

impl<'a, T> Read<'a> for Later<'a, T> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw();
    }
}

impl<'a> Read<'a> for Flag {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw() == "true";
    }
}

impl<'a> Read<'a> for Present {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = from.raw() != "null";
    }
}

impl<'a> Read<'a> for Stale {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0 = match from.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
    }
}

impl<'a, T: Read<'a>> Read<'a> for List<T> {
    fn read(&mut self, from: &mut Scan<'a>) {
        self.0.clear();
        if from.enters(b'[') {
            while from.element() {
                let mut element = T::default();
                element.read(from);
                self.0.push(element);
            }
        }
    }
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident$(<$life:lifetime>)? { $($field:ident: $type:ty = $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name$(<$life>)? { $(pub $field: $type,)* }

        impl<'a> Read<'a> for $name$(<$life>)? {
            fn read(&mut self, from: &mut Scan<'a>) {
                *self = Self::default();
                if from.enters(b'{') {
                    while let Some(key) = from.key() {
                        match key {
                            $($key => self.$field.read(from),)*
                            _ => from.skip(),
                        }
                    }
                }
            }
        }
    };
}

impl<'a> Body<'a> {
    /// Reads the whole of it. Of what is no JSON after all, nothing is known.
    pub fn parse(text: &'a str) -> Body<'a> {
        let (mut body, mut from) = (Body::default(), Scan::new(text));
        body.read(&mut from);
        if from.is_cut() { Body::default() } else { body }
    }
}

object!(
    /// LiveKit's `WebhookEvent`, and ours of the same shape.
    Body<'a> {
        created_at_secs: Int = "createdAt",
        room: RoomBody<'a> = "room",
        participant: ParticipantBody<'a> = "participant",
        track: TrackBody<'a> = "track",
        egress: Later<'a, EgressBody<'a>> = "egressInfo",
        ingress: Later<'a, IngressBody<'a>> = "ingressInfo",
        room_end_reason: Text<'a> = "roomEndReason",
        roomwatch: Extra = "roomwatch",
    }
);

object!(
    /// What reconciliation knows beyond LiveKit's shape; see the module's page.
    Extra {
        stale: Stale = "stale",
        not_before: Int = "notBefore",
    }
);

object!(RoomBody<'a> {
    created_at_secs: Int = "creationTime",
    created_at_ms: Int = "creationTimeMs",
    metadata: Text<'a> = "metadata",
});

object!(ParticipantBody<'a> {
    sid: Text<'a> = "sid",
    identity: Text<'a> = "identity",
    name: Text<'a> = "name",
    state: Text<'a> = "state",
    metadata: Text<'a> = "metadata",
    joined_at_secs: Int = "joinedAt",
    joined_at_ms: Int = "joinedAtMs",
    version: Int = "version",
    permission: Raw<'a> = "permission",
    attributes: Raw<'a> = "attributes",
    region: Text<'a> = "region",
    kind: Text<'a> = "kind",
    disconnect_reason: Text<'a> = "disconnectReason",
    tracks: List<TrackBody<'a>> = "tracks",
});

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
    /// One result of an egress. LiveKit has four types of them whose names hardly overlap.
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

object!(IngressBody<'a> {
    ingress_id: Text<'a> = "ingressId",
    name: Text<'a> = "name",
    input_type: Text<'a> = "inputType",
    participant_identity: Text<'a> = "participantIdentity",
    state: IngressStateBody<'a> = "state",
});

object!(IngressStateBody<'a> {
    status: Text<'a> = "status",
    error: Text<'a> = "error",
    started_at_ns: Int = "startedAt",
    ended_at_ns: Int = "endedAt",
    updated_at_ns: Int = "updatedAt",
});

impl RoomBody<'_> {
    /// Track events carry a room's sid and name only: what they leave out is unknown, not empty.
    pub fn is_full(&self) -> bool {
        self.created_at_ms.0 > 0 || self.created_at_secs.0 > 0
    }

    pub fn started_at_ms(&self) -> u64 {
        millis(self.created_at_ms, self.created_at_secs)
    }
}

impl ParticipantBody<'_> {
    pub fn joined_at_ms(&self) -> u64 {
        millis(self.joined_at_ms, self.joined_at_secs)
    }
}

fn millis(ms: Int, secs: Int) -> u64 {
    if ms.0 > 0 { ms.0 } else { secs.0.saturating_mul(1000) }
}
