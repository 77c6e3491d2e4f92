//! The audit record: who gave which command, and how it ended.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;

use crate::{
    clock::Clock,
    store::{Repair, Store, StoreError, has_table},
};

/// How long an entry is kept.
const RETENTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How often old entries are looked for, in milliseconds.
const PRUNE_EVERY_MS: u64 = 60 * 60 * 1000;
/// The longest text that is kept of what a caller wrote.
const TEXT_CHARS_MAX: usize = 512;

const STORE: Store = Store {
    file: "audit.db",
    application_id: 0x526d_4175,
    first_version: 1,
    steps: &[TABLES],
    unversioned: |connection| Ok(has_table(connection, "audit")?.then_some(1)),
    repair: Repair::PutAside,
    private: false,
    pragmas: "",
};

const TABLES: &str = "
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    user TEXT NOT NULL,
    action TEXT NOT NULL,
    project TEXT NOT NULL,
    room TEXT,
    target TEXT,
    outcome TEXT NOT NULL,
    code TEXT,
    reason TEXT
) STRICT;
";

/// The record, in a file of its own: it is written by requests, and neither the log nor what is derived
/// from it may wait for that, or lose it when it is rebuilt.
pub struct Audit {
    data_dir: PathBuf,
    clock: Clock,
    file: Mutex<Option<File>>,
}

struct File {
    connection: Connection,
    pruned_at: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit record cannot be read or written: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the audit record failed")]
    Panicked,
}

/// A command that is about to be given, for the record.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    pub user: Arc<str>,
    /// `room.create`, `room.end`, `room.update`, `room.watch`, `data.send`, `participant.remove`,
    /// `participant.update`, `track.mute`, `track.unmute`.
    pub action: &'static str,
    pub project: Arc<str>,
    pub room: Option<String>,
    /// Whom or what in the room: an identity, or `identity/track sid`.
    pub target: Option<String>,
    /// What the user said why, if they were asked.
    pub reason: Option<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It began; whether it was done nobody knows if this is all that stands there.
    Started,
    Done,
    /// The user has no right to it.
    Refused,
    /// LiveKit could not or would not.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Started => "started",
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }
}

impl Audit {
    /// A record in the data directory. The file is opened, or made, when there is something to write.
    pub fn new(data_dir: &std::path::Path, clock: Clock) -> Arc<Audit> {
        Arc::new(Audit { data_dir: data_dir.to_owned(), clock, file: Mutex::new(None) })
    }

    /// Writes down what is about to be done, or was not allowed. Durable on return.
    pub async fn note(
        self: &Arc<Self>,
        entry: NewAuditEntry,
        outcome: Outcome,
        code: Option<&'static str>,
    ) -> Result<i64, AuditError> {
        let now = self.clock.unix_ms();
        self.with(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO audit (at, user, action, project, room, target, outcome, code, reason) \
                     VALUES (:at, :user, :action, :project, :room, :target, :outcome, :code, :reason)",
                )?
                .execute(named_params! {
                    ":at": integer(now),
                    ":user": cut(&entry.user),
                    ":action": entry.action,
                    ":project": cut(&entry.project),
                    ":room": entry.room.as_deref().map(cut),
                    ":target": entry.target.as_deref().map(cut),
                    ":outcome": outcome.as_str(),
                    ":code": code,
                    ":reason": entry.reason.as_deref().map(cut),
                })?;
            Ok(connection.last_insert_rowid())
        })
        .await
    }

    /// Writes down how it ended.
    pub async fn ended(
        self: &Arc<Self>,
        entry: i64,
        outcome: Outcome,
        code: Option<&'static str>,
    ) -> Result<(), AuditError> {
        self.with(move |connection| {
            let mut update =
                connection.prepare_cached("UPDATE audit SET outcome = ?2, code = ?3 WHERE seq = ?1")?;
            update.execute((entry, outcome.as_str(), code)).map(drop)
        })
        .await
    }

    /// The entries before `before`, the newest first, and whether there are more.
    pub async fn page(self: &Arc<Self>, before: i64, limit: usize) -> Result<AuditPage, AuditError> {
        self.with(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT seq, at, user, action, project, room, target, outcome, code, reason FROM audit \
                 WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let rows = select.query_map((before, limit as i64 + 1), |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    AuditEntry {
                        at: row.get::<_, i64>(1)?.try_into().unwrap_or(0),
                        user: row.get(2)?,
                        action: row.get(3)?,
                        project: row.get(4)?,
                        room: row.get(5)?,
                        target: row.get(6)?,
                        outcome: row.get(7)?,
                        code: row.get(8)?,
                        reason: row.get(9)?,
                    },
                ))
            })?;
            let mut rows: Vec<(i64, AuditEntry)> = rows.collect::<Result<_, _>>()?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().filter(|_| more).map(|(seq, _)| seq.to_string());
            Ok(AuditPage { entries: rows.into_iter().map(|(_, entry)| entry).collect(), next })
        })
        .await
    }

    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, AuditError> {
        let audit = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let mut file = audit.file.lock();
            let file = match &mut *file {
                Some(file) => file,
                none => none.insert(File { connection: STORE.open(&audit.data_dir)?, pruned_at: 0 }),
            };
            let now = audit.clock.unix_ms();
            if now.saturating_sub(file.pruned_at) > PRUNE_EVERY_MS {
                prune(&file.connection, now)?;
                file.pruned_at = now;
            }
            Ok(f(&file.connection)?)
        });
        work.await.unwrap_or(Err(AuditError::Panicked))
    }
}

/// Entries are in the order of time, so the old ones are those before the first that is not.
fn prune(connection: &Connection, now: u64) -> rusqlite::Result<()> {
    let oldest = integer(now.saturating_sub(u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX)));
    let first_at: Option<i64> =
        connection.query_row("SELECT at FROM audit ORDER BY seq LIMIT 1", (), |row| row.get(0)).optional()?;
    if first_at.is_some_and(|at| at < oldest) {
        connection.execute("DELETE FROM audit WHERE at < ?1", (oldest,))?;
    }
    Ok(())
}

fn integer(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct AuditPage {
    /// The newest first.
    entries: Vec<AuditEntry>,
    /// For `before`, to go on; null at the end.
    next: Option<String>,
}

/// One command.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditEntry {
    /// In unix milliseconds.
    at: u64,
    user: String,
    action: String,
    project: String,
    room: Option<String>,
    target: Option<String>,
    /// `started`, `done`, `refused` or `failed`.
    outcome: String,
    /// The code of the error, if it was one.
    code: Option<String>,
    /// What the user said why.
    reason: Option<String>,
}
