//! The data directory of a node, and the lock that keeps a second process out of it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long to wait for a process that is just ending to let go of the directory.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("{dir} is in use by another Roomwatch{}: stop it, or choose another data directory",
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked { dir: PathBuf, pid: Option<u32> },
    #[error("cannot use {path}: {cause}: check that the directory exists, is writable and has room")]
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

    /// Locks another directory too. `None` if it is this one by another name.
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

/// Takes the exclusive lock, and writes our pid into it for the next process to show.
fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let io = |cause| DataDirError::Io { path: path.clone(), cause };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
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
            // Only for the message: a pid that cannot be read is left out.
            let _ = (&file).take(32).read_to_string(&mut holder);
            return Err(DataDirError::Locked { dir: dir.into(), pid: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(cause)) => return Err(io(cause)),
    }
    // On a full disk the pid cannot be written; the lock itself holds all the same.
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(cause) = written {
        tracing::debug!(%cause, "the pid could not be written into the lock");
    }
    Ok(file)
}
