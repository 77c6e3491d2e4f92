//! What waits to be written, bounded by bytes.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Appended, LogError};
use crate::event::NewEvent;

/// One transaction takes at most this many events and bytes (a single append may be larger): the
/// time between an append and its fsync stays short, and so does the WAL.
const BATCH_EVENTS_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What an event costs beside its body: its other fields and its place in the queue.
const EVENT_BYTES: usize = 256;

pub(super) type Answer = oneshot::Sender<Result<Vec<Appended>, LogError>>;

/// One call of `append`, waiting.
pub(super) struct Waiting {
    pub events: Vec<NewEvent>,
    pub answer: Answer,
    bytes: usize,
}

pub(super) enum Next {
    /// At least one append.
    Batch(Vec<Waiting>),
    /// Somebody called [`Queue::poke`].
    Poked,
    /// Nothing came in time.
    Idle,
    /// Closed, and everything that waited has been taken.
    Closed,
}

pub(super) struct Queue {
    bytes_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    poked: bool,
    closed: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Queue {
        Queue { bytes_max, state: Mutex::default(), wake: Condvar::new() }
    }

    pub fn push(&self, events: Vec<NewEvent>, answer: Answer) -> Result<(), LogError> {
        let bytes = events.iter().map(|event| event.body.len() + EVENT_BYTES).sum();
        let mut state = self.state.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        // An append that alone is over the limit would otherwise be refused for ever.
        if state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            return Err(LogError::Busy(self.bytes_max));
        }
        state.bytes += bytes;
        state.waiting.push_back(Waiting { events, answer, bytes });
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    /// What waits, as much as one transaction takes; waits itself up to `patience` for something.
    pub fn next(&self, patience: Duration) -> Next {
        let mut state = self.state.lock();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed && !state.poked;
        if idle(&mut state) {
            self.wake.wait_while_for(&mut state, idle, patience);
        }
        if std::mem::take(&mut state.poked) {
            return Next::Poked;
        }
        let (mut events, mut bytes, mut batch) = (0, 0, Vec::new());
        while let Some(next) = state.waiting.front() {
            events += next.events.len();
            bytes += next.bytes;
            if !batch.is_empty() && (events > BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX) {
                break;
            }
            let Some(next) = state.waiting.pop_front() else { break };
            state.bytes -= next.bytes;
            batch.push(next);
        }
        match (batch.is_empty(), state.closed) {
            (false, _) => Next::Batch(batch),
            (true, true) => Next::Closed,
            (true, false) => Next::Idle,
        }
    }

    /// Lets the writer look after retention now.
    pub fn poke(&self) {
        self.state.lock().poked = true;
        self.wake.notify_one();
    }

    pub fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }
}
