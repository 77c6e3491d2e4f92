//! The embedded log: one SQLite file, one writer thread, group commit.
//!
//! ```text
//! append ─▶ queue ─▶ writer thread: everything that waits = one transaction, one fsync ─▶ answers
//!                        │ after the commit                     └▶ checkpoint thread: WAL ─▶ log.db
//!                        ▼
//! read   ◀─ tail (the newest events, in memory) or a short read transaction on a blocking thread
//! ```
//!
//! **Files.** `log.db` (with `-wal` and `-shm`) in the data directory.
//!
//! **Durability.** WAL with `synchronous=FULL`: the commit's fsync comes before any answer. After a
//! failed commit, fsync or checkpoint the file is closed, because after a failed fsync the kernel
//! takes pages for clean that never reached the disk. Before the next event is appended the WAL is
//! written over itself and synced, SQLite's recovery checks every frame of it, a full checkpoint
//! writes and syncs what that found, and the tail is read back. Each start does the same.
//!
//! **Ids.** A hash of (project, id) leads to its seq for 24 hours in which the process runs (and a
//! little more): in memory for the newest events, in the table `ids` for the others (`ids.rs` says how). It
//! counts running time, not the wall clock: a clock that jumps forwards cannot make the log forget an
//! id early, and one that jumps back cannot make it keep ids for ever. Because seqs have no holes, a
//! seq is a clock too: `marks` says which seq was the newest at which running time, and no index by
//! time is needed.
//!
//! **Retention** removes the oldest events by age and by size, in small steps between commits, only
//! up to what [`EventLog::retain`] allows, and never the newest event, from which the next
//! seq is known after a restart. Freed pages are used again by later events; the file itself does
//! not shrink (`sqlite3 log.db VACUUM`, with Roomwatch stopped, does that).
//!
//! **Restoring a backup.** A log that was copied back must not honour cursors of the events that
//! came after the copy. `log.db` remembers its own inode and birth time; a file that was copied,
//! restored or moved to another disk has others and gets a new epoch when it is opened, and every
//! reader a `reset`. What restores *in place* (a snapshot of the disk or of the virtual machine,
//! `cat backup > log.db`) cannot be told from the original: delete the epoch before the start, with
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

mod checkpoint;
mod file;
mod ids;
mod meta;
mod queue;
mod readers;
mod tail;
mod times;
mod upkeep;
mod wal;
mod writer;

use checkpoint::Checkpointer;
use queue::Queue;
use readers::Readers;
use tail::Tail;
use writer::Writer;

/// The log in one SQLite file. See the module for how.
pub struct SqliteLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the threads and the callers share.
struct Shared {
    path: PathBuf,
    options: LogOptions,
    epoch: Epoch,
    /// The oldest event that is kept. Raised *before* the rows go, so that nobody who compares a
    /// read with the bounds takes retention for a hole.
    first: AtomicU64,
    /// The newest durable event.
    last: AtomicU64,
    newest: watch::Sender<Seq>,
    /// What a durable checkpoint of the state covers.
    trimmable: AtomicU64,
    queue: Queue,
    tail: Tail,
    readers: Readers,
    /// The WAL has become long: the writer begins it anew.
    wal_full: AtomicBool,
    /// A checkpoint failed: the writer must not go on before the file was opened afresh.
    suspect: Mutex<Option<LogError>>,
    /// What is in the file no longer is what was acknowledged. See [`writer::Writer`].
    lost: AtomicBool,
}

impl SqliteLog {
    /// Opens the log in `dir`, or creates it. The time it takes does not depend on the number of events. Nobody else
    /// may have it open: [`DataDir`](crate::data_dir::DataDir) keeps other processes out.
    pub fn open(dir: &Path, options: LogOptions) -> Result<SqliteLog, OpenError> {
        let io = |cause: std::io::Error| OpenError::Io { path: dir.into(), cause: cause.to_string() };
        fs::create_dir_all(dir).map_err(io)?;
        let path = dir.join("log.db");
        let opened = file::open_log(&path, options.vfs.as_deref())?;
        // The names of new files are durable only once their directory is.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        if opened.copied {
            tracing::warn!(
                epoch = %opened.epoch,
                "the log was copied, restored or moved: it begins a new epoch, and readers fetch their snapshot again"
            );
        }

        let shared = Arc::new(Shared {
            epoch: opened.epoch,
            first: AtomicU64::new(opened.tail.first.0),
            last: AtomicU64::new(opened.tail.last.0),
            newest: watch::Sender::new(opened.tail.last),
            trimmable: AtomicU64::new(0),
            queue: Queue::new(options.queue_bytes_max),
            tail: Tail::new(options.tail_bytes_max),
            readers: Readers::new(path.clone(), options.vfs.clone()),
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
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl EventLog for SqliteLog {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        if events.is_empty() {
            return future::ready(Ok(Vec::new())).boxed();
        }
        let (answer, answered) = oneshot::channel();
        if let Err(refused) = self.shared.queue.push(events, answer) {
            return future::ready(Err(refused)).boxed();
        }
        // The writer answers everything it takes; it can only be gone without an answer if it died.
        async move { answered.await.unwrap_or(Err(LogError::Closed)) }.boxed()
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        let bounds = self.bounds();
        let after = after.max(Seq(bounds.first.0.saturating_sub(1)));
        if limit == 0 || after >= bounds.last {
            return future::ready(Ok(Vec::new())).boxed();
        }
        // Who follows the log reads each event right after its commit: no thread, no SQL for that.
        if let Some(events) = self.shared.tail.read(after, limit) {
            return future::ready(Ok(events)).boxed();
        }
        self.shared.readers.read(after, bounds.last, limit).boxed()
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        let mut newest = self.shared.newest.subscribe();
        async move {
            // The sender lives as long as `self`, so this ends only when there is something newer.
            let _ = newest.wait_for(|&newest| newest > after).await;
        }
        .boxed()
    }

    fn bounds(&self) -> Bounds {
        // `first` before `last`: it only ever rises, and never beyond what `last` was by then.
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
            // A panic of the writer has been printed by its hook.
            let _ = writer.join();
        }
        self.shared.readers.close();
    }
}

impl Shared {
    /// Makes durable events visible: to `read`, then to `bounds`, then to those who wait.
    fn publish(&self, events: Vec<Event>, last: Seq) {
        self.tail.push(events);
        self.last.store(last.0, Ordering::Release);
        self.newest.send_replace(last);
    }
}
