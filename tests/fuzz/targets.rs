//! Properties of everything that reads what others wrote, whatever they wrote. `fuzz/` runs the same functions
//! with libFuzzer.

#[path = "packet.rs"]
mod packet;

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use roomwatch::{
    event::{
        Cursor, Event, Kind, Seq, Source,
        body::{BadBody, Body, Redaction},
    },
    feed::Filter,
    livekit::shape,
    rights::Window,
    server::query::{ProjectQuery, Query, access_token},
    state::State,
    token::{Claims, Key, Keys, Secret},
};
use serde_json::Value;
use sha2::Sha256;

pub use packet::packet;

const KEY: &str = "APIfuzz";
const SECRET: &str = "secret";
const NOW: i64 = 1_787_486_400;

fn keys() -> Keys {
    let mut keys = Keys::default();
    let new = keys.insert(KEY.into(), Key { project: "default".into(), secret: Secret::new(SECRET) });
    assert!(new);
    keys
}

fn signature(text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A token that is accepted has the signature of its key, and has not expired. The input is a token, and the payload of
/// one that is signed well.
pub fn token(input: &[u8]) {
    let keys = keys();
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Claims::unverified_iss(text);
        if let Ok(verified) = keys.verify(text, NOW) {
            let (signed, sent) = text.rsplit_once('.').expect("three parts");
            assert_eq!(URL_SAFE_NO_PAD.decode(sent).expect("base64"), signature(signed));
            assert_eq!(verified.claims.iss, KEY);
        }
    }
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(input));
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature(&signed)));
    if let Ok(verified) = keys.verify(&text, NOW) {
        let payload: Value = serde_json::from_slice(input).expect("claims are JSON");
        assert_eq!(payload["iss"], KEY);
        assert!(verified.claims.exp + 60 >= NOW, "{payload}");
    }
}

/// Returns true if a member that holds a secret is left, outside of attributes.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, value)| {
            let named = matches!(key.as_str(), "turnPassword" | "streamKey");
            named || (key != "attributes" && has_secret(value))
        }),
        Value::Array(list) => list.iter().any(has_secret),
        _ => false,
    }
}

/// A body that is accepted is JSON on one line, without secrets, reads the same again, and can be folded.
pub fn body(input: &[u8]) {
    let redaction = Redaction::default();
    let body = match Body::read(input, &redaction) {
        Ok(body) => body,
        Err(BadBody::NotJson) => {
            let parsed: Result<Value, _> = serde_json::from_slice(input);
            assert!(parsed.is_err(), "it is JSON");
            return;
        }
        Err(_) => return,
    };
    assert!(!body.json.contains(&b'\n') && !body.json.contains(&b'\r'));
    if let Ok(value) = serde_json::from_slice::<Value>(&body.json) {
        assert!(value.is_object() && !has_secret(&value), "{value}");
    }
    let again = Body::read(&body.json, &redaction).expect("it is a body");
    assert_eq!((&again.json, &again.event), (&body.json, &body.event));
    assert_eq!((&again.room, &again.room_sid), (&body.room, &body.room_sid));
    let mut state = State::default();
    for seq in 1..=2 {
        let event = Event {
            seq: Seq(seq),
            project: "default".into(),
            source: if seq == 1 { Source::Webhook } else { Source::Reconcile },
            received_at: NOW as u64 * 1000 + seq,
            kind: Kind::from(&*body.event),
            room: body.room.clone(),
            room_sid: body.room_sid.clone(),
            body: body.json.clone(),
        };
        let applied = state.apply(&event);
        let changes = serde_json::to_vec(&applied.changes).expect("JSON");
        serde_json::from_slice::<Value>(&changes).expect("JSON");
    }
    State::restore(&state.checkpoint()).expect("its own checkpoint");
}

/// A cursor has one spelling.
pub fn cursor(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(cursor.to_string(), text);
    }
}

/// A pattern matches what a straightforward search finds. The first line has patterns, the second a kind.
pub fn filter(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (patterns, kind) = text.split_once('\n').unwrap_or((text, "room_started"));
    if patterns.len() > 512 || kind.len() > 256 {
        return;
    }
    let types: Vec<String> = patterns.split(',').map(str::to_owned).collect();
    let event = Event {
        seq: Seq(1),
        project: "default".into(),
        source: Source::Webhook,
        received_at: 0,
        kind: Kind::from(kind),
        room: Some(Arc::from("room")),
        room_sid: None,
        body: Default::default(),
    };
    let admits = Filter::new(&Window::all(), &types, &[]).admits_event(&event);
    let kind = if kind == "connected" { "livekit.connected" } else { kind };
    assert_eq!(admits, types.iter().any(|pattern| matches(pattern.as_bytes(), kind.as_bytes())), "{text}");
}

/// `found[n]` is true if the pattern so far matches the first `n` bytes.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut found = vec![false; text.len() + 1];
    found[0] = true;
    for byte in pattern {
        let before = found.clone();
        for n in 0..found.len() {
            found[n] = match byte {
                b'*' => before[n] || (n > 0 && found[n - 1]),
                byte => n > 0 && before[n - 1] && text[n - 1] == *byte,
            };
        }
    }
    found[text.len()]
}

/// A query that is accepted has the known parameters only, within their limits.
pub fn query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = access_token(Some(text));
    let _ = ProjectQuery::parse(Some(text));
    let Ok(query) = Query::parse(Some(text), &["room", "type", "after", "limit", "from"]) else { return };
    for name in ["room", "type"] {
        let values = query.all(name);
        assert!(values.len() <= 100 && values.iter().all(|value| value.len() <= 2_048));
    }
    if let Ok(Some(limit)) = query.limit(1_000) {
        assert!((1..=1_000).contains(&limit));
    }
    if let Ok(Some(millis)) = query.millis("from") {
        assert!(millis >= 0);
    }
    let _ = query.before(|text| text.parse::<u64>().ok());
}

/// A checkpoint that is accepted is written again as it was read, and can be folded on.
pub fn checkpoint(input: &[u8]) {
    let Ok(state) = State::restore(input) else { return };
    let written = state.checkpoint();
    let again = State::restore(&written).expect("its own checkpoint");
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    assert_eq!(json(&written), json(&again.checkpoint()));
}

/// An answer of LiveKit gets the shape of a webhook, whatever it is.
pub fn answer(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let shaped = shape::object(value);
    assert!(shaped.keys().all(|key| !key.contains('_')), "{shaped:?}");
}
