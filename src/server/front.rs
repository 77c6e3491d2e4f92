//! The checks that every request passes before its route: the real address of the client, and whether a
//! browser may send this request. It also has the headers that every answer gives to a browser.
//!
//! Four rules keep other sites out, and each is enough by itself:
//!
//! - The cookie is `SameSite=Strict`.
//! - A request that changes something must have our own `Origin` or none.
//! - Other origins may read only if the configuration names them.
//! - With `--dev`, which needs no sign-in, `Host` must name this machine. Otherwise a page could bind its own
//!   name to this machine's address (DNS rebinding).

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, uri::PathAndQuery},
};
use ipnet::IpNet;

use crate::{
    config::Config,
    server::{arrival::Arrival, error::Error},
};

/// The part of the configuration that says under which URL and behind which proxies browsers reach this server.
pub struct Front {
    trusted_proxies: Vec<IpNet>,
    /// `scheme://authority` of the public URL.
    public_origin: Option<String>,
    /// Path of the public URL: empty, or `/…` without a slash at the end.
    prefix: String,
    pub cors_origins: Vec<String>,
    dev: bool,
    pub content_security_policy: HeaderValue,
    /// True once it has been logged that a proxy is not trusted.
    warned: AtomicBool,
}

impl Front {
    pub fn new(config: &Config) -> Front {
        let prefix = config.path_prefix();
        let public = config.public_url.as_deref();
        let public_origin = public.map(|url| origin(url.strip_suffix(prefix).unwrap_or(url)));
        Front {
            trusted_proxies: config.trusted_proxies.clone(),
            public_origin,
            prefix: prefix.to_owned(),
            cors_origins: config.cors_origins.iter().map(|url| origin(url)).collect(),
            dev: config.dev,
            content_security_policy: content_security_policy(config),
            warned: AtomicBool::new(false),
        }
    }

    /// Returns the name and the path of the cookie. The name prefixes of RFC 6265bis prevent other hosts of the
    /// same domain from setting it.
    pub fn cookie(&self, secure: bool) -> (&'static str, String) {
        let path = format!("{}/", self.prefix);
        match (secure, self.prefix.is_empty()) {
            (false, _) => ("roomwatch", path),
            (true, true) => ("__Host-roomwatch", path),
            (true, false) => ("__Secure-roomwatch", path),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Finds the address of the client, and whether its browser uses TLS. `X-Forwarded-For` is read from the
    /// right, as long as the address that added the entry is trusted. Any client can write the entries further
    /// left.
    pub fn arrival(&self, peer: IpAddr, headers: &HeaderMap) -> Arrival {
        let https = self.public_origin.as_deref().is_some_and(|origin| origin.starts_with("https://"));
        if !self.trusts(peer) {
            let forwarded = headers.contains_key("x-forwarded-for");
            if forwarded && !self.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "{peer} sends X-Forwarded-For and is not trusted, so all its users count as one address. If it \
                     is your proxy, add its network to ROOMWATCH_TRUSTED_PROXIES"
                );
            }
            return Arrival { address: peer.to_canonical(), secure: https };
        }
        let mut address = peer;
        let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let written = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or("").rsplit(','));
        for text in written {
            if !self.trusts(address) {
                break;
            }
            match forwarded_address(text.trim()) {
                Some(before) => address = before,
                None => break,
            }
        }
        let last = |name: &str| headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next();
        let secure = https
            || (self.public_origin.is_none()
                && last("x-forwarded-proto").is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https")));
        Arrival { address: address.to_canonical(), secure }
    }

    /// Returns true if `origin` is the origin of our own pages. Without a public URL, `Host` tells it: another
    /// site can choose `Host` only by DNS rebinding, and then the browser does not send our cookie.
    fn is_own(&self, origin: &str, peer: IpAddr, headers: &HeaderMap) -> bool {
        if let Some(public) = &self.public_origin {
            return public == origin;
        }
        let name = if self.trusts(peer) && headers.contains_key("x-forwarded-host") {
            HeaderName::from_static("x-forwarded-host")
        } else {
            header::HOST
        };
        let host = headers.get(name).and_then(|value| value.to_str().ok());
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        host.is_some() && host.map(str::to_ascii_lowercase).as_deref() == authority
    }

    /// Refuses a request that a foreign page may not send. Returns the foreign origin that may read the answer,
    /// if the request has one.
    pub fn check(&self, request: &Request, peer: IpAddr) -> Result<Option<HeaderValue>, Error> {
        let headers = request.headers();
        // RFC 9112, 3.2: a proxy in front of us may have used the other one.
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Error::bad_request("bad_host", "the request has two Host headers"));
        }
        if self.dev && !headers.get(header::HOST).is_some_and(this_machine) {
            return Err(Error::new(
                StatusCode::FORBIDDEN,
                "foreign_host",
                "with --dev the server answers only requests to localhost",
            ));
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (first, more) = (origins.next(), origins.next());
        let Some(value) = first else { return Ok(None) };
        let written = value.to_str().unwrap_or("").to_ascii_lowercase();
        if more.is_none() && self.is_own(&written, peer, headers) {
            return Ok(None);
        }
        if more.is_none() && self.cors_origins.contains(&written) {
            return Ok(Some(value.clone()));
        }
        // The same-origin policy does not cover WebSockets, and their handshake carries the cookie.
        let socket = headers.contains_key(header::UPGRADE);
        if request.method().is_safe() && !socket {
            return Ok(None);
        }
        Err(Error::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            match &self.public_origin {
                Some(own) => format!("the page is not from {own}, the origin of ROOMWATCH_PUBLIC_URL"),
                None => {
                    "the page is from another origin; behind a proxy, set ROOMWATCH_PUBLIC_URL".to_owned()
                }
            },
        ))
    }

    /// Returns the URI without the prefix, or `None` if it does not have the prefix.
    pub fn strip_prefix(&self, uri: &Uri) -> Option<Uri> {
        let rest = uri.path().strip_prefix(&self.prefix).filter(|_| !self.prefix.is_empty())?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let path = if rest.is_empty() { "/" } else { rest };
        let text = uri.query().map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
        Uri::from_parts(parts).ok()
    }
}

/// Returns an origin as browsers write it: lower case, an IPv6 address in its shortest form, without the scheme's default
/// port, without a slash.
fn origin(url: &str) -> String {
    let mut url = url.trim_end_matches('/').to_ascii_lowercase();
    if let Some((before, rest)) = url.split_once('[')
        && let Some((address, after)) = rest.split_once(']')
        && let Ok(address) = address.parse::<Ipv6Addr>()
    {
        url = format!("{before}[{}]{after}", browser_form(address));
    }
    let usual = if url.starts_with("https://") { ":443" } else { ":80" };
    url.strip_suffix(usual).unwrap_or(&url).to_owned()
}

/// Returns an IPv6 address as URLs have it: never with a dotted part (URL Standard, 3.5).
fn browser_form(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(_) => {
            let [.., high, low] = address.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        None => address.to_string(),
    }
}

/// Reads one entry of `X-Forwarded-For`. Some proxies add the port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Returns true if this `Host` names this machine. Another name that resolves to 127.0.0.1 does not.
fn this_machine(host: &HeaderValue) -> bool {
    let Ok(authority) = host.to_str().unwrap_or("").parse::<http::uri::Authority>() else { return false };
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The policy allows only scripts from our own files, and no frame around our pages. `connect-src` has the URLs
/// of LiveKit, for watching a room. LiveKit Cloud redirects its clients to hosts of their region.
fn content_security_policy(config: &Config) -> HeaderValue {
    let mut connect = String::from("'self'");
    for url in config.projects.iter().filter_map(|project| project.url.as_deref()) {
        let Ok(uri) = url.parse::<Uri>() else { continue };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { continue };
        // A user and a password in the URL must not reach the browser.
        let authority = authority.as_str().rsplit('@').next().unwrap_or_default();
        let socket = if scheme == "https" { "wss" } else { "ws" };
        // A policy cannot name an IPv6 address (CSP Level 3, host-source): browsers ignore it.
        let authority = if authority.starts_with('[') { "" } else { &format!("//{authority}") };
        connect += &format!(" {scheme}:{authority} {socket}:{authority}");
        if uri.host().is_some_and(|host| host.ends_with(".livekit.cloud"))
            && !connect.contains("*.livekit.cloud")
        {
            connect += " https://*.livekit.cloud wss://*.livekit.cloud";
        }
    }
    // Inline styles are allowed: components position their menus and dialogs with them.
    let policy = format!(
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
         media-src 'self' blob:; connect-src {connect}; object-src 'none'; base-uri 'self'; form-action 'self'; \
         frame-ancestors 'none'"
    );
    // A URI is visible ASCII, so the policy is a header.
    HeaderValue::from_str(&policy)
        .unwrap_or(HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(public_url: Option<&str>, trusted: &[&str]) -> Front {
        let options = crate::config::Options {
            dev: Some(true),
            public_url: public_url.map(str::to_owned),
            trusted_proxies: Some(trusted.iter().map(|&net| net.to_owned()).collect()),
            ..Default::default()
        };
        Front::new(&options.check().expect("a configuration"))
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn only_the_entries_of_trusted_proxies_count() {
        let front = front(None, &["10.0.0.0/8", "fd00::/8"]);
        let seen = |peer: &str, lines: &[&str]| {
            let pairs: Vec<_> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            front.arrival(peer.parse().expect("an address"), &headers(&pairs)).address.to_string()
        };
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        // The client wrote the first; the proxies wrote the rest.
        assert_eq!(seen("10.0.0.1", &["127.0.0.1, 198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(seen("10.0.0.1", &["127.0.0.1", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(seen("fd00::1", &["[2001:db8::1]:4711"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(seen("10.0.0.1", &["junk"]), "10.0.0.1");
        let mapped = self::front(None, &["::ffff:10.0.0.0/104", "[fd00::1]", "192.0.2.1"]);
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1", "192.0.2.1"] {
            let headers = headers(&[("x-forwarded-for", "198.51.100.7")]);
            let seen = mapped.arrival(peer.parse().expect("an address"), &headers).address;
            assert_eq!(seen.to_string(), "198.51.100.7", "{peer}");
        }
        assert_eq!(seen("10.0.0.1", &["198.51.100.7, junk"]), "10.0.0.1");
    }

    #[test]
    fn a_cookie_is_secure_if_the_browser_uses_tls() {
        let secure = |front: &Front, peer: &str, proto: &str| {
            let headers = headers(&[("x-forwarded-proto", proto)]);
            front.arrival(peer.parse().expect("an address"), &headers).secure
        };
        let plain = front(None, &["10.0.0.0/8"]);
        assert!(secure(&plain, "10.0.0.1", "https") && secure(&plain, "10.0.0.1", "http, https"));
        assert!(!secure(&plain, "10.0.0.1", "http") && !secure(&plain, "192.0.2.1", "https"));
        assert!(secure(&front(Some("https://h.example"), &[]), "192.0.2.1", "http"));
        assert!(!secure(&front(Some("http://h.example"), &["10.0.0.0/8"]), "10.0.0.1", "https"));
    }

    #[test]
    fn the_own_origin_is_that_of_the_public_url_or_of_host() {
        let peer = "192.0.2.1".parse().expect("an address");
        let host = headers(&[("host", "rooms.example:8443")]);
        let open = front(None, &[]);
        assert!(open.is_own("https://rooms.example:8443", peer, &host));
        for foreign in
            ["https://rooms.example", "https://evil.example:8443", "null", "", "rooms.example:8443"]
        {
            assert!(!open.is_own(foreign, peer, &host), "{foreign}");
        }
        assert!(!open.is_own("null", peer, &headers(&[])));
        let named = front(Some("https://Rooms.example:443/watch/"), &[]);
        assert!(named.is_own("https://rooms.example", peer, &host));
        assert!(!named.is_own("https://rooms.example:8443", peer, &host));
        assert!(!named.is_own("http://rooms.example", peer, &host));
    }

    #[test]
    fn routes_answer_with_and_without_the_prefix() {
        let front = front(Some("https://h.example/a/b"), &[]);
        let strip = |uri: &str| front.strip_prefix(&uri.parse().expect("a URI")).map(|uri| uri.to_string());
        assert_eq!(strip("/a/b/api/rooms?x=1").as_deref(), Some("/api/rooms?x=1"));
        assert_eq!(strip("/a/b").as_deref(), Some("/"));
        assert_eq!(strip("/a/bc/api"), None);
        assert_eq!(strip("/api/rooms"), None);
        assert_eq!(front.cookie(true), ("__Secure-roomwatch", "/a/b/".to_owned()));
    }

    #[test]
    fn only_localhost_and_loopback_addresses_are_this_machine() {
        let ours = |host: &str| this_machine(&HeaderValue::from_str(host).expect("a value"));
        for host in
            ["localhost", "localhost:3001", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:3001", "[::1]:3001"]
        {
            assert!(ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3001",
            "192.168.0.1",
            "",
            "a@localhost@b",
        ] {
            assert!(!ours(host), "{host}");
        }
    }
}
