//! Agents of the last days, by the name of their worker.

use rusqlite::Connection;

use super::{Derived, DerivedError, sessions::Conditions};
use crate::rights::Window;

/// Maximum number of names in one answer: those that were seen last. A name that an application makes up for each room
/// would be without a limit.
const NAMES_MAX: usize = 500;

/// Sum over the agents of one name since a time.
#[derive(Debug)]
pub struct AgentHistory {
    pub project: String,
    /// Empty if the worker has no name.
    pub name: String,
    /// Sessions with such an agent, of the shorter and of the whole time.
    pub sessions_recent: i64,
    pub sessions: i64,
    pub millis: i64,
    /// Leaves with `AGENT_ERROR`.
    pub failures_recent: i64,
    pub failures: i64,
    pub last_seen_at: i64,
}

/// Number of times that a room was without the agent that it should have had, of the shorter and of the whole time.
#[derive(Debug, Default)]
pub struct Missed {
    pub recent: i64,
    pub all: i64,
}

impl Derived {
    /// Counts the rooms without their agent since `recent`, and since `from`. Times are unix milliseconds.
    pub async fn agents_missed(
        &self,
        window: Window,
        from: i64,
        recent: i64,
    ) -> Result<Missed, DerivedError> {
        self.ask(move |connection| {
            let conditions = Conditions::of(&window);
            let sql = format!(
                "SELECT coalesce(sum(m.at >= {recent}), 0), count(*) FROM misses m CROSS JOIN sessions s
                 ON s.id = m.session WHERE m.at >= {from} AND {}",
                conditions.sql()
            );
            let missed = |row: &rusqlite::Row| Ok(Missed { recent: row.get(0)?, all: row.get(1)? });
            Ok(connection.prepare(&sql)?.query_row(conditions.values().as_slice(), missed)?)
        })
        .await
    }

    /// Returns what agents have done since `from`, and in the shorter time since `recent`. Times are unix milliseconds.
    pub async fn agents(
        &self,
        window: Window,
        from: i64,
        recent: i64,
        now: i64,
    ) -> Result<Vec<AgentHistory>, DerivedError> {
        self.ask(move |connection| agents(connection, &window, from, recent, now)).await
    }
}

fn agents(
    connection: &Connection,
    window: &Window,
    from: i64,
    recent: i64,
    now: i64,
) -> Result<Vec<AgentHistory>, DerivedError> {
    let conditions = Conditions::of(window);
    let visible = if window.area().hides_restricted() { "AND NOT p.restricted" } else { "" };
    // Numbers, not parameters: the conditions have an unknown number of those.
    let sql = format!(
        "SELECT project, name, count(DISTINCT iif(until >= {recent}, session, NULL)), count(DISTINCT session),
         sum(max(0, min(until, {now}) - max(joined_at, {from}))), sum(failed AND until >= {recent}), sum(failed),
         max(until) AS last FROM (
         SELECT s.project, coalesce(a.name, iif(substr(p.identity, 1, 6) = 'agent-', '', p.identity)) AS name, p.session,
         p.joined_at, coalesce(p.left_at, s.ended_at, {now}) AS until, coalesce(p.reason = 'agent_error', 0) AS failed
         FROM participations p INDEXED BY participations_agents CROSS JOIN sessions s ON s.id = p.session
         LEFT JOIN agents a ON a.session = p.session AND a.participant = p.sid
         WHERE p.kind = 'agent' AND coalesce(p.left_at, 9223372036854775807) >= {from}
         AND coalesce(s.ended_at, {now}) >= {from} {visible} AND {})
         GROUP BY project, name ORDER BY last DESC, project, name LIMIT {NAMES_MAX}",
        conditions.sql()
    );
    let mut select = connection.prepare(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), |row| {
        Ok(AgentHistory {
            project: row.get(0)?,
            name: row.get(1)?,
            sessions_recent: row.get(2)?,
            sessions: row.get(3)?,
            millis: row.get(4)?,
            failures_recent: row.get(5)?,
            failures: row.get(6)?,
            last_seen_at: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
