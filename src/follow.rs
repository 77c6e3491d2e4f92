//! Everything that acts on events: the fold, and the followers behind it.
//!
//! ```text
//! log ─▶ fold ─▶ state, derived data, feed          one thread, on the path of every event
//!          │
//!          ├─▶ follower ─▶ its effects, its cursor   one thread each, at its own pace
//!          └─▶ …
//! ```
//!
//! A follower reads durable and folded events, in batches. A slow or broken one does not delay the
//! fold or another follower: it has no queue, only a cursor, and reads the log. After an error or a
//! panic it is created again, after a pause that grows. `/metrics` and `/readyz?verbose` show each one.
//!
//! **At least once.** The cursor is stored after the effect, at most once in [`CURSOR_EVERY`]. So after
//! a crash some events come again, and none is skipped: effects must be idempotent.
//!
//! **Retention** never passes the checkpoint of the state. It also waits for followers, within limits:
//! see [`retention`].

use std::{
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    derived::{Changes, Derived},
    event::{Event, Seq},
    feed::Feed,
    log::EventLog,
    metrics::Metrics,
    store::StoreError,
};

mod cursors;
mod fold;
mod place;
pub mod restart;
pub mod retention;
mod run;
mod status;

pub use crate::derived::encode;
pub use fold::{Fold, FoldThread};
pub use place::Place;
pub use status::{Phase, Status};

use cursors::Cursors;
use retention::Retention;
use run::Runner;

/// Maximum number of events in a batch.
const BATCH_EVENTS: usize = 256;
/// Minimum time between two commits of a cursor. It is also stored when its follower stops. A commit for each batch would
/// compete with the commits of the log.
pub const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// Interval at which the time limit of [`retention`] is updated.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// One event and its changes.
#[derive(Clone, Debug)]
pub struct Folded {
    pub event: Event,
    /// `None` if they are unknown, because the derived data has been lost.
    pub changes: Option<Changes>,
}

/// Something that acts on events. See [`self`].
pub trait Follower: Send {
    /// Acts on the next events. `events` is empty if only the time of [`Follower::wakes_in`] has passed.
    ///
    /// Returns once the effects are durable, or no longer needed. The cursor then moves to the last of `events`.
    /// The same events may come again, so the effects must be idempotent. After an error this follower is
    /// dropped, and a new one gets the events after the cursor.
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Handles that retention has removed the events from `from` to `to`, so that the follower never gets them. It must
    /// find their effects in another way.
    fn gap(&mut self, from: Seq, to: Seq) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Returns the time after which `apply` is called without an event. It is read after each call.
    fn wakes_in(&self) -> Option<Duration> {
        None
    }
}

/// Creates a follower, at the start and after each failure.
pub type Make = Box<dyn Fn() -> Box<dyn Follower> + Send>;

/// The followers of one node, and the fold as the first of them.
pub struct Followers {
    log: Arc<dyn EventLog>,
    clock: Clock,
    metrics: Arc<Metrics>,
    cursors: Arc<Cursors>,
    retention: Arc<Retention>,
    statuses: Mutex<Vec<Arc<Status>>>,
    /// Names of the followers that run themselves.
    placed: Mutex<Vec<&'static str>>,
}

impl Followers {
    /// Reads the cursors in `dir`. Retention waits for all of them until [`Followers::start`] says which are needed.
    pub fn open(
        dir: &Path,
        log: Arc<dyn EventLog>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Followers>, StoreError> {
        let cursors = Arc::new(Cursors::open(dir, log.bounds().epoch)?);
        let retention = Arc::new(Retention::new(log.clone(), cursors.all()));
        Ok(Arc::new(Followers {
            log,
            clock,
            metrics,
            cursors,
            retention,
            statuses: Mutex::default(),
            placed: Mutex::default(),
        }))
    }

    /// Notes that a checkpoint of everything up to `seq` is durable.
    pub fn checkpointed(&self, seq: Seq) {
        self.retention.checkpointed(seq);
    }

    /// Adds a status to those that are shown, and returns it.
    pub fn status(&self, name: &'static str, cursor: Seq) -> Arc<Status> {
        let status = Arc::new(Status::new(name, cursor, &self.metrics));
        let mut statuses = self.statuses.lock();
        statuses.retain(|other| other.name != name);
        statuses.push(status.clone());
        status
    }

    /// Returns the status of each follower. The fold is the first.
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        self.statuses.lock().clone()
    }

    /// Adds a follower that runs itself. To be called before [`Followers::start`].
    pub fn place(&self, name: &'static str) -> Place {
        self.placed.lock().push(name);
        let known = self.cursors.all().get(name).copied().unwrap_or(self.log.bounds().last);
        let status = self.status(name, known);
        Place::new(name, status, self.cursors.clone(), self.retention.clone(), self.clock.clone())
    }

    /// Runs these followers behind the fold, each in its own thread, until the result is dropped. Retention no longer
    /// waits for the cursors of other followers.
    pub fn start(
        &self,
        feed: &Arc<Feed>,
        derived: &Arc<Derived>,
        followers: Vec<(&'static str, Make)>,
    ) -> std::io::Result<Running> {
        let mut names: Vec<_> = followers.iter().map(|(name, _)| *name).collect();
        names.extend(&*self.placed.lock());
        self.retention.only(&names);
        let mut running = Running { stop: CancellationToken::new(), threads: Vec::new() };
        for (name, make) in followers {
            let runner = Runner::new(self, name, make, feed.clone(), derived.clone());
            let (stop, runtime) = (running.stop.clone(), Handle::current());
            let work = move || runtime.block_on(runner.run(stop));
            running.threads.push(thread::Builder::new().name(name.into()).spawn(work)?);
        }
        let (retention, clock) = (self.retention.clone(), self.clock.clone());
        let updates = async move {
            loop {
                retention.update_time_limit(clock.evident_ms()).await;
                clock.sleep(RETENTION_EVERY).await;
            }
        };
        let stop = running.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(updates).await });
        Ok(running)
    }
}

/// Running followers. Dropping it stops them, and waits until each has left its present call.
pub struct Running {
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}
