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
/// A checkpoint is written when so much time or so many events lie behind the last one: what a start after a crash
/// folds again. Writing one costs about as much as folding a hundred thousand events.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(60);
const CHECKPOINT_EVENTS: u64 = 200_000;
/// After the log could not be read, so long until it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The loop, and what it needs. Appends never wait for it: it reads what is durable, at its own speed.
pub struct Follower {
    log: Arc<dyn EventLog>,
    state: Arc<RwLock<State>>,
    derived: Arc<Derived>,
    checkpoint_at: Instant,
    checkpoint_seq: Seq,
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
        }
        let checkpoint_seq = state.head();
        let state = Arc::new(RwLock::new(state));
        Follower { log, state, derived, checkpoint_at: Instant::now(), checkpoint_seq }
    }

    /// What the loop keeps true, for everybody to read.
    pub fn state(&self) -> Arc<RwLock<State>> {
        self.state.clone()
    }

    /// Follows the log for ever. It may be dropped at any time: what it has not done yet, the log still has.
    pub async fn follow(mut self, feed: Arc<Feed>) {
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
            for event in &events {
                // The state has it before a reader gets its frame, and the history before a reader can ask for it.
                let (changes, joined) = self.fold(event);
                frames.push(Arc::new(Frame::encode(feed.epoch(), event, &changes, joined.as_deref())));
                head = event.seq;
            }
            feed.publish(frames);
            self.after_round().await;
        }
    }

    /// The changes, as all are told of them and as callers with only `roomJoin` are.
    fn fold(&self, event: &Event) -> (Bytes, Option<Bytes>) {
        let applied = self.state.write().apply(event);
        let recorded = encode(event, applied);
        let answer = (recorded.json.clone(), recorded.joined.clone());
        self.derived.record(recorded);
        answer
    }

    async fn after_round(&mut self) {
        let head = self.state.read().head();
        let behind = head.0.saturating_sub(self.checkpoint_seq.0);
        if behind >= CHECKPOINT_EVENTS || (behind > 0 && self.checkpoint_at.elapsed() >= CHECKPOINT_AFTER) {
            (self.checkpoint_at, self.checkpoint_seq) = (Instant::now(), head);
            self.derived.log_begins(self.log.bounds().first);
            let state = self.state.read().clone();
            self.derived.checkpoint(state);
        }
        self.derived.wait_for_capacity().await;
    }
}
