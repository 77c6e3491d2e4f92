//! The newest events in memory, for readers that follow the log.

use std::collections::VecDeque;

use parking_lot::RwLock;

use super::READ_BYTES_MAX;
use crate::event::{Event, Seq};

/// Approximate memory of an event without its body.
const EVENT_BYTES: usize = 256;

/// A run of events without gaps, bounded by bytes. It ends with the newest durable event.
///
/// A read from it needs no thread switch and no SQL. `cargo bench --bench log` compares it with the same read from the
/// file.
pub(super) struct Tail {
    bytes_max: usize,
    run: RwLock<Run>,
}

#[derive(Default)]
struct Run {
    events: VecDeque<Event>,
    bytes: usize,
}

impl Tail {
    pub fn new(bytes_max: usize) -> Tail {
        Tail { bytes_max, run: RwLock::default() }
    }

    pub fn push(&self, events: Vec<Event>) {
        let mut run = self.run.write();
        for event in events {
            run.bytes += event.body.len() + EVENT_BYTES;
            run.events.push_back(event);
        }
        while run.bytes > self.bytes_max {
            let Some(event) = run.events.pop_front() else { break };
            run.bytes -= event.body.len() + EVENT_BYTES;
        }
    }

    /// Removes all events. After a failure the file may have events that were never pushed here.
    pub fn clear(&self) {
        *self.run.write() = Run::default();
    }

    /// Returns up to `limit` events after `after`, or `None` if the first of them is not in memory.
    pub fn read(&self, after: Seq, limit: usize) -> Option<Vec<Event>> {
        let run = self.run.read();
        let oldest = run.events.front()?.seq;
        let skip = usize::try_from(after.next().0.checked_sub(oldest.0)?).ok()?;
        if skip >= run.events.len() {
            return None;
        }
        let mut bytes = 0;
        let within = run.events.range(skip..).take(limit).take_while(|event| {
            let fits = bytes == 0 || bytes + event.body.len() <= READ_BYTES_MAX;
            bytes += event.body.len();
            fits
        });
        Some(within.cloned().collect())
    }
}
