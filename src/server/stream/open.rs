//! An open stream: its slot, its rights, and its end.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    accounts::Login,
    clock::Clock,
    config::{Answer, Config},
    feed::Feed,
    metrics::{Metrics, Transport},
    server::{
        caller::Caller,
        connections::{self, HeldOpen},
        error::Error,
        limits::{Limiter, Slot},
        stream::message,
    },
};

/// A reader gets `expiring` this long before its right ends, in milliseconds.
const EXPIRING_MS: u64 = 60_000;

/// The open streams of a node. Opens a stream, and closes all of them at a shutdown.
pub struct Streams {
    limiter: Arc<Limiter>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    clock: Clock,
    /// Time over which a shutdown spreads the ends of the streams.
    drain_window: Duration,
    /// Time when the shutdown began.
    draining: OnceLock<Instant>,
}

impl Streams {
    pub fn new(
        limiter: Arc<Limiter>,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
        config: &Config,
    ) -> Arc<Streams> {
        Arc::new(Streams {
            limiter,
            feed,
            metrics,
            clock: config.clock.clone(),
            drain_window: config.drain,
            draining: OnceLock::new(),
        })
    }

    /// Begins the shutdown: no new stream opens, and the open ones are closed one by one over the drain window.
    pub fn drain(&self) {
        if self.draining.set(Instant::now()).is_ok() {
            self.feed.wake_all();
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }

    /// Opens a stream for `caller`, if the limits allow one more.
    pub fn open(self: &Arc<Self>, transport: &'static str, caller: &Caller) -> Result<OpenStream, Refused> {
        if self.is_draining() {
            self.metrics.stream("drained");
            return Err(Refused::Bye("drain"));
        }
        let slot = self.limiter.stream(&caller.counted_as, caller.address).map_err(|limit| {
            self.metrics.stream("limited");
            self.metrics.limit_reached(limit.option());
            match limit.answer() {
                Answer::Bye(reason) => Refused::Bye(reason),
                _ => Refused::Error(self.limiter.stream_error(limit)),
            }
        })?;
        self.metrics.streams_open.get_or_create(&Transport { transport }).inc();
        let drain_share = Duration::from_millis(message::jitter(0..1000)).as_secs_f64();
        Ok(OpenStream {
            streams: self.clone(),
            transport,
            ends_at: caller.ends_at,
            login: caller.login.clone(),
            is_warned: false,
            drain_share,
            _slot: slot,
            _held_open: caller.connection.as_ref().map(connections::Connection::hold_open),
        })
    }
}

/// Refusal of a stream.
pub enum Refused {
    /// An error answer.
    Error(Error),
    /// A stream with a `bye` and this reason: an EventSource that gets an error status never reconnects.
    Bye(&'static str),
}

impl Refused {
    pub fn map<T>(self, bye: impl Fn(&'static str) -> T) -> Result<T, Error> {
        match self {
            Refused::Error(error) => Err(error),
            Refused::Bye(reason) => Ok(bye(reason)),
        }
    }
}

/// An open stream. Dropping it frees its slot.
pub struct OpenStream {
    streams: Arc<Streams>,
    transport: &'static str,
    ends_at: Option<u64>,
    login: Option<Arc<Login>>,
    /// True once the reader has got `expiring`.
    is_warned: bool,
    /// Position in the drain window at which this stream ends, 0 to 1.
    drain_share: f64,
    _slot: Slot,
    _held_open: Option<HeldOpen>,
}

impl OpenStream {
    fn drained_at(&self) -> Option<Instant> {
        let began = self.streams.draining.get()?;
        Some(*began + self.streams.drain_window.mul_f64(self.drain_share))
    }

    /// Returns the reason if the stream must end now.
    pub fn ended(&self, now: Instant) -> Option<&'static str> {
        let over = self.ends_at.is_some_and(|ends_at| self.streams.clock.unix_ms() >= ends_at);
        if over || self.login.as_ref().is_some_and(|login| login.has_ended()) {
            return Some("expired");
        }
        self.drained_at().filter(|at| *at <= now).map(|_| "drain")
    }

    /// Completes when the sign-in of the caller has ended. Never completes for a token.
    pub async fn signed_out(&self) {
        match &self.login {
            Some(login) => login.over().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the time when the right ends, once, a minute before it: the client then renews it.
    pub fn expiring(&mut self) -> Option<u64> {
        let ends_at = self
            .ends_at
            .filter(|ends_at| !self.is_warned && self.streams.clock.unix_ms() + EXPIRING_MS >= *ends_at)?;
        self.is_warned = true;
        Some(ends_at)
    }

    /// Returns the time of the next check, at the latest `ping_at`.
    pub fn next_check(&self, ping_at: Instant) -> Instant {
        let now = Instant::now();
        let before = if self.is_warned { 0 } else { EXPIRING_MS };
        // At most a day ahead: an expiry in the far future would overflow the clock.
        let left = |ends_at: u64| {
            Duration::from_millis(
                ends_at.saturating_sub(self.streams.clock.unix_ms() + before).min(86_400_000),
            )
        };
        let expiry = self.ends_at.map(|ends_at| now + left(ends_at));
        let ended = self.login.as_ref().filter(|login| login.has_ended()).map(|_| now);
        let checks = [Some(ping_at), expiry, ended, self.drained_at()];
        checks.into_iter().flatten().min().unwrap_or(ping_at)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.metrics.streams_open.get_or_create(&Transport { transport: self.transport }).dec();
    }
}
