//! The address of the server for browsers, and the timing of its streams.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::Config;

impl Config {
    /// The path under which browsers reach this server: empty, or `/something` without a slash at the end.
    pub fn path_prefix(&self) -> &str {
        let url = self.public_url.as_deref().unwrap_or("");
        let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').map_or("", |at| &after_scheme[at..])
    }
}

pub(super) fn public_url(url: &str) -> anyhow::Result<String> {
    let parsed: http::Uri = url.parse().with_context(|| format!("the public URL {url:?}"))?;
    ensure!(
        matches!(parsed.scheme_str(), Some("http" | "https"))
            && parsed.host().is_some()
            && parsed.query().is_none(),
        "the public URL {url:?} must look like https://rooms.example.com or https://example.com/roomwatch"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// Origins exactly as browsers send them: a pattern would let in too many.
pub(super) fn cors_origins(origins: Vec<String>) -> anyhow::Result<Vec<String>> {
    for origin in &origins {
        let parsed: http::Uri = origin.parse().with_context(|| format!("the CORS origin {origin:?}"))?;
        ensure!(
            matches!(parsed.scheme_str(), Some("http" | "https"))
                && parsed.host().is_some_and(|host| !host.contains('*'))
                && matches!(parsed.path(), "" | "/")
                && parsed.query().is_none(),
            "the CORS origin {origin:?} must look like https://app.example.com, without a path and without *"
        );
    }
    Ok(origins)
}

pub(super) fn heartbeat(secs: u32) -> anyhow::Result<Duration> {
    ensure!((1..=20).contains(&secs), "heartbeat_secs is {secs}; it may be 1 to 20");
    Ok(Duration::from_secs(secs.into()))
}

pub(super) fn drain(secs: u32) -> anyhow::Result<Duration> {
    ensure!(
        secs <= 10,
        "drain_secs is {secs}; it may be 0 to 10, because LiveKit gives up on a webhook after 15 s"
    );
    Ok(Duration::from_secs(secs.into()))
}
