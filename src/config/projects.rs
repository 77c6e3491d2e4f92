//! The LiveKit deployments: `[[projects]]` of the file, or the one of the environment.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::{Options, server::has_host, shown};
use crate::token::{Key, Keys, Secret};

/// The name of the one project of an installation that does not name its projects.
pub const DEFAULT_PROJECT: &str = "default";
/// livekit-server --dev uses this pair; so does `serve --dev`.
pub const DEV_KEY: (&str, &str) = ("devkey", "secret");
/// Address of livekit-server --dev.
pub const DEV_URL: &str = "http://127.0.0.1:7880";

/// One `[[projects]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectOptions {
    pub name: String,
    #[serde(default)]
    pub url: Option<String>,
    pub keys: Vec<KeyOptions>,
}

/// One of a project's API keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyOptions {
    pub key: String,
    pub secret: Secret,
}

/// One LiveKit deployment.
#[derive(Clone, Debug)]
pub struct Project {
    pub name: Arc<str>,
    /// `http(s)://…`, without a slash at the end. Without it Roomwatch listens only.
    pub url: Option<Box<str>>,
    pub key: Box<str>,
    pub secret: Secret,
}

/// The projects of the file, or the one of the environment, or the one of `--dev`.
pub(super) fn projects(options: &Options, dev: bool) -> anyhow::Result<(Vec<Project>, Keys)> {
    let environment = options.livekit_api_key.is_some() || options.livekit_api_secret.is_some();
    let mut written = options.projects.clone();
    if environment && !written.is_empty() {
        bail!("LIVEKIT_API_KEY and [[projects]] both name projects; use one of them");
    }
    if written.is_empty() {
        let (key, secret) = match (&options.livekit_api_key, &options.livekit_api_secret) {
            (Some(key), Some(secret)) => (key.clone(), secret.clone()),
            (None, None) if dev => (DEV_KEY.0.to_owned(), Secret::new(DEV_KEY.1)),
            (None, None) => bail!(
                "no LiveKit project: set LIVEKIT_API_KEY, LIVEKIT_API_SECRET and LIVEKIT_URL, \
                 or write [[projects]] into roomwatch.toml, or try `roomwatch serve --dev`"
            ),
            (Some(_), None) => bail!("LIVEKIT_API_KEY is set, LIVEKIT_API_SECRET is not"),
            (None, Some(_)) => bail!("LIVEKIT_API_SECRET is set, LIVEKIT_API_KEY is not"),
        };
        let url = options.livekit_url.clone().or_else(|| dev.then(|| DEV_URL.to_owned()));
        written.push(ProjectOptions {
            name: DEFAULT_PROJECT.into(),
            url,
            keys: vec![KeyOptions { key, secret }],
        });
    }
    let mut keys = Keys::default();
    let mut projects = BTreeMap::new();
    for project in written {
        ensure!(!project.name.is_empty(), "a project has no name");
        let name: Arc<str> = project.name.as_str().into();
        let first = project.keys.first().with_context(|| format!("project {name:?} has no keys"))?.clone();
        for KeyOptions { key, secret } in project.keys {
            ensure!(!key.is_empty(), "a key of project {name:?} is empty");
            ensure!(!secret.reveal().is_empty(), "the secret of key {key:?} is empty");
            let new = keys.insert(key.clone(), Key { project: name.clone(), secret });
            ensure!(new, "the key {key:?} is listed twice; a key names one project only");
        }
        let url = project.url.map(|url| livekit_url(&url)).transpose()?;
        let taken = projects.insert(
            name.clone(),
            Project { name: name.clone(), url, key: first.key.into(), secret: first.secret },
        );
        ensure!(taken.is_none(), "two projects are called {name:?}");
    }
    Ok((projects.into_values().collect(), keys))
}

/// LiveKit's URL as HTTP: its SDKs take `ws` and `wss` too.
fn livekit_url(url: &str) -> anyhow::Result<Box<str>> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let scheme = match &*scheme.to_ascii_lowercase() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        _ => "",
    };
    let http = format!("{scheme}://{}", rest.trim_end_matches('/'));
    let is_valid = http.parse().is_ok_and(|uri| has_host(&uri));
    ensure!(
        is_valid && !scheme.is_empty(),
        "the LiveKit URL {:?} must begin with http, https, ws or wss and name a host",
        shown(url)
    );
    Ok(http.into())
}
