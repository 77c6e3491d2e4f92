//! The data directory of a node, and its lock against a second process.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Maximum time to wait for the lock: another process may be about to end.
const LOCK_TIME_MAX: Duration = Duration::from_millis(500);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Reason why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("{dir} is in use by another Roomwatch{}. Stop it, or choose another data directory",
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error(
        "cannot use {path}: {cause}. Check that the directory exists and is writable, and that the disk has space"
    )]
    Io { path: PathBuf, cause: io::Error },
}

/// A data directory that this process has locked. Dropping it releases the lock.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Creates the directory if needed, and locks it.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        fs::create_dir_all(path).map_err(|cause| DataDirError::Io { path: path.into(), cause })?;
        Ok(DataDir { path: path.into(), _lock: lock(path)? })
    }

    /// Locks another directory too. Returns `None` if both paths are the same directory.
    pub fn open_other(&self, path: &Path) -> Result<Option<DataDir>, DataDirError> {
        let io = |cause| DataDirError::Io { path: path.into(), cause };
        fs::create_dir_all(path).map_err(io)?;
        if path.canonicalize().map_err(io)? == self.path.canonicalize().map_err(io)? {
            return Ok(None);
        }
        DataDir::open(path).map(Some)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Takes the exclusive lock and writes our pid into the file, so that the next process can show it.
fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let io = |cause| DataDirError::Io { path: path.clone(), cause };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io)?;
    let deadline = Instant::now() + LOCK_TIME_MAX;
    let locked = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            done => break done,
        }
    };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // If the pid cannot be read, the message does not have it.
            let _ = (&file).take(32).read_to_string(&mut holder);
            return Err(DataDirError::Locked { dir: dir.into(), pid: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(cause)) => return Err(io(cause)),
    }
    // On a full disk the pid cannot be written. The lock holds without it.
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(cause) = written {
        tracing::debug!(%cause, "cannot write the pid into the lock file");
    }
    Ok(file)
}
