//! Sessions, present and past, with their participations, tracks and egress.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Derived, DerivedError, egress::masked};
use crate::{rights::Window, state::schema::EgressSchema};

/// Maximum number of sessions in one answer.
pub const SESSIONS_MAX: usize = 1_000;
/// Maximum number of participations, of tracks and of egress in the detail of one session.
const DETAIL_ROWS_MAX: usize = 20_000;

#[derive(Clone, Debug)]
pub struct SessionQuery {
    pub window: Window,
    /// Only sessions in which this identity took part.
    pub identity: Option<String>,
    /// Only sessions that were live at some time between these two, in unix milliseconds.
    pub from: Option<u64>,
    pub to: Option<u64>,
    /// Position of the last session of the previous page.
    pub before: Option<(i64, i64)>,
    pub limit: usize,
}

/// One session of a room.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    pub project: String,
    /// LiveKit's sid of this session
    pub sid: String,
    pub room: String,
    pub started_at: i64,
    /// Null while it is live
    pub ended_at: Option<i64>,
    /// LiveKit's reason, for example `idle_timeout`, if it reports one. Otherwise `room_deleted` if participants left with
    /// it, `everyone_left` if the last one left before the room closed, `nobody_joined`, or null: unknown
    pub end_reason: Option<String>,
    /// User whose command ended the room. Only operators see it
    pub ended_by: Option<String>,
    /// Number of distinct identities, without hidden participants, agents and egress
    pub participant_count: i64,
    /// Maximum number of them at one time
    pub peak: i64,
    /// Number of distinct identities that published a track
    pub publisher_count: i64,
    pub recorded: bool,
    /// Outcome of its ended recordings: `complete`, `failed`, or `partial` if one failed or reached a limit. Null if none
    /// has ended, and for a caller who does not see egress
    pub recording_outcome: Option<String>,
    /// `webhook`, or `reconcile` if it was inferred from LiveKit's API
    pub source: String,
    #[serde(skip)]
    id: i64,
}

impl Session {
    /// Returns the position at which the next page begins if this is the last session of a page.
    pub fn position(&self) -> (i64, i64) {
        (self.started_at, self.id)
    }
}

/// One session with its participations, tracks and egress.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionDetail {
    pub session: Session,
    pub participations: Vec<Participation>,
    pub tracks: Vec<SessionTrack>,
    /// In the form of the lists of live egress
    #[schema(value_type = Vec<EgressSchema>)]
    pub egress: Vec<Box<RawValue>>,
}

/// A participant's stay in a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Participation {
    pub sid: String,
    pub identity: String,
    pub name: String,
    pub kind: String,
    pub hidden: bool,
    pub watcher: bool,
    pub joined_at: i64,
    pub left_at: Option<i64>,
    /// Set if the leave was inferred: it was between this time and `leftAt`
    pub left_not_before: Option<i64>,
    /// LiveKit's reason, in lower snake case
    pub disconnect_reason: Option<String>,
    /// User whose command removed the participant. Only operators see it
    pub removed_by: Option<String>,
    pub source: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionTrack {
    pub sid: String,
    pub participant_sid: String,
    /// Identity of the publisher
    pub identity: String,
    /// Name of the track
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub source: String,
    pub published_at: i64,
    pub unpublished_at: Option<i64>,
}

/// SQL for the reason of the end of session `s`. LiveKit before 1.13.7 reports none. Only `DeleteRoom` makes participants
/// leave with `room_deleted`. A room that people have left is closed after its departure timeout, so the last leave is
/// earlier than the end. A second is the precision of LiveKit's times.
macro_rules! end_reason {
    () => {
        "iif(s.ended_at IS NULL, NULL, coalesce(s.end_reason, CASE
         WHEN EXISTS (SELECT 1 FROM participations WHERE session = s.id AND reason = 'room_deleted')
         THEN 'room_deleted'
         WHEN s.participants = 0 THEN iif(s.source = 'webhook', 'nobody_joined', NULL)
         WHEN (SELECT max(coalesce(left_at, s.ended_at)) FROM participations WHERE session = s.id AND counted)
         < s.ended_at - 1000 THEN 'everyone_left' END))"
    };
}

/// SQL for the outcome of the ended recordings of session `s`.
macro_rules! recording_outcome {
    () => {
        "(SELECT CASE WHEN max(bad) = 0 THEN 'complete' WHEN min(bad) = 2 THEN 'failed' WHEN max(bad) > 0 THEN 'partial' END
         FROM (SELECT CASE json_extract(json, '$.status') WHEN 'failed' THEN 2 WHEN 'aborted' THEN 2
         WHEN 'limit_reached' THEN 1 ELSE 0 END AS bad
         FROM egress WHERE room_sid = s.sid AND project = s.project AND ended))"
    };
}

const COLUMNS: &str = concat!(
    "s.id, s.project, s.sid, s.room, s.started_at, s.ended_at, ",
    end_reason!(),
    ", iif(s.ended_at IS NULL, ",
    participants!(),
    ", s.participants), s.peak, iif(s.ended_at IS NULL, ",
    publishers!(),
    ", s.publishers), s.recorded, ",
    recording_outcome!(),
    ", s.source"
);

impl Derived {
    /// Returns the sessions of a query; the one that began last comes first.
    pub async fn sessions(&self, query: SessionQuery) -> Result<Vec<Session>, DerivedError> {
        self.ask(move |connection| sessions(connection, &query)).await
    }

    /// Returns the detail of one session, or `None` if the window has no such session. If two projects have the sid, it is
    /// the session that began last.
    pub async fn session(&self, window: Window, sid: String) -> Result<Option<SessionDetail>, DerivedError> {
        self.ask(move |connection| detail(connection, &window, &sid)).await
    }
}

/// SQL conditions with their values.
pub(super) struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    /// Returns the conditions of a window on a session `s`.
    pub fn of(window: &Window) -> Conditions {
        let mut conditions = Conditions { sql: "1".into(), values: Vec::new() };
        let area = window.area();
        for (column, values) in [("s.project", area.projects()), ("s.room", area.rooms())] {
            if let Some(values) = values {
                conditions.one_of(column, &values.iter().collect::<Vec<_>>());
            }
        }
        if let Some(sid) = window.session() {
            // NULL, which equals no sid, if no session is visible.
            conditions.and("s.sid = ?", sid.map(str::to_owned));
        }
        conditions
    }

    pub fn and(&mut self, sql: &str, value: impl ToSql + 'static) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.push(Box::new(value));
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Adds the condition that `column` has one of these values.
    pub fn one_of(&mut self, column: &str, values: &[impl AsRef<str>]) {
        let parameters = vec!["?"; values.len()].join(", ");
        self.sql.push_str(&format!(" AND {column} IN ({parameters})"));
        self.values.extend(values.iter().map(|v| Box::new(v.as_ref().to_owned()) as Box<dyn ToSql>));
    }

    /// Adds the condition that the row is after this position in a list whose last row comes first.
    pub fn before(&mut self, columns: &str, position: impl IntoIterator<Item = Box<dyn ToSql>>) {
        let from = self.values.len();
        self.values.extend(position);
        let parameters = vec!["?"; self.values.len() - from].join(", ");
        // SQLite uses this as a range of the index.
        self.sql.push_str(&format!(" AND ({columns}) < ({parameters})"));
    }

    /// Adds the value of a `LIMIT ?`.
    pub fn limit(&mut self, limit: usize) {
        self.values.push(Box::new(limit as i64));
    }

    pub fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| &**value).collect()
    }
}

fn sessions(connection: &Connection, query: &SessionQuery) -> Result<Vec<Session>, DerivedError> {
    let mut conditions = Conditions::of(&query.window);
    if let Some(identity) = &query.identity {
        let visible = if query.window.area().hides_restricted() { " AND NOT restricted" } else { "" };
        conditions.and(
            &format!("s.id IN (SELECT session FROM participations WHERE identity = ?{visible})"),
            identity.clone(),
        );
    }
    if let Some(from) = query.from {
        conditions.and("(s.ended_at IS NULL OR s.ended_at >= ?)", from as i64);
    }
    if let Some(to) = query.to {
        conditions.and("s.started_at <= ?", to as i64);
    }
    if let Some((started_at, id)) = query.before {
        conditions.before("s.started_at, s.id", [Box::new(started_at) as _, Box::new(id) as _]);
    }
    conditions.limit(query.limit.min(SESSIONS_MAX));
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions s WHERE {} ORDER BY s.started_at DESC, s.id DESC LIMIT ?",
        conditions.sql()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), |row| session(row, &query.window))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn session(row: &Row, window: &Window) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        project: row.get(1)?,
        sid: row.get(2)?,
        room: row.get(3)?,
        started_at: row.get(4)?,
        ended_at: row.get(5)?,
        end_reason: row.get(6)?,
        ended_by: None,
        participant_count: row.get(7)?,
        peak: row.get(8)?,
        publisher_count: row.get(9)?,
        recorded: row.get(10)?,
        recording_outcome: if window.shows_egress() { row.get(11)? } else { None },
        source: row.get(12)?,
    })
}

fn detail(
    connection: &Connection,
    window: &Window,
    sid: &str,
) -> Result<Option<SessionDetail>, DerivedError> {
    let mut conditions = Conditions::of(window);
    conditions.and("s.sid = ?", sid.to_owned());
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions s WHERE {} ORDER BY s.started_at DESC LIMIT 1",
        conditions.sql()
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row(conditions.values().as_slice(), |row| session(row, window))
        .optional()?;
    let Some(session) = found else { return Ok(None) };
    // True if the caller may see restricted participants and egress.
    let restricted = !window.area().hides_restricted();
    let rows_max = DETAIL_ROWS_MAX as i64;
    let participations = connection
        .prepare_cached(
            "SELECT sid, identity, name, kind, hidden, watcher, joined_at, left_at, left_not_before, reason, source
             FROM participations WHERE session = ?1 AND (?2 OR NOT restricted) ORDER BY joined_at, sid LIMIT ?3",
        )?
        .query_map(params![session.id, restricted, rows_max], |row| {
            Ok(Participation {
                sid: row.get(0)?,
                identity: row.get(1)?,
                name: row.get(2)?,
                kind: row.get(3)?,
                hidden: row.get(4)?,
                watcher: row.get(5)?,
                joined_at: row.get(6)?,
                left_at: row.get(7)?,
                left_not_before: row.get(8)?,
                disconnect_reason: row.get(9)?,
                removed_by: None,
                source: row.get(10)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let tracks = connection
        .prepare_cached(
            "SELECT t.sid, t.participant, p.identity, t.name, t.type, t.source, t.published_at, t.unpublished_at
             FROM tracks t JOIN participations p ON p.session = t.session AND p.sid = t.participant
             WHERE t.session = ?1 AND (?2 OR NOT p.restricted) ORDER BY t.published_at, t.sid LIMIT ?3",
        )?
        .query_map(params![session.id, restricted, rows_max], |row| {
            Ok(SessionTrack {
                sid: row.get(0)?,
                participant_sid: row.get(1)?,
                identity: row.get(2)?,
                name: row.get(3)?,
                kind: row.get(4)?,
                source: row.get(5)?,
                published_at: row.get(6)?,
                unpublished_at: row.get(7)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let mut egress = Vec::new();
    if restricted {
        let mut select = connection.prepare_cached(
            "SELECT json FROM egress WHERE room_sid = ?1 AND project = ?2 ORDER BY at, id LIMIT ?3",
        )?;
        let rows = select.query_map(params![session.sid, session.project, rows_max], |row| row.get(0))?;
        for json in rows {
            egress.push(RawValue::from_string(masked(json?))?);
        }
    }
    Ok(Some(SessionDetail { session, participations, tracks, egress }))
}
