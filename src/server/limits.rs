//! Every limit, and what happens at it. [`Limit`] is the whole policy: a limit that is not in this
//! enum does not exist, and one that is has an option of the same name. 0 means none.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use parking_lot::Mutex;

use crate::{cluster::Counts, config::Limits, server::error::Error};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The tabs of a browser share one stream; a few browsers and a terminal are normal, more are a
    /// client that forgets to close.
    StreamsPerUser,
    /// An office behind one address needs many; one machine that needs more is taking the server's
    /// file descriptors from the others.
    StreamsPerAddress,
    /// Each takes a file descriptor.
    Streams,
    /// So does each connection, and anybody can open one: when no other is left for a webhook, those that have been
    /// waited for the longest are closed.
    Connections,
    /// Each costs an argon2 hash: some 50 ms of a core and 19 MiB.
    LoginsPerMinute,
    /// Each is a call to LiveKit.
    CommandsPerMinute,
    /// What a Socket.IO client says costs a look at its filter; one that talks without a pause is broken.
    SocketEventsPerSecond,
    /// What is read of a request before anybody knows whose it is.
    HeadBytes,
    /// LiveKit allows 512 KiB of metadata for a room and as much for a participant.
    WebhookBytes,
    /// Any other request's body.
    BodyBytes,
    /// A head that trickles in holds a connection for nothing.
    HeadTime,
    /// The same for a body.
    BodyTime,
    /// Proxies send the next request by a connection that they have: nginx and load balancers for 60 s, Go's client for
    /// 90 s, Caddy for two minutes. Closed by us while it comes, it would be lost.
    IdleTime,
}

/// What who meets a limit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An error with this status and code.
    Error(StatusCode, &'static str),
    /// `bye`, in-band: a browser that gets an error status never comes back.
    Bye(&'static str),
    /// The HTTP server answers or closes by itself, before there is a request.
    Http,
}

impl Limit {
    pub const ALL: [Limit; 13] = [
        Limit::StreamsPerUser,
        Limit::StreamsPerAddress,
        Limit::Streams,
        Limit::Connections,
        Limit::LoginsPerMinute,
        Limit::CommandsPerMinute,
        Limit::SocketEventsPerSecond,
        Limit::HeadBytes,
        Limit::WebhookBytes,
        Limit::BodyBytes,
        Limit::HeadTime,
        Limit::BodyTime,
        Limit::IdleTime,
    ];

    /// The option in `[limits]`, and what it is if nobody says.
    pub const fn option(self) -> (&'static str, u32) {
        match self {
            Limit::StreamsPerUser => ("max_streams_per_user", 5),
            Limit::StreamsPerAddress => ("max_streams_per_address", 200),
            Limit::Streams => ("max_streams", 10_000),
            Limit::Connections => ("max_connections", 12_000),
            Limit::LoginsPerMinute => ("max_logins_per_minute", 10),
            Limit::CommandsPerMinute => ("max_commands_per_minute", 120),
            Limit::SocketEventsPerSecond => ("max_socket_events_per_second", 50),
            Limit::HeadBytes => ("max_head_bytes", 16 << 10),
            Limit::WebhookBytes => ("max_webhook_bytes", 8 << 20),
            Limit::BodyBytes => ("max_body_bytes", 2 << 20),
            Limit::HeadTime => ("head_secs", 10),
            Limit::BodyTime => ("body_secs", 10),
            Limit::IdleTime => ("idle_secs", 300),
        }
    }

    /// The limit in force; none if it is 0.
    pub fn max(self, limits: &Limits) -> Option<u32> {
        let value = match self {
            Limit::StreamsPerUser => limits.max_streams_per_user,
            Limit::StreamsPerAddress => limits.max_streams_per_address,
            Limit::Streams => limits.max_streams,
            Limit::Connections => limits.max_connections,
            Limit::LoginsPerMinute => limits.max_logins_per_minute,
            Limit::CommandsPerMinute => limits.max_commands_per_minute,
            Limit::SocketEventsPerSecond => limits.max_socket_events_per_second,
            Limit::HeadBytes => limits.max_head_bytes,
            Limit::WebhookBytes => limits.max_webhook_bytes,
            Limit::BodyBytes => limits.max_body_bytes,
            Limit::HeadTime => limits.head_secs,
            Limit::BodyTime => limits.body_secs,
            Limit::IdleTime => limits.idle_secs,
        };
        (value > 0).then_some(value)
    }

    /// As [`Limit::max`], for those that are seconds.
    pub fn time(self, limits: &Limits) -> Option<Duration> {
        self.max(limits).map(|secs| Duration::from_secs(secs.into()))
    }

    /// What who meets it is told.
    pub const fn answer(self) -> Answer {
        match self {
            Limit::StreamsPerUser | Limit::StreamsPerAddress => {
                Answer::Error(StatusCode::TOO_MANY_REQUESTS, "too_many_connections")
            }
            Limit::Streams => Answer::Bye("capacity"),
            Limit::LoginsPerMinute => Answer::Error(StatusCode::TOO_MANY_REQUESTS, "too_many_logins"),
            Limit::CommandsPerMinute => Answer::Error(StatusCode::TOO_MANY_REQUESTS, "too_many_commands"),
            Limit::SocketEventsPerSecond => Answer::Bye("too_many_commands"),
            // A webhook's body that trickles is 503 instead, in webhook.rs: LiveKit tries that again.
            Limit::WebhookBytes | Limit::BodyBytes => {
                Answer::Error(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large")
            }
            Limit::BodyTime => Answer::Error(StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            Limit::Connections | Limit::HeadBytes | Limit::HeadTime | Limit::IdleTime => Answer::Http,
        }
    }

    /// The error, for limits whose answer is one; `after` is when it is worth another try.
    pub fn error(self, limits: &Limits, after: Option<Duration>) -> Error {
        let Answer::Error(status, code) = self.answer() else {
            // Other transports have no in-band answer before they begin.
            return Error::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", "the server is full")
                .retry_after(10);
        };
        let max = self.max(limits).unwrap_or(0);
        let message = match self {
            Limit::StreamsPerUser => format!("you have {max} streams open already; close one"),
            Limit::StreamsPerAddress => format!("your address has {max} streams open already"),
            Limit::LoginsPerMinute => format!("{max} sign-ins a minute are enough; wait a little"),
            Limit::CommandsPerMinute => format!("{max} commands a minute are enough; wait a little"),
            Limit::BodyTime => format!("the body did not come within {max} s"),
            _ => format!("the body may have {max} bytes"),
        };
        let error = Error::new(status, code, message);
        match after {
            // Rounded up: who comes back a moment too early is refused again.
            Some(after) => error.retry_after(u32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(60)),
            None => error,
        }
    }
}

/// When a stream that was one too many is worth another try: when another has been closed, which
/// nobody knows.
const STREAMS_RETRY: Duration = Duration::from_secs(5);
/// How long a session of Socket.IO is kept for whoever has not said yet who they are.
pub const ANONYMOUS_TIME: Duration = Duration::from_secs(10);
/// A rate that counts this many callers forgets those whose minute is over, and again at twice as
/// many as are left.
const RATE_KEYS: usize = 10_000;

/// Descriptors that are for files, for calls to LiveKit and for a moment's more connections than may be.
const DESCRIPTORS_KEPT: u32 = 256;
/// One in so many connections is for what is no stream: webhooks first of all.
const CONNECTIONS_KEPT_ONE_IN: u32 = 8;

/// Limits that a process with so many file descriptors can hold: it has room for a webhook at any time. What could
/// not be had is logged.
pub fn within(limits: Limits, descriptors: u32) -> Limits {
    let possible = descriptors.saturating_sub(DESCRIPTORS_KEPT).max(descriptors / 2);
    let least = |wanted: u32, possible: u32| if wanted == 0 { possible } else { wanted.min(possible) };
    let max_connections = least(limits.max_connections, possible);
    let max_streams = least(limits.max_streams, max_connections - max_connections / CONNECTIONS_KEPT_ONE_IN);
    if max_connections < limits.max_connections || max_streams < limits.max_streams {
        tracing::warn!(
            "{max_connections} connections may be open, {max_streams} of them streams: the system gives this \
             process {descriptors} file descriptors"
        );
    }
    Limits { max_connections, max_streams, ..limits }
}

/// Counts what the limits are about.
pub struct Limiter {
    limits: Limits,
    /// The open streams of each user, for the other nodes to count.
    users: Arc<Counts>,
    streams: Mutex<Streams>,
    logins: Option<Rate<IpAddr>>,
    commands: Option<Rate<Arc<str>>>,
    handshakes: Option<DefaultDirectRateLimiter>,
}

#[derive(Default)]
struct Streams {
    open: u32,
    by_user: HashMap<Arc<str>, u32>,
    by_address: HashMap<IpAddr, u32>,
}

impl Limiter {
    pub fn new(limits: Limits, users: Arc<Counts>) -> Arc<Limiter> {
        Arc::new(Limiter {
            limits,
            users,
            streams: Mutex::default(),
            logins: Rate::of(Limit::LoginsPerMinute, &limits),
            commands: Rate::of(Limit::CommandsPerMinute, &limits),
            handshakes: Limit::Streams.max(&limits).and_then(NonZeroU32::new).and_then(|max| {
                Some(RateLimiter::direct(Quota::with_period(ANONYMOUS_TIME / max.get())?.allow_burst(max)))
            }),
        })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a place for a stream of `user`, as [`Caller`](super::caller::Caller) names it for the
    /// limits. The place is free again when what is returned is dropped.
    pub fn stream(self: &Arc<Self>, user: &Arc<str>, address: IpAddr) -> Result<Place, Limit> {
        let address = network(address);
        let elsewhere = self.users.elsewhere(user);
        let mut streams = self.streams.lock();
        let full = |limit: Limit, open: u32| limit.max(&self.limits).is_some_and(|max| open >= max);
        if full(Limit::StreamsPerUser, elsewhere + streams.by_user.get(user).copied().unwrap_or(0)) {
            return Err(Limit::StreamsPerUser);
        }
        if full(Limit::StreamsPerAddress, streams.by_address.get(&address).copied().unwrap_or(0)) {
            return Err(Limit::StreamsPerAddress);
        }
        if full(Limit::Streams, streams.open) {
            return Err(Limit::Streams);
        }
        streams.open += 1;
        let of_user = streams.by_user.entry(user.clone()).or_default();
        *of_user += 1;
        self.users.set(user, *of_user);
        *streams.by_address.entry(address).or_default() += 1;
        Ok(Place { limiter: self.clone(), user: user.clone(), address })
    }

    /// Returns the number of streams that this user has open, on any node.
    pub fn streams_of(&self, user: &str) -> u32 {
        self.users.elsewhere(user) + self.streams.lock().by_user.get(user).copied().unwrap_or(0)
    }

    /// One more sign-in is tried from this address.
    pub fn login(&self, address: IpAddr) -> Result<(), Error> {
        self.logins.as_ref().map_or(Ok(()), |rate| rate.one_more(&network(address), &self.limits))
    }

    /// One more session of Socket.IO begins, for nobody knows whom: they hold memory, and no connection. In the time
    /// such a session is kept as many may begin as there may be streams: all who were there before a restart come
    /// back at once.
    pub fn handshake(&self) -> Result<(), Error> {
        let full = || Limit::Streams.error(&self.limits, None);
        self.handshakes.as_ref().map_or(Ok(()), |rate| rate.check().map_err(|_| full()))
    }

    /// One more command is given by this user.
    pub fn command(&self, user: &Arc<str>) -> Result<(), Error> {
        self.commands.as_ref().map_or(Ok(()), |rate| rate.one_more(user, &self.limits))
    }

    /// The error for a stream that found no place.
    pub fn stream_error(&self, limit: Limit) -> Error {
        limit.error(&self.limits, Some(STREAMS_RETRY))
    }
}

/// Who has one IPv6 address has the other 2^64 of its network too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// A stream's place; free again when dropped.
pub struct Place {
    limiter: Arc<Limiter>,
    user: Arc<str>,
    address: IpAddr,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("user", &self.user).field("address", &self.address).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.limiter.streams.lock();
        streams.open -= 1;
        let of_user = give_back(&mut streams.by_user, &self.user);
        self.limiter.users.set(&self.user, of_user);
        give_back(&mut streams.by_address, &self.address);
    }
}

/// Counts one less, and returns how many are left. A key that has none is removed.
fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) -> u32 {
    let Some(count) = counts.get_mut(key) else { return 0 };
    *count -= 1;
    let left = *count;
    if left == 0 {
        counts.remove(key);
    }
    left
}

/// So many a minute, for each key; the whole minute's may come at once.
struct Rate<K: Hash + Eq + Clone> {
    limit: Limit,
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    /// At this many keys it forgets.
    forget_at: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn of(limit: Limit, limits: &Limits) -> Option<Rate<K>> {
        let max = limit.max(limits).and_then(NonZeroU32::new)?;
        let limiter = RateLimiter::keyed(Quota::per_minute(max));
        Some(Rate { limit, limiter, clock: DefaultClock::default(), forget_at: RATE_KEYS.into() })
    }

    fn one_more(&self, key: &K, limits: &Limits) -> Result<(), Error> {
        if self.limiter.len() > self.forget_at.load(Ordering::Relaxed) {
            self.limiter.retain_recent();
            self.forget_at.store(RATE_KEYS.max(2 * self.limiter.len()), Ordering::Relaxed);
        }
        self.limiter.check_key(key).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            self.limit.error(limits, Some(wait.max(Duration::from_secs(1))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        cluster::{Local, Map, NodeId},
    };

    fn limiter(limits: Limits) -> Arc<Limiter> {
        let dir = tempfile::tempdir().expect("a directory");
        let local = Arc::new(Local::open(dir.path()).expect("it opens"));
        Limiter::new(limits, Counts::new(local, Map::Streams, NodeId::random(), Clock::system()))
    }

    #[test]
    fn the_enum_is_the_whole_policy() {
        let defaults = Limits::default();
        let printed = format!("{defaults:?}");
        let fields: Vec<&str> = printed.matches(": ").collect();
        assert_eq!(fields.len(), Limit::ALL.len(), "a limit of the configuration is not in the enum");
        let example = include_str!("../../roomwatch.example.toml");
        for limit in Limit::ALL {
            let (option, default) = limit.option();
            assert!(printed.contains(&format!("{option}: {default}")), "{limit:?}");
            assert_eq!(limit.max(&defaults), Some(default));
            assert!(example.contains(&format!("\n#{option} = {default}\n")), "{option} in the example file");
        }
    }

    #[test]
    fn a_place_is_free_at_once_when_its_stream_ends() {
        let limiter = limiter(Limits {
            max_streams_per_user: 2,
            max_streams_per_address: 3,
            max_streams: 4,
            ..Limits::default()
        });
        let (ada, bob, eve): (Arc<str>, Arc<str>, Arc<str>) = ("ada".into(), "bob".into(), "eve".into());
        let [here, there, far] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|a| a.parse().expect("an address"));
        let open = |user: &Arc<str>, address| limiter.stream(user, address);
        let first = open(&ada, here).expect("a place");
        let _second = open(&ada, here).expect("a place");
        assert_eq!(open(&ada, there).err(), Some(Limit::StreamsPerUser));
        assert_eq!(limiter.streams_of("ada"), 2);
        drop(first);
        assert_eq!(limiter.streams_of("ada"), 1);
        let _third = open(&ada, here).expect("a place");
        let _fourth = open(&bob, here).expect("a place");
        assert_eq!(open(&bob, here).err(), Some(Limit::StreamsPerAddress));
        let _fifth = open(&bob, there).expect("a place");
        assert_eq!(open(&eve, far).err(), Some(Limit::Streams));
    }

    #[test]
    fn streams_leave_room_for_webhooks() {
        let fit = |max_connections, max_streams, descriptors| {
            let limits = within(Limits { max_connections, max_streams, ..Limits::default() }, descriptors);
            (limits.max_connections, limits.max_streams)
        };
        assert_eq!(fit(12_000, 10_000, u32::MAX), (12_000, 10_000));
        assert_eq!(fit(0, 0, 1 << 20), (1_048_320, 917_280));
        assert_eq!(fit(12_000, 10_000, 1024), (768, 672));
        assert_eq!(fit(12_000, 100, 1024), (768, 100));
        assert_eq!(fit(800, 10_000, 65_536), (800, 700));
        assert_eq!(fit(12_000, 10_000, 256), (128, 112));
    }

    #[test]
    fn zero_means_none() {
        let none = Limits {
            max_streams_per_user: 0,
            max_streams_per_address: 0,
            max_streams: 0,
            max_logins_per_minute: 0,
            ..Limits::default()
        };
        let limiter = limiter(none);
        let address = "::1".parse().expect("an address");
        let places: Vec<_> = (0..300).map(|_| limiter.stream(&"ada".into(), address)).collect();
        assert!(places.iter().all(Result::is_ok));
        assert!((0..1000).all(|_| limiter.login(address).is_ok()));
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let limiter = limiter(Limits { max_logins_per_minute: 2, ..Limits::default() });
        let login = |text: &str| limiter.login(text.parse().expect("an address"));
        assert!(login("2001:db8::1").is_ok() && login("2001:db8::ffff:1").is_ok());
        let refused = login("2001:db8::2").expect_err("the third");
        assert_eq!((refused.status, refused.code), (StatusCode::TOO_MANY_REQUESTS, "too_many_logins"));
        assert!((1..=60).contains(&refused.retry_after.expect("a time")));
        assert!(login("2001:db8:0:1::1").is_ok());
        // An IPv4 address is the same however it is written.
        assert!(login("192.0.2.1").is_ok() && login("::ffff:192.0.2.1").is_ok());
        assert!(login("192.0.2.1").is_err());
    }
}
