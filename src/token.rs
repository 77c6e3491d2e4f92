//! LiveKit access tokens: HS256 JWTs signed with a project's API secret.
//!
//! Every token is verified here, in one way: HS256 only, the key found by `iss`, `iss` and `exp` required, 60 s of leeway
//! as in LiveKit's own verifier (livekit/protocol auth/verifier.go), comparison in constant time.
//!
//! LiveKit reads claims with Go's encoding/json, and SDKs rely on it: null, an empty text and zero say as little as an
//! absent claim, and a time may have a fraction (RFC 7519, NumericDate).

use std::{collections::HashMap, fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;

/// Maximum difference between the clocks of LiveKit and Roomwatch, in seconds.
pub const LEEWAY_SECS: i64 = 60;
/// Maximum length of a token. No LiveKit token comes near it, and a longer one is not read.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The claims of a token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Claims {
    /// The API key.
    pub iss: String,
    /// The identity.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Unix seconds.
    #[serde(deserialize_with = "seconds")]
    pub exp: i64,
    #[serde(default, deserialize_with = "some_seconds", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Base64 of the SHA-256 of a webhook's body. Only webhooks have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<Grant>,
}

impl Claims {
    /// Returns the key that a token claims, before anything is checked. Only for reports about refused tokens.
    pub fn unverified_iss(token: &str) -> Option<String> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        #[derive(Deserialize)]
        struct Iss {
            iss: String,
        }
        part::<Iss>(token.split('.').nth(1)?).ok().map(|claims| claims.iss)
    }
}

/// LiveKit's video grant: the parts that decide what a caller of Roomwatch may see and do, and those that a token to
/// watch a room needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grant {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_create: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_list: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_admin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_join: bool,
    /// Lists, starts and stops egress.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub room_record: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ingress_admin: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Absent means true, as in LiveKit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("no token")]
    Missing,
    #[error("not a JWT with `iss` and `exp`")]
    Malformed,
    #[error("not signed with HS256")]
    Algorithm,
    #[error("signed with a key that is not configured")]
    UnknownKey,
    #[error("the signature does not match the key's secret")]
    Signature,
    #[error("expired")]
    Expired,
    #[error("not valid yet; check the clocks of LiveKit and Roomwatch")]
    NotYetValid,
    #[error("valid for more than 24 hours; LiveKit's webhooks never are")]
    TooLong,
    #[error("signed for another body")]
    OtherBody,
    #[error("a token for another use")]
    OtherUse,
}

impl Reject {
    /// Returns the stable name, for metrics and for `GET /api/projects`.
    pub fn code(self) -> &'static str {
        match self {
            Reject::Missing => "no_token",
            Reject::Malformed => "malformed",
            Reject::Algorithm => "algorithm",
            Reject::UnknownKey => "unknown_key",
            Reject::Signature => "signature",
            Reject::Expired => "expired",
            Reject::NotYetValid => "not_yet_valid",
            Reject::TooLong => "too_long",
            Reject::OtherBody => "other_body",
            Reject::OtherUse => "other_use",
        }
    }
}

/// A secret of the configuration. It prints as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// Returns the text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// An API key pair and the project it belongs to.
#[derive(Clone, Debug)]
pub struct Key {
    pub project: Arc<str>,
    pub secret: Secret,
}

/// All API keys, by name. A key names one project only.
#[derive(Clone, Debug, Default)]
pub struct Keys(HashMap<String, Key>);

/// A verified token.
#[derive(Clone, Debug)]
pub struct Verified {
    pub project: Arc<str>,
    pub claims: Claims,
}

impl Keys {
    /// Adds a key. Returns false if there is one with this name.
    #[must_use]
    pub fn insert(&mut self, name: String, key: Key) -> bool {
        match self.0.entry(name) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(key);
                true
            }
        }
    }

    /// Returns the project that a key belongs to.
    pub fn project_of(&self, key: &str) -> Option<Arc<str>> {
        self.0.get(key).map(|key| key.project.clone())
    }

    /// Returns a key of a project, to sign with.
    pub fn of_project(&self, project: &str) -> Option<(&str, &Secret)> {
        // The smallest name, so that restarts sign with the same key.
        let own = self.0.iter().filter(|(_, key)| *key.project == *project);
        own.min_by_key(|(name, _)| name.as_str()).map(|(name, key)| (name.as_str(), &key.secret))
    }

    /// Returns the names of a project's keys, sorted.
    pub fn names_of(&self, project: &str) -> Vec<&str> {
        let own = self.0.iter().filter(|(_, key)| *key.project == *project);
        let mut names: Vec<_> = own.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// Checks the signature and the times of a token at `now`, in unix seconds.
    pub fn verify(&self, token: &str, now: i64) -> Result<Verified, Reject> {
        if token.is_empty() {
            return Err(Reject::Missing);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Reject::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reject::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Reject::Malformed)?;
        #[derive(Deserialize)]
        struct Header {
            alg: String,
        }
        let header: Header = part(header)?;
        if header.alg != "HS256" {
            return Err(Reject::Algorithm);
        }
        let mut claims: Map<String, Value> = part(payload)?;
        remove_empty(&mut claims);
        // LiveKit takes the identity from `jti` if there is no `sub`.
        if let (false, Some(jti)) = (claims.contains_key("sub"), claims.remove("jti")) {
            claims.insert("sub".to_owned(), jti);
        }
        let claims = Claims::deserialize(Value::Object(claims)).map_err(|_| Reject::Malformed)?;
        let key = self.0.get(&claims.iss).ok_or(Reject::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Reject::Malformed)?;
        let mut mac = mac(&key.secret);
        mac.update(signed.as_bytes());
        mac.verify_slice(&signature).map_err(|_| Reject::Signature)?;
        // Saturating: a key's owner may sign any number.
        if now > claims.exp.saturating_add(LEEWAY_SECS) {
            return Err(Reject::Expired);
        }
        if claims.nbf.is_some_and(|nbf| nbf > now.saturating_add(LEEWAY_SECS)) {
            return Err(Reject::NotYetValid);
        }
        Ok(Verified { project: key.project.clone(), claims })
    }
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Reject> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Reject::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Reject::Malformed)
}

/// Removes what says nothing, in the claims and in their grants.
fn remove_empty(claims: &mut Map<String, Value>) {
    claims.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Object(members) => {
            remove_empty(members);
            true
        }
        Value::Bool(_) | Value::Array(_) => true,
    });
}

/// Reads a NumericDate, without its fraction.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    // `as` saturates: a key's owner may sign any number.
    let number = serde_json::Number::deserialize(from)?;
    Ok(number.as_i64().unwrap_or_else(|| number.as_f64().unwrap_or(f64::MAX) as i64))
}

fn some_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    seconds(from).map(Some)
}

fn mac(secret: &Secret) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes a key of any length")
}

/// Returns the access token with these claims.
pub fn sign(claims: &Claims, secret: &Secret) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let payload = serde_json::to_vec(claims).expect("claims are JSON");
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload));
    let mut mac = mac(secret);
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_787_486_400;

    fn keys() -> Keys {
        let mut keys = Keys::default();
        let key = Key { project: "default".into(), secret: Secret::new("secret") };
        assert!(keys.insert("devkey".into(), key.clone()));
        assert!(!keys.insert("devkey".into(), key));
        keys
    }

    fn claims() -> Claims {
        Claims { iss: "devkey".into(), exp: NOW + 300, nbf: Some(NOW), ..Claims::default() }
    }

    fn signed(header: &str, payload: &str, secret: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let mut mac = mac(&Secret::new(secret));
        mac.update(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn livekits_own_verifier_accepts_our_tokens_and_we_accept_its() {
        let token = sign(&Claims { exp: i64::MAX / 4, nbf: None, ..claims() }, &Secret::new("secret"));
        let theirs = livekit_api::access_token::TokenVerifier::with_api_key("devkey", "secret");
        assert_eq!(theirs.verify(&token).expect("verified").iss, "devkey");
        let token = livekit_api::access_token::AccessToken::with_api_key("devkey", "secret")
            .with_identity("alice")
            .with_grants(livekit_api::access_token::VideoGrants { room_list: true, ..Default::default() })
            .to_jwt()
            .expect("a token");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let ours = keys().verify(&token, now.as_secs() as i64).expect("verified");
        assert_eq!(ours.claims.sub, "alice");
        assert!(ours.claims.video.expect("grants").room_list);
    }

    #[test]
    fn each_kind_of_forgery_is_reported_by_its_name() {
        let keys = keys();
        let verify = |token: &str, now| keys.verify(token, now).map(|v| v.claims.iss);
        let good = sign(&claims(), &Secret::new("secret"));
        assert_eq!(verify(&good, NOW), Ok("devkey".into()));
        assert_eq!(verify("", NOW), Err(Reject::Missing));
        for junk in ["x", "a.b", "a.b.c", "..", "a.b.c.d", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(verify(junk, NOW), Err(Reject::Malformed), "{junk:.20}");
        }
        let payload = serde_json::to_string(&claims()).expect("JSON");
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        assert_eq!(verify(&signed(header, &payload, "secret"), NOW), Ok("devkey".into()));
        assert_eq!(verify(&signed(header, &payload, "other"), NOW), Err(Reject::Signature));
        for alg in ["none", "HS512", "hs256", "RS256", ""] {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
            assert_eq!(verify(&signed(&header, &payload, "secret"), NOW), Err(Reject::Algorithm), "{alg}");
        }
        for payload in [
            r#"{"iss":"devkey"}"#,
            r#"{"exp":99999999999}"#,
            r#"{"iss":"devkey","exp":"soon"}"#,
            r#"{"iss":["devkey"],"exp":99999999999}"#,
            "[]",
        ] {
            assert_eq!(verify(&signed(header, payload, "secret"), NOW), Err(Reject::Malformed), "{payload}");
        }
        let other = r#"{"iss":"unknown","exp":99999999999}"#;
        assert_eq!(verify(&signed(header, other, "secret"), NOW), Err(Reject::UnknownKey));
        assert_eq!(verify(&format!("{good}="), NOW), Err(Reject::Malformed));
        // 60 seconds of leeway, and not one more.
        assert!(verify(&good, NOW + 360).is_ok());
        assert_eq!(verify(&good, NOW + 361), Err(Reject::Expired));
        assert!(verify(&good, NOW - 60).is_ok());
        assert_eq!(verify(&good, NOW - 61), Err(Reject::NotYetValid));
        let absurd = format!(r#"{{"iss":"devkey","exp":{},"nbf":{}}}"#, i64::MAX, i64::MIN);
        assert!(verify(&signed(header, &absurd, "secret"), NOW).is_ok());
    }

    #[test]
    fn a_secret_prints_as_stars() {
        assert_eq!(format!("{:?}", keys()).matches("***").count(), 1);
        assert!(!format!("{:?}", keys()).contains("\"secret\""));
    }
}
