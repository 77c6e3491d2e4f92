//! Reads the JSON object that LiveKit sends, and removes what must not be stored.
//!
//! The bytes stay as they arrived: LiveKit adds fields, enum values and event names without notice, and a program that
//! parses a body into types and writes it again loses them. So one pass over the text checks that it is JSON, finds the
//! few fields that Roomwatch needs and cuts out the members that hold secrets.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::json::walk::{self, SPACE, Stop, Walk};

/// An event's JSON object and the fields read from it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The object without secrets, on one line.
    pub json: Bytes,
    /// `event`: never empty.
    pub event: Box<str>,
    /// `id`, or the SHA-256 of the body as it came, in hex.
    pub id: Box<str>,
    /// `room.name`, else `egressInfo.roomName`, `ingressInfo.roomName`, `job.room.name`.
    pub room: Option<Arc<str>>,
    /// `room.sid`, else `egressInfo.roomId`, `ingressInfo.state.roomId`, `job.room.sid`.
    pub room_sid: Option<Arc<str>>,
}

/// The reason why a body is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBody {
    #[error("the body is not UTF-8")]
    NotUtf8,
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("the body has no `event` that is a non-empty string")]
    NoEvent,
    #[error("the body is nested deeper than 128 levels")]
    TooDeep,
}

/// Fields that an operator wants removed from every body, in addition to the secrets that always are: dotted paths from
/// the top of the body, `*` for any one key. Arrays are not part of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    paths: Vec<Vec<Box<str>>>,
}

/// A configured path that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a path of a field; write for example `participant.metadata` or `participant.attributes.*`"
)]
pub struct BadPath(pub String);

impl Redaction {
    pub fn new(paths: &[String]) -> Result<Redaction, BadPath> {
        let path = |text: &String| {
            let keys: Vec<Box<str>> = text.split('.').map(Into::into).collect();
            // `event` and `id` carry the event itself; without them there is nothing to store.
            let vital = matches!(text.as_str(), "event" | "id" | "*");
            if vital || keys.iter().any(|key| key.is_empty()) {
                return Err(BadPath(text.clone()));
            }
            Ok(keys)
        };
        Ok(Redaction { paths: paths.iter().map(path).collect::<Result<_, _>>()? })
    }

    fn covers(&self, path: &[Cow<'_, str>]) -> bool {
        self.paths.iter().any(|rule| {
            rule.len() == path.len()
                && rule.iter().zip(path).all(|(want, key)| &**want == "*" || **want == **key)
        })
    }
}

impl From<Stop> for BadBody {
    fn from(stop: Stop) -> BadBody {
        match stop {
            Stop::NotJson => BadBody::NotJson,
            Stop::TooDeep => BadBody::TooDeep,
        }
    }
}

impl Body {
    /// Reads and redacts one body.
    pub fn read(raw: &[u8], redaction: &Redaction) -> Result<Body, BadBody> {
        let text = simdutf8::basic::from_utf8(raw).map_err(|_| BadBody::NotUtf8)?;
        let text = text.trim_matches(SPACE);
        if !text.starts_with('{') {
            walk::is_json(text)?;
            return Err(BadBody::NotAnObject);
        }
        let mut reader = Reader {
            text,
            walk: Walk::new(text),
            copied: 0,
            out: Vec::with_capacity(text.len()),
            path: Vec::new(),
            redaction,
            found: Found::default(),
        };
        reader.value()?;
        let Reader { walk, mut out, copied, found, .. } = reader;
        if !walk.is_at_end() {
            return Err(BadBody::NotJson);
        }
        out.extend_from_slice(&text.as_bytes()[copied..]);
        if walk.has_controls() {
            // They are only between tokens: inside a string JSON demands an escape.
            out.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
        }
        Ok(Body {
            json: out.into(),
            event: filled(found.event).ok_or(BadBody::NoEvent)?.into(),
            id: filled(found.id).map_or_else(|| HEXLOWER.encode(&Sha256::digest(raw)).into(), Box::from),
            room: first(found.room),
            room_sid: first(found.room_sid),
        })
    }
}

fn filled(text: Option<Cow<'_, str>>) -> Option<Cow<'_, str>> {
    text.filter(|text| !text.is_empty())
}

fn first(places: [Option<Cow<'_, str>>; 4]) -> Option<Arc<str>> {
    places.into_iter().find_map(filled).map(Arc::from)
}

#[derive(Default)]
struct Found<'a> {
    event: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    /// In the order of preference.
    room: [Option<Cow<'a, str>>; 4],
    room_sid: [Option<Cow<'a, str>>; 4],
}

/// One pass over the text. [`Walk`] bounds the recursion.
struct Reader<'a> {
    text: &'a str,
    walk: Walk<'a>,
    /// Everything before this position is in `out`, or was cut.
    copied: usize,
    out: Vec<u8>,
    path: Vec<Cow<'a, str>>,
    redaction: &'a Redaction,
    found: Found<'a>,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<(), BadBody> {
        self.walk.space();
        let start = self.walk.at();
        match self.walk.value()? {
            walk::Value::Object => self.object()?,
            walk::Value::Array => self.array()?,
            walk::Value::Text(text) => self.string(start, text),
            walk::Value::Scalar => {}
        }
        Ok(())
    }

    fn array(&mut self) -> Result<(), BadBody> {
        if self.walk.closes_empty(b']') {
            return Ok(());
        }
        loop {
            self.value()?;
            if !self.walk.continues(b']')? {
                return Ok(());
            }
        }
    }

    fn object(&mut self) -> Result<(), BadBody> {
        // The end of the last kept member: a cut begins there, and so removes the comma too.
        let mut kept_to = self.walk.at();
        let mut kept_any = false;
        if self.walk.closes_empty(b'}') {
            return Ok(());
        }
        loop {
            let start = self.walk.at();
            let key = self.walk.key()?;
            self.path.push(key);
            let cut = self.is_secret();
            // The fields of a member that is cut do not count either.
            let found = cut.then(|| std::mem::take(&mut self.found));
            self.value()?;
            self.path.pop();
            if let Some(found) = found {
                self.found = found;
            }
            let end = self.walk.at();
            let more = self.walk.continues(b'}')?;
            if more {
                self.walk.space();
            }
            if cut {
                // `{a,SECRET,b}` loses `,SECRET`; `{SECRET,b}` loses `SECRET,`.
                let (from, to) = if kept_any || !more { (kept_to, end) } else { (start, self.walk.at()) };
                if from >= self.copied {
                    self.out.extend_from_slice(&self.text.as_bytes()[self.copied..from]);
                }
                self.copied = to.max(self.copied);
            } else {
                kept_any = true;
            }
            if !more {
                return Ok(());
            }
            kept_to = if cut && !kept_any { self.walk.at() } else { end };
        }
    }

    /// Returns true if the member at this path holds a secret.
    fn is_secret(&self) -> bool {
        let Some(key) = self.path.last().map(|key| &**key) else { return false };
        // The keys of `attributes` belong to the application.
        if self.path.len() > 1 && self.path[self.path.len() - 2] == "attributes" {
            return self.redaction.covers(&self.path);
        }
        matches!(key, "turnPassword" | "turn_password" | "streamKey" | "stream_key")
            || self.storage_secret(key)
            || self.redaction.covers(&self.path)
    }

    /// LiveKit sends whole upload configurations when an automatic egress fails to start
    /// (livekit pkg/rtc/egress.go).
    fn storage_secret(&self, key: &str) -> bool {
        if self.path.first().map(|key| &**key) != Some("egressInfo") {
            return false;
        }
        let storage = |key: &Cow<'_, str>| matches!(&**key, "s3" | "gcp" | "azure" | "aliOSS" | "ali_oss");
        self.path[..self.path.len() - 1].iter().any(storage)
            && (matches!(
                key,
                "accessKey"
                    | "secret"
                    | "sessionToken"
                    | "credentials"
                    | "accountName"
                    | "accountKey"
                    | "password"
                    | "access_key"
                    | "session_token"
                    | "account_name"
                    | "account_key"
            ) || key.starts_with("assumeRole")
                || key.starts_with("assume_role"))
    }

    /// Handles a string that has just been passed: one of the fields that are needed, or a URL with a secret in it.
    fn string(&mut self, start: usize, text: Cow<'a, str>) {
        let path = &self.path;
        let place = match path.len() {
            1 => match &*path[0] {
                "event" => Some(&mut self.found.event),
                "id" => Some(&mut self.found.id),
                _ => None,
            },
            2 => match (&*path[0], &*path[1]) {
                ("room", "name") => Some(&mut self.found.room[0]),
                ("egressInfo", "roomName") => Some(&mut self.found.room[1]),
                ("ingressInfo", "roomName") => Some(&mut self.found.room[2]),
                ("room", "sid") => Some(&mut self.found.room_sid[0]),
                ("egressInfo", "roomId") => Some(&mut self.found.room_sid[1]),
                _ => None,
            },
            3 => match (&*path[0], &*path[1], &*path[2]) {
                ("job", "room", "name") => Some(&mut self.found.room[3]),
                ("ingressInfo", "state", "roomId") => Some(&mut self.found.room_sid[2]),
                ("job", "room", "sid") => Some(&mut self.found.room_sid[3]),
                _ => None,
            },
            _ => None,
        };
        let key = path.last().map(|key| key.to_ascii_lowercase()).unwrap_or_default();
        if path.first().is_some_and(|first| first == "egressInfo") {
            let masked = if key.contains("url") {
                mask_url(&text)
            } else if key.ends_with("location") {
                mask_location(&text)
            } else {
                text.to_string()
            };
            if masked != text {
                self.out.extend_from_slice(&self.text.as_bytes()[self.copied..start]);
                let masked = serde_json::to_string(&masked).expect("a string is JSON");
                self.out.extend_from_slice(masked.as_bytes());
                self.copied = self.walk.at();
            }
        }
        if let Some(place) = place {
            *place = Some(text);
        }
    }
}

/// Masks the secrets in the location of a stored file: user and password, and the query, which is the signature of a
/// presigned URL. The path stays, whatever the scheme is.
pub fn mask_location(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("://") else { return location.to_owned() };
    format!("{scheme}://{}", mask_path_of(rest, false))
}

/// Masks the secrets in the URL of an output: user and password, the query, and, where media is pushed, the last part of
/// the path, which is the stream key.
fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let pushed = !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "ws" | "wss");
    format!("{scheme}://{}", mask_path_of(rest, pushed))
}

/// Masks the secrets in what follows the scheme of a URL. `pushed` is true if the last part of the path is a key.
fn mask_path_of(rest: &str, pushed: bool) -> String {
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "?***"),
        None => (rest, ""),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let path = match path.trim_end_matches('/').rsplit_once('/') {
        Some((before, _)) if pushed => format!("{before}/***"),
        _ => path.to_owned(),
    };
    // `twitch://KEY` and `mux://KEY` have the key in place of the host.
    let authority = if pushed && path.is_empty() && !authority.contains('.') && !authority.contains(':') {
        "***".to_owned()
    } else {
        authority
    };
    format!("{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn read(text: &str) -> Result<Body, BadBody> {
        Body::read(text.as_bytes(), &Redaction::default())
    }

    fn json(text: &str) -> String {
        String::from_utf8(read(text).expect("a body").json.to_vec()).expect("text")
    }

    #[test]
    fn a_body_that_is_not_an_event_is_refused() {
        assert_eq!(read(""), Err(BadBody::NotJson));
        assert_eq!(read("{"), Err(BadBody::NotJson));
        assert_eq!(read("[]"), Err(BadBody::NotAnObject));
        assert_eq!(read("\"event\""), Err(BadBody::NotAnObject));
        assert_eq!(read("{}"), Err(BadBody::NoEvent));
        assert_eq!(read(r#"{"event":""}"#), Err(BadBody::NoEvent));
        assert_eq!(read(r#"{"event":7}"#), Err(BadBody::NoEvent));
        assert_eq!(read(r#"{"room":{"event":"x"}}"#), Err(BadBody::NoEvent));
        assert_eq!(Body::read(b"{\"event\":\"\xff\"}", &Redaction::default()), Err(BadBody::NotUtf8));
    }

    #[test]
    fn a_body_is_json_exactly_if_serde_json_accepts_it() {
        let whole = r#" {"event":"x","id":"EV_1","a":[true,false,null,-1.5e+3,0,[],{}, {"b" : "\\\"\u00e9\/é"}],"turnPassword":[""]} "#;
        let changes = [
            "", " ", "\n", "\u{b}", "\u{c}", "\u{1}", "\0", ",", ":", "\"", "\\", "{", "}", "[", "]", "0",
            "-", ".", "e", "u", "t", "é",
        ];
        let mut valid = 0;
        for (at, old) in whole.char_indices() {
            let (before, after) = (&whole[..at], &whole[at + old.len_utf8()..]);
            for change in changes {
                for text in [
                    format!("{before}{change}{after}"),
                    format!("{before}{change}{old}{after}"),
                    before.to_owned(),
                ] {
                    let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
                    assert_eq!(read(&text) != Err(BadBody::NotJson), is_json, "{text:?}");
                    valid += usize::from(is_json);
                }
            }
        }
        assert!(valid > 500, "{valid}");
    }

    #[test]
    fn depth_is_bounded_before_the_stack_is_used_up() {
        let nested = |n: usize| format!(r#"{{"event":"x","a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(read(&nested(127)).is_ok());
        assert_eq!(read(&nested(128)), Err(BadBody::TooDeep));
        assert_eq!(read(&nested(1_000_000)), Err(BadBody::TooDeep));
        let objects = format!(r#"{{"event":"x","a":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
        assert_eq!(read(&objects), Err(BadBody::TooDeep));
    }

    #[test]
    fn secrets_are_removed_with_their_keys_and_nothing_else_changes() {
        for (from, to) in [
            (r#"{"event":"x","room":{"turnPassword":"S"}}"#, r#"{"event":"x","room":{}}"#),
            (r#"{"event":"x","room":{"turnPassword":"S","a":1}}"#, r#"{"event":"x","room":{"a":1}}"#),
            (
                r#"{"event":"x","room":{"a":1, "turnPassword":"S", "b":2}}"#,
                r#"{"event":"x","room":{"a":1, "b":2}}"#,
            ),
            (r#"{"event":"x","room":{"a":1, "turnPassword" : "S" }}"#, r#"{"event":"x","room":{"a":1 }}"#),
            (r#"{"turnPassword":{"a":["}",1]},"turnPassword":2,"event":"x"}"#, r#"{"event":"x"}"#),
            (r#"{"event":"x","turnPassword":1,"turnPassword":2}"#, r#"{"event":"x"}"#),
            (r#"{"event":"x","room":{"turn\u0050assword":"S"}}"#, r#"{"event":"x","room":{}}"#),
            (r#"{"event":"x","job":{"room":{"turnPassword":"S"}}}"#, r#"{"event":"x","job":{"room":{}}}"#),
            (
                r#"{"event":"x","ingressInfo":{"streamKey":"S","x":1.0}}"#,
                r#"{"event":"x","ingressInfo":{"x":1.0}}"#,
            ),
            (
                r#"{"event":"x","participant":{"attributes":{"streamKey":"mine"}}}"#,
                r#"{"event":"x","participant":{"attributes":{"streamKey":"mine"}}}"#,
            ),
            (
                r#"{"event":"x","egressInfo":{"file":{"s3":{"accessKey":"S","secret":"S","assumeRoleArn":"S","bucket":"b","proxy":{"url":"http://u:S@h/","password":"S"}}}}}"#,
                r#"{"event":"x","egressInfo":{"file":{"s3":{"bucket":"b","proxy":{"url":"http://***@h/"}}}}}"#,
            ),
            (r#"{"event":"x","s3":{"secret":"kept"}}"#, r#"{"event":"x","s3":{"secret":"kept"}}"#),
        ] {
            assert_eq!(json(from), to, "{from}");
        }
    }

    #[test]
    fn secret_parts_of_stream_urls_are_masked() {
        for (from, to) in [
            ("rtmp://a.rtmp.youtube.com/live2/S", "rtmp://a.rtmp.youtube.com/live2/***"),
            ("rtmps://u:S@h.example:443/app/S?k=S", "rtmps://***@h.example:443/app/***?***"),
            ("srt://h.example:9000?streamid=S", "srt://h.example:9000?***"),
            ("twitch://S", "twitch://***"),
            ("wss://h.example/ws?token=S", "wss://h.example/ws?***"),
            ("https://h.example/a/b.m3u8", "https://h.example/a/b.m3u8"),
            ("not a url", "not a url"),
        ] {
            assert_eq!(mask_url(from), to);
        }
        assert_eq!(
            json(r#"{"event":"x","egressInfo":{"streamOutputs":[{"urls":["rtmp://h.example/a/S", "b"]}]}}"#),
            r#"{"event":"x","egressInfo":{"streamOutputs":[{"urls":["rtmp://h.example/a/***", "b"]}]}}"#,
        );
    }

    #[test]
    fn a_signature_in_the_location_of_a_file_is_masked_and_its_path_stays() {
        for (from, to) in [
            (
                "https://rec.s3.amazonaws.com/a/b.mp4?X-Amz-Signature=S",
                "https://rec.s3.amazonaws.com/a/b.mp4?***",
            ),
            ("https://u:S@h.example/a.mp4", "https://***@h.example/a.mp4"),
            ("s3://bucket/a.mp4", "s3://bucket/a.mp4"),
            ("gs://bucket/a b.mp4#S", "gs://bucket/a b.mp4?***"),
            ("/out/what?.mp4", "/out/what?.mp4"),
        ] {
            assert_eq!(mask_location(from), to);
            for key in ["location", "playlistLocation", "live_playlist_location", "manifestLocation"] {
                assert_eq!(
                    json(&format!(r#"{{"event":"x","egressInfo":{{"a":[{{"{key}":"{from}"}}]}}}}"#)),
                    format!(r#"{{"event":"x","egressInfo":{{"a":[{{"{key}":"{to}"}}]}}}}"#)
                );
            }
        }
    }

    #[test]
    fn configured_paths_are_removed_too() {
        let rules = ["participant.metadata", "participant.attributes.*"].map(str::to_owned);
        let redaction = Redaction::new(&rules).expect("paths");
        let text = r#"{"event":"x","participant":{"metadata":"S","attributes":{"a":"S","b":"S"},"sid":"PA_1"},"metadata":1}"#;
        let body = Body::read(text.as_bytes(), &redaction).expect("a body");
        assert_eq!(
            &body.json[..],
            br#"{"event":"x","participant":{"attributes":{},"sid":"PA_1"},"metadata":1}"#
        );
        for bad in ["", "a..b", ".a", "event", "id", "*"] {
            assert!(Redaction::new(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_room_is_read_from_each_place_where_livekit_puts_it() {
        let place = |text: &str| {
            let body = read(text).expect("a body");
            (body.room, body.room_sid)
        };
        let some = |a: &str, b: &str| (Some(a.into()), Some(b.into()));
        assert_eq!(
            place(r#"{"event":"x","room":{"name":"a","sid":"b"},"egressInfo":{"roomName":"c"}}"#),
            some("a", "b")
        );
        assert_eq!(place(r#"{"event":"x","egressInfo":{"roomName":"a","roomId":"b"}}"#), some("a", "b"));
        assert_eq!(
            place(r#"{"event":"x","room":{"name":"a"},"ingressInfo":{"state":{"roomId":"b"}}}"#),
            some("a", "b")
        );
        assert_eq!(place(r#"{"event":"x","job":{"room":{"name":"a","sid":"b"}}}"#), some("a", "b"));
        assert_eq!(place(r#"{"event":"x","room":null}"#), (None, None));
        assert_eq!(place(r#"{"event":"x","room":{"name":7,"sid":""}}"#), (None, None));
    }

    #[test]
    fn line_ends_between_tokens_become_spaces() {
        assert_eq!(json("{\r\n \"event\":\n\"a\\nb\"}\n"), "{   \"event\": \"a\\nb\"}");
    }

    #[test]
    fn an_event_without_an_id_gets_the_hash_of_its_body() {
        let id = read(r#"{"event":"x"}"#).expect("a body").id;
        assert_eq!(id.len(), 64);
        assert_ne!(id, read(r#"{"event":"x" }"#).expect("a body").id);
        assert_eq!(&*read(r#"{"event":"x","id":"EV_1"}"#).expect("a body").id, "EV_1");
    }
}
