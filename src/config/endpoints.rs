//! The systems that events are delivered to: `[[endpoints]]` and `[deliveries]` of the file.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use serde::Deserialize;

use super::{Project, server::has_host};
use crate::token::Secret;

/// Maximum number of endpoints, and of patterns of one.
const ENDPOINTS_MAX: usize = 64;
const PATTERNS_MAX: usize = 64;
/// Maximum length of a name: it is part of the id of each delivery.
const NAME_BYTES_MAX: usize = 48;
/// Secrets of one endpoint: the new one, and the old one until the receiver knows the new one.
const SECRETS_MAX: usize = 2;
/// Length of a secret of Standard Webhooks, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The `[deliveries]` of the file: addresses that endpoints may have. Only the file opens them, because an address in the
/// private network may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryOptions {
    /// Endpoints may have URLs with `http://`.
    pub allow_http: bool,
    /// Networks that are not public and that endpoints may be in.
    pub allow_networks: Vec<IpNet>,
}

/// The format of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointKind {
    /// Standard Webhooks.
    Webhook,
    /// As LiveKit sends webhooks.
    Livekit,
}

/// One `[[endpoints]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointOptions {
    pub name: String,
    pub url: Secret,
    pub kind: EndpointKind,
    /// Without it, the events of every project.
    #[serde(default)]
    pub project: Option<String>,
    /// Patterns with `*`. Without them, every type.
    #[serde(default)]
    pub types: Vec<String>,
    /// Patterns with `*`. Without them, every room, and events without a room.
    #[serde(default)]
    pub rooms: Vec<String>,
    #[serde(default)]
    pub secret: Option<Secret>,
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Name of a variable of the environment.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// Of kind `livekit`: events that no webhook has reported, too.
    #[serde(default)]
    pub corrected: bool,
}

/// A system that events are delivered to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: String,
    /// Prints as `***`: the URLs of some receivers are secrets.
    pub url: Secret,
    pub kind: EndpointKind,
    pub project: Option<String>,
    /// Empty: every type.
    pub types: Vec<String>,
    /// Empty: every room, and events without a room.
    pub rooms: Vec<String>,
    /// The keys of Standard Webhooks, decoded. Each signs.
    pub keys: Vec<SigningKey>,
    pub corrected: bool,
}

/// A decoded secret of Standard Webhooks. It prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Checks the endpoints, and reads their secrets.
pub(super) fn endpoints(
    written: Vec<EndpointOptions>,
    options: &DeliveryOptions,
    projects: &[Project],
) -> anyhow::Result<Vec<Endpoint>> {
    ensure!(written.len() <= ENDPOINTS_MAX, "[[endpoints]]: at most {ENDPOINTS_MAX} of them");
    let mut names = BTreeSet::new();
    let checked = written.into_iter().map(|one| {
        let name = one.name.clone();
        let is_name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        ensure!(
            (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name),
            "the name {name:?} of an endpoint must have 1 to {NAME_BYTES_MAX} characters of a-z, 0-9, - and _"
        );
        ensure!(names.insert(name.clone()), "two endpoints are called {name:?}");
        endpoint(one, options, projects).with_context(|| format!("endpoint {name:?}"))
    });
    checked.collect()
}

fn endpoint(
    one: EndpointOptions,
    options: &DeliveryOptions,
    projects: &[Project],
) -> anyhow::Result<Endpoint> {
    let url = one.url.reveal();
    let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    ensure!(
        matches!(&*scheme, "http" | "https") && url.parse().is_ok_and(|uri| has_host(&uri)),
        "its url must begin with https:// and name a host"
    );
    ensure!(
        scheme == "https" || options.allow_http,
        "its url begins with http://, so others on the way can read the events; use https://, or set \
         `allow_http = true` in [deliveries]"
    );
    if let Some(project) = &one.project {
        ensure!(projects.iter().any(|known| *known.name == **project), "there is no project {project:?}");
    }
    ensure!(
        one.types.len().max(one.rooms.len()) <= PATTERNS_MAX,
        "at most {PATTERNS_MAX} types and {PATTERNS_MAX} rooms"
    );
    let sources = [one.secret.is_some(), one.secret_file.is_some(), one.secret_env.is_some()];
    let given = sources.into_iter().filter(|given| *given).count();
    let keys = match one.kind {
        EndpointKind::Webhook => {
            ensure!(!one.corrected, "`corrected` is for kind \"livekit\"; kind \"webhook\" gets every event");
            ensure!(given == 1, "set one of secret, secret_file and secret_env");
            keys(&secret(&one)?)?
        }
        EndpointKind::Livekit => {
            ensure!(
                given == 0,
                "kind \"livekit\" is signed with the API key of the event's project, as LiveKit does; leave the \
                 secret out"
            );
            Vec::new()
        }
    };
    Ok(Endpoint {
        name: one.name,
        url: one.url,
        kind: one.kind,
        project: one.project,
        types: one.types,
        rooms: one.rooms,
        keys,
        corrected: one.corrected,
    })
}

fn secret(one: &EndpointOptions) -> anyhow::Result<Secret> {
    if let Some(path) = &one.secret_file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read its secret_file {}", path.display()))?;
        return Ok(Secret::new(text));
    }
    if let Some(name) = &one.secret_env {
        let text = std::env::var(name).ok();
        return Ok(Secret::new(text.with_context(|| format!("the environment has no variable {name}"))?));
    }
    Ok(one.secret.clone().unwrap_or_else(|| Secret::new("")))
}

/// Decodes one secret, or two with white space between them.
fn keys(secret: &Secret) -> anyhow::Result<Vec<SigningKey>> {
    let mut keys = Vec::new();
    for text in secret.reveal().split_ascii_whitespace() {
        let decoded = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).ok();
        let decoded = decoded.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        keys.push(SigningKey(decoded.context(
            "its secret must be whsec_ and base64 of 24 to 64 bytes; `echo whsec_$(openssl rand -base64 32)` makes one",
        )?));
    }
    ensure!((1..=SECRETS_MAX).contains(&keys.len()), "give one secret, or two with a space between them");
    Ok(keys)
}
