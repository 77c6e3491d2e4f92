//! Times of the last contact: when the servers last told the newest event of the stream, and when the copy last had it.

use std::time::Duration;

use parking_lot::Mutex;

use crate::{
    clock::Clock,
    event::Seq,
    log::{Contact, Servers},
    nats::StreamInfo,
};

/// Readers are told that a node is stale after this time.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// An append fails at once after this time without an answer: a new leader takes 8 s at most.
const AWAY_AFTER: Duration = Duration::from_secs(10);
/// A node appends only if its copy has had the whole stream within this time: half the time for which the stream
/// remembers ids.
const IDS_OVERLAP: Duration = Duration::from_secs(300);

/// Times of the last good answers, as [`Clock::running`] tells them.
pub(super) struct Contacts {
    clock: Clock,
    last: Mutex<Last>,
    servers: Mutex<Servers>,
}

#[derive(Clone, Copy, Default)]
struct Last {
    /// The newest event was asked for, and the answer is believed.
    answered: Duration,
    /// The same, and the copy had that event. `None` before the first time.
    whole: Option<Duration>,
}

impl Contacts {
    pub fn new(clock: Clock) -> Contacts {
        let last = Last { answered: clock.running(), whole: None };
        Contacts { clock, last: Mutex::new(last), servers: Mutex::default() }
    }

    /// Notes the believed answer to a question that was asked at `asked`.
    pub fn answered_with(&self, asked: Duration, info: &StreamInfo) {
        self.answered(asked);
        let cluster = info.cluster.clone().unwrap_or_default();
        let replicas = cluster.replicas.unwrap_or_default().into_iter();
        *self.servers.lock() = Servers {
            leader: cluster.leader.unwrap_or_default().into(),
            replicas: replicas.map(|one| (one.name.into(), one.current && !one.offline)).collect(),
            newest: Seq(info.state.last_seq),
            bytes: info.state.bytes,
            bytes_max: info.config["max_bytes"].as_u64().unwrap_or(0),
            ..Servers::default()
        };
    }

    /// Returns the servers as they last answered.
    pub fn servers(&self) -> Servers {
        Servers { age: self.silent(), ..self.servers.lock().clone() }
    }

    fn answered(&self, asked: Duration) {
        let mut last = self.last.lock();
        last.answered = last.answered.max(asked);
    }

    /// Notes that the copy has had every event that the stream had at `asked`.
    pub fn whole(&self, asked: Duration) {
        self.answered(asked);
        let mut last = self.last.lock();
        last.whole = last.whole.max(Some(asked));
    }

    /// Returns the seconds since the last believed answer.
    pub fn silent(&self) -> Duration {
        self.clock.running().saturating_sub(self.last.lock().answered)
    }

    /// Returns true if every id is in the copy or in the window of the stream.
    pub fn knows_ids(&self) -> bool {
        let whole = self.last.lock().whole;
        whole.is_some_and(|at| self.clock.running().saturating_sub(at) < IDS_OVERLAP)
    }

    pub fn now(&self) -> Contact {
        let Last { whole, .. } = *self.last.lock();
        let age = self.clock.running().saturating_sub(whole.unwrap_or_default());
        let fresh_at =
            || self.clock.unix_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Contact {
            fresh_at: (whole.is_some() && age >= STALE_AFTER).then(fresh_at),
            is_away: self.silent() >= AWAY_AFTER,
        }
    }
}
