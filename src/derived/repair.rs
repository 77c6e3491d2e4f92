//! Rescues what can be read of a damaged file into a new one.
//!
//! The log has the newest events, and they are derived again ([`Writer`](super::writer::Writer)). Everything older is only
//! in the damaged file: its rows are copied one by one, around the pages that cannot be read. Where rows are missing, the
//! time is remembered as a gap.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter, types::Value};

use super::{DerivedError, index, schema, usage};
use crate::store::has_table;

/// Rows that are copied in one transaction.
const COPY_ROWS: usize = 1_000;
/// Maximum distance of two keys across which the next readable row is searched. A page has fewer rows.
const SKIP_MAX: i64 = 1 << 40;

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

/// Copies the checkpoints, if the old file was derived from the log with this epoch.
pub(super) fn copy_checkpoints(old: &Path, epoch: i64, to: &mut Connection) -> Result<(), DerivedError> {
    let Ok(from) = open(old) else { return Ok(()) };
    if schema::get(&from, "epoch").ok().flatten() == Some(epoch) {
        let mut copy = Copy::new(&from, to)?;
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
    let mut copy = Copy::new(&from, to)?;
    copy.all(&SESSIONS, None)?;
    let sessions = copy.keys("SELECT id FROM sessions ORDER BY id")?;
    let mut tables = vec![&PARTICIPATIONS, &TRACKS];
    // A file of an earlier version does not have them.
    tables.extend(
        [&CALLS, &AGENTS, &SESSION_VALUES, &MISSES]
            .into_iter()
            .filter(|table| has_table(&from, table.name).unwrap_or(true)),
    );
    for session in sessions {
        for table in &tables {
            copy.one(table, session)?;
        }
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
    Connection::open_with_flags(path, flags)
}

struct Copy<'a> {
    from: &'a Connection,
    to: &'a Connection,
    rows: u64,
    /// Places that cannot be read.
    lost: u64,
}

/// Outcome of reading a part of a table.
enum Read {
    /// Everything after the given key has been read.
    End,
    /// The row after this key cannot be read.
    Broken(Option<i64>),
}

impl<'a> Copy<'a> {
    fn new(from: &'a Connection, to: &'a mut Connection) -> rusqlite::Result<Copy<'a>> {
        to.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Copy { from, to, rows: 0, lost: 0 })
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
            let until = next.unwrap_or(i64::MAX);
            self.range(table, project, last, until, true)?;
            self.gap(table, last, next)?;
            match next {
                // At least one row is skipped, or this would never end.
                Some(next) => after = (next - 1).max(last.saturating_add(1)),
                None => return Ok(()),
            }
        }
    }

    /// Copies the rows of one session.
    fn one(&mut self, table: &Table, session: i64) -> Result<(), DerivedError> {
        if let Read::Broken(_) = self.range(table, None, session - 1, session + 1, false)? {
            self.range(table, None, session - 1, session + 1, true)?;
            self.lost += 1;
            self.to.execute(
                "INSERT INTO gaps SELECT started_at, coalesce(ended_at, started_at) FROM sessions WHERE id = ?1",
                [session],
            )?;
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
        let list = columns.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; columns.len()].join(", ");
        let of_project = if project.is_some() { "project = ?3 AND" } else { "?3 IS NULL AND" };
        let order = if backwards { "DESC" } else { "ASC" };
        let sql = format!(
            "SELECT {list} FROM {name} NOT INDEXED WHERE {of_project} {key} > ?1 AND {key} < ?2 ORDER BY {key} {order}"
        );
        let at = columns.iter().position(|(column, _)| column == key).unwrap_or(0);
        let mut last = None;
        let insert = format!("INSERT OR IGNORE INTO {name} ({list}) VALUES ({marks})");
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
            self.to.prepare_cached(&insert)?.execute(params_from_iter(values))?;
            self.rows += 1;
            if self.rows.is_multiple_of(COPY_ROWS as u64) {
                self.to.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
            }
        }
    }

    /// Returns the key of the first row after `last` behind which rows can be read: first in steps that double, and then
    /// exactly.
    fn next_readable(&self, table: &Table, project: Option<&str>, last: i64) -> Option<i64> {
        let Table { name, key, columns } = table;
        // The whole row: a part of it may be on another page.
        let list = columns.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ");
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

    /// Remembers that the rows between two keys are missing, with the times around them.
    fn gap(&mut self, table: &Table, last: i64, next: Option<i64>) -> Result<(), DerivedError> {
        self.lost += 1;
        let time = |key: i64| -> rusqlite::Result<Option<i64>> {
            match table.name {
                "minutes" => Ok(Some(key.saturating_mul(60_000))),
                "usage" => Ok(Some(key.saturating_mul(usage::DAY_MS))),
                "sessions" => {
                    let sql = "SELECT started_at FROM sessions WHERE id = ?1";
                    self.to.query_row(sql, [key], |row| row.get(0)).optional()
                }
                _ => Ok(None),
            }
        };
        let from = if last < 0 { Some(0) } else { time(last)? };
        let to = match next {
            Some(next) if table.name == "sessions" => {
                let sql = "SELECT started_at FROM sessions NOT INDEXED WHERE id >= ?1 ORDER BY id LIMIT 1";
                self.from.query_row(sql, [next], |row| row.get(0)).ok()
            }
            Some(next) => time(next)?,
            None => Some(i64::MAX),
        };
        if let (Some(from), Some(to)) = (from, to) {
            self.to.execute("INSERT INTO gaps VALUES (?1, ?2)", [from.min(to), from.max(to)])?;
        }
        Ok(())
    }
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
