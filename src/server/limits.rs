//! Enforces the limits: counts streams, measures rates, and makes the error of a limit that is reached. The table of
//! limits is [`crate::config::Limit`].

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

use crate::{
    cluster::Counts,
    config::{Answer, Limit, Limits},
    metrics::Metrics,
    server::error::Error,
};

impl Limit {
    /// Returns the error of a limit that is reached; `after` is when another try may succeed.
    pub fn error(self, limits: &Limits, after: Option<Duration>) -> Error {
        let Answer::Error(status, code, message) = self.answer() else {
            // A `bye` needs an open stream, and there is none yet.
            return Error::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", "the server is full")
                .retry_after(10);
        };
        let status = StatusCode::from_u16(status).expect("the table has statuses of HTTP");
        let max = self.max(limits).unwrap_or(0).to_string();
        let error = Error::new(status, code, message.replace("{max}", &max));
        match after {
            // Rounded up: a client that comes back a moment too early is refused again.
            Some(after) => error.retry_after(u32::try_from(after.as_millis().div_ceil(1000)).unwrap_or(60)),
            None => error,
        }
    }
}

/// `Retry-After` of a stream over the limit. It may open when another stream ends, and that time is unknown.
const STREAMS_RETRY: Duration = Duration::from_secs(5);
/// Time that a client of Socket.IO has to authenticate. Then its session is removed.
pub const ANONYMOUS_TIME: Duration = Duration::from_secs(10);
/// Number of callers at which a rate forgets those whose minute is over. The next time is at twice the number that is
/// left.
const RATE_KEYS: usize = 10_000;

/// File descriptors reserved for files, for requests to LiveKit, and for connections that are being closed.
const DESCRIPTORS_KEPT: u32 = 256;
/// One of this many connections is reserved for requests that are not streams: first of all, webhooks.
const CONNECTIONS_KEPT_ONE_IN: u32 = 8;

/// Returns the limits that a process with this number of file descriptors can keep, so that it has one for a webhook at
/// any time. Logs it if they are lower than `limits`.
pub fn within(limits: Limits, descriptors: u32) -> Limits {
    let possible = descriptors.saturating_sub(DESCRIPTORS_KEPT).max(descriptors / 2);
    let least = |limit: Limit, possible: u32| limit.max(&limits).map_or(possible, |max| max.min(possible));
    let connections = least(Limit::Connections, possible);
    let streams = least(Limit::Streams, connections - connections / CONNECTIONS_KEPT_ONE_IN);
    let lower = |limit: Limit, possible: u32| limit.max(&limits).is_some_and(|max| possible < max);
    if lower(Limit::Connections, connections) || lower(Limit::Streams, streams) {
        tracing::warn!(
            "this process may open only {descriptors} file descriptors: the limits are lowered to {connections} \
             connections, {streams} of them streams. Raise the limit of open files (ulimit -n, LimitNOFILE)"
        );
    }
    limits.with(Limit::Connections, connections).with(Limit::Streams, streams)
}

/// Counts open streams, and measures the rates of sign-ins, handshakes and commands.
pub struct Limiter {
    limits: Limits,
    metrics: Arc<Metrics>,
    /// Number of open streams of each user on every node.
    users: Arc<Counts>,
    streams: Mutex<Streams>,
    logins: Option<Rate<IpAddr>>,
    commands: Option<Rate<Arc<str>>>,
    handshakes: Option<DefaultDirectRateLimiter>,
    handshakes_of_address: Option<Rate<IpAddr>>,
}

#[derive(Default)]
struct Streams {
    open: u32,
    by_user: HashMap<Arc<str>, u32>,
    by_address: HashMap<IpAddr, u32>,
}

impl Limiter {
    pub fn new(limits: Limits, users: Arc<Counts>, metrics: Arc<Metrics>) -> Arc<Limiter> {
        Arc::new(Limiter {
            limits,
            metrics,
            users,
            streams: Mutex::default(),
            logins: Rate::per_minute(Limit::LoginsPerMinute, &limits),
            commands: Rate::per_minute(Limit::CommandsPerMinute, &limits),
            handshakes: handshakes(Limit::Streams, &limits).map(RateLimiter::direct),
            handshakes_of_address: handshakes(Limit::StreamsPerAddress, &limits)
                .map(|quota| Rate::of(Limit::StreamsPerAddress, quota)),
        })
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a slot for a stream of `user` ([`Caller::counted_as`](super::caller::Caller::counted_as)). Dropping the
    /// slot frees it.
    pub fn stream(self: &Arc<Self>, user: &Arc<str>, address: IpAddr) -> Result<Slot, Limit> {
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
        Ok(Slot { limiter: self.clone(), user: user.clone(), address })
    }

    /// Returns the number of streams that this user has open, on any node.
    pub fn streams_of(&self, user: &str) -> u32 {
        self.users.elsewhere(user) + self.streams.lock().by_user.get(user).copied().unwrap_or(0)
    }

    /// Counts an attempt to sign in from this address.
    pub fn login(&self, address: IpAddr) -> Result<(), Error> {
        self.one_more(&self.logins, &network(address))
    }

    /// Counts a new Socket.IO session. Its client is not yet known, and it holds memory but no connection. Within
    /// [`ANONYMOUS_TIME`], as many sessions may begin as streams may be open, of one address and in total: after a
    /// restart, all clients reconnect at once.
    pub fn handshake(&self, address: IpAddr) -> Result<(), Error> {
        self.one_more(&self.handshakes_of_address, &network(address))?;
        let full = || {
            self.metrics.limit_reached(Limit::Streams.option());
            Limit::Streams.error(&self.limits, None)
        };
        self.handshakes.as_ref().map_or(Ok(()), |rate| rate.check().map_err(|_| full()))
    }

    /// Counts a command of this user.
    pub fn command(&self, user: &Arc<str>) -> Result<(), Error> {
        self.one_more(&self.commands, user)
    }

    fn one_more<K: Hash + Eq + Clone>(&self, rate: &Option<Rate<K>>, key: &K) -> Result<(), Error> {
        let Some(rate) = rate else { return Ok(()) };
        rate.one_more(key, &self.limits).inspect_err(|_| self.metrics.limit_reached(rate.limit.option()))
    }

    /// Returns the error for a stream that found no slot.
    pub fn stream_error(&self, limit: Limit) -> Error {
        limit.error(&self.limits, Some(STREAMS_RETRY))
    }
}

/// Returns the unit in which addresses are counted: the /64 network of an IPv6 address, because a client that has one
/// of its 2^64 addresses usually has all of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// The slot of a stream. Dropping it frees it.
pub struct Slot {
    limiter: Arc<Limiter>,
    user: Arc<str>,
    address: IpAddr,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("user", &self.user).field("address", &self.address).finish()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut streams = self.limiter.streams.lock();
        streams.open -= 1;
        let of_user = give_back(&mut streams.by_user, &self.user);
        self.limiter.users.set(&self.user, of_user);
        give_back(&mut streams.by_address, &self.address);
    }
}

/// Decrements a count and returns it. A count of zero is removed.
fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) -> u32 {
    let Some(count) = counts.get_mut(key) else { return 0 };
    *count -= 1;
    let left = *count;
    if left == 0 {
        counts.remove(key);
    }
    left
}

/// Returns the rate of handshakes that this limit of streams allows.
fn handshakes(limit: Limit, limits: &Limits) -> Option<Quota> {
    let max = limit.max(limits).and_then(NonZeroU32::new)?;
    Some(Quota::with_period(ANONYMOUS_TIME / max.get())?.allow_burst(max))
}

/// Maximum rate for each key. All that the time allows may come at once.
struct Rate<K: Hash + Eq + Clone> {
    limit: Limit,
    limiter: DefaultKeyedRateLimiter<K>,
    clock: DefaultClock,
    /// Number of keys at which it forgets those whose minute is over.
    forget_at: AtomicUsize,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn per_minute(limit: Limit, limits: &Limits) -> Option<Rate<K>> {
        limit.max(limits).and_then(NonZeroU32::new).map(|max| Rate::of(limit, Quota::per_minute(max)))
    }

    fn of(limit: Limit, quota: Quota) -> Rate<K> {
        let limiter = RateLimiter::keyed(quota);
        Rate { limit, limiter, clock: DefaultClock::default(), forget_at: RATE_KEYS.into() }
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
        Limiter::new(
            limits,
            Counts::new(local, Map::Streams, NodeId::random(), Clock::system()),
            Arc::default(),
        )
    }

    #[test]
    fn each_answer_is_an_error_that_names_its_limit() {
        let limits = Limits::default();
        for limit in Limit::ALL {
            let error = limit.error(&limits, None);
            let Answer::Error(status, code, _) = limit.answer() else {
                assert_eq!((error.status.as_u16(), error.code), (503, "capacity"), "{limit:?}");
                continue;
            };
            assert_eq!((error.status.as_u16(), error.code), (status, code), "{limit:?}");
            assert!(error.message.contains(&limit.default().to_string()), "{limit:?}: {}", error.message);
        }
    }

    #[test]
    fn a_slot_is_free_at_once_when_its_stream_ends() {
        let limits = Limits::default().with(Limit::StreamsPerUser, 2).with(Limit::StreamsPerAddress, 3);
        let limiter = limiter(limits.with(Limit::Streams, 4));
        let (ada, bob, eve): (Arc<str>, Arc<str>, Arc<str>) = ("ada".into(), "bob".into(), "eve".into());
        let [here, there, far] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|a| a.parse().expect("an address"));
        let open = |user: &Arc<str>, address| limiter.stream(user, address);
        let first = open(&ada, here).expect("a slot");
        let _second = open(&ada, here).expect("a slot");
        assert_eq!(open(&ada, there).err(), Some(Limit::StreamsPerUser));
        assert_eq!(limiter.streams_of("ada"), 2);
        drop(first);
        assert_eq!(limiter.streams_of("ada"), 1);
        let _third = open(&ada, here).expect("a slot");
        let _fourth = open(&bob, here).expect("a slot");
        assert_eq!(open(&bob, here).err(), Some(Limit::StreamsPerAddress));
        let _fifth = open(&bob, there).expect("a slot");
        assert_eq!(open(&eve, far).err(), Some(Limit::Streams));
    }

    #[test]
    fn streams_leave_room_for_webhooks() {
        let fit = |connections, streams, descriptors| {
            let limits =
                Limits::default().with(Limit::Connections, connections).with(Limit::Streams, streams);
            let limits = within(limits, descriptors);
            let max = |limit: Limit| limit.max(&limits).expect("a limit");
            (max(Limit::Connections), max(Limit::Streams))
        };
        assert_eq!(fit(12_000, 10_000, u32::MAX), (12_000, 10_000));
        assert_eq!(fit(0, 0, 1 << 20), (1_048_320, 917_280));
        assert_eq!(fit(12_000, 10_000, 1024), (768, 672));
        assert_eq!(fit(12_000, 100, 1024), (768, 100));
        assert_eq!(fit(800, 10_000, 65_536), (800, 700));
        assert_eq!(fit(12_000, 10_000, 256), (128, 112));
    }

    #[test]
    fn zero_means_no_limit() {
        let limits =
            [Limit::StreamsPerUser, Limit::StreamsPerAddress, Limit::Streams, Limit::LoginsPerMinute];
        let limiter = limiter(limits.iter().fold(Limits::default(), |none, limit| none.with(*limit, 0)));
        let address = "::1".parse().expect("an address");
        let slots: Vec<_> = (0..300).map(|_| limiter.stream(&"ada".into(), address)).collect();
        assert!(slots.iter().all(Result::is_ok));
        assert!((0..1000).all(|_| limiter.login(address).is_ok()));
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let limiter = limiter(Limits::default().with(Limit::LoginsPerMinute, 2));
        let login = |text: &str| limiter.login(text.parse().expect("an address"));
        assert!(login("2001:db8::1").is_ok() && login("2001:db8::ffff:1").is_ok());
        let refused = login("2001:db8::2").expect_err("the third");
        assert_eq!((refused.status, refused.code), (StatusCode::TOO_MANY_REQUESTS, "too_many_logins"));
        assert!((1..=60).contains(&refused.retry_after.expect("a time")));
        assert!(login("2001:db8:0:1::1").is_ok());
        // The two spellings of an IPv4 address are one address.
        assert!(login("192.0.2.1").is_ok() && login("::ffff:192.0.2.1").is_ok());
        assert!(login("192.0.2.1").is_err());
    }
}
