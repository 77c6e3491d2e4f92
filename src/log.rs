//! The durable, ordered log of events. Everything else in the program is derived from it.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use futures_util::future::{self, BoxFuture, FutureExt};
use serde::Deserialize;

use crate::{
    clock::Clock,
    event::{Cursor, Epoch, Event, NewEvent, Seq},
    storage::{Damage, Quota, Rate},
};

pub mod cluster;
pub mod memory;
pub mod sqlite;

use memory::MemoryLog;
use sqlite::SqliteLog;

/// Maximum bytes of bodies that one read returns, whatever its limit is: a thousand bodies of 8 MiB must not be in memory
/// at once.
pub const READ_BYTES_MAX: usize = 16 << 20;

/// Time for which an id is remembered. A webhook's token is accepted for 24 hours and 60 s of leeway. The rest allows for
/// clocks that run at different speeds.
pub const IDS_KEPT: Duration = Duration::from_secs(24 * 3600 + 300);

/// Events that one step of a check reads, and the pause after it.
const CHECK_EVENTS: usize = 500;
const CHECK_PAUSE: Duration = Duration::from_millis(20);
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Minimum number of events, and time since the oldest one, for a rate.
const RATE_EVENTS_MIN: u64 = 1_000;
const RATE_SPAN_MIN_MS: u64 = 10 * 60 * 1000;

/// The promises of a log. The same tests check them for every implementation.
///
/// Requests and followers share one log. All methods may be called from any task at any time.
pub trait EventLog: Send + Sync + 'static {
    /// Appends `events` in order, and returns once all of them are durable: they survive `kill -9`
    /// and power loss. The answers have the same order as the events.
    ///
    /// Idempotent by (project, id) for 24 hours, across restarts and within one call: an id that was
    /// appended before returns its first seq, marked as a duplicate, and stores nothing.
    ///
    /// After an error the caller must not report any event of the call as stored. They may still be
    /// stored, if only the answer of the disk was lost. The sender's retry then finds its duplicate.
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>>;

    /// Returns up to `limit` durable events after `after`, ascending, without gaps. Empty means that there are none.
    /// It returns about [`READ_BYTES_MAX`] bytes at most, but at least one event.
    ///
    /// The first event is later than `after.next()` only if retention has removed the events between:
    /// compare with [`EventLog::bounds`].
    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>>;

    /// Waits until an event after `after` is durable.
    fn wait(&self, after: Seq) -> BoxFuture<'_, ()>;

    /// Returns the epoch, and the first and the last event that retention has left. Cheap: does no I/O.
    fn bounds(&self) -> Bounds;

    /// Returns the newest event of all nodes. On one node it is that of [`EventLog::bounds`].
    fn newest(&self) -> BoxFuture<'_, Result<Seq, LogError>> {
        future::ready(Ok(self.bounds().last)).boxed()
    }

    /// Returns how well this node knows the log of all nodes. Cheap: does no I/O.
    fn contact(&self) -> Contact {
        Contact::default()
    }

    /// Returns the servers of a log of several nodes, as they last answered. Cheap: does no I/O.
    fn servers(&self) -> Option<Servers> {
        None
    }

    /// Returns if the log turns out to be another one than readers know. It must be opened again.
    fn lost(&self) -> BoxFuture<'_, ()> {
        future::pending().boxed()
    }

    /// Returns the newest event whose `received_at` is `unix_ms` or earlier, or `None` if all events
    /// were received later.
    ///
    /// `received_at` is from the wall clock of the receiver, so it is only nearly ascending. The
    /// answer is still exact: an event from a clock that was ahead does not hide the events after it,
    /// and one from a clock that was behind counts with its own time. An answer is final once every
    /// clock has passed `unix_ms`.
    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>>;

    /// Allows retention to remove events up to and including `through`: everything derived from them
    /// is durable elsewhere. Nothing is removed before the first call. A lower value than before
    /// changes nothing. The newest event is never removed. Returns at once.
    fn retain(&self, through: Seq);

    /// Finishes the accepted appends and closes every file. Blocks until that is done. Later appends
    /// and reads return [`LogError::Closed`]. A second call does nothing.
    fn close(&self);
}

/// Returns the number of events in the last day, and of all events. `None` while there are too few to tell.
pub async fn rate(log: &dyn EventLog, now_ms: u64) -> Option<Rate> {
    let Bounds { first, last, .. } = log.bounds();
    let events = (last.0 + 1).saturating_sub(first.0);
    if events < RATE_EVENTS_MIN {
        return None;
    }
    let before = Seq(first.0 - 1);
    let (from, span_ms) = match log.seek(now_ms.saturating_sub(DAY_MS)).await.ok()? {
        Some(day_ago) if day_ago >= first => (day_ago, DAY_MS),
        _ => (before, now_ms.saturating_sub(log.read(before, 1).await.ok()?.first()?.received_at)),
    };
    let recent = last.0.saturating_sub(from.0) as f64;
    (span_ms >= RATE_SPAN_MIN_MS)
        .then(|| Rate { events_a_day: recent * DAY_MS as f64 / span_ms as f64, events })
}

/// Reads every event, with a pause after each step, so that others can read and write meanwhile. Returns the first error.
pub async fn check(log: &dyn EventLog, clock: &Clock) -> Result<(), LogError> {
    let Bounds { first, last, .. } = log.bounds();
    let mut after = Seq(first.0.saturating_sub(1));
    while after < last {
        let Some(read) = log.read(after, CHECK_EVENTS).await?.last().map(|event| event.seq) else { break };
        after = read;
        clock.sleep(CHECK_PAUSE).await;
    }
    Ok(())
}

/// Location of a log: the option `log_url`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogUrl {
    /// `sqlite:<dir>`: `log.db` in this directory.
    Sqlite(PathBuf),
    /// `memory:`: lost with the process.
    Memory,
}

/// The text is not a URL of a log that this program can open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write sqlite:DIRECTORY, or memory: for a log that ends with the process")]
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
            tracing::warn!("the log is in memory, so every event is lost when this process ends");
            Arc::new(MemoryLog::new(options))
        }
    })
}

/// Options of a log. [`memory`] uses only those that say so, and the clock.
#[derive(Clone)]
pub struct LogOptions {
    /// Events older than this are removed, in memory too. `None` means no limit.
    pub retain_age: Option<Duration>,
    /// The oldest events are removed while the log has more bytes than this, in memory too.
    pub quota: Quota,
    /// Maximum bytes in the queue of the writer. An append beyond it returns [`LogError::Busy`].
    pub queue_bytes_max: usize,
    /// Maximum bytes of the newest events in memory, for readers that follow the log.
    pub tail_bytes_max: usize,
    /// Maximum number of ids in memory. If there are more, they are merged into their table, in which a look-up costs
    /// several times as much. A start reads about as many of the newest events.
    pub ids_max: usize,
    /// The last event of this log that is known elsewhere. A log that ends before it begins a new epoch.
    pub told: Option<Cursor>,
    /// SQLite VFS, if not the default. Tests simulate power loss with it.
    pub vfs: Option<String>,
    /// Clock of the node, for retention and ids.
    pub clock: Clock,
    /// Damage that a read or a write finds is noted here.
    pub damage: Damage,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            retain_age: Some(Duration::from_secs(30 * 24 * 3600)),
            quota: Quota::default(),
            queue_bytes_max: 64 << 20,
            tail_bytes_max: 2 << 20,
            ids_max: 65_536,
            told: None,
            vfs: None,
            clock: Clock::system(),
            damage: Damage::default(),
        }
    }
}

/// Reason why a log cannot be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{path} was written by a newer Roomwatch (format {found}, this one knows {known}). Use that version"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("{path} is a SQLite file, but not a log of Roomwatch. Choose another data directory")]
    Foreign { path: PathBuf },
    #[error("{path} is damaged ({what}). Restore a backup, or move the file away to start with an empty log")]
    Damaged { path: PathBuf, what: String },
    #[error(
        "cannot use {path}: {cause}. Check that the directory exists and is writable, and that the disk has space"
    )]
    Io { path: PathBuf, cause: String },
    #[error(
        "{path} is the log of a single node. It cannot become a copy of the deployment's log: choose another data directory"
    )]
    NotACopy { path: PathBuf },
    #[error("the log of the deployment {name} cannot be used: {why}")]
    Cluster { name: String, why: String },
}

/// Result of appending one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub seq: Seq,
    /// True if the id had been appended before. `seq` is then that of the first time.
    pub duplicate: bool,
}

/// First and last event of a log. If it is empty, `last` is one before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub epoch: Epoch,
    /// The oldest event, or the seq of the next one if the log is empty.
    pub first: Seq,
    /// The newest durable event; 0 before the first.
    pub last: Seq,
}

/// Contact of a node with the log of all nodes. A node that is alone always has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Unix milliseconds at which this node last had every event of the log, if that is some seconds ago.
    pub fresh_at: Option<u64>,
    /// True if the log has been out of reach for so long that an append fails at once.
    pub is_away: bool,
}

/// Servers of a log of several nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    pub leader: Box<str>,
    /// The other servers, and whether each has the whole log.
    pub replicas: Vec<(Box<str>, bool)>,
    pub newest: Seq,
    pub bytes: u64,
    /// 0 means no limit.
    pub bytes_max: u64,
    /// Time since they answered.
    pub age: Duration,
    /// All streams of the deployment. Empty until they have been asked for.
    pub streams: Vec<Stream>,
    /// The epochs of the log, the present one first.
    pub epochs: Vec<EpochChange>,
}

/// A stream of a deployment, as its leader last described it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub name: Box<str>,
    pub leader: Box<str>,
    /// The other servers, and whether each has the whole stream.
    pub replicas: Vec<(Box<str>, bool)>,
    pub messages: u64,
    pub bytes: u64,
    /// 0 means no limit.
    pub bytes_max: u64,
    /// Reason why it cannot be described, if it cannot.
    pub error: Option<Box<str>>,
    /// Time for which a server has not had the whole stream, or for which the stream cannot be described.
    pub missing_for: Option<Duration>,
}

/// The beginning of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochChange {
    pub epoch: Epoch,
    /// Unix milliseconds.
    pub at: u64,
    pub why: Box<str>,
}

impl Servers {
    /// Returns the number of servers that have the whole log.
    pub fn current(&self) -> usize {
        1 + self.replicas.iter().filter(|(_, is_current)| *is_current).count()
    }
}

/// Reason why the log failed. A webhook then waits and is answered 503, and LiveKit retries.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    #[error("no space left for the log")]
    Full,
    #[error("more than {0} bytes are waiting to be written")]
    Busy(usize),
    #[error("the log failed: {0}")]
    Failed(Arc<str>),
    #[error("the log cannot be reached: {0}")]
    Away(Arc<str>),
    #[error("the log is damaged: {0}")]
    Damaged(Arc<str>),
    #[error("the log is closed")]
    Closed,
}

/// Returns the event as a read returns it from `seq`.
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
