//! Reads the file: on a few connections, in short transactions, on blocking threads.

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

use super::{
    LogError, READ_BYTES_MAX,
    chain::{self, Link},
    file, times,
};
use crate::{
    event::{Event, Seq},
    storage::Damage,
};

/// Maximum number of reads at the same time. They serve readers that are far behind, and must leave processor time for
/// everything else.
const READERS_MAX: usize = 4;

pub(super) struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
    damage: Damage,
}

struct Pool {
    path: PathBuf,
    vfs: Option<String>,
    idle: Mutex<Vec<Connection>>,
    /// Held shared while the file is in use, and exclusively while it is closed and opened again.
    gate: RwLock<()>,
    closed: AtomicBool,
}

impl Readers {
    pub fn new(path: PathBuf, vfs: Option<String>, damage: Damage) -> Readers {
        let pool =
            Pool { path, vfs, idle: Mutex::default(), gate: RwLock::new(()), closed: AtomicBool::new(false) };
        Readers { pool: Arc::new(pool), permits: Arc::new(Semaphore::new(READERS_MAX)), damage }
    }

    /// Returns up to `limit` events after `after`, up to `last`: later ones are not known to be durable.
    pub async fn read(&self, after: Seq, last: Seq, limit: usize) -> Result<Vec<Event>, LogError> {
        self.run(move |connection| file::read(connection, after, last, limit, READ_BYTES_MAX)).await
    }

    /// Returns the last of the events from `first` to `last` that was received at `unix_ms` or before.
    pub async fn seek(&self, first: Seq, last: Seq, unix_ms: u64) -> Result<Option<Seq>, LogError> {
        self.run(move |connection| times::seek(connection, first, last, unix_ms)).await
    }

    /// Returns the hash at `seq`, if it is known.
    pub async fn link(&self, seq: Seq) -> Result<Option<Link>, LogError> {
        self.run(move |connection| chain::at(connection, seq)).await
    }

    /// Runs a query on a blocking thread.
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| LogError::Closed)?;
        let pool = self.pool.clone();
        let answer = tokio::task::spawn_blocking(move || {
            // Held until the end of the work, which goes on if the reader has gone.
            let _permit = permit;
            pool.run(query)
        });
        let answer = answer.await.unwrap_or_else(|cause| Err(LogError::Failed(cause.to_string().into())));
        if let Err(error @ LogError::Damaged(_)) = &answer {
            self.damage.found("log.db", error);
        }
        answer
    }

    /// Waits for the running reads and closes all connections. No new one opens while the guard lives.
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
