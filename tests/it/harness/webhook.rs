//! A webhook's body and token.

use base64::{Engine, engine::general_purpose::STANDARD};
use roomwatch::token::{Claims, Secret, sign};
use sha2::{Digest, Sha256};

use super::tokens::{KEY, SECRET, now};

/// The claims that LiveKit makes for a webhook with this body.
pub fn webhook_claims(body: &[u8]) -> Claims {
    Claims {
        iss: KEY.into(),
        exp: now() + 300,
        nbf: Some(now()),
        sha256: Some(STANDARD.encode(Sha256::digest(body))),
        ..Claims::default()
    }
}

pub fn webhook_token(body: &[u8]) -> String {
    sign(&webhook_claims(body), &Secret::new(SECRET))
}

/// A small event of a room.
pub fn event(id: &str, room: &str) -> String {
    format!(
        r#"{{"event":"room_started","room":{{"sid":"RM_{room}","name":"{room}","creationTime":"1787486400"}},"id":"{id}","createdAt":"1787486400"}}"#
    )
}
