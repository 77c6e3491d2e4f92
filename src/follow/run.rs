//! Runs one follower: read, apply, store the cursor.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{
    BATCH_EVENTS, CURSOR_EVERY, Folded, Follower, Followers, Make, Phase, Status,
    cursors::Cursors,
    restart::{Backoff, caught},
    retention::Retention,
};
use crate::{clock::Clock, derived::Derived, event::Seq, feed::Feed, log::EventLog};

/// Runs one follower.
pub(super) struct Runner {
    name: &'static str,
    make: Make,
    log: Arc<dyn EventLog>,
    feed: Arc<Feed>,
    derived: Arc<Derived>,
    clock: Clock,
    cursors: Arc<Cursors>,
    retention: Arc<Retention>,
    status: Arc<Status>,
    /// The last event that was applied.
    cursor: Seq,
    /// The cursor on the disk.
    stored: Option<Seq>,
    /// Running time of the clock when it was stored.
    stored_at: Duration,
    backoff: Backoff,
}

impl Runner {
    pub fn new(
        of: &Followers,
        name: &'static str,
        make: Make,
        feed: Arc<Feed>,
        derived: Arc<Derived>,
    ) -> Runner {
        let bounds = of.log.bounds();
        let (cursor, stored) = match of.cursors.of(name) {
            Some(found) if found.epoch == bounds.epoch && found.seq <= bounds.last => {
                (found.seq, Some(found.seq))
            }
            // A cursor of another log: the follower gets every event of this one. If this log is a restored copy, some of
            // them come again.
            Some(_) => (Seq(bounds.first.0.saturating_sub(1)), None),
            // A new follower begins with the next event.
            None => (bounds.last, None),
        };
        Runner {
            name,
            make,
            log: of.log.clone(),
            feed,
            derived,
            clock: of.clock.clone(),
            cursors: of.cursors.clone(),
            retention: of.retention.clone(),
            status: of.status(name, cursor),
            cursor,
            stored,
            stored_at: of.clock.running(),
            backoff: Backoff::default(),
        }
    }

    /// Runs until `stop`, and creates the follower again after each failure.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.restarting()).await;
        if let Err(error) = self.store() {
            tracing::warn!(
                follower.name = self.name,
                "the cursor of a follower cannot be stored; it gets its last events again at the next start: {error:#}"
            );
        }
        self.status.enters(Phase::Stopped);
    }

    async fn restarting(&mut self) {
        self.feed.reached(self.log.bounds().last).await;
        self.status.enters(Phase::Running);
        loop {
            let Err(error) = caught(self.follow()).await;
            let pause = self.backoff.pause();
            self.status.failed(&format!("{error:#}"));
            tracing::error!(
                follower.name = self.name,
                follower.cursor = self.cursor.0,
                "a follower failed and is restarted in {} ms: {error:#}",
                pause.as_millis()
            );
            self.status.enters(Phase::Waiting);
            self.clock.sleep(pause).await;
            self.status.restarted();
        }
    }

    /// Follows until something fails.
    async fn follow(&mut self) -> anyhow::Result<std::convert::Infallible> {
        let mut follower = (self.make)();
        if self.stored.is_none() {
            self.store()?;
        }
        loop {
            let oldest = self.log.bounds().first;
            if self.cursor.next() < oldest {
                self.gap(&mut *follower, oldest).await?;
            }
            let head = self.feed.head().seq;
            let batch = if self.cursor < head { self.read(head).await? } else { Vec::new() };
            if batch.is_empty() && !self.waits(&*follower).await? {
                continue;
            }
            follower.apply(&batch).await?;
            self.backoff.succeeded();
            if let Some(last) = batch.last() {
                self.cursor = last.event.seq;
                self.status.moved(self.cursor);
            }
            if self.clock.running() >= self.stored_at + CURSOR_EVERY {
                self.store()?;
            }
        }
    }

    /// Waits for an event, for the time at which the follower wakes, or for the time at which the cursor is stored.
    /// Returns true if the follower must be called without events.
    async fn waits(&mut self, follower: &dyn Follower) -> anyhow::Result<bool> {
        let is_stored = self.stored == Some(self.cursor);
        let store_in = (self.stored_at + CURSOR_EVERY).saturating_sub(self.clock.running());
        let (feed, clock) = (self.feed.clone(), self.clock.clone());
        let wake = async {
            match follower.wakes_in() {
                Some(time) => clock.sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = feed.reached(self.cursor.next()) => Ok(false),
            () = wake => Ok(true),
            () = clock.sleep(store_in), if !is_stored => self.store().map(|()| false),
        }
    }

    /// Reads the next events up to `head`, with their changes.
    async fn read(&self, head: Seq) -> anyhow::Result<Vec<Folded>> {
        let mut events = self.log.read(self.cursor, BATCH_EVENTS).await.context("the log cannot be read")?;
        // Events after the head are durable, but not folded yet.
        events.retain(|event| event.seq <= head);
        let Some(last) = events.last().map(|event| event.seq) else { return Ok(Vec::new()) };
        if events[0].seq != self.cursor.next() {
            // Retention has just removed events. The next round finds the gap.
            return Ok(Vec::new());
        }
        let changes = self.derived.changes(self.cursor, last).await.context("the changes cannot be read")?;
        let mut changes = changes.into_iter().peekable();
        let folded = events.into_iter().map(|event| {
            while changes.next_if(|row| row.seq < event.seq).is_some() {}
            let changes = changes.next_if(|row| row.seq == event.seq);
            Folded { event, changes }
        });
        Ok(folded.collect())
    }

    /// Reports the events to the follower that retention has removed before it got them.
    async fn gap(&mut self, follower: &mut dyn Follower, oldest: Seq) -> anyhow::Result<()> {
        let (from, to) = (self.cursor.next(), Seq(oldest.0 - 1));
        tracing::error!(
            follower.name = self.name,
            "retention has removed events {from} to {to} before this follower got them"
        );
        follower.gap(from, to).await?;
        self.status.missed(oldest.0 - from.0);
        self.cursor = to;
        self.status.moved(to);
        self.store()
    }

    fn store(&mut self) -> anyhow::Result<()> {
        self.stored_at = self.clock.running();
        if self.stored != Some(self.cursor) {
            self.cursors.store(self.name, self.cursor).context("the cursor cannot be stored")?;
            self.stored = Some(self.cursor);
            self.retention.stored(self.name, self.cursor);
        }
        Ok(())
    }
}
