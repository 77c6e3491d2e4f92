//! Sessions, present and past, with their participations, tracks and egress.

use rusqlite::{Connection, Row, ToSql, params};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Derived, DerivedError,
    egress::masked,
    numbers::{self, Numbers, minutes},
};
use crate::{rights::Window, state::schema::EgressSchema};

/// Maximum number of participations, of tracks and of egress in the detail of one session.
pub const DETAIL_ROWS_MAX: usize = 20_000;

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
    /// Number of distinct identities of agents
    pub agent_count: i64,
    /// Number of phone calls, and of those that ended without a conversation that the caller wanted
    pub call_count: i64,
    pub failed_calls: i64,
    /// Number of times that a participant, an agent or a caller left because the connection was lost
    pub lost_connections: i64,
    /// Number of agents that ended with an error
    pub failed_agents: i64,
    /// Number of ended recordings that failed or reached a limit. 0 for a caller who does not see egress
    pub failed_recordings: i64,
    /// Sum of the times that participants were there, in minutes, without hidden participants and agents. A leave at an
    /// uncertain time counts as its latest time. For a live session, until now
    pub participant_minutes: f64,
    /// The same for agents, and for phone calls, which `participantMinutes` contains too
    pub agent_minutes: f64,
    pub call_minutes: f64,
    pub recorded: bool,
    /// Outcome of its ended recordings: `complete`, `failed`, or `partial` if one failed or reached a limit. Null if none
    /// has ended, and for a caller who does not see egress
    pub recording_outcome: Option<String>,
    /// `webhook`, or `reconcile` if it was inferred from LiveKit's API
    pub source: String,
    #[serde(skip)]
    pub(super) id: i64,
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

/// Columns of a session `s`. They begin with those of [`Numbers`].
fn columns() -> String {
    format!(
        "{}, s.id, s.project, s.sid, s.room, s.started_at, s.ended_at, {}, s.peak,
         iif(s.ended_at IS NULL, {}, s.publishers), s.recorded, {}, s.source",
        numbers::COLUMNS,
        end_reason!(),
        publishers!(),
        recording_outcome!(),
    )
}

impl Derived {
    /// Returns the detail of one session, or `None` if the window has no such session. If two projects have the sid, it is
    /// the session that began last. `now` is the end of a live session, in unix milliseconds.
    pub async fn session(
        &self,
        window: Window,
        sid: String,
        now: u64,
    ) -> Result<Option<SessionDetail>, DerivedError> {
        self.ask(move |connection| detail(connection, &window, &sid, now as i64)).await
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
        // An index by project has the rows of several projects one after the other, and a list would be sorted at each page.
        // The plus keeps SQLite from it.
        let is_several = area.rooms().is_none() && area.projects().is_some_and(|projects| projects.len() > 1);
        let project = if is_several { "+s.project" } else { "s.project" };
        for (column, values) in [(project, area.projects()), ("s.room", area.rooms())] {
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

    /// Adds the value of a further `?` of the last condition.
    pub fn value(&mut self, value: impl ToSql + 'static) {
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

/// Returns the sessions with these conditions, in an order and up to a limit.
pub(super) fn select(
    connection: &Connection,
    window: &Window,
    conditions: &Conditions,
    rest: &str,
    now: i64,
) -> Result<Vec<Session>, DerivedError> {
    let sql = format!("SELECT {} FROM sessions s WHERE {} {rest}", columns(), conditions.sql());
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(session(connection, row, window, now)?);
    }
    Ok(found)
}

fn session(connection: &Connection, row: &Row, window: &Window, now: i64) -> rusqlite::Result<Session> {
    let (id, ended_at): (i64, Option<i64>) = (row.get(10)?, row.get(15)?);
    let numbers = match Numbers::written(row, 0, window)? {
        Some(numbers) => numbers,
        None => Numbers::count(connection, window, id, ended_at.unwrap_or(now))?.0,
    };
    Ok(Session {
        id,
        project: row.get(11)?,
        sid: row.get(12)?,
        room: row.get(13)?,
        started_at: row.get(14)?,
        ended_at,
        end_reason: row.get(16)?,
        ended_by: None,
        participant_count: numbers.participants,
        peak: row.get(17)?,
        publisher_count: row.get(18)?,
        agent_count: numbers.agents,
        call_count: numbers.calls,
        failed_calls: numbers.calls_failed,
        lost_connections: numbers.lost,
        failed_agents: numbers.agents_failed,
        failed_recordings: numbers.recordings_failed,
        participant_minutes: minutes(numbers.people_ms),
        agent_minutes: minutes(numbers.agent_ms),
        call_minutes: minutes(numbers.call_ms),
        recorded: row.get(19)?,
        recording_outcome: if window.shows_egress() { row.get(20)? } else { None },
        source: row.get(21)?,
    })
}

fn detail(
    connection: &Connection,
    window: &Window,
    sid: &str,
    now: i64,
) -> Result<Option<SessionDetail>, DerivedError> {
    let mut conditions = Conditions::of(window);
    conditions.and("s.sid = ?", sid.to_owned());
    let found =
        select(connection, window, &conditions, "ORDER BY s.started_at DESC, s.project LIMIT 1", now)?.pop();
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
            "SELECT json FROM egress WHERE room_sid = ?1 AND project = ?2 ORDER BY at, egress LIMIT ?3",
        )?;
        let rows = select.query_map(params![session.sid, session.project, rows_max], |row| row.get(0))?;
        for json in rows {
            egress.push(RawValue::from_string(masked(json?))?);
        }
    }
    Ok(Some(SessionDetail { session, participations, tracks, egress }))
}
