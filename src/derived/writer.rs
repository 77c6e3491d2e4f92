//! The thread that writes the queue, one transaction at a time.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
};

use super::{
    DerivedError, Options, QUERIES_MAX, REPLAYS_MAX, Recorded, Shared, Trouble, Waiting,
    again::{Again, Source},
    checkpoints::{Ladder, Pace, Pending},
    gaps, index, repair,
    rows::Rows,
    schema::{self, Opened},
    statements::Statements,
    usage,
};
use crate::{event::Seq, log::Bounds, state::State, store::used_bytes};

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
/// Maximum time without a look at whether a quarter of an hour has passed, and time after it at which its usage is counted.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const USAGE_AFTER_MS: u64 = 60_000;

/// The thread that writes.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    /// A damaged file from which rows are still to be copied.
    old: Option<PathBuf>,
    rows: Rows,
    ladder: Ladder,
    /// The last event in the file.
    folded: Seq,
    /// The last event in the state of the newest checkpoint. The fold continues after it.
    checkpoint: Seq,
    /// True if the rows that this log gives again have been removed.
    begun: bool,
    /// True if the index of names does not have all of them yet.
    filling: bool,
    failing: bool,
}

/// Result of one step of the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It wrote a transaction, or replaced a damaged file.
    Wrote,
    /// The transaction was rolled back. Its content is still in the queue.
    Failed,
    /// The queue is empty.
    Idle,
    /// The queue is closed, and the rest of it cannot be written.
    Closed,
}

/// The content of the next transaction.
struct Next {
    batch: Vec<Arc<Recorded>>,
    checkpoints: Vec<Pending>,
    damage: Option<String>,
    closing: bool,
}

impl Writer {
    /// Opens the file in `dir`, which is derived from the log with these bounds. Returns the state of the newest
    /// checkpoint too, or an empty one.
    pub fn open(
        dir: &Path,
        log: Bounds,
        options: Options,
        threads: bool,
    ) -> Result<(Writer, State), DerivedError> {
        let opened = schema::open(dir, log, options.log.is_some())?;
        let Opened { connection, old, folded, changes_from, ladder, state, gaps } = opened;
        let state = state.unwrap_or_default();
        let work = ladder.newest().map_or(Duration::ZERO, |newest| newest.work);
        if state.head() > Seq::ZERO {
            (options.covered)(state.head());
        }
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                written: folded,
                changes_from,
                gaps,
                trouble: old.is_some().then_some(Trouble::Repairing),
                ..Waiting::default()
            }),
            work: Condvar::new(),
            written: Notify::new(),
            readers: schema::STORE.readers(dir),
            queries: Arc::new(Semaphore::new(QUERIES_MAX)),
            replays: Arc::new(Semaphore::new(REPLAYS_MAX)),
            dir: dir.to_owned(),
            runtime: Handle::try_current().ok(),
            log_first: AtomicU64::new(log.first.0),
            pace: Mutex::new(Pace::new(state.head(), work, options.clock.running())),
            options,
            threads,
        });
        let rows = Rows::new(&state, &shared.options.dimensions);
        let checkpoint = state.head();
        let filling = old.is_some() || index::is_filling(&connection)?;
        Ok((
            Writer {
                shared,
                connection,
                old,
                rows,
                ladder,
                folded,
                checkpoint,
                begun: false,
                filling,
                failing: false,
            },
            state,
        ))
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
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
                Step::Closed => break,
                Step::Failed => {
                    self.pause();
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
        let Next { batch, checkpoints, damage, closing } = self.next();
        let idle = batch.is_empty() && checkpoints.is_empty() && damage.is_none() && self.old.is_none();
        if idle && (closing || !self.is_behind()) {
            return Step::Idle;
        }
        let work = || {
            if let Some(damage) = damage {
                return Err(DerivedError::Found(damage));
            }
            if idle {
                return self.fill();
            }
            if closing && self.old.is_some() {
                return Err(DerivedError::Closed);
            }
            self.repair()?;
            self.begin()?;
            self.catch_up(&batch, &checkpoints)?;
            self.write(&batch, &checkpoints)
        };
        // An event that makes it panic must not stop the fold.
        match catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(DerivedError::Panicked)) {
            Ok(()) => {
                self.done(&batch, &checkpoints);
                if !idle && !closing && batch.len() < FLUSH_EVENTS {
                    // An error comes again when nothing else is to be written, and is reported then.
                    let _ = self.fill();
                }
                Step::Wrote
            }
            Err(DerivedError::Closed) => Step::Closed,
            Err(error) => {
                self.failed(&error, checkpoints);
                if closing {
                    Step::Closed
                } else if error.is_damage() && self.replace(&error) {
                    Step::Wrote
                } else {
                    Step::Failed
                }
            }
        }
    }

    /// Does a step of what is done behind the events: enters some more names into the index, if it does not have all of them
    /// yet, or counts some more usage.
    fn fill(&mut self) -> Result<(), DerivedError> {
        self.filling = self.filling && index::fill(&mut self.connection)?;
        if !self.filling {
            let ends = self.usage_ends();
            usage::roll(&mut self.connection, &self.shared.options.dimensions, ends)?;
        }
        Ok(())
    }

    /// Returns true if [`Writer::fill`] has something to do. If it cannot be read, the next write shows the error.
    fn is_behind(&self) -> bool {
        self.filling || usage::has_work(&self.connection, self.usage_ends()).unwrap_or(false)
    }

    /// Returns the time up to which usage is counted: what comes a little late would change it again.
    fn usage_ends(&self) -> i64 {
        self.shared.options.clock.unix_ms().saturating_sub(USAGE_AFTER_MS) as i64
    }

    /// Waits until a transaction is due.
    fn wait(&self) {
        let behind = self.is_behind();
        let mut waiting = self.shared.waiting.lock();
        let idle = |waiting: &Waiting| {
            waiting.events.is_empty() && waiting.checkpoints.is_empty() && waiting.damage.is_none()
        };
        while idle(&waiting) && !waiting.closing && self.old.is_none() && !behind {
            if self.shared.work.wait_for(&mut waiting, LOOK_EVERY).timed_out() {
                return;
            }
        }
        let deadline = Instant::now() + FLUSH_AFTER;
        while waiting.events.len() < FLUSH_EVENTS
            && !waiting.closing
            && !waiting.hurry
            && waiting.checkpoints.is_empty()
            && waiting.damage.is_none()
            && self.old.is_none()
            && !behind
        {
            if self.shared.work.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
    }

    /// Returns the content of the next transaction. A checkpoint is written only after all events before it.
    fn next(&self) -> Next {
        let mut waiting = self.shared.waiting.lock();
        waiting.hurry = false;
        let batch: Vec<_> = waiting.events.iter().take(2 * FLUSH_EVENTS).cloned().collect();
        let rest = waiting.events.get(batch.len()).map_or(u64::MAX, |first| first.seq.0);
        let covered = waiting.checkpoints.partition_point(|checkpoint| checkpoint.state.head().0 < rest);
        let checkpoints = waiting.checkpoints.drain(..covered).collect();
        Next { batch, checkpoints, damage: waiting.damage.take(), closing: waiting.closing }
    }

    fn write(&mut self, batch: &[Arc<Recorded>], checkpoints: &[Pending]) -> Result<(), DerivedError> {
        let encoded = checkpoints.iter().map(Pending::encode).collect::<Result<Vec<_>, _>>()?;
        let log_first = self.shared.log_first.load(Ordering::Relaxed);
        self.rows.log_begins(Seq(log_first));
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
            let first = batch.iter().map(|recorded| recorded.seq).find(|seq| *seq > self.folded);
            let mut waiting = self.shared.waiting.lock();
            waiting.changes_from = waiting.changes_from.min(first.unwrap_or(last.seq));
            let changes_from = waiting.changes_from;
            drop(waiting);
            schema::put(&transaction, "changes_from", changes_from.0 as i64)?;
        }
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
        self.rows.committed();
        self.ladder = ladder.unwrap_or_else(|| std::mem::take(&mut self.ladder));
        Ok(())
    }

    fn done(&mut self, batch: &[Arc<Recorded>], checkpoints: &[Pending]) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the history can be written again");
        }
        {
            let mut waiting = self.shared.waiting.lock();
            if let Some(last) = batch.last() {
                // Some of them may have been dropped meanwhile.
                while waiting.events.front().is_some_and(|event| event.seq <= last.seq) {
                    waiting.pop();
                }
                self.folded = self.folded.max(last.seq);
                waiting.written = self.folded;
            }
            waiting.trouble = None;
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
        self.rows.roll_back();
        let mut waiting = self.shared.waiting.lock();
        if waiting.trouble != Some(Trouble::Repairing) {
            waiting.trouble = Some(Trouble::Failing(error.to_string()));
        }
        // The fold may wait for capacity. It need not any more.
        self.shared.written.notify_waiters();
        for checkpoint in checkpoints.into_iter().rev() {
            waiting.checkpoints.push_front(checkpoint);
        }
    }

    /// Waits after a failure, but not for long if the queue is closed.
    fn pause(&self) {
        let deadline = Instant::now() + RETRY_AFTER;
        let mut waiting = self.shared.waiting.lock();
        while !waiting.closing && !self.shared.work.wait_until(&mut waiting, deadline).timed_out() {}
    }

    /// Puts a damaged file aside, and continues with a new one. Returns false if that fails.
    fn replace(&mut self, why: &DerivedError) -> bool {
        let bounds = self.shared.options.log.as_ref().map(|log| log.bounds());
        let Some(bounds) = bounds else { return false };
        match schema::replace(&self.shared.dir, bounds, true, why) {
            Ok(Opened { connection, old, folded, changes_from, ladder, state, gaps }) => {
                self.checkpoint = state.map_or(Seq::ZERO, |state| state.head());
                (self.connection, self.old, self.ladder, self.folded) = (connection, old, ladder, folded);
                (self.rows, self.begun, self.filling) =
                    (Rows::new(&State::default(), &self.shared.options.dimensions), false, true);
                self.shared.readers.replaced();
                let mut waiting = self.shared.waiting.lock();
                (waiting.written, waiting.changes_from) = (folded, changes_from);
                waiting.trouble = Some(Trouble::Repairing);
                (waiting.damage, waiting.gaps) = (None, gaps);
                true
            }
            Err(error) => {
                tracing::error!("the damaged history cannot be replaced: {error}");
                false
            }
        }
    }

    /// Copies what can be read of the damaged file, except for rows that are derived again.
    fn repair(&mut self) -> Result<(), DerivedError> {
        let Some(old) = &self.old else { return Ok(()) };
        repair::copy_history(old, &mut self.connection)?;
        self.connection.execute("DELETE FROM meta WHERE key = 'old'", [])?;
        self.old = None;
        Ok(())
    }

    /// Shows the gaps that the file has now. One without an end reaches to the present, if the log does not continue it.
    fn show_gaps(&self) -> rusqlite::Result<()> {
        let now = self.shared.options.clock.believed().unix_ms as i64;
        self.connection.execute("UPDATE gaps SET to_at = ?1 WHERE to_at = 9223372036854775807", [now])?;
        let gaps = gaps(&self.connection)?;
        self.shared.waiting.lock().gaps = gaps;
        Ok(())
    }

    /// Derives the events between the file and the queue from the log again: the queue does not have them after a repair,
    /// or because it was full while the file could not be written.
    fn catch_up(&mut self, batch: &[Arc<Recorded>], checkpoints: &[Pending]) -> Result<(), DerivedError> {
        let Some(source) = self.source() else { return Ok(()) };
        // The queue continues the state: of the checkpoint after a start, and of the last event later.
        let queue = batch.first().map(|first| Seq(first.seq.0 - 1));
        let until = queue.or(checkpoints.last().map(|last| last.state.head()));
        let until = until.unwrap_or(self.checkpoint.max(self.shared.waiting.lock().recorded));
        let first = source.log.bounds().first;
        if until <= self.folded || until < first {
            return Ok(());
        }
        let mut again = Again::new(&self.connection, &self.ladder, self.folded, first)?;
        self.rows = Rows::new(&again.state, &self.shared.options.dimensions);
        while again.state.head() < until {
            let batch = again.next(&source, &self.ladder, until)?;
            if batch.is_empty() {
                break;
            }
            if self.shared.waiting.lock().closing {
                return Err(DerivedError::Closed);
            }
            self.write(&batch, &[])?;
            self.folded = self.folded.max(again.state.head());
            self.shared.waiting.lock().written = self.folded;
            self.shared.written.notify_waiters();
            if again.learn(&self.connection, &self.ladder)? {
                self.rows = Rows::new(&again.state, &self.shared.options.dimensions);
            }
        }
        Ok(())
    }

    fn source(&self) -> Option<Source> {
        let Shared { options, runtime, .. } = &*self.shared;
        Some(Source { log: options.log.clone()?, runtime: runtime.clone()? })
    }

    /// Removes, before the first event of a log, the rows of the time of which the log has the events: they are derived
    /// again, and must not count twice.
    fn begin(&mut self) -> Result<(), DerivedError> {
        let Some(source) = self.source().filter(|_| self.folded == Seq::ZERO && !self.begun) else {
            return Ok(());
        };
        let Bounds { first, last, .. } = source.log.bounds();
        let at = |seq: Seq| {
            let events = source.read(Seq(seq.0.saturating_sub(1)), 1)?;
            Ok::<_, DerivedError>(events.first().map(|event| event.received_at as i64))
        };
        if let (Some(from), Some(to)) = (at(first)?, at(last)?) {
            schema::forget_between(&mut self.connection, from, to)?;
        }
        self.show_gaps()?;
        self.begun = true;
        Ok(())
    }

    /// Removes rows that are older than [`Options::retain`](super::Options::retain), and the oldest ones while the file
    /// is larger than [`Options::quota`](super::Options::quota) allows.
    fn forget_old(&mut self) -> Result<(), DerivedError> {
        let Options { retain, quota, clock, dimensions, .. } = &self.shared.options;
        let by_age = retain.map(|retain| clock.evident_ms().saturating_sub(millis(retain)) as i64);
        loop {
            let by_size = match quota.is_exceeded(used_bytes(&self.connection)?) {
                true => oldest_end(&self.connection)?,
                false => None,
            };
            usage::forget_old(&self.connection, clock.evident_ms() as i64)?;
            let Some(before) = by_age.max(by_size) else { return Ok(()) };
            if usage::is_removed(&self.connection, before)? {
                usage::seal(&mut self.connection, dimensions, before)?;
            }
            let transaction = self.connection.transaction()?;
            let old: Vec<(i64, String, String)> = transaction
                .prepare_cached(
                    "SELECT id, project, sid FROM sessions WHERE ended_at < ?1 ORDER BY ended_at LIMIT ?2",
                )?
                .query_map(params![before, TRIM_SESSIONS], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let ids: Vec<i64> = old.iter().map(|(id, ..)| *id).collect();
            let names = index::Leaving::of(&transaction, &ids)?;
            for (id, project, sid) in &old {
                for table in ["participations", "tracks", "calls", "agents", "session_values", "misses"] {
                    transaction
                        .prepare_cached(&format!("DELETE FROM {table} WHERE session = ?1"))?
                        .execute([id])?;
                }
                transaction
                    .prepare_cached(
                        "DELETE FROM egress WHERE room_sid = ?1 AND project = ?2 AND coalesce(stopped_at, at) < ?3",
                    )?
                    .execute(params![sid, project, before])?;
                transaction.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id])?;
            }
            names.remove(&transaction)?;
            // Those of an unknown session too: no session takes them along.
            transaction.execute(
                "DELETE FROM egress WHERE at < ?1 AND coalesce(stopped_at, at) < ?1 AND NOT EXISTS
                 (SELECT 1 FROM sessions WHERE sid = egress.room_sid AND project = egress.project)",
                [before],
            )?;
            transaction.execute("DELETE FROM minutes WHERE minute < ?1", [before / 60_000])?;
            transaction.execute("DELETE FROM gaps WHERE to_at < ?1", [before])?;
            let mut ladder = self.ladder.clone();
            ladder.forget_before(
                &transaction,
                before as u64,
                Seq(self.shared.log_first.load(Ordering::Relaxed)),
            )?;
            transaction.commit()?;
            self.ladder = ladder;
            self.rows.forget();
            self.show_gaps()?;
            if (old.len() as i64) < TRIM_SESSIONS || self.shared.waiting.lock().closing {
                return Ok(());
            }
        }
    }
}

/// Returns a time after the end of some of the oldest sessions. `None` if none has ended.
fn oldest_end(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(ended_at) + 1 FROM (SELECT ended_at FROM sessions WHERE ended_at IS NOT NULL
        ORDER BY ended_at LIMIT ?1)";
    connection.prepare_cached(sql)?.query_row([TRIM_SESSIONS], |row| row.get(0))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
