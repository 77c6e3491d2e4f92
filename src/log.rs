//! The durable, ordered log of events: the ground truth of the whole program.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::Deserialize;

use crate::{
    clock::Clock,
    event::{Epoch, Event, NewEvent, Seq},
};

pub mod memory;
pub mod sqlite;

use memory::MemoryLog;
use sqlite::SqliteLog;

/// Maximum bytes of bodies that one read returns, whatever its limit: a page of a thousand 8 MiB
/// bodies must not be held in memory at once.
pub const READ_BYTES_MAX: usize = 16 << 20;

/// Time for which an id is remembered. Webhook tokens are accepted for 24 hours and 60 s of leeway;
/// the rest allows for clocks that run at different speeds.
pub const IDS_KEPT: Duration = Duration::from_secs(24 * 3600 + 300);

/// The promises of a log. One story of tests holds every implementation to them.
///
/// A log is shared by every request and by everything that follows it; all methods may be called
/// from any task at any time.
pub trait EventLog: Send + Sync + 'static {
    /// Appends `events` in order and returns once all of them are durable: they survive `kill -9`
    /// and power loss. One answer an event, in the same order.
    ///
    /// Idempotent by (project, id) for 24 hours, across restarts, and within one call: the same id
    /// again returns its first seq, marked duplicate, and stores nothing.
    ///
    /// An error means that nothing of the call may be reported as stored. It may have been stored
    /// all the same (a lost answer of the disk); the sender's retry then finds its duplicate.
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>>;

    /// Returns up to `limit` events after `after`, ascending, without holes. Empty means caught up.
    /// About [`READ_BYTES_MAX`] bytes at most, but at least one event.
    ///
    /// The first event may be later than `after.next()` only where retention has removed what was
    /// between: compare with [`EventLog::bounds`]. Only durable events are ever returned.
    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>>;

    /// Returns once something newer than `after` is durable; at once if it already is.
    fn wait(&self, after: Seq) -> BoxFuture<'_, ()>;

    /// Returns the epoch and the ends of what retention has left. Cheap: no I/O.
    fn bounds(&self) -> Bounds;

    /// Returns the last event received by `unix_ms`: the newest one whose `received_at` is not
    /// later. `None` if every event that is kept was received later.
    ///
    /// `received_at` is the wall clock of the receiver, so it is only nearly ascending. The answer
    /// is exact all the same: an event from a clock that was ahead does not hide the events after
    /// it, and one from a clock that was behind counts for the time it carries. An answer is final
    /// once every clock has passed `unix_ms`.
    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>>;

    /// Allows retention to remove events up to and including `through`: everything that is derived
    /// from them is durable elsewhere. Nothing is removed before the first call, a lower value than
    /// before changes nothing, and the newest event is never removed. Returns at once.
    fn retain(&self, through: Seq);

    /// Finishes the appends that were accepted and releases every file. Blocks until that is done.
    /// Later appends and reads are [`LogError::Closed`]. A second call does nothing.
    fn close(&self);
}

/// Where a log is, as the option `log_url` names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogUrl {
    /// `sqlite:<dir>`: `log.db` in this directory.
    Sqlite(PathBuf),
    /// `memory:`: gone with the process.
    Memory,
}

/// The text names no log that this program can open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write sqlite:<directory>, or memory: for a log that ends with the process")]
pub struct UnknownLogUrl;

impl FromStr for LogUrl {
    type Err = UnknownLogUrl;

    fn from_str(text: &str) -> Result<LogUrl, UnknownLogUrl> {
        match text.split_once(':') {
            Some(("sqlite", dir)) if !dir.is_empty() => Ok(LogUrl::Sqlite(dir.into())),
            Some(("memory", "")) => Ok(LogUrl::Memory),
            _ => Err(UnknownLogUrl),
        }
    }
}

impl fmt::Display for LogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogUrl::Sqlite(dir) => write!(f, "sqlite:{}", dir.display()),
            LogUrl::Memory => f.write_str("memory:"),
        }
    }
}

impl TryFrom<String> for LogUrl {
    type Error = UnknownLogUrl;

    fn try_from(text: String) -> Result<LogUrl, UnknownLogUrl> {
        text.parse()
    }
}

/// Opens the log at `url`, or creates it.
pub fn open(url: &LogUrl, options: LogOptions) -> Result<Arc<dyn EventLog>, OpenError> {
    Ok(match url {
        LogUrl::Sqlite(dir) => Arc::new(SqliteLog::open(dir, options)?),
        LogUrl::Memory => {
            tracing::warn!("the log is in memory: every event is lost when this process ends");
            Arc::new(MemoryLog::new(options))
        }
    })
}

/// How a log keeps its events. Limits without a word about memory are those of [`sqlite`].
#[derive(Clone)]
pub struct LogOptions {
    /// Events older than this are removed, in memory too. None: no limit.
    pub retain_age: Option<Duration>,
    /// The oldest events are removed while the log takes more bytes than this, in memory too. None: no limit.
    pub retain_bytes: Option<u64>,
    /// Maximum bytes that wait to be written. Beyond it an append is refused as [`LogError::Busy`].
    pub queue_bytes_max: usize,
    /// Maximum bytes of the newest events that are kept in memory for those who follow the log.
    pub tail_bytes_max: usize,
    /// Maximum number of ids in memory. Beyond it they are merged into their table, where finding one costs several
    /// times as much. A start reads as many of the newest events.
    pub ids_max: usize,
    /// Another SQLite VFS than the default: how tests cut the power.
    pub vfs: Option<String>,
    /// The time of the node: retention and ids count by it.
    pub clock: Clock,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            retain_age: Some(Duration::from_secs(30 * 24 * 3600)),
            retain_bytes: None,
            queue_bytes_max: 64 << 20,
            tail_bytes_max: 2 << 20,
            ids_max: 65_536,
            vfs: None,
            clock: Clock::system(),
        }
    }
}

/// Why a log could not be opened. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} was written by a newer Roomwatch (format {found}, this one knows {known}): use that version"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is a SQLite file, but not a log of Roomwatch: choose another data directory")]
    Foreign { path: PathBuf },
    #[error("{path} is damaged ({what}): restore a backup, or move the file away to start with an empty log")]
    Damaged { path: PathBuf, what: String },
    #[error("cannot use {path}: {cause}: check that the directory exists, is writable and has room")]
    Io { path: PathBuf, cause: String },
}

/// The place of an appended event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub seq: Seq,
    /// The id had been appended before; `seq` is where.
    pub duplicate: bool,
}

/// The ends of a log. Empty: `last` is one before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub epoch: Epoch,
    /// The oldest event that is kept, or the place of the next one if the log is empty.
    pub first: Seq,
    /// The newest durable event; 0 before the first.
    pub last: Seq,
}

/// Why the log could not do it. The sender is answered 503 and tries again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    #[error("no space left for the log")]
    Full,
    #[error("more than {0} bytes wait to be written")]
    Busy(usize),
    #[error("the log failed: {0}")]
    Failed(Arc<str>),
    #[error("the log is closed")]
    Closed,
}

/// Returns the event as it is read back from `seq`.
fn placed(event: &NewEvent, seq: Seq) -> Event {
    Event {
        seq,
        project: event.project.clone(),
        source: event.source,
        received_at: event.received_at,
        kind: event.kind.clone(),
        room: event.room.clone(),
        room_sid: event.room_sid.clone(),
        body: event.body.clone(),
    }
}

fn new_epoch() -> Epoch {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    Epoch(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_url_has_one_spelling() {
        for text in ["sqlite:/var/lib/roomwatch", "sqlite:data", "memory:"] {
            assert_eq!(text.parse::<LogUrl>().map(|url| url.to_string()), Ok(text.to_owned()));
        }
        for junk in ["", "sqlite", "sqlite:", "memory", "memory:x", "/var/lib/roomwatch", "nats://n1:4222"] {
            assert_eq!(junk.parse::<LogUrl>(), Err(UnknownLogUrl), "{junk:?}");
        }
    }
}
