//! The file `derived.db`: its tables, and how it is opened.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{DerivedError, Gap, checkpoints::Ladder, index, repair, usage};
use crate::{
    event::{
        Cursor, Epoch, Seq,
        reasons::{call_failures, lost_reasons},
    },
    log::Bounds,
    state::State,
    store::{Repair, Store, has_table},
};

pub(super) const STORE: Store = Store {
    file: "derived.db",
    application_id: 0x526d_4465,
    first_version: 3,
    steps: &[
        VERSION_3,
        LADDER,
        GAPS,
        NUMBERS,
        COUNT_NEWEST,
        ZSTD,
        NAMES,
        EGRESS_LIST,
        CALLS_AND_AGENTS,
        usage::TABLES,
        MISSES,
        BY_PROJECT,
        BY_FACTS,
    ],
    unversioned: |connection| {
        Ok(if has_table(connection, "meta")? { get(connection, "schema")? } else { None })
    },
    repair: Repair::PutAside,
    private: false,
    pragmas:
        "PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 8192;
              PRAGMA cache_size = -16384;",
};

/// Sessions have small integers as keys, because a sid is unique only within a project. Participations and tracks are
/// stored in the order of their sessions, because they are read with them.
///
/// `participants` and `publishers` are set for ended sessions. `counted` is 1 for participants that `participantCount`
/// counts, and `restricted` is 1 for those that a `roomJoin` caller may not see. `left_not_before` is set if a leave was
/// only inferred. `minutes` has a row for each minute with a change: the maximum numbers in it, the numbers at its end,
/// and its joins and leaves.
const VERSION_3: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE changes (last INTEGER PRIMARY KEY, first INTEGER NOT NULL, lines BLOB NOT NULL);
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, sid TEXT NOT NULL, room TEXT NOT NULL, started_at INTEGER NOT NULL,
    ended_at INTEGER, end_reason TEXT, ended_by TEXT, source TEXT NOT NULL, participants INTEGER NOT NULL DEFAULT 0,
    publishers INTEGER NOT NULL DEFAULT 0, peak INTEGER NOT NULL DEFAULT 0, recorded INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX sessions_sid ON sessions (sid, project);
CREATE INDEX sessions_started ON sessions (started_at, id, ended_at);
CREATE INDEX sessions_room ON sessions (project, room, started_at, id, ended_at);
CREATE INDEX sessions_ended ON sessions (ended_at);
CREATE TABLE participations (
    session INTEGER NOT NULL, sid TEXT NOT NULL, identity TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
    hidden INTEGER NOT NULL, watcher INTEGER NOT NULL, counted INTEGER NOT NULL, restricted INTEGER NOT NULL,
    joined_at INTEGER NOT NULL, left_at INTEGER, left_not_before INTEGER, reason TEXT, source TEXT NOT NULL,
    PRIMARY KEY (session, sid)) WITHOUT ROWID;
CREATE INDEX participations_sid ON participations (sid);
CREATE INDEX participations_identity ON participations (identity);
CREATE TABLE tracks (
    session INTEGER NOT NULL, participant TEXT NOT NULL, sid TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
    source TEXT NOT NULL, published_at INTEGER NOT NULL, unpublished_at INTEGER, unpublished_not_before INTEGER,
    PRIMARY KEY (session, participant, sid)) WITHOUT ROWID;
CREATE TABLE egress (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, egress TEXT NOT NULL, room_sid TEXT, ended INTEGER NOT NULL,
    updated_at_ns INTEGER NOT NULL, at INTEGER NOT NULL, json TEXT NOT NULL);
CREATE UNIQUE INDEX egress_id ON egress (egress, project);
CREATE INDEX egress_session ON egress (room_sid, project);
CREATE INDEX egress_at ON egress (at);
CREATE TABLE minutes (
    project TEXT NOT NULL, minute INTEGER NOT NULL, rooms INTEGER NOT NULL, participants INTEGER NOT NULL,
    rooms_after INTEGER NOT NULL, participants_after INTEGER NOT NULL, joins INTEGER NOT NULL, leaves INTEGER NOT NULL,
    PRIMARY KEY (project, minute)) WITHOUT ROWID;
";

/// The one checkpoint becomes the first of many. The time of folding up to it was not measured, so 2 µs an event is
/// assumed, which is usual. The version moves to `user_version`.
const LADDER: &str = "
CREATE TABLE checkpoints (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, work_us INTEGER NOT NULL, state BLOB NOT NULL);
INSERT INTO checkpoints SELECT seq,
    iif(json_valid(CAST(state AS TEXT)), coalesce(json_extract(CAST(state AS TEXT), '$.state.now'), 0), 0),
    seq * 2, state FROM checkpoint WHERE seq > 0;
DROP TABLE checkpoint;
DELETE FROM meta WHERE key = 'schema';
";

/// Times of which rows were lost with a damaged file, in unix milliseconds.
const GAPS: &str = "CREATE TABLE gaps (from_at INTEGER NOT NULL, to_at INTEGER NOT NULL);";

/// Numbers of ended sessions. They are null while a session is live, and for sessions that are not counted: those are
/// counted when they are read.
const NUMBERS: &str = "
ALTER TABLE sessions ADD COLUMN agents INTEGER;
ALTER TABLE sessions ADD COLUMN lost INTEGER;
ALTER TABLE sessions ADD COLUMN agents_failed INTEGER;
ALTER TABLE sessions ADD COLUMN calls INTEGER;
ALTER TABLE sessions ADD COLUMN calls_failed INTEGER;
ALTER TABLE sessions ADD COLUMN people_ms INTEGER;
ALTER TABLE sessions ADD COLUMN agent_ms INTEGER;
ALTER TABLE sessions ADD COLUMN call_ms INTEGER;
ALTER TABLE sessions ADD COLUMN recordings_failed INTEGER;
";

/// Counts the newest sessions of a file that did not have these numbers. A start must not wait for a million.
pub(super) const COUNT_NEWEST: &str = concat!(
    count_session!(),
    " WHERE ended_at IS NOT NULL AND people_ms IS NULL
      AND id > (SELECT coalesce(max(id), 0) - 100000 FROM sessions)"
);

/// Changes and checkpoints are packed with zstd, which an older Roomwatch cannot read. Rows from before stay as they are.
const ZSTD: &str = "";

/// Columns and indexes for the list of egress. The columns are computed from `json`, so they are not stored, and not copied
/// by a repair. An egress that could not start has no start, so the arrival of its first event counts.
const EGRESS_LIST: &str = "
ALTER TABLE egress ADD COLUMN room TEXT AS (iif(json_valid(json), json_extract(json, '$.room'), NULL));
ALTER TABLE egress ADD COLUMN status TEXT AS (iif(json_valid(json), json_extract(json, '$.status'), NULL));
ALTER TABLE egress ADD COLUMN began_at INTEGER
    AS (coalesce(iif(json_valid(json), json_extract(json, '$.startedAt'), NULL), at));
CREATE INDEX egress_began ON egress (began_at, id);
CREATE INDEX egress_room ON egress (project, room, began_at, id);
CREATE INDEX egress_status ON egress (status, began_at, id, project, room);
";

/// Facts from the attributes of SIP participants and of agents, beside their participations. The sessions of an earlier
/// version have none. The end of a live participation is after every time.
const CALLS_AND_AGENTS: &str = "
CREATE TABLE calls (
    session INTEGER NOT NULL, participant TEXT NOT NULL, call TEXT, number TEXT, trunk TEXT, trunk_number TEXT,
    direction TEXT, status TEXT, answered INTEGER NOT NULL, PRIMARY KEY (session, participant)) WITHOUT ROWID;
CREATE TABLE agents (
    session INTEGER NOT NULL, participant TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (session, participant))
    WITHOUT ROWID;
CREATE INDEX participations_calls ON participations (joined_at, session, sid) WHERE kind = 'sip';
CREATE INDEX participations_agents ON participations (coalesce(left_at, 9223372036854775807)) WHERE kind = 'agent';
";

/// SQL that makes [`index::fill`](super::index::fill) enter the names of all sessions that are in the tables now.
macro_rules! refill {
    () => {
        "INSERT OR REPLACE INTO meta SELECT 'index_filled', 0 FROM sessions LIMIT 1;
INSERT OR REPLACE INTO meta SELECT 'index_until', max(id) FROM sessions HAVING max(id) IS NOT NULL;"
    };
}

/// The [index](super::index) of names. The full-text tables have the pieces only, without their places, and a row of theirs
/// has the number of the row with the name. The names of sessions that are there already are entered step by step.
const NAMES: &str = concat!(
    "
ALTER TABLE participations ADD COLUMN phone TEXT;
CREATE TABLE people (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, identity TEXT NOT NULL, name TEXT NOT NULL, phone TEXT NOT NULL);
CREATE UNIQUE INDEX people_name ON people (identity, project, name, phone);
CREATE TABLE rooms (id INTEGER PRIMARY KEY, project TEXT NOT NULL, room TEXT NOT NULL);
CREATE UNIQUE INDEX rooms_name ON rooms (room, project);
CREATE VIRTUAL TABLE people_grams USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
CREATE VIRTUAL TABLE room_grams USING fts5 (grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii');
",
    refill!()
);

/// When sessions were without the agent that they should have had: once for each opening of `agent_missing`.
const MISSES: &str = "
CREATE TABLE misses (session INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (session, at)) WITHOUT ROWID;
CREATE INDEX misses_at ON misses (at);
";

/// Indexes for the lists of a caller who sees one project.
const BY_PROJECT: &str = "
CREATE INDEX sessions_project ON sessions (project, started_at, id, ended_at);
CREATE INDEX egress_project ON egress (project, began_at, id);
";

/// The lists are in the order of facts, and of no row number: those are others on another node.
const BY_FACTS: &str = "
DROP INDEX sessions_started;
DROP INDEX sessions_room;
DROP INDEX sessions_project;
DROP INDEX egress_began;
DROP INDEX egress_room;
DROP INDEX egress_status;
DROP INDEX egress_project;
DROP INDEX participations_calls;
CREATE INDEX sessions_started ON sessions (started_at, sid, project, ended_at);
CREATE INDEX sessions_room ON sessions (project, room, started_at, sid, ended_at);
CREATE INDEX sessions_project ON sessions (project, started_at, sid, ended_at);
CREATE INDEX egress_began ON egress (began_at, egress, project);
CREATE INDEX egress_room ON egress (project, room, began_at, egress);
CREATE INDEX egress_status ON egress (status, began_at, egress, project, room);
CREATE INDEX egress_project ON egress (project, began_at, egress);
CREATE INDEX participations_calls ON participations (joined_at, sid, session) WHERE kind = 'sip';
";

/// SQL for the number of participants of session `s` that have published a track.
macro_rules! publishers {
    () => {
        "(SELECT count(DISTINCT p.identity) FROM participations p WHERE p.session = s.id AND p.counted AND EXISTS
         (SELECT 1 FROM tracks t WHERE t.session = p.session AND t.participant = p.sid))"
    };
}

/// An opened file, and its position in the log.
pub(super) struct Opened {
    pub connection: Connection,
    /// A damaged file from which rows are still to be copied.
    pub old: Option<PathBuf>,
    /// The last event in the tables.
    pub folded: Seq,
    /// The oldest event whose changes are known.
    pub changes_from: Seq,
    pub ladder: Ladder,
    /// The state of the newest checkpoint that can be read.
    pub state: Option<State>,
    /// Times of which rows were lost. Those of a damaged file are known after its rows are copied.
    pub gaps: Vec<Gap>,
}

/// Opens the writer's connection to the file in `dir`, and compares it with the log. A damaged file is put aside.
///
/// `derives` is true if the events of the log can be derived again: a checkpoint is then worth copying.
pub(super) fn open(dir: &Path, log: Bounds, derives: bool) -> Result<Opened, DerivedError> {
    let (connection, old) = STORE.open_or_replace(dir)?;
    if let Some(old) = old {
        return succeed(dir, connection, &old, log, derives);
    }
    match adopt(dir, connection, log) {
        Err(error) if error.is_damage() => replace(dir, log, derives, &error),
        opened => opened,
    }
}

/// Puts a damaged file aside, and opens a new one.
pub(super) fn replace(
    dir: &Path,
    log: Bounds,
    derives: bool,
    why: &DerivedError,
) -> Result<Opened, DerivedError> {
    let old = STORE.put_aside(dir, &why.to_string())?;
    let connection = STORE.open(dir)?;
    match old {
        Some(old) => succeed(dir, connection, &old, log, derives),
        None => adopt(dir, connection, log),
    }
}

/// Prepares a new file as the successor of a damaged one. Its sessions are copied later, because that may take long.
fn succeed(
    dir: &Path,
    mut connection: Connection,
    old: &Path,
    log: Bounds,
    derives: bool,
) -> Result<Opened, DerivedError> {
    let epoch = i64::from(log.epoch.0);
    put(&connection, "epoch", epoch)?;
    // A start that is interrupted now is continued by the next one.
    let name = old.file_name().map(|name| name.to_string_lossy().into_owned());
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('old', ?1)", [name])?;
    if derives {
        repair::copy_checkpoints(old, epoch, &mut connection)?;
        connection.execute("DELETE FROM checkpoints WHERE seq > ?1", [log.last.0 as i64])?;
    }
    adopt(dir, connection, log)
}

/// Returns the last event in the file in `dir`, if it can be read. The log must have it.
pub(super) fn last_of(dir: &Path) -> Option<Cursor> {
    let path = dir.join(STORE.file);
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let (epoch, folded) = (get(&connection, "epoch").ok()??, get(&connection, "folded").ok()??);
    Some(Cursor { epoch: Epoch(u32::try_from(epoch).ok()?), seq: Seq(u64::try_from(folded).ok()?) })
}

/// Returns the version of the file. An older version can be read, a newer one cannot.
pub fn format() -> i64 {
    STORE.version()
}

/// Writes a copy of the file in `dir` to `to`. Returns the last event in it.
pub(super) fn save(dir: &Path, to: &Path) -> Result<Cursor, DerivedError> {
    let from = Connection::open_with_flags(dir.join(STORE.file), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let path = to.to_str().ok_or_else(|| DerivedError::Found("a path is not text".to_owned()))?;
    from.execute("VACUUM INTO ?1", [path])?;
    let dir = to.parent().unwrap_or(Path::new("."));
    last_of(dir).ok_or_else(|| DerivedError::Found("the copy has no events".to_owned()))
}

/// Compares the file with the log. The log may be another one than that from which the file was derived: a restored or a
/// new one. Then the seqs in the file are meaningless, but its sessions are still true: the events of the log are
/// folded over them.
fn adopt(dir: &Path, connection: Connection, log: Bounds) -> Result<Opened, DerivedError> {
    connection.execute_batch(usage::TRIGGERS)?;
    let epoch = i64::from(log.epoch.0);
    let ahead = get(&connection, "folded")?.is_some_and(|folded| folded as u64 > log.last.0);
    let known = get(&connection, "epoch")?;
    if known.is_none() {
        put(&connection, "epoch", epoch)?;
    } else if ahead || known != Some(epoch) {
        tracing::warn!(
            "{} was derived from another log: its sessions are kept, and the events of this log are folded again",
            STORE.file
        );
        connection.execute_batch(
            "BEGIN; DELETE FROM checkpoints; DELETE FROM changes; DELETE FROM meta WHERE key IN ('folded', 'changes_from'); COMMIT;",
        )?;
        put(&connection, "epoch", epoch)?;
    }
    let seq = |key, otherwise| {
        Ok::<_, rusqlite::Error>(Seq(get(&connection, key)?.map_or(otherwise, |n| n as u64)))
    };
    let (folded, changes_from) = (seq("folded", 0)?, seq("changes_from", u64::MAX)?);
    let mut ladder = Ladder::read(&connection)?;
    let state = ladder.restore(&connection, log.first)?;
    let old: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE key = 'old'", [], |row| row.get(0)).optional()?;
    let old = old.map(|name| dir.join(name)).filter(|old| old.exists());
    let gaps = if old.is_some() { Vec::new() } else { super::gaps(&connection)? };
    Ok(Opened { connection, old, folded, changes_from, ladder, state, gaps })
}

/// Removes the rows of what happened between two times, in unix milliseconds. Sessions that have ended later stay.
pub(super) fn forget_between(connection: &mut Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    const SQL: [&str; 10] = [
        "DELETE FROM minutes WHERE minute BETWEEN ?1 / 60000 AND ?2 / 60000",
        "DELETE FROM sessions WHERE started_at BETWEEN ?1 AND ?2 AND coalesce(ended_at, ?2) <= ?2",
        "DELETE FROM participations WHERE session NOT IN (SELECT id FROM sessions)
         OR (joined_at BETWEEN ?1 AND ?2 AND coalesce(left_at, ?2) <= ?2)",
        "DELETE FROM tracks WHERE session NOT IN (SELECT id FROM sessions)
         OR (published_at BETWEEN ?1 AND ?2 AND coalesce(unpublished_at, ?2) <= ?2)",
        "UPDATE sessions SET participants = 0, publishers = 0, agents = NULL, lost = NULL, agents_failed = NULL,
         calls = NULL, calls_failed = NULL, people_ms = NULL, agent_ms = NULL, call_ms = NULL, recordings_failed = NULL,
         ended_at = NULL, end_reason = NULL, ended_by = NULL WHERE ended_at BETWEEN ?1 AND ?2",
        "UPDATE participations SET left_at = NULL, left_not_before = NULL, reason = NULL WHERE left_at BETWEEN ?1 AND ?2",
        "UPDATE tracks SET unpublished_at = NULL, unpublished_not_before = NULL WHERE unpublished_at BETWEEN ?1 AND ?2",
        "DELETE FROM egress WHERE at BETWEEN ?1 AND ?2",
        "DELETE FROM misses WHERE session NOT IN (SELECT id FROM sessions) OR at BETWEEN ?1 AND ?2",
        // The time that is derived again is not a gap. A gap at the end of the file was open.
        "UPDATE gaps SET to_at = min(to_at, ?1) WHERE to_at <= ?2 OR to_at = 9223372036854775807",
    ];
    let transaction = connection.transaction()?;
    for sql in SQL {
        transaction.execute(sql, [from, to])?;
    }
    transaction.execute("DELETE FROM gaps WHERE from_at >= to_at", [])?;
    index::sweep(&transaction)?;
    for table in ["calls", "agents"] {
        let kept = "SELECT session, sid FROM participations";
        transaction
            .execute(&format!("DELETE FROM {table} WHERE (session, participant) NOT IN ({kept})"), [])?;
    }
    usage::forget_after(&transaction, from)?;
    transaction.commit()
}

pub(super) fn put(connection: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    let mut put =
        connection.prepare_cached("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?;
    put.execute(params![key, value]).map(|_| ())
}

pub(super) fn get(connection: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}
