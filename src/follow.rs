//! The one loop: log → state → history and feed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::RwLock;

mod encode;

pub use encode::encode;

use crate::{
    derived::Derived,
    event::{Event, Seq},
    feed::{Feed, Frame},
    log::{EventLog, LogError},
    state::State,
};

/// How many events one round reads.
const ROUND_EVENTS: usize = 512;
/// After the log could not be read, so long until it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The loop, and what it needs. Appends never wait for it: it reads what is durable, at its own speed.
pub struct Follower {
    log: Arc<dyn EventLog>,
    state: Arc<RwLock<State>>,
    derived: Arc<Derived>,
}

impl Follower {
    /// `state` is as a checkpoint had it; the loop brings it to the end of the log first.
    pub fn new(log: Arc<dyn EventLog>, derived: Arc<Derived>, mut state: State) -> Follower {
        let bounds = log.bounds();
        derived.log_begins(bounds.first);
        if state.head().next() < bounds.first {
            tracing::warn!(
                event.seq = bounds.first.0,
                "the state begins with the oldest event that is kept: what it misses, reconciliation finds"
            );
            state.skip_to(Seq(bounds.first.0 - 1));
            // The states of what is left of the log are folded from here.
            derived.checkpoint(state.clone());
        }
        let state = Arc::new(RwLock::new(state));
        Follower { log, state, derived }
    }

    /// What the loop keeps true, for everybody to read.
    pub fn state(&self) -> Arc<RwLock<State>> {
        self.state.clone()
    }

    /// Follows the log for ever. It may be dropped at any time: what it has not done yet, the log still has.
    pub async fn follow(self, feed: Arc<Feed>) {
        let mut head = self.state.read().head();
        loop {
            self.log.wait(head).await;
            let events = match self.log.read(head, ROUND_EVENTS).await {
                Ok(events) => events,
                Err(LogError::Closed) => return,
                Err(error) => {
                    tracing::error!("the log cannot be read: {error}");
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
            };
            let mut frames = Vec::with_capacity(events.len());
            let mut folding = Duration::ZERO;
            for event in &events {
                // The state has it before a reader gets its frame, and the history before a reader can ask for it.
                let (changes, joined) = self.fold(event, &mut folding);
                frames.push(Arc::new(Frame::encode(feed.epoch(), event, &changes, joined.as_deref())));
                head = event.seq;
            }
            feed.publish(frames);
            self.derived.note_fold(folding);
            self.after_round(head).await;
        }
    }

    /// The changes, as all are told of them and as callers with only `roomJoin` are.
    fn fold(&self, event: &Event, folding: &mut Duration) -> (Bytes, Option<Bytes>) {
        let mut state = self.state.write();
        let began = Instant::now();
        let applied = state.apply(event);
        *folding += began.elapsed();
        drop(state);
        let recorded = encode(event, applied);
        let answer = (recorded.json.clone(), recorded.joined.clone());
        self.derived.record(recorded);
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
