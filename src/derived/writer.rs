//! The thread that writes the queue, one transaction at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use super::{
    DerivedError, Recorded, Shared,
    checkpoints::{Ladder, Pending},
    rows::Rows,
    schema,
    statements::Statements,
};
use crate::{event::Seq, state::State};

/// Maximum time that an event waits in the queue. Events that are close together change the same pages, which are then
/// written once.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Number of events in the queue at which it is written at once.
pub(super) const FLUSH_EVENTS: usize = 4_000;
/// Time between a failed write and the next attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Maximum number of rows that one step of retention removes, so that it does not delay writes.
const TRIM_CHANGES: i64 = 100;
const TRIM_SESSIONS: i64 = 100;
/// Time between two searches for sessions that are too old.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// The thread that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    rows: Rows,
    ladder: Ladder,
    /// The last event in the file.
    folded: Seq,
    failing: bool,
}

/// Result of [`Writer::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wrote,
    /// The transaction was rolled back. Its content is still in the queue.
    Failed,
    /// The queue is empty.
    Idle,
}

impl Writer {
    /// `state` is that of the newest checkpoint; `folded` is the last event in the file.
    pub fn new(
        shared: Arc<Shared>,
        connection: Connection,
        ladder: Ladder,
        state: &State,
        folded: Seq,
    ) -> Writer {
        Writer { shared, connection, rows: Rows::new(state), ladder, folded, failing: false }
    }

    /// Writes until the queue is closed.
    pub fn run(mut self) {
        let mut looked_at = None;
        loop {
            self.wait();
            let closing = self.shared.waiting.lock().closing;
            match self.step() {
                Step::Wrote => {}
                Step::Idle if closing => break,
                Step::Idle => {}
                Step::Failed if closing => break,
                Step::Failed => {
                    std::thread::sleep(RETRY_AFTER);
                    continue;
                }
            }
            if looked_at.is_none_or(|at: Instant| at.elapsed() > RETENTION_EVERY) {
                looked_at = Some(Instant::now());
                if let Err(error) = self.forget_old() {
                    tracing::warn!("cannot remove old history, trying again in a minute: {error}");
                }
            }
        }
        let mut waiting = self.shared.waiting.lock();
        waiting.closed = true;
        drop(waiting);
        self.shared.written.notify_waiters();
    }

    /// Writes one transaction of what is in the queue now.
    pub fn step(&mut self) -> Step {
        let (batch, checkpoints) = self.next();
        if batch.is_empty() && checkpoints.is_empty() {
            return Step::Idle;
        }
        match self.write(&batch, &checkpoints) {
            Ok(()) => {
                self.done(&batch, &checkpoints);
                Step::Wrote
            }
            Err(error) => {
                self.failed(&error, checkpoints);
                Step::Failed
            }
        }
    }

    /// Waits until a transaction is due.
    fn wait(&self) {
        let mut waiting = self.shared.waiting.lock();
        while waiting.events.is_empty() && waiting.checkpoints.is_empty() && !waiting.closing {
            self.shared.work.wait(&mut waiting);
        }
        let deadline = Instant::now() + FLUSH_AFTER;
        while waiting.events.len() < FLUSH_EVENTS
            && !waiting.closing
            && !waiting.hurry
            && waiting.checkpoints.is_empty()
        {
            if self.shared.work.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
    }

    /// Returns the content of the next transaction. A checkpoint is written only after all events before it.
    fn next(&self) -> (Vec<Arc<Recorded>>, Vec<Pending>) {
        let mut waiting = self.shared.waiting.lock();
        waiting.hurry = false;
        let batch: Vec<_> = waiting.events.iter().take(2 * FLUSH_EVENTS).cloned().collect();
        let rest = waiting.events.get(batch.len()).map_or(u64::MAX, |first| first.seq.0);
        let covered = waiting.checkpoints.partition_point(|checkpoint| checkpoint.state.head().0 < rest);
        let checkpoints = waiting.checkpoints.drain(..covered).collect();
        (batch, checkpoints)
    }

    fn write(&mut self, batch: &[Arc<Recorded>], checkpoints: &[Pending]) -> Result<(), DerivedError> {
        let encoded = checkpoints.iter().map(Pending::encode).collect::<Result<Vec<_>, _>>()?;
        let transaction = self.connection.transaction()?;
        let mut statements = Statements::of(&transaction)?;
        for recorded in batch {
            if recorded.seq <= self.folded {
                self.rows.pass(recorded);
            } else {
                self.rows.write(&mut statements, recorded)?;
            }
        }
        self.rows.finish(&mut statements)?;
        drop(statements);
        if let Some(last) = batch.last().filter(|last| last.seq > self.folded) {
            schema::put(&transaction, "folded", last.seq.0 as i64)?;
            let changes_from = self.shared.waiting.lock().changes_from;
            schema::put(&transaction, "changes_from", changes_from.0 as i64)?;
        }
        let log_first = self.shared.log_first.load(Ordering::Relaxed);
        let mut ladder = None;
        for encoded in &encoded {
            let before = ladder.as_ref().unwrap_or(&self.ladder);
            ladder = Some(before.write(&transaction, encoded, Seq(log_first))?);
        }
        let mut trim = transaction.prepare_cached(
            "DELETE FROM changes WHERE last IN (SELECT last FROM changes WHERE last < ?1 ORDER BY last LIMIT ?2)",
        )?;
        trim.execute(params![log_first as i64, TRIM_CHANGES])?;
        drop(trim);
        transaction.commit()?;
        self.ladder = ladder.unwrap_or_else(|| std::mem::take(&mut self.ladder));
        Ok(())
    }

    fn done(&mut self, batch: &[Arc<Recorded>], checkpoints: &[Pending]) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the history can be written again");
        }
        {
            let mut waiting = self.shared.waiting.lock();
            for recorded in batch {
                waiting.bytes -= recorded.json.len();
            }
            waiting.events.drain(..batch.len());
            if let Some(last) = batch.last() {
                self.folded = self.folded.max(last.seq);
                waiting.written = self.folded;
            }
        }
        if let Some(newest) = checkpoints.last() {
            (self.shared.options.covered)(newest.state.head());
        }
        self.shared.written.notify_waiters();
    }

    fn failed(&mut self, error: &DerivedError, checkpoints: Vec<Pending>) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(
                "the history cannot be written. Check the disk of the data directory; Roomwatch retries by itself: {error}"
            );
        }
        self.rows.forget();
        let mut waiting = self.shared.waiting.lock();
        for checkpoint in checkpoints.into_iter().rev() {
            waiting.checkpoints.push_front(checkpoint);
        }
    }

    /// Removes rows that are older than [`Options::retain`](super::Options::retain).
    fn forget_old(&mut self) -> Result<(), DerivedError> {
        let Some(retain) = self.shared.options.retain else { return Ok(()) };
        let before = self.shared.options.clock.unix_ms().saturating_sub(millis(retain)) as i64;
        loop {
            let transaction = self.connection.transaction()?;
            let old: Vec<(i64, String, String)> = transaction
                .prepare_cached(
                    "SELECT id, project, sid FROM sessions WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2",
                )?
                .query_map(params![before, TRIM_SESSIONS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            for (id, project, sid) in &old {
                for table in ["participations", "tracks"] {
                    transaction
                        .prepare_cached(&format!("DELETE FROM {table} WHERE session = ?1"))?
                        .execute([id])?;
                }
                transaction
                    .prepare_cached("DELETE FROM egress WHERE room_sid = ?1 AND project = ?2")?
                    .execute([sid, project])?;
                transaction.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id])?;
            }
            transaction.execute("DELETE FROM egress WHERE room_sid IS NULL AND at < ?1", [before])?;
            transaction.execute("DELETE FROM minutes WHERE minute < ?1", [before / 60_000])?;
            let mut ladder = self.ladder.clone();
            ladder.forget_before(
                &transaction,
                before as u64,
                Seq(self.shared.log_first.load(Ordering::Relaxed)),
            )?;
            transaction.commit()?;
            self.ladder = ladder;
            self.rows.forget();
            if (old.len() as i64) < TRIM_SESSIONS || self.shared.waiting.lock().closing {
                return Ok(());
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
