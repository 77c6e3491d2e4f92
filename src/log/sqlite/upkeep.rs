//! The background work of the writer: marks, retention, merging and removing ids, and noting times.
//!
//! It runs in steps of about a millisecond, each in its own transaction. While appends wait, there is at most one step
//! between two commits.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Shared, chunks, ids::Ids, meta, times};
use crate::{clock::Believed, event::Seq, log::IDS_KEPT, store::used_bytes};

/// Interval between two marks of the newest seq, in time and in events. The second is for processes that always end
/// before the first has passed: their ids must expire too.
const MARK_EVERY: Duration = Duration::from_secs(60);
const MARK_EVENTS: u64 = 10_000;

/// Interval between two checks for work, and pause between two steps of it.
const CHECK_EVERY: Duration = Duration::from_secs(1);
const STEP_PAUSE: Duration = Duration::from_millis(10);

/// Age at which events are packed, in running time. Until then they are read more often.
const PACK_AFTER: Duration = Duration::from_secs(600);

/// Maximum work of one step. It limits bytes too, because a body may have 2,048 pages to free.
const TRIM_EVENTS: i64 = 256;
const TRIM_BYTES: u64 = 1 << 20;
const SWEEP_IDS: i64 = 1000;

/// Approximate number of bytes that a merged id writes to the WAL: its share of a page with few other merged ids.
const MERGED_BYTES: usize = 1024;

pub(super) struct Upkeep {
    shared: Arc<Shared>,
    /// Time for which earlier processes had the log open.
    before: Duration,
    /// Running time of our clock when we opened the log.
    opened: Duration,
    /// `None` until the first mark of this process.
    mark: Option<Mark>,
    swept: Seq,
    sweep: Option<Sweep>,
    due: Instant,
}

/// A mark: at the time `running`, `seq` was the newest event.
struct Mark {
    running: Duration,
    seq: Seq,
}

/// One pass over `ids`, in the order of the keys. It removes the ids of events up to `through`.
struct Sweep {
    through: Seq,
    after: Vec<u8>,
}

impl Upkeep {
    pub fn new(shared: Arc<Shared>, before: Duration, swept: Seq) -> Upkeep {
        let opened = shared.options.clock.running();
        Upkeep { shared, before, opened, mark: None, swept, sweep: None, due: Instant::now() }
    }

    pub fn due_in(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Makes the next step due soon, because there may be work.
    pub fn hurry(&mut self) {
        self.due = self.due.min(Instant::now() + STEP_PAUSE);
    }

    pub fn postpone(&mut self) {
        self.due = Instant::now() + CHECK_EVERY;
    }

    /// Runs the next step if it is due. Returns the approximate number of bytes that it wrote to the WAL.
    pub fn step(&mut self, connection: &mut Connection, ids: &mut Ids, last: Seq) -> rusqlite::Result<usize> {
        if Instant::now() < self.due {
            return Ok(0);
        }
        let running = self.running();
        let is_due = |mark: &Mark| running >= mark.running + MARK_EVERY || last.0 >= mark.seq.0 + MARK_EVENTS;
        if self.mark.as_ref().is_none_or(is_due) {
            self.mark_now(connection, last)?;
        }
        let trimmed = self.trim(connection, ids.merged(), last, running)?;
        let swept = self.sweep(connection, ids.merged(), last, running)?;
        let is_blocked = trimmed == Step::NeedsMerge || swept == Step::NeedsMerge;
        let merged = if is_blocked || ids.merge_is_due(self.shared.options.ids_max) {
            ids.merge(connection, last)?
        } else {
            0
        };
        let noted = times::note_next(connection, last)?;
        let packed = self.pack(connection, last, running)?;
        let written = trimmed.bytes() + swept.bytes() + merged * MERGED_BYTES + noted + packed;
        self.due = Instant::now() + if written > 0 { STEP_PAUSE } else { CHECK_EVERY };
        Ok(written)
    }

    fn first(&self) -> Seq {
        Seq(self.shared.first.load(Ordering::Acquire))
    }

    /// Returns the time for which all processes together have had the log open.
    fn running(&self) -> Duration {
        self.before + self.shared.options.clock.running().saturating_sub(self.opened)
    }

    /// Marks `last` as the newest event now, and stores the believed time.
    pub fn mark_now(&mut self, connection: &mut Connection, last: Seq) -> rusqlite::Result<()> {
        let running = self.running();
        let clock = &self.shared.options.clock;
        let tx = begin(connection)?;
        tx.execute(
            "INSERT INTO marks (running_ms, seq, wall_ms) VALUES (?1, ?2, ?3)
                ON CONFLICT DO UPDATE SET seq = ?2, wall_ms = ?3",
            params![running.as_millis() as i64, last.0 as i64, clock.latest_ms() as i64],
        )?;
        let Believed { unix_ms, apart_ms } = clock.believed();
        meta::set(&tx, "believed", &format!("{unix_ms} {apart_ms}"))?;
        // The newest mark before the horizon stays: it tells which events are older.
        let horizon =
            running.saturating_sub(IDS_KEPT.max(self.shared.options.retain_age.unwrap_or_default()));
        tx.execute(
            "DELETE FROM marks WHERE running_ms <
                (SELECT max(running_ms) FROM marks WHERE running_ms <= ?1)",
            [horizon.as_millis() as i64],
        )?;
        tx.commit()?;
        self.mark = Some(Mark { running, seq: last });
        Ok(())
    }

    /// Packs some of the oldest rows if they are old enough.
    fn pack(&self, connection: &mut Connection, last: Seq, running: Duration) -> rusqlite::Result<usize> {
        let old = marked(connection, running.checked_sub(PACK_AFTER))?;
        chunks::pack_next(connection, Seq(old.0.min(last.0.saturating_sub(chunks::ROWS_MIN))))
    }

    /// Removes some of the oldest events if there are more than retention allows.
    fn trim(
        &mut self,
        connection: &mut Connection,
        merged: Seq,
        last: Seq,
        running: Duration,
    ) -> rusqlite::Result<Step> {
        let too_big = self.shared.options.quota.is_exceeded(used_bytes(connection)?);
        let first = self.first();
        // The newest event always stays: a restart finds the next seq from it.
        let trimmable = Seq(self.shared.trimmable.load(Ordering::Acquire).min(last.0.saturating_sub(1)));
        if first > trimmable {
            return Ok(Step::Wrote(0));
        }
        let old = self.old(connection, running)?;
        if let Some(chunk) = chunks::oldest(connection)? {
            let is_due = chunk.last <= trimmable && (too_big || old.is_old(chunk.last, chunk.latest));
            return match is_due {
                true if chunk.last > merged => Ok(Step::NeedsMerge),
                true => self.remove(connection, first, chunk.last, 1),
                false => Ok(Step::Wrote(0)),
            };
        }

        let (mut through, mut bytes, mut pages, mut needs_merge) = (None, 0, 0, false);
        let mut select = connection.prepare_cached(
            "SELECT seq, received_at, length(body) FROM events WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = select.query(params![first.0 as i64, trimmable.0 as i64, TRIM_EVENTS])?;
        while let Some(row) = rows.next()? {
            let (seq, received_at, length): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if bytes >= TRIM_BYTES || !(too_big || old.is_old(Seq(seq as u64), received_at as u64)) {
                break;
            }
            // Until the id is merged, only the row of the event has it.
            if Seq(seq as u64) > merged {
                needs_merge = true;
                break;
            }
            bytes += length as u64;
            pages += 1;
            through = Some(Seq(seq as u64));
        }
        drop(rows);
        drop(select);
        let Some(through) = through else {
            return Ok(if needs_merge { Step::NeedsMerge } else { Step::Wrote(0) });
        };

        self.remove(connection, first, through, pages)
    }

    /// Removes the events up to `through`, which are `pages` rows.
    fn remove(
        &self,
        connection: &mut Connection,
        first: Seq,
        through: Seq,
        pages: usize,
    ) -> rusqlite::Result<Step> {
        self.shared.first.store(through.next().0, Ordering::Release);
        let mut delete = || {
            let tx = begin(connection)?;
            tx.prepare_cached("DELETE FROM chunks WHERE last <= ?1")?.execute([through.0 as i64])?;
            tx.prepare_cached("DELETE FROM events WHERE seq <= ?1")?.execute([through.0 as i64])?;
            tx.commit()
        };
        if let Err(cause) = delete() {
            self.shared.first.store(first.0, Ordering::Release);
            return Err(cause);
        }
        Ok(Step::Wrote(pages * 4096))
    }

    /// Returns the limits of retention by age.
    fn old(&self, connection: &Connection, running: Duration) -> rusqlite::Result<Old> {
        let Some(age) = self.shared.options.retain_age else {
            return Ok(Old { received_before: 0, young_after: Seq::ZERO, through: Seq::ZERO });
        };
        let before = self.shared.options.clock.evident_ms().saturating_sub(age.as_millis() as u64);
        let young_after: Option<i64> = connection
            .prepare_cached("SELECT min(seq) FROM marks WHERE wall_ms > ?1")?
            .query_row([before as i64], |row| row.get(0))?;
        Ok(Old {
            received_before: before,
            young_after: young_after.map_or(Seq(u64::MAX), |seq| Seq(seq as u64)),
            through: marked(connection, running.checked_sub(age))?,
        })
    }

    /// Removes some ids that have expired.
    ///
    /// A pass over the whole table starts when a third of it has expired. So each id is visited only a few times, however
    /// many there are, and the table is at most half as large again as needed. Seqs have no gaps, so both counts are
    /// differences of seqs.
    fn sweep(
        &mut self,
        connection: &mut Connection,
        merged: Seq,
        last: Seq,
        running: Duration,
    ) -> rusqlite::Result<Step> {
        if self.sweep.is_none() {
            let through = marked(connection, running.checked_sub(IDS_KEPT))?;
            let expired = through.0.saturating_sub(self.swept.0);
            if expired == 0 || expired < last.0.saturating_sub(through.0) / 2 {
                return Ok(Step::Wrote(0));
            }
            if through > merged {
                return Ok(Step::NeedsMerge);
            }
            self.sweep = Some(Sweep { through, after: Vec::new() });
        }
        let Some(Sweep { through, after }) = &mut self.sweep else { return Ok(Step::Wrote(0)) };
        let upper: Option<Vec<u8>> = connection
            .prepare_cached("SELECT key FROM ids WHERE key > ?1 ORDER BY key LIMIT 1 OFFSET ?2")?
            .query_row(params![*after, SWEEP_IDS - 1], |row| row.get(0))
            .optional()?;
        let tx = begin(connection)?;
        let removed = tx
            .prepare_cached("DELETE FROM ids WHERE key > ?1 AND (?2 IS NULL OR key <= ?2) AND seq <= ?3")?
            .execute(params![*after, upper, through.0 as i64])?;
        if upper.is_none() {
            meta::set(&tx, "swept", &through.to_string())?;
        }
        tx.commit()?;
        match upper {
            Some(upper) => *after = upper,
            None => {
                self.swept = *through;
                self.sweep = None;
            }
        }
        // At least one byte, which means that there may be more to do.
        Ok(Step::Wrote(removed * 64 + 1))
    }
}

/// Result of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Approximate number of bytes written to the WAL; 0 if there was nothing to do.
    Wrote(usize),
    /// Ids must be merged before it can continue.
    NeedsMerge,
}

impl Step {
    fn bytes(self) -> usize {
        match self {
            Step::Wrote(bytes) => bytes,
            Step::NeedsMerge => 0,
        }
    }
}

/// Limits of retention by age.
struct Old {
    received_before: u64,
    /// Events after this one were appended within the age, by the marks.
    young_after: Seq,
    /// Events up to this one were appended before it, by running time.
    through: Seq,
}

impl Old {
    /// Returns true if the event is old by its own time or by the marks. The marks are for clocks that were wrong: an
    /// event from a clock that was ahead would otherwise keep all later events, and one from a clock that was behind
    /// would be removed early.
    fn is_old(&self, seq: Seq, received_at: u64) -> bool {
        received_at < self.received_before && seq <= self.young_after || seq <= self.through
    }
}

/// Returns the newest seq at the time `running`, by the marks.
fn marked(connection: &Connection, running: Option<Duration>) -> rusqlite::Result<Seq> {
    let Some(running) = running else { return Ok(Seq::ZERO) };
    let mut select = connection
        .prepare_cached("SELECT seq FROM marks WHERE running_ms <= ?1 ORDER BY running_ms DESC LIMIT 1")?;
    let seq: Option<i64> = select.query_row([running.as_millis() as i64], |row| row.get(0)).optional()?;
    Ok(Seq(seq.unwrap_or(0) as u64))
}

fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}
