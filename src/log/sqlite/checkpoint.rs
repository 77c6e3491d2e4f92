//! Moves the WAL into the database file, off the writer's thread.

use std::{
    io,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use super::{LogError, Shared, file};

/// A checkpoint is asked for each time about this much was written to the WAL.
const WAL_BYTES_STEP: usize = 4 << 20;

/// A longer WAL than this is begun anew even if appends must wait. It bounds the disk space, the cost
/// of a read and the time that opening takes after a crash.
const WAL_BYTES_MAX: i64 = 32 << 20;

/// How long a checkpoint may wait for a reader: the writer's makes appends wait as long.
const READER_PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct Checkpointer {
    ask: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    written: usize,
}

impl Checkpointer {
    pub fn spawn(shared: Arc<Shared>) -> io::Result<Checkpointer> {
        let (ask, asked) = sync_channel(1);
        let thread =
            std::thread::Builder::new().name("log-checkpoint".into()).spawn(move || run(&shared, &asked))?;
        Ok(Checkpointer { ask: Some(ask), thread: Some(thread), written: 0 })
    }

    /// The writer committed about `bytes`.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written < WAL_BYTES_STEP {
            return;
        }
        self.written = 0;
        if let Some(ask) = &self.ask {
            // Full: one is due already. Gone: the thread ended, which only closing does.
            let _ = ask.try_send(());
        }
    }

    pub fn stop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        if let Err(cause) = shared.readers.with_gate(|| checkpoint(shared)) {
            // Pages of the database file may be lost although the kernel calls them clean. The WAL
            // still has them: the writer opens the file afresh before it goes on.
            *shared.suspect.lock() = Some(cause);
        }
    }
}

fn checkpoint(shared: &Shared) -> Result<(), LogError> {
    let work = || {
        let connection = file::open_reader(&shared.path, shared.options.vfs.as_deref())?;
        connection.busy_timeout(READER_PATIENCE)?;
        if file::checkpoint(&connection, "PASSIVE")?.wal_bytes > WAL_BYTES_MAX {
            shared.wal_full.store(true, Ordering::Release);
        }
        Ok(())
    };
    unless_busy(work()).map_err(file::failure)
}

/// Begins the WAL anew, from the writer's own connection: nobody else gets the writer's lock in time
/// while it writes without a pause. Little is left to copy after the passive checkpoint.
pub(super) fn restart(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READER_PATIENCE)?;
    let restarted = unless_busy(file::checkpoint(connection, "RESTART").map(|_| ()));
    connection.busy_timeout(file::BUSY_PATIENCE)?;
    restarted
}

/// Where somebody is in the way, the next checkpoint will do.
fn unless_busy(result: rusqlite::Result<()>) -> rusqlite::Result<()> {
    match result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(()),
        _ => result,
    }
}
