//! The embedded log: one SQLite file, one writer thread, group commit.
//!
//! ```text
//! append ─▶ queue ─▶ writer thread: the whole queue = one transaction, one fsync ─▶ answers
//!                        │ after the commit                     └▶ checkpoint thread: WAL ─▶ log.db
//!                        ▼
//! read   ◀─ tail (the newest events, in memory) or a short read transaction on a blocking thread
//! ```
//!
//! **Files.** `log.db` (with `-wal` and `-shm`) and `log.witness` in the data directory.
//!
//! **Durability.** WAL with `synchronous=FULL`: the fsync of the commit comes before any answer.
//! After a failed commit, fsync or checkpoint the file is closed: after a failed fsync, the kernel
//! marks pages as clean that are not on the disk. Before the next append, the WAL is written over
//! itself and synced, SQLite's recovery checks every frame of it, a full checkpoint writes and syncs
//! the result, and the newest events are read back. Each start does the same.
//!
//! **Ids.** The seq of each id is found by a hash of (project, id), for at least 24 hours in which the
//! process runs. The newest ones are in memory, the others in the table `ids` (see `ids.rs`). This
//! counts running time and not the wall clock: a clock that jumps forward cannot make the log forget
//! an id early, and one that jumps back cannot make it keep ids without a limit. Seqs have no gaps, so
//! a seq tells a time too: `marks` has the newest seq at some running times, and an index by time is
//! not needed.
//!
//! **Age.** An event is old if its own time says so, or the running time since its mark. Its own time counts only up to
//! [`Clock::evident_ms`](crate::clock::Clock::evident_ms), and not for an event after a mark that is young: the wall
//! clock was behind when it was received.
//!
//! **Chunks.** Events that are older than ten minutes are compressed, many in one row (see `chunks.rs`): an event then
//! takes about a tenth of the space. Retention removes a chunk as a whole.
//!
//! **Retention** removes the oldest events by age and by size, in small steps between commits, up to
//! the limit of [`EventLog::retain`]. It never removes the newest event, because a restart finds the
//! next seq from it. Later events reuse freed pages. The file itself does not shrink; for that, stop
//! Roomwatch and run `sqlite3 log.db VACUUM`.
//!
//! **A log that is not the one that readers know** must not honour their cursors: it was restored from a backup,
//! replaced, or has lost its end. It then begins a new epoch when it is opened, and every reader gets a `reset`.
//!
//! - `log.db` stores its own inode and birth time. A file that was copied, restored or moved to another disk has
//!   different ones.
//! - `log.witness` has the newest event that readers were told of, by its seq and its id. So has `derived.db`, by its seq.
//! - `log.witness` has the time of its last write. One that was restored with the log has been written later.
//!
//! A restore of the whole directory *in place* that keeps the times of the files (a snapshot of the disk or of the
//! virtual machine, or `cp -a` over the old files) cannot be detected. After one, delete the epoch before the start:
//! `sqlite3 log.db "DELETE FROM meta WHERE key = 'epoch'"`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use futures_util::future::{self, BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::{Appended, Bounds, EventLog, LogError, LogOptions, OpenError, READ_BYTES_MAX};
use crate::event::{Epoch, Event, NewEvent, Seq};

mod chain;
mod checkpoint;
mod chunks;
mod file;
mod ids;
mod meta;
mod queue;
mod readers;
mod tail;
mod times;
mod upkeep;
mod wal;
mod witness;
mod writer;

pub(super) use chain::Link;
use checkpoint::Checkpointer;
pub(super) use file::{CopyOf, FoundLog};
pub(super) use ids::key;
use queue::{Queue, Work};
use readers::Readers;
use tail::Tail;
use writer::Writer;

/// The log in one SQLite file. See the module.
pub struct SqliteLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Shared by the threads and the callers.
struct Shared {
    path: PathBuf,
    options: LogOptions,
    epoch: Epoch,
    /// The oldest event. Raised *before* the rows are removed, so that a caller who compares a read
    /// with the bounds does not mistake retention for a gap.
    first: AtomicU64,
    /// The newest durable event.
    last: AtomicU64,
    newest: watch::Sender<Seq>,
    /// The last event that retention may remove.
    trimmable: AtomicU64,
    queue: Queue,
    tail: Tail,
    readers: Readers,
    /// True if the WAL is too long: the writer must restart it.
    wal_full: AtomicBool,
    /// Error of a failed checkpoint. The writer must reopen the file before the next append.
    suspect: Mutex<Option<LogError>>,
    /// True if the file no longer has every acknowledged event. See [`writer::Writer`].
    lost: AtomicBool,
}

impl SqliteLog {
    /// Opens the log in `dir`, or creates it. The time it takes does not depend on the number of events. No other process
    /// may have it open: [`DataDir`](crate::data_dir::DataDir) ensures that.
    pub fn open(dir: &Path, options: LogOptions) -> Result<SqliteLog, OpenError> {
        SqliteLog::open_as(dir, options, None)
    }

    /// Opens a copy of another log in `dir`, or creates it.
    pub(super) fn open_copy(dir: &Path, options: LogOptions, of: CopyOf) -> Result<SqliteLog, OpenError> {
        SqliteLog::open_as(dir, options, Some(of))
    }

    /// Returns the epoch and the end of the log in `dir` without opening it. `None` if `dir` has no log.
    pub(super) fn find_in(dir: &Path) -> Result<Option<FoundLog>, OpenError> {
        let path = dir.join("log.db");
        file::find(&path, None).map_err(|cause| OpenError::Io { path, cause: cause.to_string() })
    }

    fn open_as(dir: &Path, options: LogOptions, copy: Option<CopyOf>) -> Result<SqliteLog, OpenError> {
        let io = |cause: std::io::Error| OpenError::Io { path: dir.into(), cause: cause.to_string() };
        fs::create_dir_all(dir).map_err(io)?;
        let path = dir.join("log.db");
        let opened = file::open_log(&path, options.vfs.as_deref(), options.told, copy)?;
        // The names of new files are durable only after their directory is synced.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        if let Some(believed) = opened.believed {
            options.clock.resume(believed);
        }
        if let Some(why) = &opened.renewed {
            tracing::warn!(epoch = %opened.epoch, "the log begins a new epoch, and every reader gets a reset: {why}");
        }

        let shared = Arc::new(Shared {
            epoch: opened.epoch,
            first: AtomicU64::new(opened.tail.first.0),
            last: AtomicU64::new(opened.tail.last.0),
            newest: watch::Sender::new(opened.tail.last),
            trimmable: AtomicU64::new(0),
            queue: Queue::new(options.queue_bytes_max),
            tail: Tail::new(options.tail_bytes_max),
            readers: Readers::new(path.clone(), options.vfs.clone(), options.damage.clone()),
            wal_full: AtomicBool::new(false),
            suspect: Mutex::new(None),
            lost: AtomicBool::new(false),
            path,
            options,
        });
        let spawned = Checkpointer::spawn(shared.clone()).and_then(|checkpointer| {
            let writer = Writer::new(shared.clone(), opened, checkpointer);
            thread::Builder::new().name("log-writer".into()).spawn(move || writer.run())
        });
        Ok(SqliteLog { shared, writer: Mutex::new(Some(spawned.map_err(io)?)) })
    }

    /// Copies the events from `first` on. Those that are stored already are skipped; a gap is an error.
    pub(super) async fn copy(&self, first: Seq, events: Vec<NewEvent>) -> Result<(), LogError> {
        self.ask(Work::Copy(first), events).await.map(drop)
    }

    /// Returns where the ids of these events were appended, each with seq 0 if it was not.
    pub(super) async fn find(&self, events: Vec<NewEvent>) -> Result<Vec<Seq>, LogError> {
        let found = self.ask(Work::Find, events).await?;
        Ok(found.into_iter().map(|found| found.seq).collect())
    }

    /// Returns the hash at `seq` in a copy, if it is known.
    pub(super) async fn link(&self, seq: Seq) -> Result<Option<Link>, LogError> {
        self.shared.readers.link(seq).await
    }

    /// Passes events to the writer, and returns its answer.
    fn ask(&self, work: Work, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        if events.is_empty() {
            return future::ready(Ok(Vec::new())).boxed();
        }
        let (answer, answered) = oneshot::channel();
        if let Err(refused) = self.shared.queue.push(work, events, answer) {
            return future::ready(Err(refused)).boxed();
        }
        // The writer answers every entry that it takes, unless it has panicked.
        async move { answered.await.unwrap_or(Err(LogError::Closed)) }.boxed()
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl EventLog for SqliteLog {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        self.ask(Work::Append, events)
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        let bounds = self.bounds();
        let after = after.max(Seq(bounds.first.0.saturating_sub(1)));
        if limit == 0 || after >= bounds.last {
            return future::ready(Ok(Vec::new())).boxed();
        }
        // A reader that follows the log reads each event right after its commit, without a thread or SQL.
        if let Some(events) = self.shared.tail.read(after, limit) {
            return future::ready(Ok(events)).boxed();
        }
        self.shared.readers.read(after, bounds.last, limit).boxed()
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        let mut newest = self.shared.newest.subscribe();
        async move {
            // The sender lives as long as `self`, so this completes only when there is a newer event.
            let _ = newest.wait_for(|&newest| newest > after).await;
        }
        .boxed()
    }

    fn bounds(&self) -> Bounds {
        // `first` is read before `last`: it only rises, and never beyond `last` at that time.
        let first = Seq(self.shared.first.load(Ordering::Acquire));
        let last = Seq(self.shared.last.load(Ordering::Acquire));
        Bounds { epoch: self.shared.epoch, first, last }
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        let bounds = self.bounds();
        self.shared.readers.seek(bounds.first, bounds.last, unix_ms).boxed()
    }

    fn retain(&self, through: Seq) {
        if self.shared.trimmable.fetch_max(through.0, Ordering::AcqRel) < through.0 {
            self.shared.queue.poke();
        }
    }

    fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take() {
            // A panic of the writer has already been printed.
            let _ = writer.join();
        }
        self.shared.readers.close();
    }
}

impl Shared {
    /// Makes durable events visible: first to `read`, then to `bounds`, then to `wait`.
    fn publish(&self, events: Vec<Event>, last: Seq) {
        self.tail.push(events);
        self.last.store(last.0, Ordering::Release);
        self.newest.send_replace(last);
    }
}
