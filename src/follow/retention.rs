//! The limit of retention. It removes events that are old or too many, but only up to this limit:
//!
//! - Never past the last durable checkpoint of the state. A start needs the events after it.
//! - Not past the stored cursor of a follower, with two exceptions: events more than
//!   [`LAG_EVENTS_MAX`] behind the checkpoint, and events received more than [`LAG_TIME_MAX`] ago. Otherwise a
//!   broken follower would fill the disk, and keep events against `retention_days`. The follower learns of its gap.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{event::Seq, log::EventLog};

/// Maximum number of events before the checkpoint that are kept for a follower.
pub const LAG_EVENTS_MAX: u64 = 1_000_000;
/// Maximum time for which events are kept for a follower.
pub const LAG_TIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Computes the limit of retention.
pub struct Retention {
    log: Arc<dyn EventLog>,
    inner: Mutex<Inner>,
}

struct Inner {
    checkpoint: Seq,
    /// The last event that was received [`LAG_TIME_MAX`] ago.
    old: Seq,
    cursors: HashMap<String, Seq>,
    /// Followers for which retention does not wait now.
    passed: HashSet<String>,
}

impl Retention {
    pub(super) fn new(log: Arc<dyn EventLog>, cursors: HashMap<String, Seq>) -> Retention {
        let inner = Inner { checkpoint: Seq::ZERO, old: Seq::ZERO, cursors, passed: HashSet::new() };
        Retention { log, inner: Mutex::new(inner) }
    }

    pub(super) fn checkpointed(&self, seq: Seq) {
        self.change(|inner| inner.checkpoint = inner.checkpoint.max(seq));
    }

    /// Notes that the cursor of a follower is stored.
    pub(super) fn stored(&self, name: &str, cursor: Seq) {
        self.change(|inner| {
            inner.cursors.insert(name.to_owned(), cursor);
        });
    }

    /// Makes retention wait for these followers only.
    pub(super) fn only(&self, names: &[&str]) {
        self.change(|inner| inner.cursors.retain(|name, _| names.contains(&name.as_str())));
    }

    /// Finds the events that are too old to be kept for a follower.
    pub(super) async fn update_time_limit(&self, unix_ms: u64) {
        let lag = u64::try_from(LAG_TIME_MAX.as_millis()).unwrap_or(u64::MAX);
        match self.log.seek(unix_ms.saturating_sub(lag)).await {
            Ok(old) => self.change(|inner| inner.old = inner.old.max(old.unwrap_or_default())),
            // The limit by events still holds, and other code logs that the log cannot be read.
            Err(error) => tracing::debug!("cannot update the time limit of retention: {error}"),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.inner.lock();
        change(&mut inner);
        let through = inner.through();
        self.log.retain(through);
    }
}

impl Inner {
    fn through(&mut self) -> Seq {
        let limit = Seq(self.checkpoint.0.saturating_sub(LAG_EVENTS_MAX)).max(self.old);
        let mut through = self.checkpoint;
        for (name, cursor) in &self.cursors {
            through = through.min((*cursor).max(limit));
            if *cursor >= limit {
                self.passed.remove(name);
            } else if self.passed.insert(name.clone()) {
                tracing::warn!(
                    follower.name = name,
                    follower.cursor = cursor.0,
                    "a follower is so far behind that retention does not wait for it; see /readyz?verbose for its error"
                );
            }
        }
        through
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        event::{Kind, NewEvent, Source},
        log::{LogOptions, memory::MemoryLog},
        storage::Quota,
    };

    const NOW: u64 = 1_787_486_406_123;

    /// A log that removes everything that it may, with `count` events, one per second.
    async fn log(count: u64) -> (Arc<MemoryLog>, Clock) {
        let clock = Clock::held(NOW);
        let options = LogOptions { quota: Quota::of(1), clock: clock.clone(), ..LogOptions::default() };
        let log = Arc::new(MemoryLog::new(options));
        let event = |n: u64| NewEvent {
            id: n.to_string().into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: NOW + n * 1000,
            kind: Kind::RoomStarted,
            room: None,
            room_sid: None,
            body: "{}".into(),
        };
        log.append((0..count).map(event).collect()).await.expect("stored");
        (log, clock)
    }

    fn cursors(of: &[(&str, u64)]) -> HashMap<String, Seq> {
        of.iter().map(|(name, seq)| ((*name).to_owned(), Seq(*seq))).collect()
    }

    #[tokio::test]
    async fn retention_waits_for_the_checkpoint_and_the_slowest_follower() {
        let (log, _) = log(100).await;
        let retention = Retention::new(log.clone(), cursors(&[("a", 10), ("b", 20)]));
        let first = || log.bounds().first.0;
        assert_eq!(first(), 1, "there is no checkpoint yet");
        retention.checkpointed(Seq(5));
        assert_eq!(first(), 6);
        retention.checkpointed(Seq(50));
        assert_eq!(first(), 11, "a is at 10");
        retention.stored("a", Seq(30));
        assert_eq!(first(), 21, "b is at 20");
        retention.only(&["a"]);
        assert_eq!(first(), 31, "b is gone");
        retention.stored("a", Seq(99));
        assert_eq!(first(), 51, "the checkpoint is at 50");
    }

    #[tokio::test]
    async fn retention_passes_a_follower_that_is_a_day_behind() {
        let (log, _) = log(100).await;
        let retention = Retention::new(log.clone(), cursors(&[("stuck", 10), ("well", 90)]));
        retention.checkpointed(Seq(100));
        let day = LAG_TIME_MAX.as_millis() as u64;
        retention.update_time_limit(NOW + day + 9_000).await;
        assert_eq!(log.bounds().first, Seq(11), "event 10 was received a day ago, and it has that one");
        retention.update_time_limit(NOW + day + 50_000).await;
        assert_eq!(log.bounds().first, Seq(52), "it is passed, but not by the events of the last day");
        retention.update_time_limit(NOW + 2 * day).await;
        assert_eq!(log.bounds().first, Seq(100), "so is the other, by now");
    }

    #[tokio::test]
    async fn retention_passes_a_follower_that_is_a_million_events_behind() {
        let mut inner = Inner {
            checkpoint: Seq(LAG_EVENTS_MAX + 10),
            old: Seq::ZERO,
            cursors: cursors(&[("slow", 10)]),
            passed: HashSet::new(),
        };
        assert_eq!(inner.through(), Seq(10));
        inner.checkpoint = Seq(LAG_EVENTS_MAX + 15);
        assert_eq!(inner.through(), Seq(15));
    }
}
