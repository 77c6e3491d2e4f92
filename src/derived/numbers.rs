//! Numbers of one session: how many took part and for how long, and what failed.
//!
//! The writer counts them when a session ends, into columns of `sessions`. A query counts those of a live session, those
//! that the writer has not counted, and those for a caller who does not see everyone.

use rusqlite::{Connection, Row, params};

use crate::{
    event::reasons::{call_failures, lost_reasons},
    rights::Window,
};

/// SQL for a list of names.
macro_rules! in_list {
    ($first:literal $(, $rest:literal)*) => { concat!("('", $first, "'" $(, ", '", $rest, "'")*, ")") };
}

/// SQL for the time that participation `p` lasted, in milliseconds, in a session that ends at `$end`. The time of a leave
/// that is uncertain is the latest.
macro_rules! stay {
    ($end:literal) => {
        concat!("max(0, min(coalesce(p.left_at, ", $end, "), ", $end, ") - min(p.joined_at, ", $end, "))")
    };
}

/// SQL for the numbers of participations `p` of one session that ends at `$end`, in the order of [`Numbers`]. Participants
/// and agents are distinct identities, so one who has come back counts once. Each loss and each call counts.
macro_rules! numbers {
    ($end:literal) => {
        concat!(
            "count(DISTINCT iif(p.counted, p.identity, NULL)), count(DISTINCT iif(p.kind = 'agent', p.identity, NULL)),
             coalesce(sum(p.reason IN ",
            lost_reasons!(in_list),
            " AND NOT p.hidden), 0), coalesce(sum(p.kind = 'agent' AND p.reason IS 'agent_error'), 0),
             coalesce(sum(p.kind = 'sip'), 0), coalesce(sum(p.kind = 'sip' AND p.reason IN ",
            call_failures!(in_list),
            "), 0), coalesce(sum(iif(p.counted, ",
            stay!($end),
            ", 0)), 0), coalesce(sum(iif(p.kind = 'agent', ",
            stay!($end),
            ", 0)), 0), coalesce(sum(iif(p.kind = 'sip', ",
            stay!($end),
            ", 0)), 0)"
        )
    };
}

/// SQL for the number of ended recordings of session `s` that failed, or reached a limit.
macro_rules! recordings_failed {
    () => {
        "(SELECT count(*) FROM egress WHERE room_sid = s.sid AND project = s.project AND ended
          AND json_extract(json, '$.status') IN ('failed', 'aborted', 'limit_reached'))"
    };
}

/// SQL that writes the numbers of ended sessions `s`, without its condition.
macro_rules! count_session {
    () => {
        concat!(
            "UPDATE sessions AS s SET
             (participants, agents, lost, agents_failed, calls, calls_failed, people_ms, agent_ms, call_ms) = (SELECT ",
            numbers!("s.ended_at"),
            " FROM participations p WHERE p.session = s.id), recordings_failed = ",
            recordings_failed!()
        )
    };
}

/// SQL for the columns that [`Numbers::written`] reads, of session `s`.
pub(super) const COLUMNS: &str =
    "s.participants, s.agents, s.lost, s.agents_failed, s.calls, s.calls_failed, s.people_ms, s.agent_ms,
     s.call_ms, s.recordings_failed";

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbers {
    pub participants: i64,
    pub agents: i64,
    pub lost: i64,
    pub agents_failed: i64,
    pub calls: i64,
    pub calls_failed: i64,
    /// Sums of the times of all stays, in milliseconds.
    pub people_ms: i64,
    pub agent_ms: i64,
    pub call_ms: i64,
    pub recordings_failed: i64,
}

impl Numbers {
    /// Returns the numbers in a row that begins with [`COLUMNS`] at `first`, or `None` if they must be counted.
    pub fn written(row: &Row, first: usize, window: &Window) -> rusqlite::Result<Option<Numbers>> {
        let uncounted = row.get_ref(first + 6)? == rusqlite::types::ValueRef::Null;
        if uncounted || window.area().hides_restricted() {
            return Ok(None);
        }
        Numbers::read(row, first).map(Some)
    }

    /// Counts the numbers of a session as the window shows it, up to `end`. Returns the number of participations too.
    pub fn count(
        connection: &Connection,
        window: &Window,
        session: i64,
        end: i64,
    ) -> rusqlite::Result<(Numbers, usize)> {
        const SQL: &str = concat!(
            "SELECT ",
            numbers!("?2"),
            ", (SELECT iif(?3, ",
            recordings_failed!(),
            ", 0) FROM sessions s WHERE s.id = ?1), count(*)
             FROM participations p WHERE p.session = ?1 AND (?3 OR p.counted OR NOT p.restricted)"
        );
        let mut select = connection.prepare_cached(SQL)?;
        select.query_row(params![session, end, window.shows_egress()], |row| {
            Ok((Numbers::read(row, 0)?, row.get::<_, i64>(10)?.try_into().unwrap_or(usize::MAX)))
        })
    }

    fn read(row: &Row, first: usize) -> rusqlite::Result<Numbers> {
        Ok(Numbers {
            participants: row.get(first)?,
            agents: row.get(first + 1)?,
            lost: row.get(first + 2)?,
            agents_failed: row.get(first + 3)?,
            calls: row.get(first + 4)?,
            calls_failed: row.get(first + 5)?,
            people_ms: row.get(first + 6)?,
            agent_ms: row.get(first + 7)?,
            call_ms: row.get(first + 8)?,
            recordings_failed: row.get(first + 9)?,
        })
    }

    /// Returns the number of things that went wrong.
    pub fn trouble(&self) -> i64 {
        self.lost + self.agents_failed + self.calls_failed + self.recordings_failed
    }
}

/// Returns milliseconds as minutes, with two decimals.
pub(super) fn minutes(ms: i64) -> f64 {
    (ms as f64 / 600.0).round() / 100.0
}
