//! Data that is derived from the log and kept longer than its events.
//!
//! It is one SQLite file, `derived.db`, in the data directory. One thread writes it, with the records of the fold:
//!
//! - `checkpoints`: the [`State`] at some seqs, close enough that the state of any time can be folded from one of them.
//!   A start folds only the events after the newest one. The log removes only events that it covers:
//!   [`Options::covered`] is called once a checkpoint is on the disk.
//! - `changes`: the changes of each event as readers got them, so that a replayed message equals the live one. They are
//!   removed with the events of the log. An event without a row is not restricted and changed nothing.
//! - Sessions, participations, tracks and egress, and counts for each minute, for [`Derived::sessions`] and the other
//!   queries. They are kept for [`Options::retain`].
//!
//! Rows are written after the stream, in transactions of many events. Each transaction has the seq of its last event.
//! Events that are not written yet are in memory, where [`Derived::changes`] finds them. After a crash they are read
//! from the log again. A lost or damaged file is derived again, as far back as the log goes. A file of an older version
//! is migrated.

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
pub use writer::Step;

use crate::{
    clock::Clock,
    event::{Cursor, Seq},
    log::Bounds,
    state::{CheckpointError, Fact, State},
    store::{Readers, StoreError},
};
use checkpoints::{Pace, Pending};
use writer::{FLUSH_EVENTS, Writer};

/// Maximum number of events and bytes in the queue. If it is full, the fold waits, and only the fold.
const WAITING_EVENTS_MAX: usize = 20_000;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Maximum time that a query waits until the latest events are written.
const SETTLE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum DerivedError {
    #[error("cannot read or write the history: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot start the thread that writes the history: {0}")]
    Thread(#[from] io::Error),
    #[error("cannot encode an answer of the history: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the query needs more than {0} rows")]
    TooMuch(usize),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the history is closed")]
    Closed,
}

pub struct Options {
    /// Time for which sessions are kept after their end. `None` means no limit.
    pub retain: Option<Duration>,
    /// Called with the last event that the log may remove: a checkpoint that covers it is on the disk.
    pub covered: Box<dyn Fn(Seq) + Send + Sync>,
    /// Clock of the node, for retention and the pace of checkpoints.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Options {
        Options { retain: None, covered: Box::new(|_| {}), clock: Clock::system() }
    }
}

/// The derived data.
pub struct Derived {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The writer of derived data, in the hand of the caller.
pub struct Stepped(Writer);

impl Stepped {
    /// Writes one transaction of what is in the queue now.
    pub fn step(&mut self) -> Step {
        self.0.step()
    }
}

struct Shared {
    options: Options,
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    work: Condvar,
    /// Notified after each transaction.
    written: Notify,
    readers: Readers,
    /// The oldest event of the log. Changes of earlier events are not needed.
    log_first: AtomicU64,
    pace: Mutex<Pace>,
    /// Queries run on blocking threads. False if the caller does everything: see [`Derived::open_stepped`].
    threads: bool,
}

#[derive(Default)]
struct Waiting {
    /// Events that are not in the file yet, ascending. The writer copies them, and removes them after its commit.
    events: VecDeque<Arc<Recorded>>,
    bytes: usize,
    /// Checkpoints that are not in the file yet, ascending.
    checkpoints: VecDeque<Pending>,
    /// The last event in the file.
    written: Seq,
    /// The oldest event whose changes are known.
    changes_from: Seq,
    /// True if a query waits: the events are then written at once.
    hurry: bool,
    closing: bool,
    closed: bool,
}

/// The changes of one event, as they were sent to readers.
#[derive(Clone, Debug)]
pub struct Changes {
    pub seq: Seq,
    /// A JSON array.
    pub json: Bytes,
    /// The changes for `roomJoin` callers, if they get others.
    pub joined: Option<Joined>,
}

/// The changes of one event for callers with only `roomJoin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// A JSON array.
    pub json: Bytes,
    /// True if these callers must not see the event itself. They then get only the changes, and nothing if there are none.
    pub restricted: bool,
}

impl Joined {
    /// Nothing at all, for an event of which it is unknown whether these callers may see it.
    pub const NOTHING: Joined = Joined { json: NO_CHANGES, restricted: true };
}

/// The record of one event, for the file.
pub struct Recorded {
    pub seq: Seq,
    pub project: Arc<str>,
    pub received_at: u64,
    /// As in [`Changes`].
    pub json: Bytes,
    /// As in [`Changes`].
    pub joined: Option<Joined>,
    pub facts: Vec<Fact>,
}

/// The changes of an event that changed nothing.
pub const NO_CHANGES: Bytes = Bytes::from_static(b"[]");

impl Derived {
    /// Opens the file in `dir`, which is derived from the log with these bounds. Returns the state of the newest
    /// checkpoint too, or an empty one.
    pub fn open(dir: &Path, log: Bounds, options: Options) -> Result<(Derived, State), DerivedError> {
        let (writer, state) = Writer::open(dir, log, options, true)?;
        let shared = writer.shared().clone();
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || writer.run())?;
        Ok((Derived { shared, writer: Mutex::new(Some(thread)) }, state))
    }

    /// As [`Derived::open`], without threads: the caller writes the queue, and queries run on its own thread.
    pub fn open_stepped(
        dir: &Path,
        log: Bounds,
        options: Options,
    ) -> Result<(Derived, Stepped, State), DerivedError> {
        let (writer, state) = Writer::open(dir, log, options, false)?;
        let shared = writer.shared().clone();
        Ok((Derived { shared, writer: Mutex::default() }, Stepped(writer), state))
    }

    /// Returns the last event in the file in `dir`, or `None` if there is none. The log that it was derived from has it.
    pub fn last_of(dir: &Path) -> Option<Cursor> {
        schema::last_of(dir)
    }

    /// Queues the record of the next event. Never blocks: see [`Derived::wait_for_capacity`].
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

    /// Waits until the queue has capacity for more.
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

    /// Makes the writer write the queue now, and waits for that, for a query that must see the latest events. Gives up
    /// after [`SETTLE_MAX`]: an answer that is slightly old is better than none.
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

    /// Notes the oldest event of the log. The changes of earlier events are then removed too.
    pub fn log_begins(&self, first: Seq) {
        self.shared.log_first.store(first.0, Ordering::Relaxed);
    }

    /// Returns the last event in the file.
    pub fn written(&self) -> Seq {
        self.shared.waiting.lock().written
    }

    /// Returns the changes of the events after `after` up to `through`: one entry for each event whose changes are known.
    pub async fn changes(&self, after: Seq, through: Seq) -> Result<Vec<Changes>, DerivedError> {
        // Memory first: an event that is written between the two reads is then found, and not missed.
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

    /// Writes the queue and closes the file. Blocks until that is done.
    pub fn close(&self) {
        self.shared.waiting.lock().closing = true;
        self.shared.work.notify_one();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!(
                "the thread that writes the history has panicked; the next start derives its last events again"
            );
        }
    }

    /// Runs a query that sees every event up to now.
    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        self.settle().await;
        self.query(query).await
    }

    /// Runs a query on a blocking thread.
    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        let shared = self.shared.clone();
        if !shared.threads {
            return shared.readers.read(query);
        }
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
