//! The ladder of checkpoints: from one of them and the events after it, the state of any time can be folded.
//!
//! As long as the log has the events between two checkpoints, folding them takes at most [`FOLD_MAX`]. After they have
//! been removed, only the states of the checkpoints themselves are left: one an hour for a day, one a day for a month,
//! and one a week before that.

use std::{collections::HashSet, time::Duration};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Derived, DerivedError,
    packed::{pack, unpack},
};
use crate::{
    event::Seq,
    state::{CheckpointError, State},
};

/// Maximum time for reading and folding the events between two neighbours, as measured when they were first folded. One
/// request for an earlier state takes at most as much.
pub const FOLD_MAX: Duration = Duration::from_millis(200);
/// Time of reading and folding after which a checkpoint is due. It is less than [`FOLD_MAX`], because a whole round of
/// events is folded before the check.
const DUE_WORK: Duration = Duration::from_millis(150);
/// Time after which a checkpoint is due if any event was folded: the log removes only events that a checkpoint covers.
const DUE_AFTER: Duration = Duration::from_secs(60);
/// Maximum number of checkpoints that wait to be written. If there are more, the newest replaces the one before it: the
/// fold never waits for a checkpoint.
const PENDING_MAX: usize = 4;
/// Maximum bytes of all checkpoints in the file. Beyond it checkpoints are removed, old ones first.
const LADDER_BYTES_MAX: u64 = 256 << 20;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// One checkpoint in the file, without its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Last event in the state.
    pub seq: Seq,
    /// Time of the state: the newest `received_at` in unix milliseconds. 0 if the state has no event.
    pub at: u64,
    /// Time that reading and folding has taken from the first event to this one.
    pub work: Duration,
    bytes: u64,
}

#[cfg(test)]
impl Rung {
    pub fn new(seq: Seq, at: u64, work: Duration) -> Rung {
        Rung { seq, at, work, bytes: 1_000 }
    }
}

/// The checkpoints around a position in the log.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The newest checkpoint that is not later than the position.
    pub below: Option<Rung>,
    /// The oldest checkpoint after `below`.
    pub above: Option<Rung>,
}

/// A checkpoint that waits to be written.
pub(super) struct Pending {
    pub state: State,
    work: Duration,
}

/// Decides when a checkpoint is due.
pub(super) struct Pace {
    work: Duration,
    last_work: Duration,
    last_seq: Seq,
    /// Running time of the clock.
    last_at: Duration,
}

impl Pace {
    /// Continues from the restored checkpoint.
    pub fn new(head: Seq, work: Duration, now: Duration) -> Pace {
        Pace { work, last_work: work, last_seq: head, last_at: now }
    }

    pub fn add(&mut self, work: Duration) {
        self.work += work;
    }

    pub fn is_due(&self, head: Seq, now: Duration) -> bool {
        head > self.last_seq
            && (self.work - self.last_work >= DUE_WORK || now.saturating_sub(self.last_at) >= DUE_AFTER)
    }

    pub fn take(&mut self, state: State, now: Duration) -> Pending {
        (self.last_work, self.last_seq, self.last_at) = (self.work, state.head(), now);
        Pending { state, work: self.work }
    }
}

/// Adds a checkpoint to those that wait to be written.
pub(super) fn push(pending: &mut std::collections::VecDeque<Pending>, next: Pending) {
    if pending.len() >= PENDING_MAX {
        pending.pop_back();
    }
    pending.push_back(next);
}

/// The checkpoints in the file, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder(Vec<Rung>);

impl Ladder {
    pub fn read(connection: &Connection) -> rusqlite::Result<Ladder> {
        let mut select = connection.prepare(&format!("SELECT {RUNG} FROM checkpoints ORDER BY seq"))?;
        let rungs = select.query_map([], rung)?;
        Ok(Ladder(rungs.collect::<Result<_, _>>()?))
    }

    pub fn rungs(&self) -> &[Rung] {
        &self.0
    }

    /// Returns the state of a checkpoint, or `None` if its bytes do not make one.
    pub fn state(&self, connection: &Connection, seq: Seq) -> rusqlite::Result<Option<State>> {
        Ok(read(connection, seq)?.and_then(Result::ok))
    }

    pub fn newest(&self) -> Option<&Rung> {
        self.0.last()
    }

    /// Restores the newest state that can be read, and removes those that cannot. The log begins with `log_first`: a
    /// start cannot continue from an older state with a gap after it.
    pub fn restore(&mut self, connection: &Connection, log_first: Seq) -> rusqlite::Result<Option<State>> {
        let mut newest = true;
        while let Some(rung) = self.0.last().filter(|rung| newest || rung.seq.next() >= log_first) {
            match read(connection, rung.seq)? {
                Some(Ok(state)) => return Ok(Some(state)),
                Some(Err(error)) => {
                    tracing::warn!(event.seq = rung.seq.0, "a checkpoint is not used: {error}")
                }
                None => {}
            }
            connection.execute("DELETE FROM checkpoints WHERE seq = ?1", [rung.seq.0 as i64])?;
            self.0.pop();
            newest = false;
        }
        Ok(None)
    }

    /// Writes a checkpoint, and removes those that are no longer needed. The caller commits, and only then uses the
    /// returned ladder.
    pub fn write(
        &self,
        connection: &Connection,
        encoded: &Encoded,
        log_first: Seq,
    ) -> rusqlite::Result<Ladder> {
        let Encoded { rung, bytes } = encoded;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO checkpoints (seq, at, work_us, state) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![rung.seq.0 as i64, rung.at as i64, rung.work.as_micros() as i64, bytes])?;
        let mut ladder = self.clone();
        ladder.0.retain(|other| other.seq != rung.seq);
        ladder.0.push(*rung);
        let mut delete = connection.prepare_cached("DELETE FROM checkpoints WHERE seq = ?1")?;
        for seq in ladder.thin(log_first, LADDER_BYTES_MAX) {
            delete.execute([seq.0 as i64])?;
        }
        Ok(ladder)
    }

    /// Removes checkpoints before `time` from which no event of the log is folded. The newest always stays.
    pub fn forget_before(
        &mut self,
        connection: &Connection,
        time: u64,
        log_first: Seq,
    ) -> rusqlite::Result<()> {
        while let [oldest, _, ..] = self.0[..]
            && oldest.at < time
            && oldest.seq.next() < log_first
        {
            connection.execute("DELETE FROM checkpoints WHERE seq = ?1", [oldest.seq.0 as i64])?;
            self.0.remove(0);
        }
        Ok(())
    }

    /// Removes checkpoints that are no longer needed, and returns their seqs.
    fn thin(&mut self, log_first: Seq, bytes_max: u64) -> Vec<Seq> {
        let Some(newest) = self.0.last().copied() else { return Vec::new() };
        let age = |rung: &Rung| newest.at.saturating_sub(rung.at);
        // The log has every event after it.
        let serves = |rung: &Rung| rung.seq.next() >= log_first;
        let mut removed = Vec::new();
        let mut n = 1;
        while n + 1 < self.0.len() {
            let (before, rung, after) = (self.0[n - 1], self.0[n], self.0[n + 1]);
            let folded_from = serves(&rung) && (!serves(&before) || after.work - before.work > FOLD_MAX);
            let step = match age(&rung) {
                ..=DAY_MS => HOUR_MS,
                age if age <= 31 * DAY_MS => DAY_MS,
                _ => 7 * DAY_MS,
            };
            if folded_from || after.at - before.at > step {
                n += 1;
            } else {
                removed.push(self.0.remove(n).seq);
            }
        }
        while self.0.len() > 1 && self.0.iter().map(|rung| rung.bytes).sum::<u64>() > bytes_max {
            // Remove the one that leaves the smallest gap for its age. Of two, only the newest stays.
            let gap = |n: &usize| {
                let (before, rung, after) = (self.0[*n - 1], self.0[*n], self.0[*n + 1]);
                (after.at - before.at) as f64 / age(&rung).max(1) as f64
            };
            let least = (1..self.0.len() - 1).min_by(|a, b| gap(a).total_cmp(&gap(b))).unwrap_or(0);
            removed.push(self.0.remove(least).seq);
        }
        removed
    }
}

/// A checkpoint, encoded for the file.
pub(super) struct Encoded {
    rung: Rung,
    bytes: Vec<u8>,
}

impl Pending {
    /// Encodes the state as compressed JSON.
    pub fn encode(&self) -> rusqlite::Result<Encoded> {
        let bytes = pack(&self.state.checkpoint())?;
        let (seq, at) = (self.state.head(), self.state.time());
        Ok(Encoded { rung: Rung { seq, at, work: self.work, bytes: bytes.len() as u64 }, bytes })
    }
}

fn decode(bytes: &[u8]) -> Result<State, CheckpointError> {
    // Version 3 of the file has the JSON without compression.
    if bytes.starts_with(b"{") {
        return State::restore(bytes);
    }
    State::restore(&unpack(bytes)?)
}

const RUNG: &str = "seq, at, work_us, length(state)";

fn rung(row: &Row) -> rusqlite::Result<Rung> {
    Ok(Rung {
        seq: Seq(row.get::<_, i64>(0)? as u64),
        at: row.get::<_, i64>(1)? as u64,
        work: Duration::from_micros(row.get::<_, i64>(2)? as u64),
        bytes: row.get::<_, i64>(3)? as u64,
    })
}

fn read(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Result<State, CheckpointError>>> {
    let mut select = connection.prepare_cached("SELECT state FROM checkpoints WHERE seq = ?1")?;
    select.query_row([seq.0 as i64], |row| Ok(decode(row.get_ref(0)?.as_blob()?))).optional()
}

impl Derived {
    /// Adds time of folding. It decides how far checkpoints are apart.
    pub fn note_fold(&self, took: Duration) {
        self.shared.pace.lock().add(took);
    }

    /// Returns true if a checkpoint is due, after `head` has been folded.
    pub fn checkpoint_is_due(&self, head: Seq) -> bool {
        self.shared.pace.lock().is_due(head, self.shared.options.clock.running())
    }

    /// Queues a checkpoint. It is written after all events that were recorded before. Never blocks.
    pub fn checkpoint(&self, state: State) {
        if state.head() == Seq::ZERO {
            return;
        }
        let pending = self.shared.pace.lock().take(state, self.shared.options.clock.running());
        push(&mut self.shared.waiting.lock().checkpoints, pending);
        self.shared.work.notify_one();
    }

    /// Returns the checkpoints around an event.
    pub async fn around_event(&self, seq: Seq) -> Result<Around, DerivedError> {
        self.around("seq", seq.0 as i64).await
    }

    /// Returns the checkpoints around a time in unix milliseconds.
    pub async fn around_time(&self, unix_ms: u64) -> Result<Around, DerivedError> {
        self.around("at", i64::try_from(unix_ms).unwrap_or(i64::MAX)).await
    }

    async fn around(&self, column: &'static str, place: i64) -> Result<Around, DerivedError> {
        self.read(move |connection| {
            // A state without an event has no time.
            let sql = format!(
                "SELECT {RUNG} FROM checkpoints WHERE {column} <= ?1 AND (at > 0 OR '{column}' = 'seq') ORDER BY seq DESC LIMIT 1"
            );
            let below = connection.prepare_cached(&sql)?.query_row([place], rung).optional()?;
            let after = below.map_or(0, |below| below.seq.0 as i64);
            let sql = format!("SELECT {RUNG} FROM checkpoints WHERE seq > ?1 AND at > 0 ORDER BY seq LIMIT 1");
            let above = connection.prepare_cached(&sql)?.query_row([after], rung).optional()?;
            Ok(Around { below, above })
        })
        .await
    }

    /// Returns the state of a checkpoint, or `None` if it has been removed.
    pub async fn restore(&self, seq: Seq) -> Result<Option<State>, DerivedError> {
        self.read(move |connection| Ok(read(connection, seq)?.transpose()?)).await
    }

    /// Returns the sids of the restricted participants of a session, by their last known state.
    pub async fn restricted(&self, project: &str, session: &str) -> Result<HashSet<String>, DerivedError> {
        let (project, session) = (project.to_owned(), session.to_owned());
        self.ask(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT p.sid FROM participations p JOIN sessions s ON s.id = p.session
                 WHERE s.sid = ?1 AND s.project = ?2 AND p.restricted",
            )?;
            let sids = select.query_map([session, project], |row| row.get(0))?;
            Ok(sids.collect::<Result<_, _>>()?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(seq: u64, at: u64, work_ms: u64) -> Rung {
        Rung::new(Seq(seq), at, Duration::from_millis(work_ms))
    }

    fn seqs(ladder: &Ladder) -> Vec<u64> {
        ladder.0.iter().map(|rung| rung.seq.0).collect()
    }

    /// Returns the ladder after these checkpoints.
    fn climbed(rungs: impl IntoIterator<Item = Rung>, log_first: u64, bytes_max: u64) -> Ladder {
        let mut ladder = Ladder::default();
        for rung in rungs {
            ladder.0.push(rung);
            ladder.thin(Seq(log_first), bytes_max);
        }
        ladder
    }

    #[test]
    fn the_events_between_two_checkpoints_are_folded_in_time_while_the_log_has_them() {
        // A day with 10,000 events each minute, which take 70 ms.
        let minutes = (1..=1_440).map(|n| rung(n * 10_000, n * 60_000, n * 70));
        let ladder = climbed(minutes, 1, u64::MAX);
        for pair in ladder.0.windows(2) {
            assert!(pair[1].work - pair[0].work <= FOLD_MAX, "{pair:?}");
        }
        assert!(ladder.0.len() < 1_440, "no more than necessary: {}", ladder.0.len());
    }

    #[test]
    fn a_quiet_log_has_a_checkpoint_an_hour_and_then_one_a_day() {
        let minutes = (1..=10 * 1_440).map(|n| rung(n, n * 60_000, 0));
        let ladder = climbed(minutes, 1, u64::MAX);
        let newest = *ladder.newest().expect("the newest");
        for pair in ladder.0.windows(2) {
            let gap = pair[1].at - pair[0].at;
            let max = if newest.at - pair[0].at > DAY_MS + HOUR_MS { DAY_MS } else { HOUR_MS };
            assert!(gap <= max, "{pair:?}");
        }
        assert!(ladder.0.len() < 24 * 2 + 10 * 2 + 2, "{}", ladder.0.len());
    }

    #[test]
    fn the_checkpoint_before_the_first_event_of_the_log_stays() {
        let rungs = || (1..=100).map(|n| rung(n * 100, n * 1_000, n));
        let mut ladder = Ladder(rungs().collect());
        ladder.thin(Seq(5_001), u64::MAX);
        assert!(seqs(&ladder).contains(&5_000), "{:?}", seqs(&ladder));
        // Before the first event of the log only the steps of time count, and all of these are within a minute.
        assert_eq!(seqs(&ladder).iter().filter(|seq| **seq < 5_000).count(), 1);
    }

    #[test]
    fn beyond_the_limit_of_bytes_the_oldest_are_removed_first() {
        let minutes = (1..=1_000).map(|n| rung(n, n * 60_000, n * 1_000));
        let ladder = climbed(minutes, 1, 20_000);
        assert_eq!(ladder.0.len(), 20);
        let gap = |n: usize| ladder.0[n + 1].at - ladder.0[n].at;
        assert!(gap(0) > 10 * gap(18), "sparser with age: {:?}", seqs(&ladder));
        assert_eq!(ladder.newest().map(|rung| rung.seq), Some(Seq(1_000)));
        // One that is too large by itself stays: a start needs it.
        let ladder = climbed((1..=5).map(|n| rung(n, n, n)), 1, 10);
        assert_eq!(seqs(&ladder), [5]);
    }

    #[test]
    fn a_checkpoint_is_due_by_work_or_time_and_not_without_an_event() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let mut pace = Pace::new(Seq(10), Duration::from_secs(5), second);
        assert!(!pace.is_due(Seq(11), second));
        pace.add(DUE_WORK);
        assert!(pace.is_due(Seq(11), second) && !pace.is_due(Seq(10), second));
        let mut state = State::default();
        state.skip_to(Seq(11));
        let pending = pace.take(state, second);
        assert_eq!(pending.work, Duration::from_secs(5) + DUE_WORK);
        assert!(!pace.is_due(Seq(12), minute));
        assert!(pace.is_due(Seq(12), second + minute) && !pace.is_due(Seq(11), second + minute));
    }
}
