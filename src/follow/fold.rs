//! The fold: log → state → derived data and feed. It is the first follower, and the only one that every event waits for.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use parking_lot::RwLock;
use tokio::runtime::Handle;

use super::{
    Followers, Phase, Status,
    restart::{Backoff, caught, message},
};
use crate::{
    clock::Clock,
    derived::{Derived, Joined, encode},
    event::{Event, Seq},
    feed::{Feed, Frame},
    log::{EventLog, LogError},
    state::{Applied, State},
};

/// Maximum number of events that one round reads.
const ROUND_EVENTS: usize = 512;
/// Maximum time that reading one event counts as part of folding it.
const READ_EVENT_MAX: Duration = Duration::from_micros(20);
/// Time until the next try to read a log that could not be read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The fold. Appends never wait for it: it reads durable events at its own speed.
pub struct Fold {
    log: Arc<dyn EventLog>,
    state: Arc<RwLock<State>>,
    derived: Arc<Derived>,
    status: Arc<Status>,
    clock: Clock,
    /// The last event whose changes were recorded.
    recorded: Seq,
}

impl Fold {
    /// Takes the state of a checkpoint. The fold first brings it to the end of the log.
    pub fn new(
        log: Arc<dyn EventLog>,
        derived: Arc<Derived>,
        mut state: State,
        followers: &Followers,
    ) -> Fold {
        let bounds = log.bounds();
        derived.log_begins(bounds.first);
        if state.head().next() < bounds.first {
            tracing::warn!(
                event.seq = bounds.first.0,
                "the state begins with the oldest event in the log; reconciliation finds what is missing"
            );
            state.skip_to(Seq(bounds.first.0 - 1));
            // Earlier states in the rest of the log are folded from here.
            derived.checkpoint(state.clone());
        }
        let recorded = state.head();
        let status = followers.status("fold", recorded);
        let state = Arc::new(RwLock::new(state));
        Fold { log, state, derived, status, clock: followers.clock.clone(), recorded }
    }

    /// Returns the state that the fold updates, for every reader.
    pub fn state(&self) -> Arc<RwLock<State>> {
        self.state.clone()
    }

    /// Starts the fold in its own thread. One round takes milliseconds; a task on the same worker of the runtime would
    /// have to wait that long.
    pub fn start(self, feed: Arc<Feed>) -> std::io::Result<FoldThread> {
        let (folding, stop) = abortable(self.run(feed));
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("fold".into()).spawn(move || {
            // The only error is that it was stopped.
            let _ = runtime.block_on(folding);
        })?;
        Ok(FoldThread { thread: Some(thread), stop })
    }

    /// Folds until the log is closed, in the task of the caller. It may be dropped at any time: the log still has every
    /// event.
    pub async fn run(mut self, feed: Arc<Feed>) {
        let mut backoff = Backoff::default();
        loop {
            self.status.enters(Phase::Running);
            let head = feed.head().seq;
            let Err(error) = caught(self.rounds(&feed)).await else { break };
            if feed.head().seq > head {
                backoff.succeeded();
            }
            self.status.failed(&format!("{error:#}"));
            tracing::error!("the fold failed and retries after a pause: {error:#}");
            self.status.enters(Phase::Waiting);
            self.clock.sleep(backoff.pause()).await;
            self.status.restarted();
        }
        self.status.enters(Phase::Stopped);
    }

    /// Continues after the last event that readers got, until the log is closed or something fails.
    async fn rounds(&mut self, feed: &Feed) -> anyhow::Result<()> {
        let mut head = feed.head().seq;
        loop {
            self.log.wait(head).await;
            let began = self.clock.running();
            let read = self.log.read(head, ROUND_EVENTS).await.and_then(|events| {
                // Retention never passes the state, so a gap is damage.
                match events.first() {
                    Some(first) if first.seq != head.next() => {
                        let what = format!("it lacks events {} to {}", head.next(), first.seq.0 - 1);
                        Err(LogError::Failed(what.into()))
                    }
                    _ => Ok(events),
                }
            });
            let events = match read {
                Ok(events) => events,
                Err(LogError::Closed) => return Ok(()),
                Err(error) => {
                    self.status.failed(&format!("the log cannot be read: {error}"));
                    tracing::error!(
                        "the log cannot be read after event {head}, and the state stays as it is: {error}. Check the disk. If log.db is damaged, restore a backup, or move it away to begin with an empty log"
                    );
                    self.clock.sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            let mut frames = Vec::with_capacity(events.len());
            // Folding an earlier state reads the events again. It reads many at once, so a round of few counts less.
            let reading = self.clock.running().saturating_sub(began);
            let mut folding = reading.min(READ_EVENT_MAX * u32::try_from(events.len()).unwrap_or(u32::MAX));
            for event in &events {
                // The state has the event before a reader gets its frame, and the derived data has it before a reader
                // can request it.
                let (changes, joined) = self.fold(event, &mut folding);
                frames.push(Arc::new(Frame::encode(feed.epoch(), event, &changes, joined.as_ref())));
                head = event.seq;
            }
            feed.publish(frames);
            self.status.moved(head);
            self.derived.note_fold(folding);
            self.after_round(head).await;
        }
    }

    /// Folds one event. Returns its changes for every reader, and those for `roomJoin` callers if they get others.
    fn fold(&mut self, event: &Event, folding: &mut Duration) -> (Bytes, Option<Joined>) {
        let mut state = self.state.write();
        let began = self.clock.running();
        // An event is restricted unless it is known that every caller may see it.
        let nothing = || Applied { restricted: true, ..Applied::default() };
        let applied = if event.seq <= state.head() {
            // It was applied before a failure, and its changes were lost.
            nothing()
        } else {
            // An event that makes the fold panic is skipped: it would panic again at every start.
            catch_unwind(AssertUnwindSafe(|| state.apply(event))).unwrap_or_else(|panic| {
                let what = message(&*panic);
                self.status.failed(&format!("event {} is skipped: {what}", event.seq));
                tracing::error!(
                    event.seq = event.seq.0,
                    "the fold skips an event, because it panicked: {what}"
                );
                state.skip_to(event.seq);
                nothing()
            })
        };
        *folding += self.clock.running().saturating_sub(began);
        drop(state);
        let recorded = encode(event, applied);
        let answer = (recorded.json.clone(), recorded.joined.clone());
        if event.seq > self.recorded {
            self.recorded = event.seq;
            self.derived.record(recorded);
        }
        answer
    }

    async fn after_round(&self, head: Seq) {
        if self.derived.checkpoint_is_due(head) {
            self.derived.log_begins(self.log.bounds().first);
            let state = self.state.read().clone();
            self.derived.checkpoint(state);
        }
        self.derived.wait_for_capacity().await;
    }
}

/// The thread of the fold. Dropping it stops the thread and waits for its end. It ends at its next await.
pub struct FoldThread {
    thread: Option<JoinHandle<()>>,
    stop: AbortHandle,
}

impl Drop for FoldThread {
    fn drop(&mut self) {
        self.stop.abort();
        if let Some(thread) = self.thread.take() {
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}
