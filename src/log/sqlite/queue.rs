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

/// After so many appends in one transaction the next waits a moment for as many as `COMPANY_FULL`: whoever was answered
/// last sends again now, and an fsync costs the same for sixty as for ten (PostgreSQL's `commit_delay`, with its
/// `commit_siblings`).
const COMPANY: usize = 8;
const COMPANY_FULL: usize = 64;
const COMPANY_WAIT: Duration = Duration::from_millis(1);

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
    company_wait: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// How many appends were taken last.
    taken: usize,
    /// The writer is woken when so many wait.
    awaited: usize,
    poked: bool,
    closed: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Queue {
        Queue { bytes_max, company_wait: COMPANY_WAIT, state: Mutex::default(), wake: Condvar::new() }
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
        let awaited = state.waiting.len() >= state.awaited;
        drop(state);
        if awaited {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What waits, as much as one transaction takes; waits itself up to `patience` for something.
    pub fn next(&self, patience: Duration) -> Next {
        let mut state = self.state.lock();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed && !state.poked;
        if idle(&mut state) {
            self.wake.wait_while_for(&mut state, idle, patience);
        }
        if state.taken >= COMPANY {
            state.awaited = COMPANY_FULL;
            let few = |state: &mut State| state.waiting.len() < COMPANY_FULL && !state.closed && !state.poked;
            self.wake.wait_while_for(&mut state, few, self.company_wait);
            state.awaited = 0;
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
        state.taken = batch.len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Source};

    fn push(queue: &Queue) {
        let event = NewEvent {
            id: "EV_1".into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: 1,
            kind: Kind::from("room_started"),
            room: None,
            room_sid: None,
            body: "{}".into(),
        };
        queue.push(vec![event], oneshot::channel().0).expect("room");
    }

    fn taken(next: Next) -> Option<usize> {
        if let Next::Batch(batch) = next { Some(batch.len()) } else { None }
    }

    #[test]
    fn who_comes_alone_is_not_kept_waiting_and_who_comes_in_a_crowd_comes_together() {
        let for_ever = Duration::from_secs(3600);
        let queue = Queue { company_wait: for_ever, ..Queue::new(1 << 20) };
        for _ in 0..3 {
            push(&queue);
            assert_eq!(taken(queue.next(for_ever)), Some(1));
        }
        (0..COMPANY).for_each(|_| push(&queue));
        assert_eq!(taken(queue.next(for_ever)), Some(COMPANY));
        push(&queue);
        let next = std::thread::scope(|scope| {
            let next = scope.spawn(|| queue.next(for_ever));
            while queue.state.lock().awaited == 0 && !next.is_finished() {
                std::thread::yield_now();
            }
            (1..COMPANY_FULL).for_each(|_| push(&queue));
            next.join().expect("taken")
        });
        assert_eq!(taken(next), Some(COMPANY_FULL));
        // What is to be done meanwhile does not wait for them.
        push(&queue);
        queue.poke();
        assert!(matches!(queue.next(for_ever), Next::Poked));
        queue.close();
        assert_eq!(taken(queue.next(for_ever)), Some(1));
    }
}
