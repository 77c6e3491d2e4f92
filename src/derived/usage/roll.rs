//! Writes the rows of usage: what the writer does behind the events.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::{
    DAY_MS, DerivedError, QUARTER_MS,
    dimension::{Dimension, fingerprint},
    measures::Day,
    quarter,
    sweep::{self, Group, Sweep},
};
use crate::derived::{
    packed::{pack, unpack},
    schema::{get, put},
};

/// Time for which usage is kept.
const KEPT_MS: i64 = 2 * 366 * DAY_MS;
/// Maximum time by which news of an earlier time moves the beginning of the usage.
const EARLIER_MS_MAX: i64 = 31 * DAY_MS;

/// The quarters that are counted, as times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// The first quarter, and the end of the last one.
    pub from: i64,
    pub until: i64,
    /// Quarters between the two that must be counted again: disjoint, ascending, with their ends.
    pub again: Vec<(i64, i64)>,
    /// Quarters before this are complete: their sessions may be gone.
    pub sealed: i64,
}

impl Counted {
    pub fn beginning(first: i64) -> Counted {
        Counted { from: first, until: first, again: Vec::new(), sealed: i64::MIN }
    }

    /// Reads it. `None` if nothing is counted yet.
    pub fn read(connection: &Connection) -> rusqlite::Result<Option<Counted>> {
        let (Some(until), Some(from)) = (get(connection, "usage_until")?, get(connection, "usage_from")?)
        else {
            return Ok(None);
        };
        let sealed = get(connection, "usage_sealed")?.unwrap_or(i64::MIN);
        let mut select = connection.prepare_cached("SELECT lo, hi FROM usage_changed ORDER BY lo")?;
        let mut rows = select.query([])?;
        // A time from before the history may be wrong, so it moves the beginning by a limited time only.
        let until = until.max(sealed).max(from - EARLIER_MS_MAX);
        let mut again: Vec<(i64, i64)> = Vec::new();
        while let Some(row) = rows.next()? {
            let (lo, hi): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (lo, hi) =
                (quarter(lo).max(sealed).max(from - EARLIER_MS_MAX), (quarter(hi) + QUARTER_MS).min(until));
            match again.last_mut() {
                _ if lo >= hi => {}
                Some(last) if lo <= last.1 => last.1 = last.1.max(hi),
                _ => again.push((lo, hi)),
            }
        }
        let first = again.first().map_or(until, |first| first.0);
        Ok(Some(Counted { from: from.min(until).min(first), until, again, sealed }))
    }

    /// Writes it, within a transaction that read it.
    fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute("DELETE FROM usage_changed", [])?;
        for (lo, hi) in &self.again {
            connection.execute("INSERT INTO usage_changed VALUES (?1, ?2)", params![lo, hi - 1])?;
        }
        put(connection, "usage_from", self.from)?;
        put(connection, "usage_until", self.until)
    }

    /// Returns the next quarters to count, within one day, or `None` if those before `now` are counted.
    fn next(&self, now: i64) -> Option<(i64, i64)> {
        let (from, to) = self.again.first().copied().unwrap_or((self.until, quarter(now)));
        let day_ends = (from.div_euclid(DAY_MS) + 1) * DAY_MS;
        (from < to).then_some((from, to.min(day_ends)))
    }

    /// Takes note that these quarters, which [`Counted::next`] gave, are counted.
    fn done(&mut self, to: i64) {
        match self.again.first_mut() {
            Some(first) if first.1 == to => drop(self.again.remove(0)),
            Some(first) => first.0 = to,
            None => self.until = to,
        }
    }
}

/// Returns true if [`roll`] has something to do.
pub(in super::super) fn has_work(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    Ok(match Counted::read(connection)? {
        Some(counted) => counted.next(now).is_some(),
        None => sweep::first(connection)?.is_some_and(|first| quarter(first) < quarter(now)),
    })
}

/// Counts the next quarters that have passed, at most those of a day. Returns false when all are counted.
pub(in super::super) fn roll(
    connection: &mut Connection,
    dimensions: &[Dimension],
    now: i64,
) -> Result<bool, DerivedError> {
    let transaction = connection.transaction()?;
    let Some(mut counted) = begin(&transaction, dimensions)? else { return Ok(false) };
    let Some((from, to)) = counted.next(now) else {
        transaction.commit()?;
        return Ok(false);
    };
    let edges: Vec<i64> = (from / QUARTER_MS..=to / QUARTER_MS).map(|n| n * QUARTER_MS).collect();
    // An open stay counts until the end of each quarter.
    let groups = Sweep::run(&transaction, dimensions, &edges, i64::MAX, usize::MAX)?;
    let day = from.div_euclid(DAY_MS);
    let mut days = days_of(&transaction, day)?;
    for group in groups.keys() {
        days.entry(group.clone()).or_default();
    }
    let first = ((from - day * DAY_MS) / QUARTER_MS) as usize;
    for (group, mut quarters) in days {
        let count = edges.len() - 1;
        match groups.get(&group) {
            Some(measures) => quarters.0[first..first + count].copy_from_slice(measures),
            None => quarters.0[first..first + count].fill(Default::default()),
        }
        put_day(&transaction, &group, day, &quarters)?;
    }
    counted.done(to);
    counted.write(&transaction)?;
    transaction.commit()?;
    Ok(counted.next(now).is_some())
}

/// Reads how far the quarters are counted. Begins with the first session, and again if the dimensions are others.
fn begin(connection: &Connection, dimensions: &[Dimension]) -> rusqlite::Result<Option<Counted>> {
    let counted = match Counted::read(connection)? {
        Some(counted) => Some(counted),
        None => sweep::first(connection)?.map(|first| Counted::beginning(quarter(first))),
    };
    let Some(mut counted) = counted else { return Ok(None) };
    let print = fingerprint(dimensions);
    if get(connection, "usage_dimensions")? != Some(print) {
        counted.until = counted.from.max(counted.sealed);
        counted.again.clear();
        put(connection, "usage_dimensions", print)?;
    }
    counted.write(connection)?;
    Ok(Some(counted))
}

fn days_of(connection: &Connection, day: i64) -> rusqlite::Result<BTreeMap<Group, Day>> {
    let mut select =
        connection.prepare_cached("SELECT project, dimension, value, quarters FROM usage WHERE day = ?1")?;
    let rows = select.query_map([day], |row| {
        let packed = unpack(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?).unwrap_or_default();
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?), Day::unpack(day, &packed).unwrap_or_default()))
    })?;
    rows.collect()
}

fn put_day(connection: &Connection, group: &Group, day: i64, quarters: &Day) -> rusqlite::Result<()> {
    let (project, dimension, value) = group;
    if quarters.is_empty() {
        let sql = "DELETE FROM usage WHERE project = ?1 AND dimension = ?2 AND value = ?3 AND day = ?4";
        connection.prepare_cached(sql)?.execute(params![project, dimension, value, day])?;
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO usage VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.execute(params![
        project,
        dimension,
        value,
        day,
        pack(&quarters.pack(day))?
    ])?;
    Ok(())
}

/// Returns true if retention has sessions to remove that ended before a time.
pub(in super::super) fn is_removed(connection: &Connection, before: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE ended_at < ?1) OR EXISTS (SELECT 1 FROM egress WHERE at < ?1)";
    connection.prepare_cached(sql)?.query_row([before], |row| row.get(0))
}

/// Counts what is missing before a time whose sessions are about to be removed, and closes it for changes.
pub(in super::super) fn seal(
    connection: &mut Connection,
    dimensions: &[Dimension],
    before: i64,
) -> Result<(), DerivedError> {
    let before = quarter(before + QUARTER_MS - 1);
    while roll(connection, dimensions, before)? {}
    let transaction = connection.transaction()?;
    if let Some(mut counted) = Counted::read(&transaction)?
        && before > counted.sealed
    {
        counted.until = counted.until.max(before);
        counted.again.retain(|(_, to)| *to > before);
        put(&transaction, "usage_sealed", before)?;
        counted.write(&transaction)?;
    }
    Ok(transaction.commit()?)
}

/// Removes usage that is older than it is kept.
pub(in super::super) fn forget_old(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let before = (now - KEPT_MS).div_euclid(DAY_MS);
    if connection.prepare_cached("DELETE FROM usage WHERE day < ?1")?.execute([before])? > 0 {
        put(connection, "usage_from", before * DAY_MS)?;
    }
    Ok(())
}

/// Takes note that the rows of what happened after a time are removed, and come again.
pub(in super::super) fn forget_after(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM session_values WHERE session NOT IN (SELECT id FROM sessions)", [])?;
    connection.execute("INSERT INTO usage_touch VALUES (?1, 9223372036854775807)", [from])?;
    Ok(())
}

/// Takes note that rows have been copied from a damaged file: what is not sealed is counted again.
pub(in super::super) fn refill(connection: &Connection, from: &Connection) -> rusqlite::Result<()> {
    let of = |key: &str| get(from, key).ok().flatten();
    let Some(first) = of("usage_from") else { return Ok(()) };
    let sealed = of("usage_sealed");
    let dimensions = of("usage_dimensions");
    for (key, value) in [("usage_sealed", sealed), ("usage_dimensions", dimensions)] {
        if let Some(value) = value {
            put(connection, key, value)?;
        }
    }
    put(connection, "usage_from", first)?;
    put(connection, "usage_until", sealed.unwrap_or(first))?;
    connection.execute_batch(
        "INSERT OR IGNORE INTO usage_values SELECT DISTINCT s.project, v.dimension, v.value
         FROM session_values v JOIN sessions s ON s.id = v.session WHERE v.value <> 'other'",
    )
}
