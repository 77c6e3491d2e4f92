//! What was so: a projection of the log that outlives its events.
//!
//! One SQLite file, `derived.db`, in the data directory, which the loop that follows the log writes and nobody else:
//!
//! - `checkpoint`: the [`State`] at a seq. Start-up folds only what came after it, and the log forgets only what it
//!   covers: [`Options::covered`] hears of a checkpoint once it is on the disk.
//! - `changes`: what each event changed, as readers got it, so that a replayed message is the live one. Trimmed with
//!   the log. An event that is not in it changed nothing that anybody may not see.
//! - sessions, participations, tracks and egress, and how many there were in each minute: what is asked for by
//!   [`Derived::sessions`] and its like. Kept for [`Options::retain`].
//!
//! Rows are written behind the stream, many events a transaction, together with the seq they go up to; what is not
//! written yet is in memory, where [`Derived::changes`] finds it. After a crash the log has what the file has not.
//! A file that is lost or damaged is derived again, as far back as the log goes; one of an older version is migrated.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};
use tokio::sync::Notify;

mod activity;
mod changes;
#[macro_use]
mod schema;
mod search;
mod sessions;
mod statements;
mod writer;

pub use activity::{Activity, ActivityPoint};
pub use search::{Found, FoundKind};
pub use sessions::{Participation, Session, SessionQuery, SessionStory, TrackStory};

use crate::{
    event::{Event, Seq},
    log::Bounds,
    state::{Applied, Change, Fact, State},
    store::{Readers, StoreError},
};
use schema::Opened;
use statements::Statements;
use writer::Writer;

/// What waits is written after so long, or when so much of it waits: a page that many events change is written once.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
const FLUSH_EVENTS: usize = 4_000;
/// More than this does not wait: the loop does, and nobody else notices.
const WAITING_EVENTS_MAX: usize = 20_000;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What the changes of an event take as JSON, most often less.
const CHANGES_BYTES: usize = 1024;
/// So long a query waits for what has just happened to be written.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// After a failed write, so long until the next.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What one step of trimming removes at most, so that writing is not held up.
const TRIM_CHANGES: i64 = 100;
const TRIM_SESSIONS: i64 = 100;
/// How often it is looked for sessions that are too old.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum DerivedError {
    #[error("the history cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the thread that writes the history cannot be started: {0}")]
    Thread(#[from] io::Error),
    #[error("the history's answer: {0}")]
    Json(#[from] serde_json::Error),
    #[error("more than {0} rows would have to be read")]
    TooMuch(usize),
    #[error("the history is closed")]
    Closed,
}

pub struct Options {
    /// How long sessions are kept after their end; none is for ever.
    pub retain: Option<Duration>,
    /// Hears up to which event the log may forget: a checkpoint of it is on the disk.
    pub covered: Box<dyn Fn(Seq) + Send + Sync>,
}

impl Default for Options {
    fn default() -> Options {
        Options { retain: None, covered: Box::new(|_| {}) }
    }
}

/// The projections of the log that are kept.
pub struct Derived {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    options: Options,
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes the loop that waits for room.
    written: Notify,
    readers: Readers,
    /// The oldest event of the log: changes before it are of no use.
    log_first: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// What is not in the file yet, ascending. The writer takes copies and removes them when they are.
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
    checkpoint: Option<State>,
    /// Everything up to here is in the file.
    written: Seq,
    /// The oldest event whose changes are known.
    changes_from: Seq,
    /// Somebody waits for what is waiting: it is written at once.
    hurry: bool,
    closing: bool,
    closed: bool,
}

/// What one event changed, as it was sent to readers.
#[derive(Clone, Debug)]
pub struct Changes {
    pub seq: Seq,
    /// A JSON array.
    pub json: Bytes,
    /// What callers with only `roomJoin` are told instead: a JSON array too, an empty one for nothing at all.
    pub joined: Option<Bytes>,
}

/// What the history takes of one event.
pub struct Recorded {
    pub seq: Seq,
    pub project: Arc<str>,
    pub received_at: u64,
    /// As in [`Changes`].
    pub json: Bytes,
    /// As in [`Changes`].
    pub joined: Option<Bytes>,
    pub facts: Vec<Fact>,
}

impl Recorded {
    pub fn new(event: &Event, applied: Applied) -> Recorded {
        let json = |changes: &[Change]| match changes {
            [] => NOTHING,
            changes => {
                let mut json = Vec::with_capacity(CHANGES_BYTES);
                serde_json::to_writer(&mut json, changes).map_or(NOTHING, |()| json.into())
            }
        };
        Recorded {
            seq: event.seq,
            project: event.project.clone(),
            received_at: event.received_at,
            json: json(&applied.changes),
            joined: applied.restricted.then(|| json(&applied.joined)),
            facts: applied.facts,
        }
    }
}

const NOTHING: Bytes = Bytes::from_static(b"[]");

impl Derived {
    /// Opens the file in `dir`, which is derived from the log with these bounds, and gives the state it has a
    /// checkpoint of: none of anything, if it has none.
    pub fn open(dir: &Path, log: Bounds, options: Options) -> Result<(Derived, State), DerivedError> {
        let Opened { connection, folded, changes_from, checkpoint } = schema::open(dir, log)?;
        let state = match checkpoint.map(|bytes| State::restore(&bytes)) {
            None => State::default(),
            Some(Ok(state)) => state,
            Some(Err(error)) => {
                tracing::warn!("{error}: folding the log from its beginning");
                State::default()
            }
        };
        if state.head() > Seq::ZERO {
            (options.covered)(state.head());
        }
        let shared = Arc::new(Shared {
            options,
            waiting: Mutex::new(Waiting { written: folded, changes_from, ..Waiting::default() }),
            work: Condvar::new(),
            written: Notify::new(),
            readers: schema::STORE.readers(dir),
            log_first: AtomicU64::new(0),
        });
        let writer = Writing {
            shared: shared.clone(),
            connection,
            writer: Writer::new(&state),
            folded,
            failing: false,
        };
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
        Ok((Derived { shared, writer: Mutex::new(Some(thread)) }, state))
    }

    /// Takes what the next event did. Never blocks: see [`Derived::room`].
    pub fn record(&self, recorded: Recorded) {
        let mut waiting = self.shared.waiting.lock();
        if recorded.seq > waiting.written {
            waiting.changes_from = waiting.changes_from.min(recorded.seq);
        }
        waiting.bytes += recorded.json.len();
        waiting.events.push_back(Arc::new(recorded));
        if waiting.events.len() == 1 || waiting.events.len() == FLUSH_EVENTS {
            self.shared.work.notify_one();
        }
    }

    /// Returns once so little waits to be written that more may.
    pub async fn room(&self) {
        loop {
            let written = self.shared.written.notified();
            {
                let waiting = self.shared.waiting.lock();
                if waiting.closed
                    || (waiting.events.len() < WAITING_EVENTS_MAX && waiting.bytes < WAITING_BYTES_MAX)
                {
                    return;
                }
            }
            written.await;
        }
    }

    /// Has what waits written now, for who is about to ask about it. Gives up after [`SETTLE_MAX`]: an answer that is
    /// a moment old is better than none.
    async fn settle(&self) {
        let until = {
            let mut waiting = self.shared.waiting.lock();
            let Some(last) = waiting.events.back().map(|event| event.seq) else { return };
            waiting.hurry = true;
            last
        };
        self.shared.work.notify_one();
        let written = async {
            loop {
                let next = self.shared.written.notified();
                {
                    let waiting = self.shared.waiting.lock();
                    if waiting.closed || waiting.written >= until {
                        return;
                    }
                }
                next.await;
            }
        };
        let _ = tokio::time::timeout(SETTLE_MAX, written).await;
    }

    /// Has a checkpoint written, behind everything that was recorded before.
    pub fn checkpoint(&self, state: State) {
        self.shared.waiting.lock().checkpoint = Some(state);
        self.shared.work.notify_one();
    }

    /// Says what retention has left of the log: older changes go too.
    pub fn log_begins(&self, first: Seq) {
        self.shared.log_first.store(first.0, Ordering::Relaxed);
    }

    /// Everything up to here is in the file.
    pub fn written(&self) -> Seq {
        self.shared.waiting.lock().written
    }

    /// The changes of the events after `after` up to `through`, one answer an event as far as they are known.
    pub async fn changes(&self, after: Seq, through: Seq) -> Result<Vec<Changes>, DerivedError> {
        // Memory first: what is written in between is then read twice and not missed.
        let (from_memory, written, known_from) = {
            let waiting = self.shared.waiting.lock();
            let first = waiting.events.partition_point(|event| event.seq <= after.max(waiting.written));
            let wanted = waiting.events.range(first..).take_while(|event| event.seq <= through);
            let found: Vec<_> = wanted
                .map(|event| Changes {
                    seq: event.seq,
                    json: event.json.clone(),
                    joined: event.joined.clone(),
                })
                .collect();
            (found, waiting.written, waiting.changes_from)
        };
        let (after, last_written) = (after.max(Seq(known_from.0.saturating_sub(1))), through.min(written));
        if after >= last_written {
            return Ok(from_memory);
        }
        let mut all = self.query(move |connection| changes::stored(connection, after, last_written)).await?;
        all.extend(from_memory);
        Ok(all)
    }

    /// Writes what waits and lets go of the file. Blocks for as long as that takes.
    pub fn close(&self) {
        self.shared.waiting.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the history has panicked");
        }
    }

    /// [`Derived::query`] about what was until now.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        self.settle().await;
        self.query(query).await
    }

    /// Runs a query on a thread that may block.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || shared.readers.read(query))
            .await
            .map_err(|_| DerivedError::Closed)?
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread that writes.
struct Writing {
    shared: Arc<Shared>,
    connection: Connection,
    writer: Writer,
    /// Everything up to here was in the file when it was opened, or has been written since.
    folded: Seq,
    failing: bool,
}

impl Writing {
    fn run(mut self) {
        let mut looked_at = None;
        loop {
            let (batch, checkpoint, closing) = self.next();
            if !batch.is_empty() || checkpoint.is_some() {
                match self.write(&batch, checkpoint.as_ref()) {
                    Ok(()) => self.done(&batch, checkpoint.as_ref()),
                    Err(error) => {
                        self.failed(&error, checkpoint);
                        if closing {
                            break;
                        }
                        std::thread::sleep(RETRY_AFTER);
                        continue;
                    }
                }
            } else if closing {
                break;
            }
            if looked_at.is_none_or(|at: Instant| at.elapsed() > RETENTION_EVERY) {
                looked_at = Some(Instant::now());
                if let Err(error) = self.forget_old() {
                    tracing::warn!("old history cannot be removed: {error}");
                }
            }
        }
        let mut waiting = self.shared.waiting.lock();
        waiting.closed = true;
        drop(waiting);
        self.shared.written.notify_waiters();
    }

    /// Waits until there is something worth a transaction. A checkpoint comes only behind everything before it.
    fn next(&self) -> (Vec<Arc<Recorded>>, Option<State>, bool) {
        let mut waiting = self.shared.waiting.lock();
        while waiting.events.is_empty() && waiting.checkpoint.is_none() && !waiting.closing {
            self.shared.work.wait(&mut waiting);
        }
        let deadline = Instant::now() + FLUSH_AFTER;
        while waiting.events.len() < FLUSH_EVENTS
            && !waiting.closing
            && !waiting.hurry
            && waiting.checkpoint.is_none()
        {
            if self.shared.work.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
        waiting.hurry = false;
        let batch: Vec<_> = waiting.events.iter().take(2 * FLUSH_EVENTS).cloned().collect();
        let checkpoint = if batch.len() == waiting.events.len() { waiting.checkpoint.take() } else { None };
        (batch, checkpoint, waiting.closing)
    }

    fn write(&mut self, batch: &[Arc<Recorded>], checkpoint: Option<&State>) -> Result<(), DerivedError> {
        let transaction = self.connection.transaction()?;
        let mut statements = Statements::of(&transaction)?;
        for recorded in batch {
            if recorded.seq <= self.folded {
                self.writer.pass(recorded);
            } else {
                self.writer.write(&mut statements, recorded)?;
            }
        }
        self.writer.finish(&mut statements)?;
        drop(statements);
        if let Some(last) = batch.last().filter(|last| last.seq > self.folded) {
            schema::put(&transaction, "folded", last.seq.0 as i64)?;
            let changes_from = self.shared.waiting.lock().changes_from;
            schema::put(&transaction, "changes_from", changes_from.0 as i64)?;
        }
        if let Some(state) = checkpoint {
            let mut insert =
                transaction.prepare_cached("INSERT OR REPLACE INTO checkpoint VALUES (1, ?1, ?2)")?;
            insert.execute(params![state.head().0 as i64, state.checkpoint()])?;
        }
        let log_first = self.shared.log_first.load(Ordering::Relaxed) as i64;
        let mut trim = transaction.prepare_cached(
            "DELETE FROM changes WHERE last IN (SELECT last FROM changes WHERE last < ?1 ORDER BY last LIMIT ?2)",
        )?;
        trim.execute(params![log_first, TRIM_CHANGES])?;
        drop(trim);
        transaction.commit()?;
        Ok(())
    }

    fn done(&mut self, batch: &[Arc<Recorded>], checkpoint: Option<&State>) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the history is written again");
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
        if let Some(state) = checkpoint {
            (self.shared.options.covered)(state.head());
        }
        self.shared.written.notify_waiters();
    }

    fn failed(&mut self, error: &DerivedError, checkpoint: Option<State>) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!("the history cannot be written, and is tried again until it can: {error}");
        }
        self.writer.forget();
        let mut waiting = self.shared.waiting.lock();
        waiting.checkpoint = waiting.checkpoint.take().or(checkpoint);
    }

    /// Removes some of what is older than the history is kept.
    fn forget_old(&mut self) -> Result<(), DerivedError> {
        let Some(retain) = self.shared.options.retain else { return Ok(()) };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let before = now.saturating_sub(retain).as_millis() as i64;
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
            transaction.commit()?;
            self.writer.forget();
            if (old.len() as i64) < TRIM_SESSIONS || self.shared.waiting.lock().closing {
                return Ok(());
            }
        }
    }
}
