//! Phone calls: the participations of kind SIP, live and ended, by the time when they joined.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, ToSql};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Derived, DerivedError,
    fold::{add_contains, fold},
    sessions::Conditions,
};
use crate::rights::Window;

/// Maximum number of calls that are counted by outcome: the newest.
const COUNTED_MAX: usize = 100_000;

/// Position in the list: time of the join, sid of the participant, sid of the session, project.
pub type CallPosition = (i64, String, String, String);

#[derive(Clone, Debug)]
pub struct CallQuery {
    pub window: Window,
    /// Only calls whose number or identity contains this text.
    pub number: Option<String>,
    /// Only calls in rooms whose name contains this text.
    pub room: Option<String>,
    /// Only these outcomes; all if there are none.
    pub outcomes: Vec<String>,
    /// Only calls that joined between these two, in unix milliseconds.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// Position of the last call of the previous page.
    pub before: Option<CallPosition>,
    pub limit: usize,
}

/// A phone call: a participant of kind SIP.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub project: String,
    pub room: String,
    /// Sid of the session
    pub room_sid: String,
    pub participant_sid: String,
    pub identity: String,
    pub name: String,
    /// The number outside of LiveKit: of the caller of an inbound call, the called one of an outbound call. Null if LiveKit
    /// hides it
    pub number: Option<String>,
    /// LiveKit's id of the SIP trunk
    pub trunk_id: Option<String>,
    /// The number of the trunk
    pub trunk_number: Option<String>,
    /// `inbound`, `outbound`, or null: unknown
    pub direction: Option<String>,
    /// LiveKit's id of the call
    pub call_id: Option<String>,
    /// LiveKit's `sip.callStatus` as last reported, such as `dialing`, `ringing`, `active` or `hangup`
    pub status: Option<String>,
    pub started_at: i64,
    /// Null while it is live
    pub ended_at: Option<i64>,
    /// Set if the end was inferred: it was between this time and `endedAt`
    pub ended_not_before: Option<i64>,
    /// `live`; or how it ended: `hung_up` (by the phone), `ended` (by the room), `no_answer`, `declined` (or busy: LiveKit
    /// does not tell them apart), `trunk_error`, `failed`, `unknown`
    pub outcome: String,
    /// Null if that is unknown
    pub answered: Option<bool>,
    /// LiveKit's reason, in lower snake case
    pub disconnect_reason: Option<String>,
}

/// Calls; the one that joined last comes first.
#[derive(Debug, Default)]
pub struct CallPage {
    pub calls: Vec<Call>,
    /// Number of calls by outcome, whatever outcomes the query names, of the newest 100,000.
    pub counts: BTreeMap<String, i64>,
    pub next: Option<CallPosition>,
}

/// SQL for the outcome of participation `p` in session `s`.
const OUTCOME: &str = "CASE WHEN p.left_at IS NULL AND s.ended_at IS NULL THEN 'live'
    WHEN p.reason = 'client_initiated' THEN 'hung_up'
    WHEN p.reason IN ('participant_removed', 'room_deleted', 'room_closed', 'duplicate_identity') THEN 'ended'
    WHEN p.reason = 'user_unavailable' THEN 'no_answer' WHEN p.reason = 'user_rejected' THEN 'declined'
    WHEN p.reason = 'sip_trunk_failure' THEN 'trunk_error'
    WHEN p.reason IN ('join_failure', 'media_failure', 'connection_timeout', 'signal_close', 'state_mismatch',
    'server_shutdown', 'migration') THEN 'failed' ELSE 'unknown' END";

/// SQL for the number of a call. LiveKit's default identity has it, for the sessions of an earlier version.
const NUMBER: &str =
    "coalesce(c.number, iif(substr(p.identity, 1, 4) = 'sip_', substr(p.identity, 5), NULL))";

const FROM: &str =
    "participations p INDEXED BY participations_calls CROSS JOIN sessions s ON s.id = p.session
    LEFT JOIN calls c ON c.session = p.session AND c.participant = p.sid";

impl Derived {
    /// Returns a page of calls. The counts are those of all pages.
    pub async fn calls(&self, query: CallQuery) -> Result<CallPage, DerivedError> {
        self.ask(move |connection| page(connection, &query)).await
    }
}

fn page(connection: &Connection, query: &CallQuery) -> Result<CallPage, DerivedError> {
    add_contains(connection)?;
    let mut conditions = Conditions::of(&query.window);
    if let Some(number) = &query.number {
        let sql = format!("contains({NUMBER} || char(10) || p.identity, ?)");
        // A number is typed with spaces and dashes that LiveKit does not have.
        let digits: String = number.chars().filter(|c| !" -().".contains(*c)).collect();
        let is_number = digits.trim_start_matches('+').chars().all(|c| c.is_ascii_digit());
        conditions.and(&sql, fold(if is_number { &digits } else { number }));
    }
    if let Some(room) = &query.room {
        conditions.and("contains(s.room, ?)", fold(room));
    }
    if let Some(from) = query.from {
        conditions.and("p.joined_at >= ?", from);
    }
    if let Some(to) = query.to {
        conditions.and("p.joined_at <= ?", to);
    }
    let visible = if query.window.area().hides_restricted() { "AND NOT p.restricted" } else { "" };
    let mut counted = format!(
        "SELECT {OUTCOME} AS outcome FROM {FROM} WHERE p.kind = 'sip' {visible} AND {}",
        conditions.sql()
    );
    counted.push_str(" ORDER BY p.joined_at DESC");
    let sql = format!("SELECT outcome, count(*) FROM ({counted} LIMIT {COUNTED_MAX}) GROUP BY 1");
    let counts = connection
        .prepare_cached(&sql)?
        .query_map(conditions.values().as_slice(), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if !query.outcomes.is_empty() {
        conditions.one_of(OUTCOME, &query.outcomes);
    }
    if let Some((joined_at, sid, session, project)) = query.before.clone() {
        // The range of the index; the rest is of another table.
        conditions.and("p.joined_at <= ?", joined_at);
        let position: [Box<dyn ToSql>; 4] =
            [Box::new(joined_at), Box::new(sid), Box::new(session), Box::new(project)];
        conditions.before("p.joined_at, p.sid, s.sid, s.project", position);
    }
    conditions.limit(query.limit);
    let sql = format!(
        "SELECT p.joined_at, p.sid, s.sid, s.project, s.room, s.sid, p.identity, p.name, {NUMBER}, c.trunk,
         c.trunk_number, c.direction, c.call, c.status, coalesce(p.left_at, s.ended_at), p.left_not_before, {OUTCOME},
         c.answered, p.reason FROM {FROM} WHERE p.kind = 'sip' {visible} AND {}
         ORDER BY p.joined_at DESC, p.sid DESC, s.sid DESC, s.project DESC LIMIT ?",
        conditions.sql()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), |row| {
        let position: CallPosition = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((position, call(row)?))
    })?;
    let mut rows: Vec<(CallPosition, Call)> = rows.collect::<Result<_, _>>()?;
    let next =
        if rows.len() == query.limit { rows.last_mut().map(|row| std::mem::take(&mut row.0)) } else { None };
    Ok(CallPage { calls: rows.into_iter().map(|(_, call)| call).collect(), counts, next })
}

fn call(row: &Row) -> rusqlite::Result<Call> {
    let outcome: String = row.get(16)?;
    let reported: Option<bool> = row.get(17)?;
    let was_not = matches!(&*outcome, "no_answer" | "declined" | "trunk_error");
    Ok(Call {
        started_at: row.get(0)?,
        participant_sid: row.get(1)?,
        project: row.get(3)?,
        room: row.get(4)?,
        room_sid: row.get(5)?,
        identity: row.get(6)?,
        name: row.get(7)?,
        number: row.get(8)?,
        trunk_id: row.get(9)?,
        trunk_number: row.get(10)?,
        direction: row.get(11)?,
        call_id: row.get(12)?,
        status: row.get(13)?,
        ended_at: row.get(14)?,
        ended_not_before: row.get(15)?,
        // Without a report of `active`, a call that has ended may have been answered all the same.
        answered: reported.filter(|answered| *answered).or(was_not.then_some(false)),
        outcome,
        disconnect_reason: row.get(18)?,
    })
}
