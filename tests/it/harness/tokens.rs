//! The project's key, and access tokens that are signed with it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use roomwatch::token::{Claims, Grant, Secret, sign};
use serde_json::Value;

pub const KEY: &str = "APItestkey";
pub const SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

/// Unix time in seconds.
pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// An access token with these grants.
pub fn token(identity: &str, grant: Grant) -> String {
    let claims = Claims {
        iss: KEY.into(),
        sub: identity.into(),
        exp: now() + 600,
        video: Some(grant),
        ..Claims::default()
    };
    sign(&claims, &Secret::new(SECRET))
}

pub fn list_token() -> String {
    token("lister", Grant { room_list: true, ..Grant::default() })
}

pub fn admin_token(room: &str) -> String {
    token("admin", Grant { room_admin: true, room: room.into(), ..Grant::default() })
}

pub fn join_token(room: &str) -> String {
    token("joiner", Grant { room_join: true, room: room.into(), ..Grant::default() })
}

/// A token with these claims, whatever they are.
pub fn raw_token(header: Value, claims: &str, secret: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}
