//! The address of the server for browsers, and the timing of its streams.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, ensure};
use ipnet::{IpNet, Ipv4Net};

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
    let parsed: http::Uri = url.parse().with_context(|| format!("the public URL {:?}", shown(url)))?;
    ensure!(
        matches!(parsed.scheme_str(), Some("http" | "https"))
            && has_host(&parsed)
            && !has_user(&parsed)
            && parsed.query().is_none(),
        "the public URL {:?} must look like https://rooms.example.com or https://example.com/roomwatch",
        shown(url)
    );
    Ok(url.trim_end_matches('/').to_owned())
}

/// Origins exactly as browsers and app shells send them: a pattern would let in too many. Pages of files have the origin
/// `null`, as many others have.
pub(super) fn cors_origins(origins: Vec<String>) -> anyhow::Result<Vec<String>> {
    for origin in &origins {
        let parsed: http::Uri =
            origin.parse().with_context(|| format!("the CORS origin {:?}", shown(origin)))?;
        ensure!(
            parsed.scheme_str().is_some_and(|scheme| scheme != "file")
                && has_host(&parsed)
                && !origin.contains('*')
                && !has_user(&parsed)
                && matches!(parsed.path(), "" | "/")
                && parsed.query().is_none(),
            "the CORS origin {:?} must look like https://app.example.com or capacitor://localhost, without a path and \
             without *",
            shown(origin)
        );
    }
    Ok(origins)
}

/// Networks, and single addresses as networks of one address. The address of a peer is compared in its canonical form, so
/// a network of IPv4-mapped addresses becomes one of IPv4.
pub(super) fn trusted_proxies(written: Vec<String>) -> anyhow::Result<Vec<IpNet>> {
    let network = |text: &String| {
        let bare = text.trim().trim_matches(['[', ']']);
        let network = bare.parse().or_else(|_| bare.parse::<IpAddr>().map(IpNet::from)).with_context(|| {
            format!("the trusted proxy {text:?} must be an address or a network, such as 10.0.0.0/8 or fd00::/8")
        })?;
        if let IpNet::V6(mapped) = network
            && let (Some(address), Some(length)) =
                (mapped.addr().to_ipv4_mapped(), mapped.prefix_len().checked_sub(96))
        {
            return Ok(Ipv4Net::new(address, length)?.into());
        }
        Ok(network)
    };
    written.iter().map(network).collect()
}

/// Returns true if the URL names a host, and a port or none.
pub(super) fn has_host(uri: &http::Uri) -> bool {
    let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else { return false };
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    let is_port = |rest: &str| rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    !host.is_empty() && place.strip_prefix(host).is_some_and(|rest| rest.is_empty() || is_port(rest))
}

/// A user and a password must not be in a URL that is shown to browsers.
fn has_user(uri: &http::Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

/// Returns a URL without the user and the password that it may have, for a message. It need not be valid.
pub(crate) fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => url.to_owned(),
    }
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
