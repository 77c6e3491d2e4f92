//! What was so: a projection of the log that outlives its events.
//!
//! One SQLite file, `derived.db`, in the data directory, which the loop that follows the log writes and nobody else:
//!
//! - `checkpoints`: the [`State`] at some seqs, close enough that the state of any time is folded from one of them.
//!   Start-up folds only what came after the newest, and the log forgets only what it covers: [`Options::covered`] is
//!   called once a checkpoint is on the disk.
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
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::Notify;

mod activity;
mod changes;
pub mod checkpoints;
mod rows;
#[macro_use]
mod schema;
mod search;
mod sessions;
mod statements;
mod writer;

pub use activity::{Activity, ActivityPoint};
pub use checkpoints::{Around, Rung};
pub use search::{SearchResult, SearchResultKind};
pub use sessions::{Participation, Session, SessionDetail, SessionQuery, SessionTrack};

use crate::{
    clock::Clock,
    event::Seq,
    log::Bounds,
    state::{CheckpointError, Fact, State},
    store::{Readers, StoreError},
};
use checkpoints::{Pace, Pending};
use schema::Opened;
use writer::{FLUSH_EVENTS, Writer};

/// More than this does not wait: the loop does, and nobody else notices.
const WAITING_EVENTS_MAX: usize = 20_000;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// So long a query waits for what has just happened to be written.
const SETTLE_MAX: Duration = Duration::from_secs(1);

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
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the history is closed")]
    Closed,
}

pub struct Options {
    /// How long sessions are kept after their end; none is for ever.
    pub retain: Option<Duration>,
    /// Hears up to which event the log may forget: a checkpoint of it is on the disk.
    pub covered: Box<dyn Fn(Seq) + Send + Sync>,
    /// The time of the node: retention and the pace of checkpoints go by it.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options { retain: None, covered: Box::new(|_| {}), clock: Clock::system() }
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
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Waiting {
    /// What is not in the file yet, ascending. The writer takes copies and removes them when they are.
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
    /// Checkpoints that are not in the file yet, ascending.
    checkpoints: VecDeque<Pending>,
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

/// What is kept of one event.
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

/// The changes of an event that changed nothing.
pub const NO_CHANGES: Bytes = Bytes::from_static(b"[]");

impl Derived {
    /// Opens the file in `dir`, which is derived from the log with these bounds. Returns the state of the newest
    /// checkpoint too, or an empty one.
    pub fn open(dir: &Path, log: Bounds, options: Options) -> Result<(Derived, State), DerivedError> {
        let Opened { connection, folded, changes_from, ladder, state } = schema::open(dir, log)?;
        let state = state.unwrap_or_default();
        let work = ladder.newest().map_or(Duration::ZERO, |newest| newest.work);
        if state.head() > Seq::ZERO {
            (options.covered)(state.head());
        }
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting { written: folded, changes_from, ..Waiting::default() }),
            work: Condvar::new(),
            written: Notify::new(),
            readers: schema::STORE.readers(dir),
            log_first: AtomicU64::new(log.first.0),
            pace: Mutex::new(Pace::new(state.head(), work, options.clock.running())),
            options,
        });
        let writer = Writer::new(shared.clone(), connection, ladder, &state, folded);
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
        Ok((Derived { shared, writer: Mutex::new(Some(thread)) }, state))
    }

    /// Takes what is kept of the next event. Never blocks: see [`Derived::wait_for_capacity`].
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

    /// Returns once the queue has capacity for more.
    pub async fn wait_for_capacity(&self) {
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
