//! The status of a follower, for `/metrics` and `/readyz?verbose`.

use std::fmt;

use parking_lot::Mutex;

use crate::{
    event::Seq,
    metrics::{Follower as Label, Metrics},
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// Maximum length of a shown error, in characters. The program's log has the whole error.
const ERROR_CHARS: usize = 200;

/// The status of one follower.
pub struct Status {
    pub name: &'static str,
    now: Mutex<Now>,
    metrics: OfOne,
}

#[derive(Clone, Debug)]
struct Now {
    cursor: Seq,
    phase: Phase,
    last_error: Option<Box<str>>,
    /// True from a failure until the next event.
    failing: bool,
}

/// The metrics of one follower.
struct OfOne {
    cursor: Gauge,
    lag: Gauge,
    failures: Counter,
    restarts: Counter,
    missed: Counter,
}

/// Present activity of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The fold has not yet reached the end that the log had at the start.
    Starting,
    Running,
    /// It has failed, and is created again after a pause.
    Waiting,
    Stopped,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Running => "running",
            Phase::Waiting => "waiting to restart",
            Phase::Stopped => "stopped",
        }
    }
}

impl Status {
    pub(super) fn new(name: &'static str, cursor: Seq, metrics: &Metrics) -> Status {
        let label = &Label { follower: name };
        let metrics = OfOne {
            cursor: metrics.follower_cursor.get_or_create(label).clone(),
            lag: metrics.follower_lag_events.get_or_create(label).clone(),
            failures: metrics.follower_failures.get_or_create(label).clone(),
            restarts: metrics.follower_restarts.get_or_create(label).clone(),
            missed: metrics.follower_missed_events.get_or_create(label).clone(),
        };
        let now = Now { cursor, phase: Phase::Starting, last_error: None, failing: false };
        Status { name, now: Mutex::new(now), metrics }
    }

    /// Returns the last event on which it has acted.
    pub fn cursor(&self) -> Seq {
        self.now.lock().cursor
    }

    pub fn phase(&self) -> Phase {
        self.now.lock().phase
    }

    /// Returns its last error, also after the follower has recovered.
    pub fn last_error(&self) -> Option<Box<str>> {
        self.now.lock().last_error.clone()
    }

    /// Updates the gauges. `last` is the newest event of the log.
    pub fn show(&self, last: Seq) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let cursor = self.cursor();
        self.metrics.cursor.set(gauge(cursor.0));
        self.metrics.lag.set(gauge(last.0.saturating_sub(cursor.0)));
    }

    /// Returns the line for `/readyz?verbose`. `last` is the newest event of the log.
    pub fn line(&self, last: Seq) -> impl fmt::Display + use<> {
        let (name, Now { cursor, phase, last_error, .. }) = (self.name, self.now.lock().clone());
        let restarts = self.metrics.restarts.get();
        fmt::from_fn(move |f| {
            let lag = last.0.saturating_sub(cursor.0);
            write!(f, "{name}: {}, cursor {cursor}, lag {lag}, restarts {restarts}", phase.as_str())?;
            match &last_error {
                // Quoted, because it may contain any character.
                Some(error) => write!(f, ", last error {error:?}"),
                None => Ok(()),
            }
        })
    }

    /// Returns true if the last attempt failed and there are events to act on.
    pub fn is_stopped(&self, last: Seq) -> bool {
        let now = self.now.lock();
        now.failing && now.cursor < last
    }

    pub(super) fn moved(&self, cursor: Seq) {
        let mut now = self.now.lock();
        (now.cursor, now.failing) = (cursor, false);
    }

    pub(super) fn enters(&self, phase: Phase) {
        self.now.lock().phase = phase;
    }

    /// Notes a failure, which the caller has logged.
    pub(super) fn failed(&self, error: &str) {
        self.metrics.failures.inc();
        let mut now = self.now.lock();
        (now.last_error, now.failing) = (Some(error.chars().take(ERROR_CHARS).collect()), true);
    }

    pub(super) fn restarted(&self) {
        self.metrics.restarts.inc();
        self.enters(Phase::Running);
    }

    pub(super) fn missed(&self, events: u64) {
        self.metrics.missed.inc_by(events);
    }
}
