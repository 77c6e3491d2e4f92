//! The newest event that readers were told of, in the file `log.witness` beside the log.
//!
//! The log itself cannot show that its end is missing. The witness is written after each commit and before any reader
//! gets the event: with one write and without a sync, because it must survive the end of the process, and after a power
//! loss the log is complete by itself. When the log is opened it must have the witness' event, or it begins a new epoch.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::ids::Key;
use crate::{
    clock,
    event::{Epoch, Seq},
};

/// Layout: epoch, seq, key of the event, unix milliseconds of the write, and a checksum of these.
const FIELDS_BYTES: usize = 4 + 8 + 16 + 8;
const BYTES: usize = FIELDS_BYTES + 8;

/// Maximum difference between the noted time of the last write and the one that the file system has. The two clocks
/// differ on a network file system.
const WRITTEN_MAX_MS: u64 = 60_000;

/// The last event of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub epoch: Epoch,
    pub seq: Seq,
    /// Id of the event; zeros before the first event.
    pub key: Key,
}

/// A witness that was found.
pub(super) struct Found {
    pub told: Told,
    /// True if the file was written by something else since, such as a restore of the directory.
    pub rewritten: bool,
}

/// The open file.
pub(super) struct Witness {
    file: File,
}

fn path(log: &Path) -> PathBuf {
    log.with_extension("witness")
}

/// Reads the witness of the log at this path. `None` if the file is missing or cannot be read.
pub(super) fn find(log: &Path) -> Option<Found> {
    let file = File::open(path(log)).ok()?;
    let mut bytes = [0; BYTES];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let (fields, checksum) = bytes.split_at(FIELDS_BYTES);
    if Sha256::digest(fields)[..8] != *checksum {
        return None;
    }
    let number = |at: usize| fields[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let told = Told {
        epoch: Epoch(fields[..4].try_into().map(u32::from_le_bytes).ok()?),
        seq: Seq(number(4)?),
        key: fields[12..28].try_into().ok()?,
    };
    let metadata = file.metadata().ok()?;
    let modified = metadata.mtime() as u64 * 1000 + metadata.mtime_nsec() as u64 / 1_000_000;
    Some(Found { told, rewritten: number(28)?.abs_diff(modified) > WRITTEN_MAX_MS })
}

impl Witness {
    /// Opens the file or creates it, writes it, and makes it durable. Its name is durable after a sync of its directory.
    pub fn open(log: &Path, told: Told) -> io::Result<Witness> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path(log))?;
        let witness = Witness { file };
        witness.write(told)?;
        witness.file.sync_data()?;
        Ok(witness)
    }

    pub fn write(&self, told: Told) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&told.epoch.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&told.seq.0.to_le_bytes());
        bytes[12..28].copy_from_slice(&told.key);
        bytes[28..36].copy_from_slice(&clock::unix_ms().to_le_bytes());
        let checksum = Sha256::digest(&bytes[..FIELDS_BYTES]);
        bytes[FIELDS_BYTES..].copy_from_slice(&checksum[..8]);
        self.file.write_all_at(&bytes, 0)
    }
}
