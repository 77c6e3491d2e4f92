//! The request for one event at one endpoint. docs/deliveries.md is the contract with receivers.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{
    config::{EndpointKind, Project, SigningKey},
    event::{Cursor, Event, Source},
    http::{DELIVERY, without},
    token::{Claims, sign},
};

/// Lifetime of the token of a delivery, as LiveKit's (livekit/protocol webhook/url_notifier.go), in seconds.
const TOKEN_SECS: i64 = 5 * 60;

/// Shortest part of a URL or a signature that is a secret. Shorter ones are words of every answer.
const SECRET_BYTES_MIN: usize = 6;

/// The body of a Standard Webhook.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    cursor: Cursor,
    project: &'a str,
    source: &'static str,
    room: Option<&'a str>,
    room_sid: Option<&'a str>,
    event: &'a RawValue,
}

/// Returns the id of an event at an endpoint. It is the same for each attempt and each replay.
pub fn id(endpoint: &str, cursor: Cursor) -> String {
    format!("{endpoint}_{cursor}")
}

/// Returns the body of a delivery. It is the same for each attempt.
pub fn body(kind: EndpointKind, event: &Event, cursor: Cursor) -> anyhow::Result<Bytes> {
    if kind == EndpointKind::Livekit {
        return Ok(event.body.clone());
    }
    let at = jiff::Timestamp::from_millisecond(i64::try_from(event.received_at)?)?;
    let payload = Payload {
        r#type: event.kind.wire(),
        timestamp: format!("{at:.3}"),
        data: Data {
            cursor,
            project: &event.project,
            source: event.source.as_str(),
            room: event.room.as_deref(),
            room_sid: event.room_sid.as_deref(),
            event: serde_json::from_slice(&event.body)?,
        },
    };
    Ok(serde_json::to_vec(&payload)?.into())
}

/// Returns the headers of an attempt at `now`, in unix seconds, as Standard Webhooks has them.
pub fn webhook(keys: &[SigningKey], id: String, body: &[u8], now: i64) -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-signature", signatures(keys, &id, now, body)),
        ("webhook-timestamp", now.to_string()),
        ("webhook-id", id.clone()),
        (DELIVERY, id),
    ]
}

/// Returns the headers of an attempt at `now`, in unix seconds, as LiveKit sends them. `project` is that of the event.
pub fn livekit(
    project: &Project,
    id: String,
    source: Source,
    body: &[u8],
    now: i64,
) -> Vec<(&'static str, String)> {
    let claims = Claims {
        iss: (*project.key).to_owned(),
        exp: now + TOKEN_SECS,
        nbf: Some(now),
        sha256: Some(STANDARD.encode(Sha256::digest(body))),
        ..Claims::default()
    };
    vec![
        ("content-type", "application/webhook+json".to_owned()),
        ("authorization", sign(&claims, &project.secret)),
        ("roomwatch-source", source.as_str().to_owned()),
        (DELIVERY, id),
    ]
}

/// Hides in the body of an answer what only the two sides know: a receiver may repeat its URL or the signature.
pub fn hide(body: &[u8], url: &str, headers: &[(&'static str, String)]) -> Vec<u8> {
    let path = url.split(['/', '?', '&', '=', '#']).skip(3);
    let signed = headers.iter().filter(|(name, _)| matches!(*name, "authorization" | "webhook-signature"));
    let mut secrets: Vec<&str> = path.chain(signed.flat_map(|(_, value)| value.split([' ', ',']))).collect();
    secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
    without(&String::from_utf8_lossy(body), &secrets).into_bytes()
}

/// Returns the signatures of Standard Webhooks, one for each key.
fn signatures(keys: &[SigningKey], id: &str, now: i64, body: &[u8]) -> String {
    let sign = |key: &SigningKey| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal()).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{now}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_repeats_the_request_has_no_secret() {
        let url = "https://hooks.example.com/services/T0CANARY/B0CANARY?key=CANARY-3";
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("authorization", "Bearer CANARY-4".to_owned()),
            ("webhook-signature", "v1,CANARY-5= v1,CANARY-6=".to_owned()),
        ];
        let echo = format!("no POST {url} {headers:?}");
        let shown = String::from_utf8(hide(echo.as_bytes(), url, &headers)).expect("text");
        assert!(!shown.contains("CANARY"), "{shown}");
        assert!(shown.starts_with("no POST https://hooks.example.com/***/***/***?key=***"), "{shown}");
        assert!(shown.contains("application/json"), "{shown}");
        assert_eq!(hide(b"the order is unknown", url, &headers), b"the order is unknown");
    }
}
