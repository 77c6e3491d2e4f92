//! The queue of appends, bounded by bytes.

use std::{collections::VecDeque, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{Appended, LogError};
use crate::event::{NewEvent, Seq};

/// Maximum number of events and bytes in one transaction (a single append may be larger). It keeps the time between an
/// append and its fsync short, and the WAL too.
const BATCH_EVENTS_MAX: usize = 4096;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Group commit under load. If the last transaction had at least `SIBLINGS` appends, the next one waits up to
/// `COMMIT_DELAY` for `SIBLINGS_FULL` of them: the senders that were just answered send again now, and an fsync costs the
/// same for sixty appends as for ten. PostgreSQL's `commit_siblings` and `commit_delay` do the same.
const SIBLINGS: usize = 8;
const SIBLINGS_FULL: usize = 64;
const COMMIT_DELAY: Duration = Duration::from_millis(1);

/// Approximate memory of an event in the queue without its body.
const EVENT_BYTES: usize = 256;

pub(super) type Answer = oneshot::Sender<Result<Vec<Appended>, LogError>>;

/// The work of the writer with the events of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// Stores those with a new id at the next seqs.
    Append,
    /// Stores all of them, at the seqs from this one on, unless they are stored already.
    Copy(Seq),
    /// Stores nothing, and answers where their ids were appended before.
    Find,
}

/// One entry of the queue.
pub(super) struct Waiting {
    pub work: Work,
    pub events: Vec<NewEvent>,
    pub answer: Answer,
    bytes: usize,
}

pub(super) enum Next {
    /// At least one append.
    Batch(Vec<Waiting>),
    /// [`Queue::poke`] was called.
    Poked,
    /// No append came in time.
    Idle,
    /// The queue is closed and empty.
    Closed,
}

pub(super) struct Queue {
    bytes_max: usize,
    commit_delay: Duration,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Number of appends in the last batch.
    taken: usize,
    /// Number of waiting appends at which the writer is woken.
    awaited: usize,
    poked: bool,
    closed: bool,
}

impl Queue {
    pub fn new(bytes_max: usize) -> Queue {
        Queue { bytes_max, commit_delay: COMMIT_DELAY, state: Mutex::default(), wake: Condvar::new() }
    }

    pub fn push(&self, work: Work, events: Vec<NewEvent>, answer: Answer) -> Result<(), LogError> {
        let bytes = events.iter().map(|event| event.body.len() + EVENT_BYTES).sum();
        let mut state = self.state.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        // An empty queue takes any append: a retry of one over the limit would otherwise never succeed.
        if state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            return Err(LogError::Busy(self.bytes_max));
        }
        state.bytes += bytes;
        state.waiting.push_back(Waiting { work, events, answer, bytes });
        let awaited = state.waiting.len() >= state.awaited;
        drop(state);
        if awaited {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Returns the appends of the next transaction. Waits up to `time_max` for the first one.
    pub fn next(&self, time_max: Duration) -> Next {
        let mut state = self.state.lock();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed && !state.poked;
        if idle(&mut state) {
            self.wake.wait_while_for(&mut state, idle, time_max);
        }
        if state.taken >= SIBLINGS {
            state.awaited = SIBLINGS_FULL;
            let few =
                |state: &mut State| state.waiting.len() < SIBLINGS_FULL && !state.closed && !state.poked;
            self.wake.wait_while_for(&mut state, few, self.commit_delay);
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

    /// Wakes the writer for upkeep, because retention may remove more.
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
        queue.push(Work::Append, vec![event], oneshot::channel().0).expect("capacity");
    }

    fn taken(next: Next) -> Option<usize> {
        if let Next::Batch(batch) = next { Some(batch.len()) } else { None }
    }

    #[test]
    fn a_single_append_does_not_wait_and_many_are_committed_together() {
        let long = Duration::from_secs(3600);
        let queue = Queue { commit_delay: long, ..Queue::new(1 << 20) };
        for _ in 0..3 {
            push(&queue);
            assert_eq!(taken(queue.next(long)), Some(1));
        }
        (0..SIBLINGS).for_each(|_| push(&queue));
        assert_eq!(taken(queue.next(long)), Some(SIBLINGS));
        push(&queue);
        let next = std::thread::scope(|scope| {
            let next = scope.spawn(|| queue.next(long));
            while queue.state.lock().awaited == 0 && !next.is_finished() {
                std::thread::yield_now();
            }
            (1..SIBLINGS_FULL).for_each(|_| push(&queue));
            next.join().expect("taken")
        });
        assert_eq!(taken(next), Some(SIBLINGS_FULL));
        // A poke and a close end the wait.
        push(&queue);
        queue.poke();
        assert!(matches!(queue.next(long), Next::Poked));
        queue.close();
        assert_eq!(taken(queue.next(long)), Some(1));
    }
}
