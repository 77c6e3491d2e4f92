//! The activity: numbers of rooms and participants, and of joins and leaves, for each step of time.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Derived, DerivedError, gaps, sessions::Conditions};
use crate::rights::Window;

const MINUTE_MS: i64 = 60_000;
/// Maximum number of sessions and of participations for the activity of one room.
const ROWS_MAX: usize = 200_000;

/// `rooms` and `participants` are the maximum at one time in a step, its beginning included.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    pub from: i64,
    pub to: i64,
    /// Milliseconds between two points
    pub step: i64,
    pub points: Vec<ActivityPoint>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActivityPoint {
    /// Beginning of the step
    pub at: i64,
    /// Null before the beginning of the history, and where rows were lost with a damaged file: the number is unknown
    pub rooms: Option<i64>,
    /// Like `rooms`; this, `joins` and `leaves` count those that `participantCount` counts
    pub participants: Option<i64>,
    pub joins: i64,
    pub leaves: i64,
}

impl Derived {
    /// Returns the activity from `from` until before `to`, in steps of `step` milliseconds. All three are whole minutes.
    ///
    /// For projects it comes from the counts of each minute. For a room it is computed from its sessions, and returns
    /// [`DerivedError::TooMuch`] if there are too many.
    pub async fn activity(
        &self,
        window: Window,
        from: i64,
        to: i64,
        step: i64,
    ) -> Result<Activity, DerivedError> {
        self.ask(move |connection| {
            let mut points = if window.area().rooms().is_some() {
                of_sessions(connection, &window, from, to, step)?
            } else {
                of_projects(connection, &window, from, to, step)?
            };
            let gaps = gaps(connection)?;
            for point in &mut points {
                if gaps.iter().any(|gap| gap.from < point.at + step && gap.to > point.at) {
                    (point.rooms, point.participants) = (None, None);
                }
            }
            Ok(Activity { from, to, step, points })
        })
        .await
    }
}

fn steps(from: i64, to: i64, step: i64) -> Vec<ActivityPoint> {
    let count = (to - from + step - 1) / step;
    (0..count).map(|n| ActivityPoint { at: from + n * step, ..ActivityPoint::default() }).collect()
}

fn of_projects(
    connection: &Connection,
    window: &Window,
    from: i64,
    to: i64,
    step: i64,
) -> Result<Vec<ActivityPoint>, DerivedError> {
    let mut points = steps(from, to, step);
    let projects = projects_of(connection, window, "minutes")?;
    let mut before = connection.prepare_cached(
        "SELECT rooms_after, participants_after FROM minutes WHERE project = ?1 AND minute < ?2 ORDER BY minute DESC LIMIT 1",
    )?;
    let mut during = connection.prepare_cached(
        "SELECT minute, rooms, participants, rooms_after, participants_after, joins, leaves FROM minutes
         WHERE project = ?1 AND minute >= ?2 AND minute < ?3 ORDER BY minute",
    )?;
    for project in &projects {
        let start = params![project, from / MINUTE_MS];
        let mut last: Option<(i64, i64)> =
            before.query_row(start, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let mut rows = during.query(params![project, from / MINUTE_MS, (to + MINUTE_MS - 1) / MINUTE_MS])?;
        let mut row = rows.next()?;
        for point in &mut points {
            let ends = point.at + step;
            let mut most = last;
            while let Some(minute) = row {
                if minute.get::<_, i64>(0)? * MINUTE_MS >= ends {
                    row = Some(minute);
                    break;
                }
                let (rooms, participants) = most.unwrap_or_default();
                most = Some((rooms.max(minute.get(1)?), participants.max(minute.get(2)?)));
                last = Some((minute.get(3)?, minute.get(4)?));
                point.joins += minute.get::<_, i64>(5)?;
                point.leaves += minute.get::<_, i64>(6)?;
                row = rows.next()?;
            }
            if let Some((rooms, participants)) = most {
                point.rooms = Some(point.rooms.unwrap_or(0) + rooms);
                point.participants = Some(point.participants.unwrap_or(0) + participants);
            }
        }
    }
    Ok(points)
}

/// Beginnings and ends of one kind, for a sweep in the order of time.
struct Sweep {
    /// Time, and +1 or -1.
    moves: Vec<(i64, i64)>,
}

impl Sweep {
    /// Returns the maximum at one time in each step.
    fn most(mut self, points: &[ActivityPoint], step: i64) -> Vec<i64> {
        // In the same millisecond, ends come before beginnings.
        self.moves.sort_unstable();
        let mut moves = self.moves.into_iter().peekable();
        let mut now = 0;
        let mut most = Vec::with_capacity(points.len());
        for point in points {
            while let Some((_, by)) = moves.next_if(|(at, _)| *at <= point.at) {
                now += by;
            }
            let mut peak = now;
            while let Some((_, by)) = moves.next_if(|(at, _)| *at < point.at + step) {
                now += by;
                peak = peak.max(now);
            }
            most.push(peak);
        }
        most
    }
}

fn of_sessions(
    connection: &Connection,
    window: &Window,
    from: i64,
    to: i64,
    step: i64,
) -> Result<Vec<ActivityPoint>, DerivedError> {
    let mut points = steps(from, to, step);
    let mut conditions = Conditions::of(window);
    conditions.and("s.started_at < ?", to);
    conditions.and("(s.ended_at IS NULL OR s.ended_at >= ?)", from);
    let span = |sql: String, conditions: &Conditions| -> Result<Vec<(i64, Option<i64>)>, DerivedError> {
        let sql = format!("{sql} LIMIT {}", ROWS_MAX + 1);
        let mut select = connection.prepare_cached(&sql)?;
        let rows = select.query_map(conditions.values().as_slice(), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
        if rows.len() > ROWS_MAX { Err(DerivedError::TooMuch(ROWS_MAX)) } else { Ok(rows) }
    };
    let sweep = |spans: &[(i64, Option<i64>)]| Sweep {
        moves: spans
            .iter()
            .flat_map(|(from, to)| [Some((*from, 1)), to.map(|to| (to, -1))])
            .flatten()
            .collect(),
    };
    let sessions = span(
        format!("SELECT s.started_at, s.ended_at FROM sessions s WHERE {}", conditions.sql()),
        &conditions,
    )?;
    let stays = format!(
        "SELECT p.joined_at, p.left_at FROM sessions s JOIN participations p ON p.session = s.id WHERE {} AND p.counted",
        conditions.sql()
    );
    let stays = span(stays, &conditions)?;
    let rooms = sweep(&sessions).most(&points, step);
    let participants = sweep(&stays).most(&points, step);
    for (point, (rooms, participants)) in points.iter_mut().zip(rooms.into_iter().zip(participants)) {
        (point.rooms, point.participants) = (Some(rooms), Some(participants));
    }
    let mut tally = |at: i64, add: fn(&mut ActivityPoint)| {
        if at >= from && at < to {
            add(&mut points[((at - from) / step) as usize]);
        }
    };
    for (joined_at, left_at) in stays {
        tally(joined_at, |point| point.joins += 1);
        if let Some(left_at) = left_at {
            tally(left_at, |point| point.leaves += 1);
        }
    }
    Ok(points)
}

/// Returns the projects of the window, or those that have rows in `table`, in their order.
pub(super) fn projects_of(
    connection: &Connection,
    window: &Window,
    table: &'static str,
) -> Result<Vec<String>, DerivedError> {
    if let Some(projects) = window.area().projects() {
        return Ok(projects.iter().map(|project| project.to_string()).collect());
    }
    // One seek for each project. DISTINCT would read every row.
    let sql = format!(
        "WITH RECURSIVE p (project) AS (SELECT min(project) FROM {table} UNION ALL
         SELECT (SELECT min(project) FROM {table} WHERE project > p.project) FROM p WHERE p.project IS NOT NULL)
         SELECT project FROM p WHERE project IS NOT NULL"
    );
    let mut select = connection.prepare_cached(&sql)?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
