//! The one client for outgoing HTTP requests: limits on time and size, and a guard against private addresses.
//!
//! A URL that is not the operator's own may point into the private network: at a router, at a database, at the metadata
//! service of a cloud. So a client connects only to public addresses. The exceptions are the origins that the
//! configuration names, such as LiveKit's URL: see [`Client::trust`].
//!
//! The guard decides where the connection is made. An address that is written in a URL is checked as the URL parser
//! understands it, which turns `http://0x7f.1` into `127.0.0.1`. A name is resolved once, and the connection goes to one
//! of the addresses that were checked: a name whose answer changes between a check and a connection gains nothing.
//! Redirects are not followed: they would carry a token to another place.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::{
    RequestBuilder, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::HeaderMap,
};
use serde_json::Value;

/// Limits of one client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum time for the TCP and TLS handshakes.
    pub connect: Duration,
    /// Maximum size of the body of an answer.
    pub answer_bytes: usize,
}

/// An answer that has been read to its end, whatever its status.
pub struct Answer {
    pub status: StatusCode,
    pub body: Vec<u8>,
}

/// Header of every delivery of any Roomwatch. A Roomwatch that receives it refuses the request, and puts this header into
/// its answer.
pub const DELIVERY: &str = "roomwatch-delivery";
/// Time for which a connection is kept without a request. Shorter than that of servers (Node.js: 5 s): a request on a
/// connection that its server is closing is lost.
const IDLE_MAX: Duration = Duration::from_secs(4);
/// Maximum time for the body of an answer whose status is known.
const BODY_MAX: Duration = Duration::from_secs(2);

/// The answer to a delivery.
pub struct Reply {
    pub status: u16,
    /// `Retry-After`, if it is in seconds.
    pub retry_after_secs: Option<u64>,
    /// True if a Roomwatch has answered, and it has refused the request because it is a delivery.
    pub is_roomwatch: bool,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a valid URL: {0}")]
    Url(Box<str>),
    #[error("{0} is not a public address")]
    Private(Box<str>),
    /// There was no connection, or it broke.
    #[error("{0}")]
    Unreachable(Box<str>),
    #[error("no complete answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Sends one JSON request and reads its whole answer. It is [`Client`], or a LiveKit in the process of a test.
pub trait Post: Send + Sync + 'static {
    fn post_json(
        &self,
        url: &str,
        bearer: String,
        request: &Value,
        time_max: Duration,
    ) -> BoxFuture<'_, Result<Answer, Error>>;
}

/// A client. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    /// Connects to public addresses only. It uses no proxy: a proxy would resolve the name itself.
    guarded: reqwest::Client,
    /// Connects to trusted origins, through the proxy of the environment if there is one.
    trusted: reqwest::Client,
    origins: Vec<Url>,
    /// Networks that are not public and that the guard lets pass.
    allowed: Arc<[IpNet]>,
    answer_bytes_max: usize,
}

impl Client {
    pub fn new(limits: Limits) -> Result<Client, Error> {
        Client::allowing(limits, [].into())
    }

    /// Returns a client that connects to these networks too.
    pub fn allowing(limits: Limits, allowed: Arc<[IpNet]>) -> Result<Client, Error> {
        Client::resolving(limits, Guard { allowed, lookup })
    }

    fn resolving(limits: Limits, guard: Guard) -> Result<Client, Error> {
        let allowed = guard.allowed.clone();
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(limits.connect)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("roomwatch/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Client {
            guarded: client()
                .no_proxy()
                .pool_idle_timeout(IDLE_MAX)
                .dns_resolver(Arc::new(guard))
                .build()
                .map_err(Error::of)?,
            trusted: client().build().map_err(Error::of)?,
            origins: Vec::new(),
            allowed,
            answer_bytes_max: limits.answer_bytes,
        })
    }

    /// Allows the origin of this URL (scheme, host and port), whatever its address is.
    pub fn trust(mut self, url: &str) -> Result<Client, Error> {
        self.origins.push(parse(url)?);
        Ok(self)
    }

    /// Begins a POST request. It is refused here if the URL names a private address.
    pub fn post(&self, url: &str) -> Result<RequestBuilder, Error> {
        let url = parse(url)?;
        if self.origins.iter().any(|trusted| trusted.origin() == url.origin()) {
            return Ok(self.trusted.post(url));
        }
        // A literal address is not resolved, so the resolver never sees it.
        match url.host_str().map(|host| host.trim_matches(['[', ']'])).and_then(|host| host.parse().ok()) {
            Some(address) if !may_connect(address, &self.allowed) => {
                Err(Error::Private(address.to_string().into()))
            }
            _ => Ok(self.guarded.post(url)),
        }
    }

    /// Sends a request and reads its whole answer within `time_max`.
    pub async fn send(&self, request: RequestBuilder, time_max: Duration) -> Result<Answer, Error> {
        let answered = async {
            let mut answer = request.send().await.map_err(Error::of)?;
            let status = answer.status();
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(Error::of)? {
                if body.len() + chunk.len() > self.answer_bytes_max {
                    return Err(Error::TooLarge(self.answer_bytes_max));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, body })
        };
        tokio::time::timeout(time_max, answered).await.unwrap_or(Err(Error::Timeout(time_max)))
    }

    /// Posts a delivery. The head of the answer must come within `time_max`; of its body only the beginning is read, because
    /// the status says everything. An answer without an end is an answer.
    pub async fn deliver(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        time_max: Duration,
    ) -> Result<Reply, Error> {
        let post = headers.iter().fold(self.post(url)?, |post, (name, value)| post.header(*name, value));
        let answered = tokio::time::timeout(time_max, post.body(body).send()).await;
        let mut answer = answered.map_err(|_| Error::Timeout(time_max))?.map_err(Error::of)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        let text = |headers: &HeaderMap, name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        let retry_after_secs = text(headers, "retry-after").and_then(|secs| secs.trim().parse().ok());
        let is_roomwatch = text(headers, DELIVERY).is_some();
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = answer.chunk().await {
                let left = self.answer_bytes_max - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(left)]);
                if body.len() == self.answer_bytes_max {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(BODY_MAX, read).await;
        Ok(Reply { status, retry_after_secs, is_roomwatch, body })
    }
}

impl Post for Client {
    fn post_json(
        &self,
        url: &str,
        bearer: String,
        request: &Value,
        time_max: Duration,
    ) -> BoxFuture<'_, Result<Answer, Error>> {
        let post = self.post(url).map(|post| post.bearer_auth(bearer).json(request));
        async move { self.send(post?, time_max).await }.boxed()
    }
}

impl Error {
    fn of(error: reqwest::Error) -> Error {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        match cause.downcast_ref::<NoPublicAddress>() {
            Some(refused) => Error::Private(refused.0.clone()),
            None => Error::Unreachable(cause.to_string().into()),
        }
    }
}

/// Returns the text with `***` for each of these parts.
pub fn without(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// Returns the origin of a page, as a browser understands its URL. `None` for a URL that is not of a page, and for one with a
/// user or a password.
pub fn origin(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let is_page =
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    is_page.then(|| url.origin().ascii_serialization())
}

fn parse(url: &str) -> Result<Url, Error> {
    Url::parse(url).map_err(|error| Error::Url(error.to_string().into()))
}

type Lookup = fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Resolves names to the addresses that a client may connect to.
struct Guard {
    allowed: Arc<[IpNet]>,
    /// Asks the system. Tests have other names.
    lookup: Lookup,
}

fn lookup(name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
    async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }.boxed()
}

/// The name has no public address.
#[derive(Debug)]
struct NoPublicAddress(Box<str>);

impl fmt::Display for NoPublicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no public address", self.0)
    }
}

impl std::error::Error for NoPublicAddress {}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, found) = (self.allowed.clone(), (self.lookup)(name.as_str().to_owned()));
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.retain(|address| may_connect(address.ip(), &allowed));
            if addresses.is_empty() {
                return Err(NoPublicAddress(name.as_str().into()).into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// IPv4 networks that are not public: IANA's registry of special-purpose addresses, multicast, and the address of Azure's
/// platform, which answers inside every virtual machine.
const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([168, 63, 129, 16], 32),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
];

/// The IPv6 addresses that are given to hosts on the internet.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Networks of [`GLOBAL_UNICAST`] that are not public: protocol assignments (Teredo is one of them), documentation, and
/// 6to4, whose addresses hold an IPv4 address.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// NAT64: the last four bytes are an IPv4 address. A network with IPv6 only resolves public names to these.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix)
}

/// Returns true if a guarded client may connect to the address.
fn may_connect(address: IpAddr, allowed: &[IpNet]) -> bool {
    is_public(address) || allowed.iter().any(|network| network.contains(&address.to_canonical()))
}

/// Returns true if the address belongs to a host on the internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            if let Some(mapped) = address.to_ipv4_mapped() {
                return is_public(mapped.into());
            }
            if NAT64.contains(&address) {
                let [.., a, b, c, d] = address.octets();
                return is_public(Ipv4Addr::new(a, b, c, d).into());
            }
            GLOBAL_UNICAST.contains(&address)
                && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const LIMITS: Limits = Limits { connect: Duration::from_secs(3), answer_bytes: 1_000 };
    const SOON: Duration = Duration::from_secs(5);

    fn client() -> Client {
        crate::cli::serve::install_tls();
        Client::new(LIMITS).expect("a client")
    }

    /// A server that counts its connections and answers each request with these bytes, the last of them again and
    /// again if `endless`.
    struct Peer {
        port: u16,
        connections: Arc<AtomicUsize>,
    }

    impl Peer {
        async fn start(answer: &'static str, endless: bool) -> Peer {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let port = listener.local_addr().expect("an address").port();
            let connections = Arc::new(AtomicUsize::new(0));
            let counted = connections.clone();
            tokio::spawn(async move {
                while let Ok((mut socket, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(async move {
                        let _ = socket.read(&mut [0; 4096]).await;
                        let _ = socket.write_all(answer.as_bytes()).await;
                        while endless && socket.write_all(b"1\r\n \r\n").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    });
                }
            });
            Peer { port, connections }
        }

        fn url(&self, host: &str) -> String {
            format!("http://{host}:{}/", self.port)
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::SeqCst)
        }
    }

    async fn post(client: &Client, url: &str, time_max: Duration) -> Result<Answer, Error> {
        client.send(client.post(url)?.body("{}"), time_max).await
    }

    #[test]
    fn every_special_address_is_private() {
        for (address, public) in [
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("100.100.100.200", false),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("169.254.169.254", false),
            ("172.15.255.255", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.0.0.192", false),
            ("192.168.1.1", false),
            ("192.169.0.1", true),
            ("198.19.255.255", false),
            ("203.0.113.7", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("::", false),
            ("::1", false),
            ("::127.0.0.1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::a00:1", false),
            ("64:ff9b::808:808", true),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::", false),
            ("2001:4860:4860::8888", true),
            ("2606:4700:4700::1111", true),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn a_private_address_is_refused_in_every_spelling() {
        let client = client();
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://017700000001/",
            "http://0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://user:password@10.0.0.1:8080/",
            "http://１２７.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert!(matches!(client.post(url), Err(Error::Private(_))), "{url}");
        }
        for url in ["http://8.8.8.8/", "https://[2606:4700:4700::1111]/", "https://example.com/"] {
            assert!(client.post(url).is_ok(), "{url}");
        }
        assert!(matches!(client.post("no url"), Err(Error::Url(_))));
    }

    #[tokio::test]
    async fn a_name_with_a_private_address_gets_no_connection() {
        let peer = Peer::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false).await;
        let guarded = client();
        let error = post(&guarded, &peer.url("localhost"), SOON).await.err().expect("an error");
        assert!(matches!(&error, Error::Private(name) if &**name == "localhost"), "{error}");
        assert_eq!(peer.connections(), 0);

        let trusting = client().trust(&peer.url("localhost")).expect("a URL");
        let answer = post(&trusting, &peer.url("localhost"), SOON).await.expect("an answer");
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &b"ok"[..]));
        assert_eq!(peer.connections(), 1);
    }

    /// The guard sees the addresses of each connection: a name that has another one the second time gains nothing.
    #[tokio::test]
    async fn a_name_that_has_a_private_address_the_second_time_gets_no_second_connection() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn rebinds(_: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let last = if ASKED.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
            async move { Ok(vec![([127, 0, 0, last], 0).into()]) }.boxed()
        }
        // It closes each connection, so a second request needs another one.
        const CLOSES: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let allowed = ["127.0.0.1/32".parse().expect("a network")].into();
        let peer = Peer::start(CLOSES, false).await;
        crate::cli::serve::install_tls();
        let client = Client::resolving(LIMITS, Guard { allowed, lookup: rebinds }).expect("a client");
        let url = peer.url("rebinds.example");
        let deliver = || client.deliver(&url, &[], "{}".into(), SOON);
        let reply = deliver().await.expect("an answer");
        assert_eq!((reply.status, &*reply.body, reply.is_roomwatch), (200, &b"ok"[..], false));
        let error = deliver().await.err().expect("an error");
        assert!(matches!(&error, Error::Private(name) if &**name == "rebinds.example"), "{error}");
        assert_eq!((peer.connections(), ASKED.load(Ordering::SeqCst)), (1, 2));
    }

    #[tokio::test]
    async fn trust_is_for_one_origin() {
        let client = client().trust("http://127.0.0.1:7880/livekit").expect("a URL");
        assert!(client.post("http://127.0.0.1:7880/other").is_ok());
        for url in ["http://127.0.0.1:7881/", "https://127.0.0.1:7880/", "http://127.0.0.2:7880/"] {
            assert!(matches!(client.post(url), Err(Error::Private(_))), "{url}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_a_timeout() {
        let peer = Peer::start("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", true).await;
        let client = client().trust(&peer.url("127.0.0.1")).expect("a URL");
        let error = post(&client, &peer.url("127.0.0.1"), Duration::from_millis(300)).await.err();
        assert!(matches!(error, Some(Error::Timeout(_))), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
        // It announces more than it sends, so a client that reads to the end waits for it in vain.
        const LARGE: &str =
            "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n0123456789012345678901234567890123456789";
        let peer = Peer::start(LARGE, false).await;
        let small = Client { answer_bytes_max: 39, ..client() }.trust(&peer.url("127.0.0.1")).expect("a URL");
        let error = post(&small, &peer.url("127.0.0.1"), SOON).await.err();
        assert!(matches!(error, Some(Error::TooLarge(39))), "{error:?}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let elsewhere = Peer::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
        let location = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url("127.0.0.1")
        );
        let peer = Peer::start(location.leak(), false).await;
        let client = client().trust(&peer.url("127.0.0.1")).expect("a URL");
        let client = client.trust(&elsewhere.url("127.0.0.1")).expect("a URL");
        let answer = post(&client, &peer.url("127.0.0.1"), SOON).await.expect("an answer");
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!((peer.connections(), elsewhere.connections()), (1, 0));
    }
}
