//! Everything that acts on events: the fold, and the followers behind it.
//!
//! ```text
//! log ─▶ fold ─▶ state, derived data, feed          one thread, on the way of every event
//!          │
//!          ├─▶ follower ─▶ its effects, its cursor   one thread each, at its own pace
//!          └─▶ …
//! ```
//!
//! A follower reads events that are durable and folded, in batches. A slow or broken one holds up
//! neither the fold nor another follower: it has no queue, only a cursor, and reads the log. After an
//! error or a panic it is made anew, later each time. `/metrics` and `/readyz?verbose` show each one.
//!
//! **At least once.** The cursor is stored after the effect, at most once in [`CURSOR_EVERY`]. So after
//! a crash some events come again, and none is left out: effects must be idempotent.
//!
//! **Retention** never passes the checkpoint of the state. It waits for followers too, within limits:
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
mod encode;
mod fold;
mod restart;
pub mod retention;
mod run;
mod status;

pub use encode::encode;
pub use fold::{Fold, FoldThread};
pub use status::{Phase, Status};

use cursors::Cursors;
use retention::Retention;
use run::Runner;

/// Events in a batch.
const BATCH_EVENTS: usize = 256;
/// A cursor is stored this long after it moved, with all that happened since, and when its follower stops. A commit
/// for each batch would compete with those of the log.
pub const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// How often the time part of [`retention`] is looked at.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// One event and what it changed.
#[derive(Clone, Debug)]
pub struct Folded {
    pub event: Event,
    /// None where the derived data has been lost: what the event changed is not known.
    pub changes: Option<Changes>,
}

/// Something that acts on events. See [`self`].
pub trait Follower: Send {
    /// Acts on the next events. `events` is empty when only [`Follower::wakes_in`] has passed.
    ///
    /// Returns once the effects are durable, or no longer needed: the cursor then moves behind `events`.
    /// The same events may come again, so the effects must be idempotent. After an error this follower is
    /// dropped, and one that is made anew gets the events from its cursor on.
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Retention has removed the events from `from` to `to`, and the follower never gets them. What depends
    /// on them has to be found in another way.
    fn gap(&mut self, from: Seq, to: Seq) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Returns when `apply` is to be called although no event has come. It is asked after each call.
    fn wakes_in(&self) -> Option<Duration> {
        None
    }
}

/// Makes a follower, at the start and after each failure.
pub type Make = Box<dyn Fn() -> Box<dyn Follower> + Send>;

/// The followers of one node, and the fold as the first of them.
pub struct Followers {
    log: Arc<dyn EventLog>,
    clock: Clock,
    metrics: Arc<Metrics>,
    cursors: Arc<Cursors>,
    retention: Arc<Retention>,
    statuses: Mutex<Vec<Arc<Status>>>,
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
        Ok(Arc::new(Followers { log, clock, metrics, cursors, retention, statuses: Mutex::default() }))
    }

    /// Takes over that a checkpoint of everything up to `seq` is durable.
    pub fn checkpointed(&self, seq: Seq) {
        self.retention.checkpointed(seq);
    }

    /// Returns a new status that is shown with the others.
    pub fn status(&self, name: &'static str, cursor: Seq) -> Arc<Status> {
        let status = Arc::new(Status::new(name, cursor, &self.metrics));
        let mut statuses = self.statuses.lock();
        statuses.retain(|other| other.name != name);
        statuses.push(status.clone());
        status
    }

    /// Returns how each follower is doing. The fold is the first.
    pub fn statuses(&self) -> Vec<Arc<Status>> {
        self.statuses.lock().clone()
    }

    /// Runs these followers behind the fold, each in its own thread, until the answer is dropped. Cursors of
    /// followers that are not among them are forgotten.
    pub fn start(
        &self,
        feed: &Arc<Feed>,
        derived: &Arc<Derived>,
        followers: Vec<(&'static str, Make)>,
    ) -> std::io::Result<Running> {
        let names: Vec<_> = followers.iter().map(|(name, _)| *name).collect();
        self.retention.only(&names);
        let mut running = Running { stop: CancellationToken::new(), threads: Vec::new() };
        for (name, make) in followers {
            let runner = Runner::new(self, name, make, feed.clone(), derived.clone());
            let (stop, runtime) = (running.stop.clone(), Handle::current());
            let work = move || runtime.block_on(runner.run(stop));
            running.threads.push(thread::Builder::new().name(name.into()).spawn(work)?);
        }
        let (retention, clock) = (self.retention.clone(), self.clock.clone());
        let looking = async move {
            loop {
                retention.look_at_time(clock.unix_ms()).await;
                clock.sleep(RETENTION_EVERY).await;
            }
        };
        let stop = running.stop.clone();
        tokio::spawn(async move { stop.run_until_cancelled(looking).await });
        Ok(running)
    }
}

/// Followers that run. Dropping it stops them and waits for the call that each is in to be given up.
pub struct Running {
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}
