//! What the fold reads of LiveKit's JSON.
//!
//! An authentic event is never refused, so nothing here can fail because of one field: a field that is
//! absent, null or of a surprising type is its zero value, 64-bit numbers may be strings or numbers,
//! enums stay text, a key that comes twice counts once (the last). Text is borrowed from the body, and
//! what the fold does not need is skipped without being built: that is most of the bytes.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

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
pub(super) struct Raw<'a>(Option<&'a RawValue>);

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
        let text = self.0?.get();
        (text.len() > 2 && text.starts_with('{')).then_some(text)
    }
}

impl Int {
    fn parse(text: &str) -> Int {
        Int(text.parse().unwrap_or(0))
    }
}

/// The visits that a field has no use for: they leave its zero value behind.
macro_rules! otherwise {
    ($($visit:ident)*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("any JSON")
        }
        $(otherwise!(@ $visit);)*
    };
    (@ bool) => { fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> { Ok(Default::default()) } };
    (@ number) => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> { Ok(Default::default()) }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> { Ok(Default::default()) }
    };
    (@ str) => { fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> { Ok(Default::default()) } };
    (@ null) => { fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Default::default()) } };
    (@ array) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            while array.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
    (@ object) => {
        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Default::default())
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Text<'de>;
            otherwise!(bool null array object);
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(number.to_string())))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Int;
            otherwise!(bool null array object);
            fn visit_u64<E>(self, number: u64) -> Result<Int, E> {
                Ok(Int(number))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Int, E> {
                Ok(Int(0))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Int, E> {
                // The cast saturates, and makes a NaN 0.
                Ok(Int(number as u64))
            }
            fn visit_str<E>(self, text: &str) -> Result<Int, E> {
                Ok(Int::parse(text))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Flag;
            otherwise!(number str null array object);
            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Present(Option::<IgnoredAny>::deserialize(deserializer)?.is_some()))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Raw(Some(<&RawValue>::deserialize(deserializer)?)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = List<T>;
            otherwise!(bool number str null object);
            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<List<T>, A::Error> {
                let mut list = List::default();
                while let Some(element) = array.next_element()? {
                    list.0.push(element);
                }
                Ok(list)
            }
        }
        deserializer.deserialize_any(V(PhantomData))
    }
}

macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> { $(pub $field: $type,)* borrowed: PhantomData<&'a ()> }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct V<'a>(PhantomData<&'a ()>);
                impl<'de: 'a, 'a> Visitor<'de> for V<'a> {
                    type Value = $name<'a>;
                    otherwise!(bool number str null array);
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$name<'a>, A::Error> {
                        let mut object = $name::default();
                        while let Some(key) = map.next_key::<Text<'de>>()? {
                            match &*key {
                                $($key => object.$field = map.next_value()?,)*
                                _ => { map.next_value::<IgnoredAny>()?; }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_any(V(PhantomData))
            }
        }
    };
}

object!(
    /// LiveKit's `WebhookEvent`, and ours of the same shape.
    Body {
        created_at_secs: Int = "createdAt",
        room: RoomBody<'a> = "room",
        participant: ParticipantBody<'a> = "participant",
        track: TrackBody<'a> = "track",
        egress: EgressBody<'a> = "egressInfo",
        ingress: IngressBody<'a> = "ingressInfo",
        room_end_reason: Text<'a> = "roomEndReason",
        roomwatch: Extra<'a> = "roomwatch",
    }
);

object!(
    /// What reconciliation knows beyond LiveKit's shape; see the module's page.
    Extra {
        stale: Stale = "stale",
        not_before: Int = "notBefore",
    }
);

object!(RoomBody {
    sid: Text<'a> = "sid",
    name: Text<'a> = "name",
    created_at_secs: Int = "creationTime",
    created_at_ms: Int = "creationTimeMs",
    metadata: Text<'a> = "metadata",
});

object!(ParticipantBody {
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

object!(TrackBody {
    sid: Text<'a> = "sid",
    kind: Text<'a> = "type",
    name: Text<'a> = "name",
    muted: Flag = "muted",
    width: Int = "width",
    height: Int = "height",
    simulcast: Flag = "simulcast",
    source: Text<'a> = "source",
    mime_type: Text<'a> = "mimeType",
    version: VersionBody<'a> = "version",
});

object!(VersionBody { unix_micros: Int = "unixMicro" });

object!(EgressBody {
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
    OutputBody {
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

object!(IngressBody {
    ingress_id: Text<'a> = "ingressId",
    name: Text<'a> = "name",
    input_type: Text<'a> = "inputType",
    participant_identity: Text<'a> = "participantIdentity",
    state: IngressStateBody<'a> = "state",
});

object!(IngressStateBody {
    status: Text<'a> = "status",
    error: Text<'a> = "error",
    started_at_ns: Int = "startedAt",
    ended_at_ns: Int = "endedAt",
    updated_at_ns: Int = "updatedAt",
});

/// `stale`, where "not said" differs from `false`.
#[derive(Clone, Copy, Default)]
pub(super) struct Stale(pub Option<bool>);

impl<'de> Deserialize<'de> for Stale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Stale;
            otherwise!(number str null array object);
            fn visit_bool<E>(self, stale: bool) -> Result<Stale, E> {
                Ok(Stale(Some(stale)))
            }
        }
        deserializer.deserialize_any(V)
    }
}

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
