//! The audit record: each command, its user and its outcome.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    storage::Damage,
    store::{Repair, Store, StoreError, has_table, is_damage},
};

/// Time for which an entry is kept.
const RETENTION: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Interval at which old entries are removed, in milliseconds.
const PRUNE_EVERY_MS: u64 = 60 * 60 * 1000;
/// Maximum length of a text from a caller, in characters. Longer texts are cut.
const TEXT_CHARS_MAX: usize = 512;

const STORE: Store = Store {
    file: "audit.db",
    application_id: 0x526d_4175,
    first_version: 1,
    steps: &[TABLES, BY_ROOM],
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

/// For the commands about one room.
const BY_ROOM: &str = "CREATE INDEX audit_room ON audit (project, room, at);";

/// The audit record. It has its own file, because requests write it: the log and the derived data must not wait for
/// those writes, and a rebuild of the derived data must not lose the record.
pub struct Audit {
    data_dir: PathBuf,
    clock: Clock,
    damage: Damage,
    /// Locked before a thread is taken: those that wait take none.
    file: Arc<Mutex<Option<File>>>,
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

/// A command for the record.
#[derive(Clone, Debug)]
pub struct NewAuditEntry {
    pub user: Arc<str>,
    /// `room.create`, `room.end`, `room.update`, `room.watch`, `data.send`, `participant.remove`,
    /// `participant.update`, `track.mute`, `track.unmute`, `dispatch.create`, `dispatch.delete`,
    /// `egress.start`, `egress.stop`, `condition.acknowledge`, `condition.unacknowledge`.
    pub action: &'static str,
    pub project: Arc<str>,
    pub room: Option<String>,
    /// Target in the room: an identity, `identity/track sid`, or `agent/dispatch id`. Of egress, its id, or
    /// `preset/egress id`. Of a condition, its id.
    pub target: Option<String>,
    /// Reason that the user gave, if one was asked for.
    pub reason: Option<String>,
}

/// A command to look up: the last one with these values between two times, in unix milliseconds.
#[derive(Clone, Debug)]
pub struct Deed {
    pub action: &'static str,
    pub project: String,
    pub room: String,
    pub target: Option<String>,
    pub from: i64,
    pub to: i64,
}

/// Entries of a page: those that have each value that is given. Times are unix milliseconds.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub user: Option<String>,
    pub action: Option<String>,
    pub outcome: Option<String>,
    pub project: Option<String>,
    pub room: Option<String>,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// Outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has begun. If an entry keeps this outcome, it is unknown whether the command was done.
    Started,
    Done,
    /// The user does not have the right.
    Refused,
    /// LiveKit has refused it, or could not do it.
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
    /// Returns the record of a data directory. Its file is opened, or created, at the first read or write.
    /// Damage of the file is noted.
    pub fn new(data_dir: &std::path::Path, clock: Clock, damage: Damage) -> Arc<Audit> {
        Arc::new(Audit { data_dir: data_dir.to_owned(), clock, damage, file: Arc::default() })
    }

    /// Records a command that is about to run or was refused, and returns the number of its entry. Durable on return.
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

    /// Records the outcome of an entry, and the target of a command that only its answer names.
    pub async fn ended(
        self: &Arc<Self>,
        entry: i64,
        outcome: Outcome,
        code: Option<&'static str>,
        target: Option<String>,
    ) -> Result<(), AuditError> {
        self.with(move |connection| {
            let mut update = connection.prepare_cached(
                "UPDATE audit SET outcome = ?2, code = ?3, target = ifnull(?4, target) WHERE seq = ?1",
            )?;
            update.execute((entry, outcome.as_str(), code, target.as_deref().map(cut))).map(drop)
        })
        .await
    }

    /// Returns the entries before the entry `before` that match, the newest first.
    pub async fn page(
        self: &Arc<Self>,
        filter: AuditFilter,
        before: i64,
        limit: usize,
    ) -> Result<AuditPage, AuditError> {
        self.with(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT seq, at, user, action, project, room, target, outcome, code, reason FROM audit \
                 WHERE seq < :before AND at BETWEEN ifnull(:from, at) AND ifnull(:to, at) \
                 AND user = ifnull(:user, user) AND action = ifnull(:action, action) \
                 AND outcome = ifnull(:outcome, outcome) AND project = ifnull(:project, project) \
                 AND (:room IS NULL OR room = :room) ORDER BY seq DESC LIMIT :limit",
            )?;
            let AuditFilter { user, action, outcome, project, room, from, to } = filter;
            let values = named_params! {
                ":before": before, ":from": from, ":to": to, ":user": user, ":action": action,
                ":outcome": outcome, ":project": project, ":room": room, ":limit": limit as i64 + 1,
            };
            let rows = select.query_map(values, |row| {
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

    /// Returns the user of each command, or `None` if there was no such command that succeeded.
    pub async fn who(self: &Arc<Self>, deeds: Vec<Deed>) -> Result<Vec<Option<String>>, AuditError> {
        if deeds.is_empty() {
            return Ok(Vec::new());
        }
        self.with(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT user FROM audit WHERE project = ?1 AND room = ?2 AND at BETWEEN ?3 AND ?4 \
                 AND action = ?5 AND target IS ?6 AND outcome = 'done' ORDER BY at DESC LIMIT 1",
            )?;
            let of = |deed: &Deed| {
                let Deed { action, project, room, target, from, to } = deed;
                select.query_row((project, room, from, to, action, target), |row| row.get(0)).optional()
            };
            deeds.iter().map(of).collect()
        })
        .await
    }

    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, AuditError> {
        let audit = self.clone();
        let mut file = self.file.clone().lock_owned().await;
        let work = move || {
            let file = match &mut *file {
                Some(file) => file,
                none => none.insert(File { connection: STORE.open(&audit.data_dir)?, pruned_at: 0 }),
            };
            let now = audit.clock.evident_ms();
            let work = || {
                if now.saturating_sub(file.pruned_at) > PRUNE_EVERY_MS {
                    prune(&file.connection, now)?;
                    file.pruned_at = now;
                }
                f(&file.connection)
            };
            work().map_err(|error| {
                if is_damage(&error) {
                    audit.damage.found(STORE.file, &error);
                }
                error.into()
            })
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(AuditError::Panicked))
    }
}

/// Removes old entries. Entries are in the order of time, so if the first one is not old, none is.
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
    /// The newest first
    entries: Vec<AuditEntry>,
    /// `before` of the next page; null at the end
    next: Option<String>,
}

/// One command.
#[derive(Serialize, utoipa::ToSchema)]
struct AuditEntry {
    /// Unix milliseconds
    at: u64,
    user: String,
    action: String,
    project: String,
    room: Option<String>,
    target: Option<String>,
    /// `started`, `done`, `refused` or `failed`
    outcome: String,
    /// Code of the error if it was refused or failed
    code: Option<String>,
    /// Reason that the user gave
    reason: Option<String>,
}
