//! The place of a follower that reads the log by itself, at several positions.

use std::{sync::Arc, time::Duration};

use super::{CURSOR_EVERY, Phase, Status, cursors::Cursors, retention::Retention};
use crate::{clock::Clock, event::Seq};

/// The status of such a follower, and the events that retention keeps for it, within the limits of
/// [`retention`](super::retention).
pub struct Place {
    name: &'static str,
    status: Arc<Status>,
    cursors: Arc<Cursors>,
    retention: Arc<Retention>,
    clock: Clock,
    stored: Option<Seq>,
    stored_at: Option<Duration>,
}

impl Place {
    pub(super) fn new(
        name: &'static str,
        status: Arc<Status>,
        cursors: Arc<Cursors>,
        retention: Arc<Retention>,
        clock: Clock,
    ) -> Place {
        Place { name, status, cursors, retention, clock, stored: None, stored_at: None }
    }

    /// Notes that its positions are durable. `cursor` is shown; events after `kept` are kept.
    pub fn moved(&mut self, cursor: Seq, kept: Seq) {
        self.status.enters(Phase::Running);
        self.status.moved(cursor);
        let now = self.clock.running();
        let is_due = self.stored_at.is_none_or(|at| now >= at + CURSOR_EVERY);
        if self.stored == Some(kept) || !is_due {
            return;
        }
        self.stored_at = Some(now);
        // For the next start: until the follower runs, retention waits for this cursor.
        match self.cursors.store(self.name, kept) {
            Ok(()) => {
                self.stored = Some(kept);
                self.retention.stored(self.name, kept);
            }
            Err(error) => self.failed(&format!("its cursor cannot be stored: {error}")),
        }
    }

    /// Notes a failure, which the caller has logged.
    pub fn failed(&self, error: &str) {
        self.status.failed(error);
        self.status.enters(Phase::Waiting);
    }
}
