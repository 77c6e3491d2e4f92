//! The database file: its tables, opening and checking it, and its statements.

use std::{
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use rusqlite::{
    CachedStatement, Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Statement, config::DbConfig,
    params,
};

use super::{
    LogError, OpenError,
    chain::{self, Link},
    chunks,
    ids::{Ids, Key},
    meta, wal,
    witness::{self, Told, Witness},
};
use crate::{
    clock::Believed,
    event::{Cursor, Epoch, Event, Kind, NewEvent, Seq, Source},
    log::new_epoch,
    store::is_damage,
};

/// `PRAGMA application_id`: "RmWt". It distinguishes a log from other SQLite files.
const APPLICATION_ID: i64 = 0x526d_5774;

/// `PRAGMA user_version`. It is raised when an older Roomwatch can no longer read the file.
const FORMAT: i64 = 4;

/// Page size of new files. Events are only appended. So with larger pages than SQLite's 4 KiB there are fewer to write
/// and to find, and few of them are written twice.
pub(super) const PAGE_BYTES: usize = 16 << 10;

/// The tables have no index that the promises of the log do not need: another index multiplies the cost of an append
/// (`benches/log.rs`). Derived data is in another file.
const TABLES: &str = "
    CREATE TABLE events (
        seq         INTEGER PRIMARY KEY,
        id          BLOB NOT NULL,
        project     TEXT NOT NULL,
        source      INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        room        TEXT,
        room_sid    TEXT,
        body        BLOB NOT NULL
    );
    CREATE TABLE ids (key BLOB PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE marks (running_ms INTEGER PRIMARY KEY, seq INTEGER NOT NULL, wall_ms INTEGER);
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE times (block INTEGER PRIMARY KEY, earliest INTEGER NOT NULL);
";

/// Migrates format 1, which did not have `times` or events of Roomwatch itself.
const FROM_1: &str = "CREATE TABLE times (block INTEGER PRIMARY KEY, earliest INTEGER NOT NULL);";

/// Migrates format 2, whose marks did not have the time of the wall clock.
const FROM_2: &str = "
    ALTER TABLE marks ADD COLUMN wall_ms INTEGER;
    UPDATE marks SET wall_ms = (SELECT received_at FROM events WHERE events.seq = marks.seq);
";

/// Maximum time that a statement waits for a checkpoint or a recovery that locks the file.
pub(super) const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Number of the newest events that are read back when the file is opened. A torn or lost write is at the end. Reading
/// everything would take minutes for ten million events.
const TAIL_EVENTS: i64 = 16;

/// A log that was opened and checked.
pub(super) struct Opened {
    pub connection: Connection,
    pub epoch: Epoch,
    /// Reason why the log begins a new epoch, if it does.
    pub renewed: Option<String>,
    pub witness: Witness,
    pub tail: Ends,
    /// The hash at the end, if this is a copy.
    pub link: Option<Link>,
    pub ids: Ids,
    /// Time for which all processes together have had this log open. `marks` counts it.
    pub running: Duration,
    /// The believed time of the last process.
    pub believed: Option<Believed>,
    /// Expired ids up to this event have been removed from `ids`.
    pub swept: Seq,
}

/// First and last event of the file. If it is empty, `last` is one before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub first: Seq,
    pub last: Seq,
}

/// Opens the log at `path` or creates it, makes durable what a crash has left in the WAL, and reads the newest events
/// back. `told` is the last event that other files have of it. `copy` says of which log it is a copy, if it is one.
pub(super) fn open_log(
    path: &Path,
    vfs: Option<&str>,
    told: Option<Cursor>,
    copy: Option<CopyOf>,
) -> Result<Opened, OpenError> {
    let io = |cause: std::io::Error| OpenError::Io { path: path.into(), cause: cause.to_string() };
    let damaged = |what: String| OpenError::Damaged { path: path.into(), what };
    let sqlite = |cause: rusqlite::Error| match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => damaged(cause.to_string()),
        _ => OpenError::Io { path: path.into(), cause: cause.to_string() },
    };
    let mut connection = connect(path, vfs, OpenFlags::SQLITE_OPEN_CREATE).map_err(sqlite)?;
    create_or_check(&mut connection, path, copy, &sqlite)?;
    drop(connection);
    let (mut connection, tail) = settle(path, vfs).map_err(sqlite)?;
    let tail = match tail {
        Ok(tail) => tail,
        Err(what) => return Err(damaged(what)),
    };
    let (epoch, renewed) = match copy {
        // The deployment decides on the epoch of a copy.
        Some(copy) => (copy.epoch, None),
        None => epoch(&mut connection, path, tail, told).map_err(sqlite)?,
    };
    let link = match copy {
        Some(_) => {
            sync_less(&connection).map_err(sqlite)?;
            chain::at(&connection, tail.last).map_err(sqlite)?
        }
        None => None,
    };
    let key = key_at(&connection, tail.last).map_err(sqlite)?.unwrap_or_default();
    let witness = Witness::open(path, Told { epoch, seq: tail.last, key }).map_err(io)?;
    meta::set(&connection, "witness", "yes").map_err(sqlite)?;
    let ids = Ids::load(&connection).map_err(sqlite)?;
    let running: Option<i64> =
        connection.query_row("SELECT max(running_ms) FROM marks", [], |row| row.get(0)).map_err(sqlite)?;
    let believed = believed(&connection).map_err(sqlite)?;
    let swept = meta::get(&connection, "swept").map_err(sqlite)?.and_then(|seq| seq.parse().ok());
    Ok(Opened {
        connection,
        epoch,
        renewed,
        witness,
        tail,
        link,
        ids,
        believed,
        running: Duration::from_millis(running.unwrap_or(0) as u64),
        swept: Seq(swept.unwrap_or(0)),
    })
}

/// Opens the file again after a failure. Its events are then durable and without gaps, but they may end before or after
/// the last acknowledged one: the caller must compare.
pub(super) fn reopen(path: &Path, vfs: Option<&str>) -> Result<(Connection, Ends), LogError> {
    let (connection, tail) = settle(path, vfs).map_err(failure)?;
    Ok((connection, tail.map_err(|what| LogError::Failed(what.into()))?))
}

/// Opens a connection for reads or checkpoints.
pub(super) fn open_reader(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    let connection = connect(path, vfs, OpenFlags::empty())?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn connect(path: &Path, vfs: Option<&str>, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    // Closing must not write: after a failure it would write unchecked pages into the file. A checkpoint runs only
    // where its result is checked.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_WAIT_MAX)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -16384)?;
    Ok(connection)
}

fn create_or_check(
    connection: &mut Connection,
    path: &Path,
    copy: Option<CopyOf>,
    sqlite: &dyn Fn(rusqlite::Error) -> OpenError,
) -> Result<(), OpenError> {
    let pragma = |connection: &Connection, name| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sqlite)
    };
    let found = pragma(connection, "user_version")?;
    if pragma(connection, "schema_version")? == 0 && found == 0 {
        return create(connection, path, copy).map_err(sqlite);
    }
    if pragma(connection, "application_id")? != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.into() });
    }
    if found > FORMAT {
        return Err(OpenError::Newer { path: path.into(), found, known: FORMAT });
    }
    Ok(())
}

/// Migrates a file of an older format, whose content must be durable.
fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?;
    let steps = [FROM_1, FROM_2, chunks::TABLE];
    if found == FORMAT {
        return Ok(());
    }
    let tx = connection.transaction()?;
    for step in &steps[found as usize - 1..] {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "user_version", FORMAT)?;
    tx.commit()
}

fn create(connection: &mut Connection, path: &Path, copy: Option<CopyOf>) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", PAGE_BYTES as i64)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let tx = connection.transaction()?;
    tx.execute_batch(TABLES)?;
    tx.execute_batch(chunks::TABLE)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", FORMAT)?;
    meta::set(&tx, "epoch", &copy.map_or_else(new_epoch, |copy| copy.epoch).to_string())?;
    meta::set(&tx, "file", &identity(path))?;
    if let Some(copy) = copy {
        tx.execute_batch(chain::TABLE)?;
        chain::begin(&tx, copy.after)?;
        meta::set(&tx, "after", &copy.after.seq.to_string())?;
    }
    tx.commit()
}

/// The log that a file is a copy of.
#[derive(Clone, Copy, Debug)]
pub struct CopyOf {
    pub epoch: Epoch,
    /// The event before the first one of a new copy.
    pub after: Link,
}

/// A log that is not open.
pub struct FoundLog {
    pub epoch: Epoch,
    pub last: Seq,
    pub is_copy: bool,
}

/// Reads the epoch and the end of a log file. `None` if there is no file, or an empty one.
pub(super) fn find(path: &Path, vfs: Option<&str>) -> rusqlite::Result<Option<FoundLog>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect(path, vfs, OpenFlags::empty())?;
    if connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let epoch = meta::get(&connection, "epoch")?.and_then(|epoch| u32::from_str_radix(&epoch, 16).ok());
    let after = meta::get(&connection, "after")?;
    let last: Option<i64> = connection.query_row("SELECT max(seq) FROM events", [], |row| row.get(0))?;
    let last = last.map(|last| last as u64).or_else(|| after.as_ref()?.parse().ok());
    Ok(Some(FoundLog {
        epoch: epoch.map_or_else(new_epoch, Epoch),
        last: Seq(last.unwrap_or(0)),
        is_copy: after.is_some(),
    }))
}

/// Leaves syncs to the checkpoints: what a power loss takes from the end of a copy is copied again.
pub(super) fn sync_less(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "NORMAL")
}

/// Returns the epoch of the file. It is a new one, with the reason, if readers may have been told of events that the file
/// does not have (see the module of the log).
fn epoch(
    connection: &mut Connection,
    path: &Path,
    tail: Ends,
    told: Option<Cursor>,
) -> rusqlite::Result<(Epoch, Option<String>)> {
    let file = identity(path);
    let known = meta::get(connection, "epoch")?.and_then(|epoch| u32::from_str_radix(&epoch, 16).ok());
    let why = match known {
        None => "its epoch was deleted".to_owned(),
        Some(_) if meta::get(connection, "file")?.as_deref() != Some(&file) => {
            "it was copied, restored or moved".to_owned()
        }
        Some(epoch) => match contradiction(connection, path, Epoch(epoch), tail, told)? {
            None => return Ok((Epoch(epoch), None)),
            Some(why) => why,
        },
    };
    let epoch = new_epoch();
    let tx = connection.transaction()?;
    meta::set(&tx, "epoch", &epoch.to_string())?;
    meta::set(&tx, "file", &file)?;
    tx.commit()?;
    Ok((epoch, Some(why)))
}

/// Compares the log with what readers were told of it. Returns the difference.
fn contradiction(
    connection: &Connection,
    path: &Path,
    epoch: Epoch,
    tail: Ends,
    told: Option<Cursor>,
) -> rusqlite::Result<Option<String>> {
    let lost =
        |seq: Seq| (seq > tail.last).then(|| format!("it ends at {}, and it had event {seq}", tail.last));
    if let Some(told) = told.filter(|told| told.epoch == epoch)
        && let Some(why) = lost(told.seq)
    {
        return Ok(Some(why));
    }
    let Some(witness) = witness::find(path) else {
        // A log of an older version does not have one yet.
        let had_one = meta::get(connection, "witness")?.is_some();
        return Ok(had_one.then(|| "log.witness is missing or damaged".to_owned()));
    };
    let Told { epoch: witnessed, seq, key } = witness.told;
    Ok(if witnessed != epoch {
        Some("log.witness belongs to another log".to_owned())
    } else if witness.rewritten {
        Some("log.witness was restored".to_owned())
    } else if key_at(connection, seq)?.is_some_and(|found| found != key) {
        Some(format!("its event {seq} is another one than before"))
    } else {
        lost(seq)
    })
}

/// Returns the id of an event, if the log has it.
pub(super) fn key_at(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Key>> {
    let sql = "SELECT id FROM events WHERE seq = ?1";
    let mut found = connection.query_row(sql, [seq.0 as i64], |row| row.get(0)).optional()?;
    if found.is_none() && seq > Seq::ZERO {
        chunks::ids(connection, Seq(seq.0 - 1), |key, at| {
            if at == seq {
                found = Some(key);
            }
        })?;
    }
    Ok(found)
}

/// Returns the identity of the file: its inode, and its birth time if the file system has it, because inodes are reused.
fn identity(path: &Path) -> String {
    let Ok(file) = std::fs::metadata(path) else { return "unknown".into() };
    let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    format!("{}:{}", file.ino(), born.map_or(0, |born| born.as_nanos()))
}

fn believed(connection: &Connection) -> rusqlite::Result<Option<Believed>> {
    let stored = meta::get(connection, "believed")?;
    let parse = |text: String| {
        let (unix_ms, apart_ms) = text.split_once(' ')?;
        Some(Believed { unix_ms: unix_ms.parse().ok()?, apart_ms: apart_ms.parse().ok()? })
    };
    Ok(stored.and_then(parse))
}

/// Deletes the epoch, so that the next start begins a new one.
pub(super) fn forget_epoch(connection: &Connection) -> rusqlite::Result<()> {
    meta::remove(connection, "epoch")
}

/// Opens the file, makes its content durable and reads the newest events back. No other connection may have it open. The
/// inner error says what is damaged.
///
/// A process that was killed between write and fsync leaves commits in the WAL that are only in the kernel's cache.
/// After a failed fsync, the cache even marks them as written. They must not be acknowledged before they are on the
/// disk. And no checkpoint may run from a WAL that differs from the one on the disk: after a power loss, the replay of
/// that one would set pages back to an older content. So the WAL is written over itself and synced, and then read by a
/// new connection.
fn settle(path: &Path, vfs: Option<&str>) -> rusqlite::Result<(Connection, Result<Ends, String>)> {
    let first_look = connect(path, vfs, OpenFlags::empty())?;
    wal::rewrite(&first_look)?;
    drop(first_look);
    let mut connection = connect(path, vfs, OpenFlags::empty())?;
    let tail = match checkpoint(&connection, "TRUNCATE")?.busy {
        true => Err("its write-ahead log cannot be emptied while another process reads it".into()),
        false => {
            migrate(&mut connection)?;
            ends(&connection)?
        }
    };
    Ok((connection, tail))
}

fn ends(connection: &Connection) -> rusqlite::Result<Result<Ends, String>> {
    let first: Option<i64> = connection.query_row("SELECT min(seq) FROM events", [], |row| row.get(0))?;
    let first = first.map(|first| Seq(first as u64));
    if let Some((packed, first)) = chunks::last(connection)?.zip(first)
        && packed.next() != first
    {
        return Ok(Err(format!("a gap between event {packed} and event {first}")));
    }
    let first = chunks::oldest(connection)?.map(|oldest| oldest.first).or(first);
    let mut newest = connection.prepare("SELECT * FROM events ORDER BY seq DESC LIMIT ?1")?;
    let newest = newest
        .query_map([TAIL_EVENTS], |row| event(row, &mut None))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    if let Some(pair) = newest.windows(2).find(|pair| pair[1].seq.next() != pair[0].seq) {
        return Ok(Err(format!("a gap between event {} and event {}", pair[1].seq, pair[0].seq)));
    }
    let after = meta::get(connection, "after")?.and_then(|seq| seq.parse().ok()).map_or(Seq::ZERO, Seq);
    let last = newest.first().map_or(after, |event| event.seq);
    Ok(Ok(Ends { first: first.unwrap_or(after.next()), last }))
}

/// Result of a checkpoint.
pub(super) struct Checkpoint {
    /// True if another connection prevented its completion.
    pub busy: bool,
    /// Size of the WAL before the checkpoint.
    pub wal_bytes: i64,
}

pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpoint> {
    let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok(Checkpoint { busy: row.get::<_, i64>(0)? != 0, wal_bytes: row.get::<_, i64>(1)? * page_bytes })
    })
}

/// Prepares the statement of [`insert`], once for a transaction.
pub(super) fn prepare_insert(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
}

/// Inserts `event` at `seq`. Its id is stored as `key`.
pub(super) fn insert(to: &mut Statement, key: &Key, event: &NewEvent, seq: Seq) -> rusqlite::Result<()> {
    to.execute(params![
        seq.0 as i64,
        key,
        &*event.project,
        i64::from(stored(event.source)),
        event.received_at as i64,
        event.kind.as_str(),
        event.room.as_deref(),
        event.room_sid.as_deref(),
        &event.body[..],
    ])
    .map(|_| ())
}

/// Returns the number of a source in the file.
pub(super) fn stored(source: Source) -> u8 {
    match source {
        Source::Webhook => 0,
        Source::Reconcile => 1,
        Source::Roomwatch => 2,
    }
}

/// Returns the source with this number in the file.
pub(super) fn source(stored: i64) -> rusqlite::Result<Source> {
    match stored {
        0 => Ok(Source::Webhook),
        1 => Ok(Source::Reconcile),
        2 => Ok(Source::Roomwatch),
        other => Err(damaged(3, &format!("unknown source {other}"))),
    }
}

/// Returns events after `after` up to `last`: at most `limit` events and about `bytes_max` bytes, but at least one.
pub(super) fn read(
    connection: &Connection,
    after: Seq,
    last: Seq,
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Event>> {
    // One transaction: upkeep moves events from rows to chunks.
    let tx = connection.unchecked_transaction()?;
    let (mut events, mut bytes) = (Vec::<Event>::new(), 0);
    let mut take = |event: Event| {
        if let Some(previous) = events.last()
            && previous.seq.next() != event.seq
        {
            return Err(damaged(0, &format!("a gap between event {} and {}", previous.seq, event.seq)));
        }
        bytes += event.body.len();
        if !events.is_empty() && bytes > bytes_max {
            return Ok(None);
        }
        let seq = event.seq;
        events.push(event);
        Ok((events.len() < limit).then_some(seq))
    };
    let mut next = Some(after);
    chunks::read(&tx, after, last, |event| {
        next = take(event)?;
        Ok(next.is_some())
    })?;
    if let Some(after) = next {
        let mut select =
            tx.prepare_cached("SELECT * FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")?;
        let mut rows = select.query(params![after.0 as i64, last.0 as i64])?;
        let mut project = None;
        while let Some(row) = rows.next()? {
            if take(event(row, &mut project)?)?.is_none() {
                break;
            }
        }
    }
    Ok(events)
}

/// Reads one row of `events`. `project` is the name in the previous row, so that the same name is not allocated again.
pub(super) fn event(row: &Row<'_>, project: &mut Option<Arc<str>>) -> rusqlite::Result<Event> {
    let name = row.get_ref(2)?.as_str()?;
    let project = match project {
        Some(known) if **known == *name => known.clone(),
        _ => project.insert(name.into()).clone(),
    };
    Ok(Event {
        seq: Seq(row.get::<_, i64>(0)? as u64),
        project,
        source: source(row.get(3)?)?,
        received_at: row.get::<_, i64>(4)? as u64,
        kind: Kind::from(row.get_ref(5)?.as_str()?),
        room: row.get_ref(6)?.as_str_or_null()?.map(Arc::from),
        room_sid: row.get_ref(7)?.as_str_or_null()?.map(Arc::from),
        body: Bytes::copy_from_slice(row.get_ref(8)?.as_blob()?),
    })
}

pub(super) fn damaged(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.into())
}

/// Returns the error for the caller. The log line has the details.
pub(super) fn failure(cause: rusqlite::Error) -> LogError {
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LogError::Full,
        _ if is_damage(&cause) => LogError::Damaged(cause.to_string().into()),
        _ => LogError::Failed(cause.to_string().into()),
    }
}
