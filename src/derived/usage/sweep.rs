//! Counts sums and peaks from sessions, participations and egress.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::{
    BEFORE_SESSION_MS, DAY_MS,
    dimension::{self, Dimension, DimensionSource},
    measures::{Measures, Peak, Sum},
};
use crate::{
    derived::DerivedError,
    event::reasons::{call_failures, lost_reasons},
};

/// Project, dimension and value. All three are empty for all projects, and the last two for a project.
pub(super) type Group = (String, String, String);

macro_rules! in_list {
    ($first:literal $(, $rest:literal)*) => { concat!("('", $first, "'" $(, ", '", $rest, "'")*, ")") };
}

/// Sessions that were live between ?1 and ?2, or that became known up to a day after.
const SESSIONS: &str = "
SELECT id, project, room, started_at, ended_at FROM sessions
    WHERE started_at >= ?1 - 86400000 AND started_at < ?2 + 86400000 AND (ended_at IS NULL OR ended_at >= ?1)
UNION ALL SELECT id, project, room, started_at, ended_at FROM sessions INDEXED BY sessions_long
    WHERE ended_at - started_at > 86400000 AND ended_at >= ?1 AND started_at < ?1 - 86400000
UNION ALL SELECT id, project, room, started_at, ended_at FROM sessions INDEXED BY sessions_ended
    WHERE ended_at IS NULL AND started_at < ?1 - 86400000";

const PARTICIPATIONS: &str = concat!(
    "SELECT joined_at, left_at, counted, kind = 'agent', kind = 'sip', coalesce(NOT hidden AND reason IN ",
    lost_reasons!(in_list),
    ", 0), coalesce(kind = 'agent' AND reason = 'agent_error', 0), coalesce(kind = 'sip' AND reason IN ",
    call_failures!(in_list),
    ", 0) FROM participations WHERE session = ?1"
);

/// Egress that ran between ?1 and ?2.
const EGRESS: &str = "
SELECT e.project, s.id, s.room, iif(json_valid(e.json), json_extract(e.json, '$.startedAt'), NULL), e.stopped_at,
    e.ended AND e.status IN ('failed', 'aborted', 'limit_reached')
    FROM (SELECT * FROM egress WHERE began_at >= ?1 - 86400000 AND began_at < ?2
    UNION ALL SELECT * FROM egress INDEXED BY egress_long WHERE (stopped_at IS NULL OR stopped_at - began_at > 86400000)
        AND began_at < ?1 - 86400000) e
    LEFT JOIN sessions s ON s.sid = e.room_sid AND s.project = e.project";

/// Counts a time, in parts that begin at `edges`. The last edge is the end.
pub(super) struct Sweep<'a> {
    connection: &'a Connection,
    dimensions: &'a [Dimension],
    edges: &'a [i64],
    now: i64,
    /// Participations that may still be read.
    rows_left: usize,
    groups: BTreeMap<Group, Counting>,
}

/// One group while it is counted.
struct Counting {
    measures: Vec<Measures>,
    /// Beginnings and ends of rooms, participants and agents: time, and +1 or -1.
    moves: [Vec<(i64, i64)>; 3],
}

/// Present from `from` until `to`, which may be the present.
#[derive(Clone, Copy)]
struct Stay {
    from: i64,
    to: i64,
}

impl<'a> Sweep<'a> {
    /// Counts each group that has something. What is open is counted until `now`. Returns [`DerivedError::TooMuch`] if there
    /// are more participations than `rows_max`.
    pub fn run(
        connection: &'a Connection,
        dimensions: &'a [Dimension],
        edges: &'a [i64],
        now: i64,
        rows_max: usize,
    ) -> Result<BTreeMap<Group, Vec<Measures>>, DerivedError> {
        let mut sweep =
            Sweep { connection, dimensions, edges, now, rows_left: rows_max, groups: BTreeMap::new() };
        let (Some(from), Some(to)) = (edges.first(), edges.last()) else { return Ok(BTreeMap::new()) };
        let mut select = connection.prepare_cached(SESSIONS)?;
        let mut rows = select.query([from, to])?;
        while let Some(row) = rows.next()? {
            sweep.session(row, rows_max)?;
        }
        let mut select = connection.prepare_cached(EGRESS)?;
        let mut rows = select.query([from, to])?;
        while let Some(row) = rows.next()? {
            sweep.egress(row)?;
        }
        let edges = sweep.edges;
        Ok(sweep.groups.into_iter().map(|(group, counting)| (group, counting.finish(edges))).collect())
    }

    fn from(&self) -> i64 {
        self.edges[0]
    }

    fn to(&self) -> i64 {
        self.edges[self.edges.len() - 1]
    }

    fn session(&mut self, row: &Row, rows_max: usize) -> Result<(), DerivedError> {
        let (id, project, room): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (started_at, ended_at): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
        let end = ended_at.unwrap_or(self.now).min(self.now);
        let groups = self.groups_of(&project, Some((id, &room)))?;
        self.stay(&groups, 0, Stay { from: started_at, to: end });
        self.count(&groups, Sum::Sessions, started_at);
        let mut select = self.connection.prepare_cached(PARTICIPATIONS)?;
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            self.rows_left = self.rows_left.checked_sub(1).ok_or(DerivedError::TooMuch(rows_max))?;
            let (joined_at, left_at): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let [counted, agent, call]: [bool; 3] = [row.get(2)?, row.get(3)?, row.get(4)?];
            let earliest = started_at - BEFORE_SESSION_MS;
            let left_at = left_at.map(|left_at| left_at.max(earliest).min(end));
            let stay = Stay { from: joined_at.max(earliest), to: left_at.unwrap_or(end) };
            if counted {
                self.stay(&groups, 1, stay);
                self.time(&groups, Sum::Participant, stay);
                self.count(&groups, Sum::Joins, stay.from.min(end));
            }
            if agent {
                self.stay(&groups, 2, stay);
                self.time(&groups, Sum::Agent, stay);
            }
            if call {
                self.time(&groups, Sum::Call, stay);
            }
            for (column, sum) in [(5, Sum::Lost), (6, Sum::AgentsFailed), (7, Sum::CallsFailed)] {
                if let Some(left_at) = left_at
                    && row.get::<_, bool>(column)?
                {
                    self.count(&groups, sum, left_at);
                }
            }
        }
        Ok(())
    }

    fn egress(&mut self, row: &Row) -> Result<(), DerivedError> {
        let project: String = row.get(0)?;
        let session: Option<i64> = row.get(1)?;
        let room: Option<String> = row.get(2)?;
        let (started_at, stopped_at): (Option<i64>, Option<i64>) = (row.get(3)?, row.get(4)?);
        let groups = self.groups_of(&project, session.zip(room.as_deref()))?;
        if let Some(from) = started_at {
            let stay = Stay { from, to: stopped_at.unwrap_or(self.now).min(self.now) };
            self.time(&groups, Sum::Recorded, stay);
        }
        if let Some(at) = stopped_at.filter(|_| row.get(5).unwrap_or(false)) {
            self.count(&groups, Sum::RecordingsFailed, at);
        }
        Ok(())
    }

    /// Returns the groups of a project, and of one of its sessions.
    fn groups_of(&self, project: &str, session: Option<(i64, &str)>) -> rusqlite::Result<Vec<Group>> {
        let mut groups = vec![Group::default(), (project.to_owned(), String::new(), String::new())];
        let Some((id, room)) = session else { return Ok(groups) };
        let from_metadata =
            self.dimensions.iter().any(|one| matches!(one.source, DimensionSource::Metadata(_)));
        let stored = if from_metadata { dimension::stored(self.connection, id)? } else { Vec::new() };
        for dimension in self.dimensions {
            let stored = stored.iter().find(|(name, _)| *name == dimension.name);
            let value = dimension.value(room, stored.map(|(_, value)| &**value));
            groups.push((project.to_owned(), dimension.name.clone(), value.to_owned()));
        }
        Ok(groups)
    }

    fn counting(&mut self, group: &Group) -> &mut Counting {
        if !self.groups.contains_key(group) {
            let measures = vec![Measures::default(); self.edges.len() - 1];
            let counting = Counting { measures, moves: Default::default() };
            self.groups.insert(group.clone(), counting);
        }
        self.groups.get_mut(group).expect("it has just been inserted")
    }

    /// Counts for the peaks.
    fn stay(&mut self, groups: &[Group], kind: usize, stay: Stay) {
        if stay.from >= stay.to.min(self.to()) || stay.to <= self.from() {
            return;
        }
        for group in groups {
            self.counting(group).moves[kind].extend([(stay.from, 1), (stay.to, -1)]);
        }
    }

    /// Adds the milliseconds of a stay to each part.
    fn time(&mut self, groups: &[Group], sum: Sum, stay: Stay) {
        let (from, to) = (stay.from.max(self.from()), stay.to.min(self.to()));
        if from >= to {
            return;
        }
        let edges = self.edges;
        let first = edges.partition_point(|edge| *edge <= from) - 1;
        for group in groups {
            let measures = &mut self.counting(group).measures;
            for part in first..measures.len() {
                if edges[part] >= to {
                    break;
                }
                measures[part].add(sum, to.min(edges[part + 1]) - from.max(edges[part]));
            }
        }
    }

    /// Counts what happened at one moment.
    fn count(&mut self, groups: &[Group], sum: Sum, at: i64) {
        if at < self.from() || at >= self.to() || at > self.now {
            return;
        }
        let part = self.edges.partition_point(|edge| *edge <= at) - 1;
        for group in groups {
            self.counting(group).measures[part].add(sum, 1);
        }
    }
}

impl Counting {
    fn finish(mut self, edges: &[i64]) -> Vec<Measures> {
        for (kind, mut moves) in self.moves.into_iter().enumerate() {
            // In the same millisecond, ends come before beginnings.
            moves.sort_unstable();
            let mut moves = moves.into_iter().peekable();
            let mut now = 0;
            for (part, measures) in self.measures.iter_mut().enumerate() {
                while let Some((_, by)) = moves.next_if(|(at, _)| *at <= edges[part]) {
                    now += by;
                }
                let mut peak = Peak::default();
                peak.merge(Peak { most: now, at: edges[part] });
                while let Some((at, by)) = moves.next_if(|(at, _)| *at < edges[part + 1]) {
                    now += by;
                    peak.merge(Peak { most: now, at });
                }
                measures.peaks[kind] = peak;
            }
        }
        self.measures
    }
}

/// Returns the beginning of the first session that is stored.
pub(super) fn first(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let mut select =
        connection.prepare_cached("SELECT min(started_at) FROM sessions WHERE started_at >= ?1")?;
    select.query_row(params![DAY_MS], |row| row.get(0))
}
