//! The state at one moment: now, or as it was at a cursor or a time.
//!
//! An earlier state is folded from the checkpoint before it and the events after that checkpoint. If the log no longer
//! has those events, or if there are too many to fold, the nearest checkpoint is the answer, with its own time.

use std::{collections::VecDeque, ops::Deref, str::FromStr, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::{runtime::Handle, sync::Semaphore};

use crate::{
    derived::{Around, Derived, DerivedError, Rung, checkpoints::FOLD_MAX},
    event::{Cursor, Seq},
    feed::Feed,
    log::{EventLog, LogError},
    state::State,
};

/// Maximum number of earlier states that are folded at the same time. Each takes a core.
const FOLDING_MAX: usize = 2;
/// Maximum number of requests that wait for that. More are refused.
const WAITING_MAX: usize = 32;
/// Maximum number of earlier states kept in memory. A user who moves through time asks for the next one soon.
const RECENT_MAX: usize = 4;
/// Maximum number of events that one step of folding reads from the log.
const STEP_EVENTS: usize = 4_096;
/// Estimated time of folding above which the nearest checkpoint is the answer. Checkpoints are spaced by measured times,
/// which vary.
const FOLD_ESTIMATE_MAX: Duration = FOLD_MAX.saturating_mul(2);

/// A moment of the past, as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the event of this cursor.
    Cursor(Cursor),
    /// After the last event received by this time, in unix milliseconds.
    Time(u64),
}

/// The text is neither a time nor a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Moment, NoMoment> {
        let time = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        time.map(Moment::Time).or_else(|| text.parse().ok().map(Moment::Cursor)).ok_or(NoMoment)
    }
}

/// Reason why there is no state of a moment.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is older than every state that is kept, or than what the caller may see.
    #[error("the state of that moment is not kept")]
    Expired,
    #[error("the cursor belongs to another log")]
    UnknownEpoch,
    #[error("the cursor is ahead of the log")]
    Ahead,
    #[error("too many requests for earlier states are waiting")]
    Busy,
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Derived(#[from] DerivedError),
    #[error("cannot fold an earlier state: {0}")]
    Failed(String),
}

/// The state at one moment.
pub struct Snapshot {
    /// The last event that is certainly in it.
    pub cursor: Cursor,
    /// Time of the state: when the last event in it was received, in unix milliseconds. `None` before the first event.
    pub at: Option<u64>,
    /// False if this is not the state of the moment itself, but the nearest one that is kept.
    pub exact: bool,
    state: Held,
}

enum Held {
    Now(Arc<RwLock<State>>),
    Then(Arc<State>),
}

impl Snapshot {
    /// Returns true if this is the present state, which changes with each event.
    pub fn is_live(&self) -> bool {
        matches!(self.state, Held::Now(_))
    }

    /// Reads the state. For the present state this holds a lock, and the fold waits for it.
    pub fn read(&self) -> Reading<'_> {
        match &self.state {
            Held::Now(state) => Reading::Now(state.read()),
            Held::Then(state) => Reading::Then(state),
        }
    }
}

/// A state that is being read.
pub enum Reading<'a> {
    Now(RwLockReadGuard<'a, State>),
    Then(&'a State),
}

impl Deref for Reading<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        match self {
            Reading::Now(state) => state,
            Reading::Then(state) => state,
        }
    }
}

/// Makes snapshots.
pub struct Snapshots {
    log: Arc<dyn EventLog>,
    derived: Arc<Derived>,
    state: Arc<RwLock<State>>,
    feed: Arc<Feed>,
    folding: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Earlier states, the most recently used one last.
    recent: Mutex<VecDeque<Arc<State>>>,
}

/// Plan to make the state of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// The checkpoint to begin with. `None` is the empty state before the first event.
    base: Option<Seq>,
    /// The last event to fold.
    until: Seq,
    exact: bool,
}

impl Snapshots {
    pub fn new(
        log: Arc<dyn EventLog>,
        derived: Arc<Derived>,
        state: Arc<RwLock<State>>,
        feed: Arc<Feed>,
    ) -> Snapshots {
        Snapshots {
            log,
            derived,
            state,
            feed,
            folding: Arc::new(Semaphore::new(FOLDING_MAX)),
            waiting: Arc::new(Semaphore::new(FOLDING_MAX + WAITING_MAX)),
            recent: Mutex::default(),
        }
    }

    /// Returns the present state.
    pub fn now(&self) -> Snapshot {
        // The cursor first: events that only the state has come again on the stream, and change nothing there.
        let cursor = self.feed.head();
        let at = time(&self.state.read());
        Snapshot { cursor, at, exact: true, state: Held::Now(self.state.clone()) }
    }

    /// Returns the state of a moment, or the nearest one that is kept. `earliest` is the first event that the caller may
    /// see, if its rights limit that. A state without this event is expired.
    pub async fn at(&self, moment: Moment, earliest: Option<Seq>) -> Result<Snapshot, SnapshotError> {
        let mut attempt = 0;
        loop {
            let plan = self.plan(moment).await?;
            if earliest.is_some_and(|earliest| plan.until < earliest) {
                return Err(SnapshotError::Expired);
            }
            match self.state_of(plan).await? {
                Some(state) => {
                    let (cursor, at) = (self.feed.cursor(plan.until), time(&state));
                    return Ok(Snapshot { cursor, at, exact: plan.exact, state: Held::Then(state) });
                }
                // Retention has removed the checkpoint or the events meanwhile. Plan again.
                None if attempt < 2 => attempt += 1,
                None => return Err(SnapshotError::Expired),
            }
        }
    }

    async fn plan(&self, moment: Moment) -> Result<Plan, SnapshotError> {
        let head = self.feed.head();
        let until = match moment {
            Moment::Cursor(cursor) if cursor.epoch != head.epoch => return Err(SnapshotError::UnknownEpoch),
            Moment::Cursor(cursor) if cursor.seq > head.seq => return Err(SnapshotError::Ahead),
            Moment::Cursor(cursor) => Some(cursor.seq),
            Moment::Time(time) => self.log.seek(time).await?.map(|seq| seq.min(head.seq)),
        };
        let around = match (until, moment) {
            (Some(until), _) => self.derived.around_event(until).await?,
            (None, Moment::Time(time)) => self.derived.around_time(time).await?,
            (None, Moment::Cursor(_)) => return Err(SnapshotError::Expired),
        };
        choose(moment, until, around, self.log.bounds().first).ok_or(SnapshotError::Expired)
    }

    /// Makes the state of a plan. Returns `None` if the checkpoint or the events have been removed.
    async fn state_of(&self, plan: Plan) -> Result<Option<Arc<State>>, SnapshotError> {
        if let Some(state) = self.recently(plan.until) {
            return Ok(Some(state));
        }
        {
            let live = self.state.read();
            if live.head() == plan.until {
                return Ok(Some(Arc::new(live.clone())));
            }
        }
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| SnapshotError::Busy)?;
        let folding = self.folding.clone().acquire_owned().await.map_err(|_| SnapshotError::Busy)?;
        // Another request may have made the state while this one waited.
        if let Some(state) = self.recently(plan.until) {
            return Ok(Some(state));
        }
        let state = match (self.nearest(plan), plan.base) {
            (Some(state), _) => State::clone(&state),
            (None, None) => State::default(),
            (None, Some(base)) => match self.derived.restore(base).await? {
                Some(state) => state,
                None => return Ok(None),
            },
        };
        let (log, runtime) = (self.log.clone(), Handle::current());
        let folded = tokio::task::spawn_blocking(move || {
            // Held until the end of the work, which goes on if the caller has gone.
            let _permits = (waiting, folding);
            runtime.block_on(fold(&*log, state, plan.until))
        });
        let folded = folded.await.map_err(|error| SnapshotError::Failed(error.to_string()))??;
        Ok(folded.map(|state| {
            let state = Arc::new(state);
            let mut recent = self.recent.lock();
            recent.push_back(state.clone());
            if recent.len() > RECENT_MAX {
                recent.pop_front();
            }
            state
        }))
    }

    /// Returns the state after this event if it was made recently.
    fn recently(&self, seq: Seq) -> Option<Arc<State>> {
        let mut recent = self.recent.lock();
        let found = recent.iter().position(|state| state.head() == seq)?;
        let state = recent.remove(found)?;
        recent.push_back(state.clone());
        Some(state)
    }

    /// Returns the recent state from which the fewest events must be folded, if there is one after the plan's
    /// checkpoint.
    fn nearest(&self, plan: Plan) -> Option<Arc<State>> {
        let range = plan.base.unwrap_or(Seq::ZERO)..=plan.until;
        let recent = self.recent.lock();
        recent.iter().filter(|state| range.contains(&state.head())).max_by_key(|state| state.head()).cloned()
    }
}

fn time(state: &State) -> Option<u64> {
    Some(state.time()).filter(|time| *time > 0)
}

/// Plans how the state after `until` is made. The log begins with `first`; `until` is `None` for a time before that.
/// Returns `None` if no state that old is kept.
fn choose(moment: Moment, until: Option<Seq>, around: Around, first: Seq) -> Option<Plan> {
    let Around { below, above } = around;
    let exact = |base: Option<Rung>, until| Plan { base: base.map(|rung| rung.seq), until, exact: true };
    let base = below.map_or(Seq::ZERO, |rung| rung.seq);
    // The log has every event after the base.
    let complete = base.next() >= first;
    match (until, below) {
        (Some(until), _) if until == base && (complete || below.is_some()) => {
            return Some(exact(below, until));
        }
        (Some(until), _) if complete && estimate(below, above, until) <= FOLD_ESTIMATE_MAX => {
            return Some(exact(below, until));
        }
        (None, Some(below)) if complete => return Some(exact(Some(below), below.seq)),
        // Older than the first event, or than the oldest state that is kept.
        (None, None) => return None,
        (_, None) if !complete => return None,
        _ => {}
    }
    let nearest = match (below, above) {
        (Some(below), Some(above)) => {
            let (before, after) = match (moment, until) {
                (Moment::Time(time), _) => (time.abs_diff(below.at), above.at.abs_diff(time)),
                (_, until) => {
                    let until = until.unwrap_or(below.seq).0;
                    (until.abs_diff(below.seq.0), above.seq.0.abs_diff(until))
                }
            };
            if before <= after { below } else { above }
        }
        (below, above) => below.or(above)?,
    };
    Some(Plan { base: Some(nearest.seq), until: nearest.seq, exact: false })
}

/// Estimates the time of folding from `below` to `until`, as a part of the time measured between both checkpoints.
fn estimate(below: Option<Rung>, above: Option<Rung>, until: Seq) -> Duration {
    // There are never more events after the newest checkpoint than one checkpoint covers.
    let Some(above) = above else { return Duration::ZERO };
    let (from, work) = below.map_or((Seq::ZERO, Duration::ZERO), |below| (below.seq, below.work));
    let part = (until.0 - from.0) as f64 / (above.seq.0 - from.0).max(1) as f64;
    above.work.saturating_sub(work).mul_f64(part)
}

/// Folds the events up to `until`. Returns `None` if the log no longer has all of them.
async fn fold(log: &dyn EventLog, mut state: State, until: Seq) -> Result<Option<State>, SnapshotError> {
    while state.head() < until {
        let left = usize::try_from(until.0 - state.head().0).unwrap_or(usize::MAX);
        let events = log.read(state.head(), left.min(STEP_EVENTS)).await?;
        if events.first().is_none_or(|first| first.seq != state.head().next()) {
            return Ok(None);
        }
        for event in &events {
            state.apply(event);
        }
    }
    Ok(Some(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Epoch;

    fn rung(seq: u64, at: u64, work_ms: u64) -> Option<Rung> {
        Some(Rung::new(Seq(seq), at, Duration::from_millis(work_ms)))
    }

    fn cursor(seq: u64) -> Moment {
        Moment::Cursor(Cursor { epoch: Epoch(1), seq: Seq(seq) })
    }

    #[test]
    fn a_moment_is_a_time_or_a_cursor() {
        assert_eq!("1787486406123".parse(), Ok(Moment::Time(1_787_486_406_123)));
        assert_eq!("00000001-7".parse(), Ok(cursor(7)));
        for junk in ["", "now", "-5", "+5", "5.5", "00000001-", "18446744073709551616"] {
            assert_eq!(junk.parse::<Moment>(), Err(NoMoment), "{junk}");
        }
    }

    #[test]
    fn a_state_is_folded_if_the_log_has_its_events_and_is_the_nearest_one_otherwise() {
        let plan =
            |base: Option<u64>, until, exact| Some(Plan { base: base.map(Seq), until: Seq(until), exact });
        let between = || Around { below: rung(100, 1_000, 50), above: rung(200, 2_000, 150) };
        let at =
            |moment, until: Option<u64>, around, first| choose(moment, until.map(Seq), around, Seq(first));
        // The log has it.
        assert_eq!(at(cursor(150), Some(150), between(), 1), plan(Some(100), 150, true));
        assert_eq!(at(cursor(150), Some(150), between(), 101), plan(Some(100), 150, true));
        assert_eq!(at(Moment::Time(1_500), Some(150), between(), 1), plan(Some(100), 150, true));
        // From the beginning, and after the newest.
        let first = Around { below: None, above: rung(200, 2_000, 150) };
        assert_eq!(at(cursor(150), Some(150), first, 1), plan(None, 150, true));
        assert_eq!(at(cursor(0), Some(0), first, 1), plan(None, 0, true));
        let newest = Around { below: rung(200, 2_000, 150), above: None };
        assert_eq!(at(cursor(250), Some(250), newest, 120), plan(Some(200), 250, true));
        // The log has lost some of it.
        assert_eq!(at(cursor(140), Some(140), between(), 102), plan(Some(100), 100, false));
        assert_eq!(at(cursor(160), Some(160), between(), 102), plan(Some(200), 200, false));
        assert_eq!(at(cursor(100), Some(100), between(), 150), plan(Some(100), 100, true));
        assert_eq!(at(Moment::Time(1_400), None, between(), 150), plan(Some(100), 100, false));
        assert_eq!(at(Moment::Time(1_600), None, between(), 150), plan(Some(200), 200, false));
        // No event came between the checkpoint and the first event of the log.
        assert_eq!(at(Moment::Time(1_400), None, between(), 101), plan(Some(100), 100, true));
        // Nothing that old is kept.
        assert_eq!(at(cursor(10), Some(10), first, 5), None);
        assert_eq!(at(Moment::Time(10), None, first, 5), None);
        assert_eq!(at(Moment::Time(10), None, first, 1), None);
        // Too much to be folded.
        let far = Around { below: rung(100, 1_000, 0), above: rung(200, 2_000, 10_000) };
        assert_eq!(at(cursor(103), Some(103), far, 1), plan(Some(100), 103, true));
        assert_eq!(at(cursor(120), Some(120), far, 1), plan(Some(100), 100, false));
        assert_eq!(at(cursor(180), Some(180), far, 1), plan(Some(200), 200, false));
    }
}
