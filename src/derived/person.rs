//! A participant by identity, over all sessions.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Derived, DerivedError, sessions::Conditions};
use crate::{event::reasons::is_lost, rights::Window};

/// Number of the newest participations that the numbers cover.
const COUNTED_MAX: usize = 20_000;
/// Maximum number of earlier names, of rooms in which the participant is now, and of stays.
const NAMES_MAX: usize = 20;
const PRESENT_MAX: usize = 100;
const STAYS_MAX: usize = 100;

/// A participant by identity, over all sessions that the caller may see.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub project: String,
    pub identity: String,
    /// The newest name; empty if LiveKit has sent none
    pub name: String,
    /// Other names, the newest first; at most 20
    pub other_names: Vec<String>,
    /// `standard`, `agent`, `sip`, `egress`, `ingress` and others, the newest first
    pub kinds: Vec<String>,
    /// Phone number of a caller, if LiveKit reports it
    pub phone: Option<String>,
    /// Time of the first join that the numbers cover
    pub first_seen_at: i64,
    /// Time of the last leave; null while the participant is in a room
    pub last_seen_at: Option<i64>,
    /// Rooms in which the participant is now, the newest first; at most 100
    pub present: Vec<Stay>,
    /// The newest stays; at most 100
    pub stays: Vec<Stay>,
    pub sessions: u64,
    /// Number of distinct rooms
    pub rooms: u64,
    /// Time in rooms, in milliseconds: the sum over all stays, until now
    pub present_ms: i64,
    /// Number of leaves because of a lost connection
    pub connection_losses: u64,
    /// Set if there are more than 20000 participations: the numbers cover the newest of them, since this time
    pub counted_since: Option<i64>,
}

/// One stay of a participant in a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    pub room: String,
    /// Sid of the session
    pub session_sid: String,
    pub participant_sid: String,
    pub joined_at: i64,
    /// Null while the participant is in the room
    pub left_at: Option<i64>,
    /// Set if the leave was inferred: it was between this time and `leftAt`
    pub left_not_before: Option<i64>,
    /// LiveKit's reason, in lower snake case
    pub disconnect_reason: Option<String>,
}

impl Derived {
    /// Returns a participant by identity, or `None` if the window, which is one of one project, shows no participation.
    pub async fn person(
        &self,
        window: Window,
        identity: String,
        now: i64,
    ) -> Result<Option<Person>, DerivedError> {
        self.ask(move |connection| person(connection, &window, &identity, now)).await
    }
}

fn person(
    connection: &Connection,
    window: &Window,
    identity: &str,
    now: i64,
) -> Result<Option<Person>, DerivedError> {
    let mut conditions = Conditions::of(window);
    conditions.and("p.identity = ?", identity.to_owned());
    let visible = if window.area().hides_restricted() { "AND NOT p.restricted" } else { "" };
    let sql = format!(
        "SELECT s.project, s.room, s.sid, p.sid, p.name, p.kind, p.phone, p.joined_at, coalesce(p.left_at, s.ended_at),
         p.reason, p.session, p.left_not_before
         FROM participations p CROSS JOIN sessions s ON s.id = p.session WHERE {} {visible} ORDER BY p.session DESC",
        conditions.sql()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    let mut person: Option<Person> = None;
    let (mut rooms, mut session, mut counted) = (BTreeSet::new(), None, 0_usize);
    // (joined at, name) of the newest stay: two stays of one session are in the order of their sids.
    let mut newest = None;
    while let Some(row) = rows.next()? {
        let (project, room): (String, String) = (row.get(0)?, row.get(1)?);
        let (joined_at, left_at): (i64, Option<i64>) = (row.get(7)?, row.get(8)?);
        let person = person.get_or_insert_with(|| Person::new(&project, identity, joined_at));
        if counted == COUNTED_MAX {
            person.counted_since = Some(person.first_seen_at);
            break;
        }
        counted += 1;
        person.first_seen_at = person.first_seen_at.min(joined_at);
        person.last_seen_at = person.last_seen_at.max(left_at);
        person.present_ms += (left_at.unwrap_or(now) - joined_at).max(0);
        let name: String = row.get(4)?;
        if !name.is_empty() {
            if newest < Some(joined_at) {
                newest = Some(joined_at);
                let former = std::mem::replace(&mut person.name, name.clone());
                add(&mut person.other_names, former, NAMES_MAX + 1);
            } else {
                add(&mut person.other_names, name, NAMES_MAX + 1);
            }
        }
        add(&mut person.kinds, row.get(5)?, usize::MAX);
        person.phone = person.phone.take().or(row.get(6)?);
        let reason: Option<String> = row.get(9)?;
        let is_present = left_at.is_none() && person.present.len() < PRESENT_MAX;
        if is_present || person.stays.len() < STAYS_MAX {
            let stay = Stay {
                room: room.clone(),
                session_sid: row.get(2)?,
                participant_sid: row.get(3)?,
                joined_at,
                left_at,
                left_not_before: row.get(11)?,
                disconnect_reason: reason.clone(),
            };
            if is_present {
                person.present.push(stay.clone());
            }
            person.stays.push(stay);
        }
        person.connection_losses += u64::from(reason.as_deref().is_some_and(is_lost));
        if session.replace(row.get::<_, i64>(10)?) != Some(row.get(10)?) {
            person.sessions += 1;
        }
        rooms.insert(room);
    }
    let Some(mut person) = person else { return Ok(None) };
    person.rooms = rooms.len() as u64;
    person.other_names.retain(|name| *name != person.name);
    person.other_names.truncate(NAMES_MAX);
    person.stays.sort_by_key(|stay| std::cmp::Reverse(stay.joined_at));
    person.stays.truncate(STAYS_MAX);
    if !person.present.is_empty() {
        person.last_seen_at = None;
    }
    Ok(Some(person))
}

impl Person {
    fn new(project: &str, identity: &str, joined_at: i64) -> Person {
        Person {
            project: project.into(),
            identity: identity.into(),
            name: String::new(),
            other_names: Vec::new(),
            kinds: Vec::new(),
            phone: None,
            first_seen_at: joined_at,
            last_seen_at: None,
            present: Vec::new(),
            stays: Vec::new(),
            sessions: 0,
            rooms: 0,
            present_ms: 0,
            connection_losses: 0,
            counted_since: None,
        }
    }
}

/// Adds a text that is not there yet.
fn add(to: &mut Vec<String>, text: String, max: usize) {
    if !text.is_empty() && to.len() < max && !to.contains(&text) {
        to.push(text);
    }
}
