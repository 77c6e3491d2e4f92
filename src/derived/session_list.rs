//! The list of sessions: filters, orders, pages and totals.
//!
//! Sessions are read newest first, and looked at one by one: a filter by a part of a name, and the numbers of live
//! sessions, have no index. So each query looks at a limited number of sessions and participations, and says so if there
//! are more. In the order of the start, the next page continues where the limit was reached.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
};

use foldhash::fast::RandomState;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Derived, DerivedError,
    fold::fold,
    numbers::{self, Numbers, minutes},
    sessions::{Conditions, Session, select},
};
use crate::rights::Window;

/// Maximum number of sessions in one answer.
const SESSIONS_MAX: usize = 1_000;
/// Maximum number of sessions, and of participations, that one query looks at.
const SESSIONS_SEEN_MAX: usize = 100_000;
const PARTICIPATIONS_SEEN_MAX: usize = 500_000;

#[derive(Clone, Debug)]
pub struct SessionQuery {
    pub window: Window,
    /// Only sessions in which this identity took part.
    pub identity: Option<String>,
    /// Only sessions that were live at some time between these two, in unix milliseconds.
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub filter: SessionFilter,
    pub order: SessionOrder,
    /// Position of the last session of the previous page.
    pub before: Option<SessionPosition>,
    /// The present, in unix milliseconds: the end of live sessions.
    pub now: u64,
    pub limit: usize,
    /// True if the answer has totals. Only a first page has them.
    pub totals: bool,
}

impl SessionQuery {
    /// Returns the query for the newest sessions of a window.
    pub fn newest(window: Window, limit: usize) -> SessionQuery {
        SessionQuery {
            window,
            identity: None,
            from: None,
            to: None,
            filter: SessionFilter::default(),
            order: SessionOrder::default(),
            before: None,
            now: 0,
            limit,
            totals: false,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct SessionFilter {
    /// Part of the name of the room, in any case, with or without accents.
    pub room: Option<String>,
    /// Part of the identity or the name of a participant, likewise.
    pub participant: Option<String>,
    /// Only sessions with any of these.
    pub trouble: Vec<SessionTrouble>,
    pub recorded: Option<bool>,
    pub agents: Option<bool>,
    pub calls: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTrouble {
    /// A connection was lost.
    Lost,
    /// A recording failed, or reached a limit.
    Recording,
    /// A phone call failed.
    Call,
    /// An agent ended with an error.
    Agent,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionSort {
    #[default]
    Started,
    Duration,
    Participants,
    Peak,
    Agents,
    Calls,
    Trouble,
    Minutes,
}

/// An order: by a number, and sessions with equal numbers by age. The greatest and the newest come first, unless it is
/// ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionOrder {
    pub sort: SessionSort,
    pub ascending: bool,
}

/// Place of a session in an order. Sessions with equal keys are in the order of their start, and then of their sid. Row
/// numbers would be others on another node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionPlace {
    pub key: i64,
    pub started_at: i64,
    pub sid: String,
    pub project: String,
}

/// Position of a page in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPosition {
    pub place: SessionPlace,
    /// The present of the first page. Durations and minutes of live sessions stay those of this time.
    pub now: u64,
}

#[derive(Debug)]
pub struct SessionPage {
    pub sessions: Vec<Session>,
    /// Position at which the next page begins. `None` at the end.
    pub next: Option<SessionPosition>,
    pub totals: Option<SessionTotals>,
    /// False if there are more sessions than one query looks at.
    pub complete: bool,
}

/// Totals of all sessions that match. If the answer is not `complete`, there are at least as many.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionTotals {
    pub sessions: usize,
    pub participant_minutes: f64,
    /// The highest `peak` of one session
    pub peak: i64,
    /// Number of distinct identities, without hidden participants, agents and egress
    pub people: usize,
}

impl Derived {
    /// Returns one page of the sessions of a query.
    pub async fn sessions(&self, query: SessionQuery) -> Result<SessionPage, DerivedError> {
        self.ask(move |connection| {
            // One state of the file for all statements.
            let _transaction = connection.unchecked_transaction()?;
            Scan::new(connection, &query).page()
        })
        .await
    }
}

/// One session as the scan sees it.
struct Seen {
    id: i64,
    project: String,
    sid: String,
    room: String,
    started_at: i64,
    ended_at: Option<i64>,
    peak: i64,
    recorded: bool,
    /// `None` until they are needed, if they must be counted.
    numbers: Option<Numbers>,
}

struct Scan<'a> {
    connection: &'a Connection,
    query: &'a SessionQuery,
    now: i64,
    room: Option<String>,
    participant: Option<String>,
    /// Sessions and participations that may still be looked at.
    sessions_left: usize,
    participations_left: usize,
    /// Hashes of (project, identity). Of half a million, two are equal with a chance of 1 in 10⁸.
    people: HashSet<u64, RandomState>,
    hasher: RandomState,
    totals: SessionTotals,
    people_ms: i64,
}

impl<'a> Scan<'a> {
    fn new(connection: &'a Connection, query: &'a SessionQuery) -> Scan<'a> {
        let SessionQuery { filter, before, now, .. } = query;
        Scan {
            connection,
            query,
            now: before.as_ref().map_or(*now, |before| before.now) as i64,
            room: filter.room.as_deref().map(fold),
            participant: filter.participant.as_deref().map(fold),
            sessions_left: SESSIONS_SEEN_MAX,
            participations_left: PARTICIPATIONS_SEEN_MAX,
            people: HashSet::default(),
            hasher: RandomState::default(),
            totals: SessionTotals::default(),
            people_ms: 0,
        }
    }

    fn page(mut self) -> Result<SessionPage, DerivedError> {
        let SessionQuery { order, before, limit, .. } = self.query;
        let (order, limit) = (*order, (*limit).min(SESSIONS_MAX));
        let totals = self.query.totals && before.is_none();
        let by_start = order.sort == SessionSort::Started;
        // Matching sessions after `before`, with their row numbers.
        let mut found: Vec<(SessionPlace, i64)> = Vec::new();
        let (mut last, mut complete) = (None, true);
        let (sql, conditions) = listing(self.query);
        let mut select = self.connection.prepare_cached(&sql)?;
        let mut rows = select.query(conditions.values().as_slice())?;
        while let Some(row) = rows.next()? {
            if by_start && !totals && found.len() > limit {
                break;
            }
            if self.sessions_left == 0 || self.participations_left == 0 {
                complete = false;
                break;
            }
            self.sessions_left -= 1;
            let mut seen = Seen::read(row, &self.query.window)?;
            if self.matches(&mut seen)? {
                if totals {
                    self.add(&mut seen)?;
                }
                let key = self.key(&mut seen)?;
                let place = seen.place(key);
                if by_start || before.as_ref().is_none_or(|before| order.is_after(&place, &before.place)) {
                    found.push((place, seen.id));
                }
            }
            last = Some(seen);
        }
        drop(rows);
        if !by_start {
            found.sort_unstable();
            if !order.ascending {
                found.reverse();
            }
        }
        let more = found.len() > limit;
        found.truncate(limit);
        let next = match (more, complete, last) {
            (true, ..) => found.last().map(|(place, _)| place.clone()),
            (false, false, Some(last)) if by_start => Some(last.place(last.started_at)),
            _ => None,
        };
        let now = self.now as u64;
        self.totals.participant_minutes = minutes(self.people_ms);
        self.totals.people = self.people.len();
        Ok(SessionPage {
            sessions: self.read(&found)?,
            next: next.map(|place| SessionPosition { place, now }),
            totals: totals.then_some(self.totals),
            complete,
        })
    }

    fn matches(&mut self, seen: &mut Seen) -> rusqlite::Result<bool> {
        let SessionFilter { trouble, recorded, agents, calls, .. } = &self.query.filter;
        if recorded.is_some_and(|wanted| wanted != seen.recorded) {
            return Ok(false);
        }
        // A text of nothing but accents would match everything.
        if self.room.as_ref().is_some_and(|part| part.is_empty() || !fold(&seen.room).contains(part)) {
            return Ok(false);
        }
        if !trouble.is_empty() || agents.is_some() || calls.is_some() {
            let numbers = self.numbers(seen)?;
            let has = |trouble: &SessionTrouble| match trouble {
                SessionTrouble::Lost => numbers.lost > 0,
                SessionTrouble::Recording => numbers.recordings_failed > 0,
                SessionTrouble::Call => numbers.calls_failed > 0,
                SessionTrouble::Agent => numbers.agents_failed > 0,
            };
            if (!trouble.is_empty() && !trouble.iter().any(has))
                || agents.is_some_and(|wanted| wanted != (numbers.agents > 0))
                || calls.is_some_and(|wanted| wanted != (numbers.calls > 0))
            {
                return Ok(false);
            }
        }
        self.has_participant(seen.id)
    }

    fn has_participant(&mut self, session: i64) -> rusqlite::Result<bool> {
        let Some(part) = &self.participant else { return Ok(true) };
        if part.is_empty() {
            return Ok(false);
        }
        let mut select = self.connection.prepare_cached(
            "SELECT identity, name FROM participations WHERE session = ?1 AND (?2 OR NOT restricted) LIMIT ?3",
        )?;
        let mut rows = select.query(params![
            session,
            self.query.window.shows_egress(),
            self.participations_left as i64
        ])?;
        while let Some(row) = rows.next()? {
            self.participations_left -= 1;
            for column in 0..2 {
                let text = row.get_ref(column)?.as_str()?;
                if fold(text).contains(part) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Returns the numbers of a session. They are counted at most once.
    fn numbers(&mut self, seen: &mut Seen) -> rusqlite::Result<Numbers> {
        if let Some(numbers) = seen.numbers {
            return Ok(numbers);
        }
        let end = seen.ended_at.unwrap_or(self.now);
        let (numbers, looked_at) = Numbers::count(self.connection, &self.query.window, seen.id, end)?;
        self.participations_left = self.participations_left.saturating_sub(looked_at);
        seen.numbers = Some(numbers);
        Ok(numbers)
    }

    /// Adds a session to the totals.
    fn add(&mut self, seen: &mut Seen) -> rusqlite::Result<()> {
        self.people_ms += self.numbers(seen)?.people_ms;
        self.totals.sessions += 1;
        self.totals.peak = self.totals.peak.max(seen.peak);
        let mut select = self
            .connection
            .prepare_cached("SELECT identity FROM participations WHERE session = ?1 AND counted LIMIT ?2")?;
        let mut rows = select.query(params![seen.id, self.participations_left as i64])?;
        while let Some(row) = rows.next()? {
            self.participations_left -= 1;
            let identity = row.get_ref(0)?.as_str()?;
            self.people.insert(self.hasher.hash_one((&seen.project, identity)));
        }
        Ok(())
    }

    fn key(&mut self, seen: &mut Seen) -> rusqlite::Result<i64> {
        Ok(match self.query.order.sort {
            SessionSort::Started => seen.started_at,
            SessionSort::Duration => (seen.ended_at.unwrap_or(self.now) - seen.started_at).max(0),
            SessionSort::Peak => seen.peak,
            SessionSort::Participants => self.numbers(seen)?.participants,
            SessionSort::Agents => self.numbers(seen)?.agents,
            SessionSort::Calls => self.numbers(seen)?.calls,
            SessionSort::Trouble => self.numbers(seen)?.trouble(),
            SessionSort::Minutes => self.numbers(seen)?.people_ms,
        })
    }

    /// Returns the sessions with these row numbers, in this order.
    fn read(&self, found: &[(SessionPlace, i64)]) -> Result<Vec<Session>, DerivedError> {
        // They are in the window, which must not be asked for here: SQLite would read all sessions of its project.
        let mut conditions = Conditions::of(&Window::all());
        let ids = found.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>().join(",");
        conditions.and("s.id IN (SELECT value FROM json_each(?))", format!("[{ids}]"));
        let sessions = select(self.connection, &self.query.window, &conditions, "", self.now)?;
        let mut by_id: HashMap<i64, Session> =
            sessions.into_iter().map(|session| (session.id, session)).collect();
        Ok(found.iter().filter_map(|(_, id)| by_id.remove(id)).collect())
    }
}

/// Returns the SQL of the sessions that the file can select, in the order in which they are read, and its conditions.
pub(super) fn listing(query: &SessionQuery) -> (String, Conditions) {
    let SessionQuery { window, identity, from, to, order, before, .. } = query;
    let mut conditions = Conditions::of(window);
    if let Some(identity) = identity {
        let visible = if window.area().hides_restricted() { " AND NOT restricted" } else { "" };
        conditions.and(
            &format!("s.id IN (SELECT session FROM participations WHERE identity = ?{visible})"),
            identity.clone(),
        );
    }
    if let Some(from) = from {
        conditions.and("(s.ended_at IS NULL OR s.ended_at >= ?)", *from as i64);
    }
    if let Some(to) = to {
        conditions.and("s.started_at <= ?", *to as i64);
    }
    let ascending = order.ascending && order.sort == SessionSort::Started;
    if let Some(SessionPosition { place, .. }) =
        before.as_ref().filter(|_| order.sort == SessionSort::Started)
    {
        // SQLite uses this as a range of the index.
        let than = if ascending { ">" } else { "<" };
        conditions.and(&format!("(s.started_at, s.sid, s.project) {than} (?, ?, ?)"), place.started_at);
        conditions.value(place.sid.clone());
        conditions.value(place.project.clone());
    }
    let order_by = if ascending {
        "ORDER BY s.started_at, s.sid, s.project"
    } else {
        "ORDER BY s.started_at DESC, s.sid DESC, s.project DESC"
    };
    let sql = format!(
        "SELECT {}, s.id, s.project, s.room, s.started_at, s.ended_at, s.peak, s.recorded, s.sid FROM sessions s
         WHERE {} {order_by}",
        numbers::COLUMNS,
        conditions.sql()
    );
    (sql, conditions)
}

impl Seen {
    fn read(row: &Row, window: &Window) -> rusqlite::Result<Seen> {
        Ok(Seen {
            id: row.get(10)?,
            project: row.get(11)?,
            room: row.get(12)?,
            started_at: row.get(13)?,
            ended_at: row.get(14)?,
            peak: row.get(15)?,
            recorded: row.get(16)?,
            sid: row.get(17)?,
            numbers: Numbers::written(row, 0, window)?,
        })
    }

    fn place(&self, key: i64) -> SessionPlace {
        let Seen { started_at, sid, project, .. } = self;
        SessionPlace { key, started_at: *started_at, sid: sid.clone(), project: project.clone() }
    }
}

impl SessionOrder {
    fn is_after(self, place: &SessionPlace, last: &SessionPlace) -> bool {
        if self.ascending { place > last } else { place < last }
    }
}
