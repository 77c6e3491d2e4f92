//! Moves the WAL into the database file, on a separate thread.

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

/// A checkpoint is requested each time about this much has been written to the WAL.
const WAL_BYTES_STEP: usize = 4 << 20;

/// Maximum size of the WAL. A longer one is restarted, even if appends must wait for it. This bounds the disk space, the
/// cost of a read, and the time of opening after a crash.
const WAL_BYTES_MAX: i64 = 32 << 20;

/// Maximum time that a checkpoint waits for a reader. If the writer runs the checkpoint, appends wait as long.
const READER_WAIT_MAX: Duration = Duration::from_millis(20);

pub(super) struct Checkpointer {
    requests: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    written: usize,
}

impl Checkpointer {
    pub fn spawn(shared: Arc<Shared>) -> io::Result<Checkpointer> {
        let (requests, received) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("log-checkpoint".into())
            .spawn(move || run(&shared, &received))?;
        Ok(Checkpointer { requests: Some(requests), thread: Some(thread), written: 0 })
    }

    /// Notes that the writer has committed about `bytes`.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written < WAL_BYTES_STEP {
            return;
        }
        self.written = 0;
        if let Some(requests) = &self.requests {
            // If the channel is full, a checkpoint is already due. It is closed only after `stop`.
            let _ = requests.try_send(());
        }
    }

    pub fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, requests: &Receiver<()>) {
    while requests.recv().is_ok() {
        if let Err(cause) = shared.readers.with_gate(|| checkpoint(shared)) {
            // Pages of the database file may be lost although the kernel marks them as clean. The WAL
            // still has them: the writer reopens the file before the next append.
            *shared.suspect.lock() = Some(cause);
        }
    }
}

fn checkpoint(shared: &Shared) -> Result<(), LogError> {
    let work = || {
        let connection = file::open_reader(&shared.path, shared.options.vfs.as_deref())?;
        connection.busy_timeout(READER_WAIT_MAX)?;
        if file::checkpoint(&connection, "PASSIVE")?.wal_bytes > WAL_BYTES_MAX {
            shared.wal_full.store(true, Ordering::Release);
        }
        Ok(())
    };
    unless_busy(work()).map_err(file::failure)
}

/// Restarts the WAL, on the writer's own connection: another connection does not get the write lock while the writer
/// writes without a pause. After the passive checkpoint there is little left to copy.
pub(super) fn restart(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READER_WAIT_MAX)?;
    let restarted = unless_busy(file::checkpoint(connection, "RESTART").map(|_| ()));
    connection.busy_timeout(file::BUSY_WAIT_MAX)?;
    restarted
}

/// Ignores that another connection holds a lock: the next checkpoint does the work.
fn unless_busy(result: rusqlite::Result<()>) -> rusqlite::Result<()> {
    match result.as_ref().err().and_then(rusqlite::Error::sqlite_error_code) {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(()),
        _ => result,
    }
}
