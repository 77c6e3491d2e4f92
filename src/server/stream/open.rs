//! An open stream: its slot, its rights, and when it ends.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    accounts::Session,
    clock::unix_ms,
    metrics::Transport,
    server::{
        App,
        caller::Caller,
        connections::{self, Streaming},
        error::Error,
        limits::{Answer, Place},
        stream::say,
    },
};

/// How long before its right ends a reader is told, in milliseconds.
const EXPIRING_MS: u64 = 60_000;

impl App {
    /// Takes a place for a stream.
    pub fn open_stream(
        self: &Arc<Self>,
        transport: &'static str,
        caller: &Caller,
    ) -> Result<OpenStream, Refused> {
        if self.draining.get().is_some() {
            self.metrics.stream("drained");
            return Err(Refused::Bye("drain"));
        }
        let place = self.limiter.stream(&caller.counted_as, caller.address).map_err(|limit| {
            self.metrics.stream("limited");
            match limit.answer() {
                Answer::Bye(reason) => Refused::Bye(reason),
                _ => Refused::Error(self.limiter.stream_error(limit)),
            }
        })?;
        self.metrics.streams_open.get_or_create(&Transport { transport }).inc();
        let share = Duration::from_millis(say::jitter(0..1000)).as_secs_f64();
        Ok(OpenStream {
            app: self.clone(),
            transport,
            ends_at: caller.ends_at,
            session: caller.session.clone(),
            noticed: false,
            share,
            _place: place,
            _streaming: caller.connection.as_ref().map(connections::Connection::streams),
        })
    }
}

/// Why no stream begins.
pub enum Refused {
    /// An error like any other.
    Error(Error),
    /// Said in-band: a browser that gets an error status never comes back.
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

/// A place taken by a stream; freed when dropped.
pub struct OpenStream {
    app: Arc<App>,
    transport: &'static str,
    ends_at: Option<u64>,
    session: Option<Arc<Session>>,
    /// The reader has been told that its right ends soon.
    noticed: bool,
    /// Where in the drain's window this stream ends, 0 to 1.
    share: f64,
    _place: Place,
    _streaming: Option<Streaming>,
}

impl OpenStream {
    fn drained_at(&self) -> Option<Instant> {
        let began = self.app.draining.get()?;
        Some(*began + self.app.config.drain.mul_f64(self.share))
    }

    /// Why the stream has to end now, if it has to.
    pub fn ended(&self, now: Instant) -> Option<&'static str> {
        let over = self.ends_at.is_some_and(|ends_at| unix_ms() >= ends_at);
        if over || self.session.as_ref().is_some_and(|session| session.ended()) {
            return Some("expired");
        }
        self.drained_at().filter(|at| *at <= now).map(|_| "drain")
    }

    /// Done when its session has ended.
    pub async fn signed_out(&self) {
        match &self.session {
            Some(session) => session.over().await,
            None => std::future::pending().await,
        }
    }

    /// When the right ends, once: a minute before it does, so that the client renews it.
    pub fn expiring(&mut self) -> Option<u64> {
        let ends_at = self.ends_at.filter(|ends_at| !self.noticed && unix_ms() + EXPIRING_MS >= *ends_at)?;
        self.noticed = true;
        Some(ends_at)
    }

    /// When to look again, not later than `ping_at`.
    pub fn next_check(&self, ping_at: Instant) -> Instant {
        let now = Instant::now();
        let before = if self.noticed { 0 } else { EXPIRING_MS };
        // Not further ahead than a day: an expiry may be at the end of time.
        let left =
            |ends_at: u64| Duration::from_millis(ends_at.saturating_sub(unix_ms() + before).min(86_400_000));
        let expiry = self.ends_at.map(|ends_at| now + left(ends_at));
        let session = self.session.as_ref().filter(|session| session.ended()).map(|_| now);
        let checks = [Some(ping_at), expiry, session, self.drained_at()];
        checks.into_iter().flatten().min().unwrap_or(ping_at)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.app.metrics.streams_open.get_or_create(&Transport { transport: self.transport }).dec();
    }
}
