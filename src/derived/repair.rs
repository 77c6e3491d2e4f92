//! Rescues what can be read of a damaged file into a new one.
//!
//! The log has the newest events, and they are derived again ([`Writer`](super::writer::Writer)). Everything older is only
//! in the damaged file: its rows are copied one by one, around the pages that cannot be read. Rows that SQLite does not find
//! any more, because a page on the way to them is damaged, are read from their own [pages](super::pages). Where rows are
//! missing, the time is remembered as a gap.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter, types::Value};

mod found;

use super::{DerivedError, Gap, gaps, index, schema, usage};
use crate::store::has_table;
use found::Found;

/// Rows that are copied in one transaction.
const COPY_ROWS: usize = 1_000;
/// Maximum distance of two keys across which the next readable row is searched. A page has fewer rows.
const SKIP_MAX: i64 = 1 << 40;

/// Maximum time that the damaged file waits for queries that still read it.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// A table whose rows are copied in the order of an integer.
struct Table {
    name: &'static str,
    /// The integer. The query gets its lower bound.
    key: &'static str,
    /// Columns with their types: `i` integer, `t` text, `b` blob; a capital letter may also be null.
    columns: &'static [(&'static str, char)],
}

const SESSIONS: Table = Table {
    name: "sessions",
    key: "id",
    columns: &[
        ("id", 'i'),
        ("project", 't'),
        ("sid", 't'),
        ("room", 't'),
        ("started_at", 'i'),
        ("ended_at", 'I'),
        ("end_reason", 'T'),
        ("ended_by", 'T'),
        ("source", 't'),
        ("participants", 'i'),
        ("publishers", 'i'),
        ("peak", 'i'),
        ("recorded", 'i'),
    ],
};
const PARTICIPATIONS: Table = Table {
    name: "participations",
    key: "session",
    columns: &[
        ("session", 'i'),
        ("sid", 't'),
        ("identity", 't'),
        ("name", 't'),
        ("kind", 't'),
        ("hidden", 'i'),
        ("watcher", 'i'),
        ("counted", 'i'),
        ("restricted", 'i'),
        ("joined_at", 'i'),
        ("left_at", 'I'),
        ("left_not_before", 'I'),
        ("reason", 'T'),
        ("source", 't'),
        ("phone", 'T'),
    ],
};
const TRACKS: Table = Table {
    name: "tracks",
    key: "session",
    columns: &[
        ("session", 'i'),
        ("participant", 't'),
        ("sid", 't'),
        ("name", 't'),
        ("type", 't'),
        ("source", 't'),
        ("published_at", 'i'),
        ("unpublished_at", 'I'),
        ("unpublished_not_before", 'I'),
    ],
};
const CALLS: Table = Table {
    name: "calls",
    key: "session",
    columns: &[
        ("session", 'i'),
        ("participant", 't'),
        ("call", 'T'),
        ("number", 'T'),
        ("trunk", 'T'),
        ("trunk_number", 'T'),
        ("direction", 'T'),
        ("status", 'T'),
        ("answered", 'i'),
    ],
};
const AGENTS: Table = Table {
    name: "agents",
    key: "session",
    columns: &[("session", 'i'), ("participant", 't'), ("name", 't')],
};
const MISSES: Table = Table { name: "misses", key: "session", columns: &[("session", 'i'), ("at", 'i')] };
const EGRESS: Table = Table {
    name: "egress",
    key: "id",
    columns: &[
        ("id", 'i'),
        ("project", 't'),
        ("egress", 't'),
        ("room_sid", 'T'),
        ("ended", 'i'),
        ("updated_at_ns", 'i'),
        ("at", 'i'),
        ("json", 't'),
    ],
};
const MINUTES: Table = Table {
    name: "minutes",
    key: "minute",
    columns: &[
        ("project", 't'),
        ("minute", 'i'),
        ("rooms", 'i'),
        ("participants", 'i'),
        ("rooms_after", 'i'),
        ("participants_after", 'i'),
        ("joins", 'i'),
        ("leaves", 'i'),
    ],
};
const SESSION_VALUES: Table = Table {
    name: "session_values",
    key: "session",
    columns: &[("session", 'i'), ("dimension", 't'), ("value", 't')],
};
const USAGE: Table = Table {
    name: "usage",
    key: "day",
    columns: &[("project", 't'), ("dimension", 't'), ("value", 't'), ("day", 'i'), ("quarters", 'b')],
};
const CHECKPOINTS: Table = Table {
    name: "checkpoints",
    key: "seq",
    columns: &[("seq", 'i'), ("at", 'i'), ("work_us", 'i'), ("state", 'b')],
};
const TABLES: [&Table; 10] = [
    &SESSIONS,
    &PARTICIPATIONS,
    &TRACKS,
    &CALLS,
    &AGENTS,
    &SESSION_VALUES,
    &EGRESS,
    &MINUTES,
    &USAGE,
    &CHECKPOINTS,
];

/// Copies the checkpoints, if the old file was derived from the log with this epoch.
pub(super) fn copy_checkpoints(old: &Path, epoch: i64, to: &mut Connection) -> Result<(), DerivedError> {
    let Ok(from) = open(old) else { return Ok(()) };
    if schema::get(&from, "epoch").ok().flatten() == Some(epoch) {
        let mut copy = Copy::new(old, &from, to)?;
        copy.all(&CHECKPOINTS, None)?;
        copy.commit()?;
    }
    Ok(())
}

/// Copies the sessions and the activity, and remembers the gaps. May run again after it was interrupted.
pub(super) fn copy_history(old: &Path, to: &mut Connection) -> Result<(), DerivedError> {
    let from = match open(old) {
        Ok(from) => from,
        Err(error) => {
            tracing::error!("nothing can be read of {}: {error}", old.display());
            return Ok(());
        }
    };
    let mut copy = Copy::new(old, &from, to)?;
    copy.all(&SESSIONS, None)?;
    let sessions = copy.keys("SELECT id FROM sessions ORDER BY id")?;
    let mut tables = vec![&PARTICIPATIONS, &TRACKS];
    // A file of an earlier version does not have them.
    tables.extend(
        [&CALLS, &AGENTS, &SESSION_VALUES, &MISSES]
            .into_iter()
            .filter(|table| has_table(&from, table.name).unwrap_or(true)),
    );
    for table in tables {
        copy.of_sessions(table, &sessions)?;
    }
    copy.all(&EGRESS, None)?;
    let projects: Vec<String> = {
        let mut select = copy.to.prepare("SELECT DISTINCT project FROM sessions")?;
        select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    for project in &projects {
        copy.all(&MINUTES, Some(project))?;
    }
    if has_table(&from, USAGE.name).unwrap_or(true) {
        copy.all(&USAGE, None)?;
    }
    usage::refill(copy.to, &from)?;
    copy.join_gaps()?;
    index::refill(copy.to)?;
    copy.commit()?;
    let Copy { rows, lost, .. } = copy;
    // Not copied, because an older file does not have them.
    to.execute(schema::COUNT_NEWEST, [])?;
    tracing::warn!(
        "{rows} rows have been copied from {}; it cannot be read at {lost} places, which the history shows as gaps",
        old.display()
    );
    Ok(())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // SQLite reads the WAL of the file too, for which it must be able to write beside it.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    Ok(connection)
}

struct Copy<'a> {
    old: PathBuf,
    from: &'a Connection,
    to: &'a Connection,
    rows: u64,
    /// Places that cannot be read.
    lost: u64,
    /// The pages of each table, listed when SQLite does not find a row.
    found: Option<Found>,
}

/// Outcome of reading a part of a table.
enum Read {
    /// Everything after the given key has been read.
    End,
    /// The row after this key cannot be read.
    Broken(Option<i64>),
}

impl<'a> Copy<'a> {
    fn new(old: &Path, from: &'a Connection, to: &'a mut Connection) -> rusqlite::Result<Copy<'a>> {
        to.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Copy { old: old.to_owned(), from, to, rows: 0, lost: 0, found: None })
    }

    fn commit(&self) -> rusqlite::Result<()> {
        self.to.execute_batch("COMMIT")
    }

    fn keys(&self, sql: &str) -> rusqlite::Result<Vec<i64>> {
        self.to.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    }

    /// Copies a table, or the part of a project, in the order of its key.
    fn all(&mut self, table: &Table, project: Option<&str>) -> Result<(), DerivedError> {
        let mut after = i64::MIN;
        loop {
            let last = match self.range(table, project, after, i64::MAX, false)? {
                Read::End => return Ok(()),
                Read::Broken(last) => last.unwrap_or(after),
            };
            let next = self.next_readable(table, project, last);
            // From the other side, to the rows of the same page that can be read all the same.
            let until = next.map_or(i64::MAX, |next| next.saturating_add(1));
            self.range(table, project, last, until, true)?;
            let spans = self.copy_pages(table, project, last, next.unwrap_or(i64::MAX), |_| true)?;
            self.lost += 1;
            let (inner, mut end) = (!spans.is_empty(), last);
            for (first, last) in spans {
                self.gap(table, end, Some(first), inner)?;
                end = end.max(last);
            }
            self.gap(table, end, next, inner)?;
            match next {
                // At least one row is skipped, or this would never end.
                Some(next) => after = (next - 1).max(last.saturating_add(1)),
                None => return Ok(()),
            }
        }
    }

    /// Copies the rows of these sessions, which are ascending.
    fn of_sessions(&mut self, table: &Table, sessions: &[i64]) -> Result<(), DerivedError> {
        let mut broken = BTreeSet::new();
        for &session in sessions {
            if let Read::Broken(_) = self.range(table, None, session - 1, session + 1, false)? {
                self.range(table, None, session - 1, session + 1, true)?;
                broken.insert(session);
            }
        }
        if broken.is_empty() {
            return Ok(());
        }
        let spans = self.copy_pages(table, None, i64::MIN, i64::MAX, |session| broken.contains(&session))?;
        self.lost += 1;
        // The first and the last session of a page may have more rows, on a page that cannot be read.
        for (first, last) in spans {
            let whole: Vec<i64> =
                broken.range(first..last).copied().filter(|session| *session > first).collect();
            for session in whole {
                broken.remove(&session);
            }
        }
        // One gap for sessions that follow each other.
        for run in sessions.chunk_by(|a, b| broken.contains(a) && broken.contains(b)) {
            if let ([first, ..], Some(last)) = (run, run.last())
                && broken.contains(first)
            {
                self.to.execute(
                    "INSERT INTO gaps SELECT min(started_at), max(coalesce(ended_at, started_at + 1)) FROM sessions
                     WHERE id BETWEEN ?1 AND ?2",
                    [first, last],
                )?;
            }
        }
        Ok(())
    }

    /// Copies the rows between two keys from their pages, without the pages above them. Returns the first and the last key of
    /// each page that has all rows between these, ascending.
    fn copy_pages(
        &mut self,
        table: &Table,
        project: Option<&str>,
        after: i64,
        before: i64,
        wanted: impl Fn(i64) -> bool,
    ) -> Result<Vec<(i64, i64)>, DerivedError> {
        let found = match self.found.take() {
            Some(found) => found,
            None => Found::of(self.from, self.to, &self.old)?,
        };
        let mut spans = Vec::new();
        let numbers = found.of.get(table.name).into_iter().flatten();
        for page in numbers.filter(|page| page.max > after && page.min < before) {
            let Some((rows, leaf)) = found.rows(table, page.number) else { continue };
            let rows = rows.into_iter().filter(|(key, values)| {
                let of_project =
                    project.is_none_or(|project| values.first().is_some_and(|first| is(first, project)));
                *key > after && *key < before && of_project
            });
            let mut span: Option<(i64, i64)> = None;
            for (key, values) in rows {
                span = Some((span.map_or(key, |(first, _)| first), key));
                if wanted(key) {
                    self.insert(table, values)?;
                }
            }
            spans.extend(span.filter(|_| leaf));
        }
        self.found = Some(found);
        spans.sort_unstable();
        Ok(spans)
    }

    fn insert(&mut self, table: &Table, values: Vec<Value>) -> Result<(), DerivedError> {
        let list = table.list();
        let marks = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT OR IGNORE INTO {} ({list}) VALUES ({marks})", table.name);
        let new = self.to.prepare_cached(&sql)?.execute(params_from_iter(values))?;
        self.rows += new as u64;
        if new > 0 && self.rows.is_multiple_of(COPY_ROWS as u64) {
            self.to.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        }
        Ok(())
    }

    /// Copies the rows between two keys, from one end, until a row cannot be read.
    fn range(
        &mut self,
        table: &Table,
        project: Option<&str>,
        after: i64,
        before: i64,
        backwards: bool,
    ) -> Result<Read, DerivedError> {
        let Table { name, key, columns } = table;
        let list = table.list();
        let of_project = if project.is_some() { "project = ?3 AND" } else { "?3 IS NULL AND" };
        let order = if backwards { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT {list} FROM {name} NOT INDEXED WHERE {of_project} {key} > ?1 AND {key} < ?2 ORDER BY {key} {order}"
        );
        let at = columns.iter().position(|(column, _)| column == key).unwrap_or(0);
        let mut last = None;
        let Ok(mut select) = self.from.prepare_cached(&sql) else { return Ok(Read::Broken(None)) };
        let Ok(mut rows) = select.query(params![after, before, project]) else {
            return Ok(Read::Broken(None));
        };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Read::End),
                Err(_) => return Ok(Read::Broken(last)),
            };
            let values = columns.iter().enumerate().map(|(n, (_, kind))| value(row.get(n), *kind));
            let Some(values) = values.collect::<Option<Vec<_>>>() else {
                self.lost += 1;
                continue;
            };
            if let Value::Integer(key) = values[at] {
                last = Some(key);
            }
            self.insert(table, values)?;
        }
    }

    /// Returns the key of the first row after `last` behind which rows can be read: first in steps that double, and then
    /// exactly.
    fn next_readable(&self, table: &Table, project: Option<&str>, last: i64) -> Option<i64> {
        let Table { name, key, columns } = table;
        // The whole row: a part of it may be on another page.
        let list = table.list();
        let at = columns.iter().position(|(column, _)| column == key)?;
        let of_project = if project.is_some() { "project = ?2 AND" } else { "?2 IS NULL AND" };
        let sql = format!(
            "SELECT {list} FROM {name} NOT INDEXED WHERE {of_project} {key} >= ?1 ORDER BY {key} LIMIT 1"
        );
        let mut select = self.from.prepare(&sql).ok()?;
        let mut read = |from: i64| select.query_row(params![from, project], |row| row.get(at)).optional();
        let (mut low, mut step) = (last.saturating_add(1).max(0), 1);
        let mut found = loop {
            match read(low.saturating_add(step)) {
                Ok(found) => break found,
                Err(_) if step < SKIP_MAX => step *= 2,
                Err(_) => return None,
            }
        };
        let mut high = low.saturating_add(step);
        while low < high {
            let middle = low + (high - low) / 2;
            match read(middle) {
                Ok(better) => (found, high) = (better, middle),
                Err(_) => low = middle + 1,
            }
        }
        found
    }

    /// Remembers that rows between two keys are missing, with their times, or the times around them. If only rows between
    /// others are missing, the ends of the table are whole (`inner`).
    fn gap(&mut self, table: &Table, last: i64, next: Option<i64>, inner: bool) -> Result<(), DerivedError> {
        if next.is_some_and(|next| next <= last.saturating_add(1)) {
            return Ok(());
        }
        if table.name == "sessions" {
            // An index has the times of the sessions too.
            let sql = "SELECT min(started_at), max(coalesce(ended_at, started_at)) FROM sessions INDEXED BY sessions_started
                WHERE id > ?1 AND id < ?2";
            let times = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let lost = self.from.query_row(sql, params![last, next.unwrap_or(i64::MAX)], times);
            if let Ok(lost) = lost {
                let lost: (Option<i64>, Option<i64>) = lost;
                if let (Some(from), Some(to)) = lost {
                    self.to.execute("INSERT INTO gaps VALUES (?1, ?2)", [from.min(to), from.max(to)])?;
                }
                return Ok(());
            }
        }
        if inner && (last < 0 || next.is_none()) {
            return Ok(());
        }
        let time = |key: i64| -> rusqlite::Result<Option<i64>> {
            let sql = match table.name {
                "minutes" => return Ok(Some(key.saturating_mul(60_000))),
                "usage" => return Ok(Some(key.saturating_mul(usage::DAY_MS))),
                "sessions" => "SELECT started_at FROM sessions WHERE id = ?1",
                "egress" => "SELECT at FROM egress WHERE id = ?1",
                _ => return Ok(None),
            };
            self.to.query_row(sql, [key], |row| row.get(0)).optional()
        };
        let from = if last < 0 { Some(0) } else { time(last)? };
        let to = next.map_or(Ok(Some(i64::MAX)), time)?;
        if let (Some(from), Some(to)) = (from, to) {
            self.to.execute("INSERT INTO gaps VALUES (?1, ?2)", [from.min(to), from.max(to)])?;
        }
        Ok(())
    }

    /// Makes one gap of those that overlap.
    fn join_gaps(&self) -> rusqlite::Result<()> {
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for Gap { from, to } in gaps(self.to)? {
            match joined.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => joined.push((from, to)),
            }
        }
        self.to.execute("DELETE FROM gaps", [])?;
        for gap in joined {
            self.to.execute("INSERT INTO gaps VALUES (?1, ?2)", <[i64; 2]>::from(gap))?;
        }
        Ok(())
    }
}

impl Table {
    fn list(&self) -> String {
        self.columns.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ")
    }
}

fn is(value: &Value, text: &str) -> bool {
    matches!(value, Value::Text(value) if value == text)
}

/// Returns the value if it has the type of its column. A damaged page may hold anything.
fn value(value: rusqlite::Result<Value>, kind: char) -> Option<Value> {
    let value = value.ok()?;
    let fits = match (&value, kind.to_ascii_lowercase()) {
        (Value::Null, _) => kind.is_ascii_uppercase(),
        (Value::Integer(_), 'i') | (Value::Text(_), 't') | (Value::Blob(_), 'b') => true,
        _ => false,
    };
    fits.then_some(value)
}
