//! Reading the file: a few connections, short transactions, never on an async thread.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{LogError, READ_BYTES_MAX, file, times};
use crate::event::{Event, Seq};

/// How many reads go on at once. They are for readers that are far behind, and share two cores with
/// the rest.
const READERS_MAX: usize = 4;

pub(super) struct Readers {
    pool: Arc<Pool>,
    permits: Semaphore,
}

struct Pool {
    path: PathBuf,
    vfs: Option<String>,
    idle: Mutex<Vec<Connection>>,
    /// Held shared while the file is in use, exclusively while it is closed and opened afresh.
    gate: RwLock<()>,
    closed: AtomicBool,
}

impl Readers {
    pub fn new(path: PathBuf, vfs: Option<String>) -> Readers {
        let pool =
            Pool { path, vfs, idle: Mutex::default(), gate: RwLock::new(()), closed: AtomicBool::new(false) };
        Readers { pool: Arc::new(pool), permits: Semaphore::new(READERS_MAX) }
    }

    /// Returns up to `limit` events after `after`, none later than `last`: what lies beyond is not
    /// known to be durable.
    pub async fn read(&self, after: Seq, last: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        self.run(move |connection| file::read(connection, after, last, limit, READ_BYTES_MAX)).await
    }

    /// Returns the last of the events from `first` to `last` that was received at `unix_ms` or before.
    pub async fn seek(&self, first: Seq, last: Seq, unix_ms: u64) -> Result<Option<Seq>, LogError> {
        self.run(move |connection| times::seek(connection, first, last, unix_ms)).await
    }

    /// Runs a query on a thread that may block.
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let _permit = self.permits.acquire().await.map_err(|_| LogError::Closed)?;
        let pool = self.pool.clone();
        let answer = tokio::task::spawn_blocking(move || pool.run(query));
        answer.await.unwrap_or_else(|cause| Err(LogError::Failed(cause.to_string().into())))
    }

    /// Waits for the reads that go on, closes all connections, and keeps new ones out for as long as
    /// the guard lives.
    pub fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        let guard = self.pool.gate.write();
        self.pool.idle.lock().clear();
        guard
    }

    /// Runs `work` on the file while it stays open.
    pub fn with_gate<T>(&self, work: impl FnOnce() -> T) -> T {
        let _open = self.pool.gate.read();
        work()
    }

    pub fn close(&self) {
        self.pool.closed.store(true, Ordering::Release);
        drop(self.shut());
    }
}

impl Pool {
    fn run<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let _open = self.gate.read();
        if self.closed.load(Ordering::Acquire) {
            return Err(LogError::Closed);
        }
        let idle = self.idle.lock().pop();
        let run = || {
            let connection = match idle {
                Some(connection) => connection,
                None => file::open_reader(&self.path, self.vfs.as_deref())?,
            };
            let answer = query(&connection)?;
            Ok((connection, answer))
        };
        let (connection, answer) = run().map_err(file::failure)?;
        self.idle.lock().push(connection);
        Ok(answer)
    }
}
