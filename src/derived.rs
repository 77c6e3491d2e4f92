//! Data that is derived from the log and kept longer than its events.
//!
//! It is one SQLite file, `derived.db`, in the data directory. One thread writes it, with the records of the fold:
//!
//! - `checkpoints`: the [`State`] at some seqs, close enough that the state of any time can be folded from one of them.
//!   A start folds only the events after the newest one. The log removes only events that it covers:
//!   [`Options::covered`] is called once a checkpoint is on the disk.
//! - `changes`: the changes of each event as readers got them, so that a replayed message equals the live one. They are
//!   removed with the events of the log. An event without a row is not restricted and changed nothing.
//! - Sessions, participations, tracks and egress, counts for each minute, and an index of names, for
//!   [`Derived::sessions`] and the other queries. They are kept for [`Options::retain`].
//! - The usage: sums and peaks of each quarter of an hour, counted from those rows, and kept longer.
//!
//! Rows are written after the stream, in transactions of many events. Each transaction has the seq of its last event.
//! Events that are not written yet are in memory, where [`Derived::changes`] finds them. After a crash they are read
//! from the log again. A lost file is derived again, as far back as the log goes. Of a damaged one, what can be read is
//! copied first, because sessions are kept longer than events. A file of an older version is migrated.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
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
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use utoipa::ToSchema;

mod activity;
mod again;
mod agents;
mod calls;
mod changes;
pub mod checkpoints;
mod egress;
mod encode;
mod fold;
#[macro_use]
mod numbers;
mod packed;
mod pages;
#[macro_use]
mod schema;
mod index;
mod person;
#[cfg(test)]
mod plans;
mod repair;
mod rows;
mod search;
mod session_list;
mod sessions;
mod statements;
mod usage;
mod writer;

pub use activity::{Activity, ActivityPoint};
pub use agents::{AgentHistory, Missed};
pub use calls::{Call, CallPage, CallPosition, CallQuery};
pub use checkpoints::{Around, Rung};
pub use egress::{EgressEntry, EgressPage, EgressPosition, EgressQuery};
pub use encode::encode;
pub use person::{Person, Stay};
pub use schema::format;
pub use search::{SearchResult, SearchResultKind};
pub use session_list::{
    SessionFilter, SessionOrder, SessionPage, SessionPlace, SessionPosition, SessionQuery, SessionSort,
    SessionTotals, SessionTrouble,
};
pub use sessions::{DETAIL_ROWS_MAX, Participation, Session, SessionDetail, SessionTrack};
pub use usage::{
    Dimension, DimensionSource, Measures, Peak, UsageAnswer, UsageGroup, UsageQuery, UsageSeries,
};
pub use writer::Step;

use crate::{
    clock::Clock,
    event::{Cursor, Seq},
    log::{Bounds, EventLog, LogError},
    state::{CheckpointError, Fact, State},
    storage::Quota,
    store::{Readers, StoreError, is_damage},
};
use checkpoints::{Pace, Pending};
use writer::{FLUSH_EVENTS, Writer};

/// Maximum number of events and bytes in the queue. If it is full, the fold waits, and only the fold.
const WAITING_EVENTS_MAX: usize = 20_000;
const WAITING_BYTES_MAX: usize = 64 << 20;
/// Maximum time that a query waits until the latest events are written.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Maximum number of queries at one time, and time that one more waits.
const QUERIES_MAX: usize = 8;
const QUERY_WAIT_MAX: Duration = Duration::from_secs(2);
/// Maximum number of replays that read changes at one time. More wait: each takes milliseconds.
const REPLAYS_MAX: usize = 8;

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
    #[error("too many queries of the history are waiting")]
    Busy,
    #[error("{0}")]
    Found(String),
    #[error("the log cannot be read: {0}")]
    Log(#[from] LogError),
    #[error("the thread that writes the history has panicked")]
    Panicked,
}

impl DerivedError {
    /// Returns true if the content of the file is damaged.
    fn is_damage(&self) -> bool {
        match self {
            DerivedError::Sqlite(error) => is_damage(error),
            DerivedError::Found(_) => true,
            _ => false,
        }
    }
}

pub struct Options {
    /// Time for which sessions are kept after their end. `None` means no limit.
    pub retain: Option<Duration>,
    /// Bytes of the file; beyond them the oldest sessions are removed.
    pub quota: Quota,
    /// Called with the last event that the log may remove: a checkpoint that covers it is on the disk.
    pub covered: Box<dyn Fn(Seq) + Send + Sync>,
    /// Clock of the node, for retention and the pace of checkpoints.
    pub clock: Clock,
    /// The log. Events that a damaged file has lost are derived from it again.
    pub log: Option<Arc<dyn EventLog>>,
    /// Groups of rooms for which usage is counted, beside projects.
    pub dimensions: Arc<[Dimension]>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            retain: None,
            quota: Quota::default(),
            covered: Box::new(|_| {}),
            clock: Clock::system(),
            log: None,
            dimensions: Arc::new([]),
        }
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
    dir: PathBuf,
    /// For reads of the log by the writer.
    runtime: Option<Handle>,
    waiting: Mutex<Waiting>,
    /// Wakes the writer.
    work: Condvar,
    /// Notified after each transaction.
    written: Notify,
    readers: Readers,
    /// Bounds the queries at one time, and so the connections. Each kind has its own part. A permit is held until the end of
    /// the work, which goes on if the caller has gone.
    queries: Arc<Semaphore>,
    replays: Arc<Semaphore>,
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
    /// The last event that was recorded.
    recorded: Seq,
    /// Checkpoints that are not in the file yet, ascending.
    checkpoints: VecDeque<Pending>,
    /// The last event in the file.
    written: Seq,
    /// The oldest event whose changes are known.
    changes_from: Seq,
    /// True if a query waits: the events are then written at once.
    hurry: bool,
    /// Reason why events are not written now. Meanwhile the fold does not wait: the oldest of the queue are dropped, and
    /// derived from the log again.
    trouble: Option<Trouble>,
    /// Damage that a query has found.
    damage: Option<String>,
    /// Times of which rows were lost with an earlier file.
    gaps: Vec<Gap>,
    closing: bool,
    closed: bool,
}

/// Reason why the history is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// The file cannot be written. The writer tries again.
    Failing(String),
    /// The file is new, because the old one was damaged. It is being filled.
    Repairing,
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
    /// True if these callers must not see the event itself. They then get the changes only. Without changes they get nothing.
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

    /// Returns the last event in the file in `dir`, or `None` if the file is missing or cannot be read. The log that it was
    /// derived from has this event.
    pub fn last_of(dir: &Path) -> Option<Cursor> {
        schema::last_of(dir)
    }

    /// Writes a copy of the file, as it is after some event, to `path`. Returns that event.
    pub async fn save(&self, path: &Path) -> Result<Cursor, DerivedError> {
        if self.trouble().is_some() {
            return Err(DerivedError::Found("the history is not complete now".to_owned()));
        }
        let (from, to) = (self.shared.dir.clone(), path.to_owned());
        let saved = tokio::task::spawn_blocking(move || schema::save(&from, &to)).await;
        saved.unwrap_or(Err(DerivedError::Panicked))
    }

    /// Queues the record of the next event. Never blocks: see [`Derived::wait_for_capacity`].
    pub fn record(&self, recorded: Recorded) {
        let mut waiting = self.shared.waiting.lock();
        waiting.recorded = recorded.seq;
        waiting.bytes += recorded.json.len();
        waiting.events.push_back(Arc::new(recorded));
        // Without a log to read them from again, every event stays.
        while waiting.trouble.is_some() && waiting.is_full() && self.shared.options.log.is_some() {
            waiting.pop();
        }
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
                let drops = waiting.trouble.is_some() && self.shared.options.log.is_some();
                if waiting.closed || drops || !waiting.is_full() {
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
                    if waiting.closed || waiting.trouble.is_some() || waiting.written >= until {
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
        let one = self.shared.replays.clone().acquire_owned().await.map_err(|_| DerivedError::Closed)?;
        let mut all =
            self.query(one, move |connection| changes::stored(connection, after, last_written)).await?;
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
        self.read(query).await
    }

    /// Runs a query that need not see the latest events.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        let one = self.shared.queries.clone().acquire_owned();
        let one = tokio::time::timeout(QUERY_WAIT_MAX, one).await.map_err(|_| DerivedError::Busy)?;
        self.query(one.map_err(|_| DerivedError::Closed)?, query).await
    }

    /// Runs a query on a blocking thread.
    async fn query<T: Send + 'static>(
        &self,
        permit: OwnedSemaphorePermit,
        query: impl FnOnce(&Connection) -> Result<T, DerivedError> + Send + 'static,
    ) -> Result<T, DerivedError> {
        let shared = self.shared.clone();
        let read = move || {
            let _permit = permit;
            let answer = shared.readers.read(query);
            if let Err(error) = &answer
                && error.is_damage()
            {
                shared.found_damage(error);
            }
            answer
        };
        if !self.shared.threads {
            return read();
        }
        tokio::task::spawn_blocking(read).await.map_err(|_| DerivedError::Closed)?
    }

    /// Returns the present trouble of the history and the remedy, as one line. `None` if the history is well.
    pub fn trouble(&self) -> Option<String> {
        let waiting = self.shared.waiting.lock();
        match &waiting.trouble {
            _ if waiting.closed => None,
            None => None,
            Some(Trouble::Failing(error)) => Some(format!(
                "the history cannot be written, and is behind since event {}: {error}. Check the disk of the data directory",
                waiting.written
            )),
            Some(Trouble::Repairing) => Some(format!(
                "the history was damaged, and is derived again: event {} of {}",
                waiting.written,
                waiting.events.back().map_or(waiting.written, |event| event.seq)
            )),
        }
    }

    /// Returns the times of which rows were lost with a damaged file, ascending.
    pub fn gaps(&self) -> Vec<Gap> {
        self.shared.waiting.lock().gaps.clone()
    }

    /// Reads every page of the file. The writer replaces a damaged one.
    pub async fn check(&self) -> Result<(), DerivedError> {
        let tables = self.read(|connection| {
            let sql =
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
            let mut select = connection.prepare(sql)?;
            Ok(select.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?)
        });
        for table in tables.await? {
            // One after the other, so that no transaction keeps the WAL for long.
            self.read(move |connection| {
                let check = format!("PRAGMA quick_check({table})");
                let found: String = connection.query_row(&check, [], |row| row.get(0))?;
                if found == "ok" { Ok(()) } else { Err(DerivedError::Found(found)) }
            })
            .await?;
        }
        Ok(())
    }
}

impl Shared {
    /// Notes that a query has found damage. The writer then replaces the file.
    fn found_damage(&self, error: &DerivedError) {
        let mut waiting = self.waiting.lock();
        if waiting.trouble.is_none() && waiting.damage.is_none() {
            waiting.damage = Some(error.to_string());
            self.work.notify_one();
        }
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.events.len() >= WAITING_EVENTS_MAX || self.bytes >= WAITING_BYTES_MAX
    }

    /// Removes the oldest event.
    fn pop(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.bytes -= oldest.json.len();
        }
    }
}

/// A time of which the history has lost rows, in unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
}

fn gaps(connection: &Connection) -> rusqlite::Result<Vec<Gap>> {
    let mut select = connection.prepare_cached("SELECT from_at, to_at FROM gaps ORDER BY 1, 2")?;
    select.query_map([], |row| Ok(Gap { from: row.get(0)?, to: row.get(1)? }))?.collect()
}

impl Drop for Derived {
    fn drop(&mut self) {
        self.close();
    }
}
