//! The durable, ordered log of events: the ground truth of the whole program.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::event::{Epoch, Event, NewEvent, Seq};

pub mod sqlite;

/// What a log keeps its promises about. One story of tests holds every implementation to them.
///
/// A log is shared by every request and by the one loop that follows it; all methods may be called
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

    /// Up to `limit` events after `after`, ascending, without holes. Empty means caught up.
    ///
    /// The first event may be later than `after.next()` only where retention has removed what was
    /// between: compare with [`EventLog::bounds`]. Only durable events are ever returned.
    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>>;

    /// Returns once something newer than `after` is durable; at once if it already is.
    fn wait(&self, after: Seq) -> BoxFuture<'_, ()>;

    /// The epoch, and what retention has left. Cheap: no I/O.
    fn bounds(&self) -> Bounds;

    /// Lets retention remove events up to and including `through`: whatever is derived from them is durable. Until
    /// this is called nothing is removed.
    fn retain(&self, through: Seq);

    /// Writes what waits and closes the log. Blocks for as long as that takes. Later appends and reads are
    /// [`LogError::Closed`].
    fn close(&self);
}

/// Where an event came to stand.
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
    /// The oldest event that is kept, or the place of the next one if none is.
    pub first: Seq,
    /// The newest durable event; 0 before the first.
    pub last: Seq,
}

/// Why the log could not do it. The sender is told 503 and tries again.
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
