//! Derives events of the log again, with a state apart from the one that readers see.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rusqlite::Connection;
use tokio::runtime::Handle;

use super::{DerivedError, Recorded, checkpoints::Ladder, encode};
use crate::{
    event::{Event, Seq},
    log::{EventLog, LogError},
    state::{Applied, State},
};

/// Maximum number of events that one step reads.
const STEP_EVENTS: u64 = 4_096;

/// The log, read from a thread that is not a worker of the runtime.
pub(super) struct Source {
    pub log: Arc<dyn EventLog>,
    pub runtime: Handle,
}

impl Source {
    pub fn read(&self, after: Seq, limit: u64) -> Result<Vec<Event>, LogError> {
        self.runtime.block_on(self.log.read(after, usize::try_from(limit).unwrap_or(usize::MAX)))
    }
}

/// A second fold.
pub(super) struct Again {
    pub state: State,
    /// True if the state has everything from before its first event.
    known: bool,
}

impl Again {
    /// Continues after `folded`: from the newest checkpoint before it, or from the first event of the log.
    pub fn new(
        connection: &Connection,
        ladder: &Ladder,
        folded: Seq,
        first: Seq,
    ) -> Result<Again, DerivedError> {
        for rung in ladder.rungs().iter().rev() {
            if rung.seq <= folded
                && rung.seq.next() >= first
                && let Some(state) = ladder.state(connection, rung.seq)?
            {
                return Ok(Again { state, known: true });
            }
        }
        let mut state = State::default();
        state.skip_to(Seq(first.0.saturating_sub(1)));
        Ok(Again { known: state.head() == Seq::ZERO, state })
    }

    /// Returns the records of the next events up to `until`. Empty if the log has none.
    pub fn next(
        &mut self,
        source: &Source,
        ladder: &Ladder,
        until: Seq,
    ) -> Result<Vec<Arc<Recorded>>, DerivedError> {
        // As far as the next checkpoint, which knows what came before the log.
        let known_at = ladder.rungs().iter().map(|rung| rung.seq).find(|seq| *seq > self.state.head());
        let until = known_at.filter(|_| !self.known).map_or(until, |seq| seq.min(until));
        let head = self.state.head();
        let events = source.read(head, until.0.saturating_sub(head.0).min(STEP_EVENTS))?;
        if events.first().is_some_and(|first| first.seq != head.next()) {
            // Retention has removed the events between.
            self.known = false;
        }
        Ok(events.iter().filter(|event| event.seq <= until).map(|event| Arc::new(self.fold(event))).collect())
    }

    fn fold(&mut self, event: &Event) -> Recorded {
        // As in the fold, an event that makes it panic is skipped.
        let applied = catch_unwind(AssertUnwindSafe(|| self.state.apply(event))).unwrap_or_else(|_| {
            self.state.skip_to(event.seq);
            Applied { restricted: true, ..Applied::default() }
        });
        encode(event, applied)
    }

    /// Takes the state of a checkpoint that has been reached, if it knows more. Returns true if it has done so.
    pub fn learn(&mut self, connection: &Connection, ladder: &Ladder) -> Result<bool, DerivedError> {
        let head = self.state.head();
        if self.known || !ladder.rungs().iter().any(|rung| rung.seq == head) {
            return Ok(false);
        }
        let Some(state) = ladder.state(connection, head)? else { return Ok(false) };
        (self.state, self.known) = (state, true);
        Ok(true)
    }
}
