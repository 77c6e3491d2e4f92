//! The index of names: rooms and participants, one row for each distinct name, with the pieces of the name in a full-text
//! table of SQLite.
//!
//! A piece (gram) is three neighbouring characters of the folded text. A text that is searched is cut in the same way: a
//! name that has all of its pieces may have the text, and is then compared. Texts of one or two characters are found at the
//! beginning of a word, and everywhere if they are not ASCII, because a name in Chinese, Japanese or Korean has one or two
//! characters and no spaces. Each row also has a piece for its project, so that a search in one project does not read the
//! rows of another.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::RandomState;
use rusqlite::{CachedStatement, Connection, params};

use super::{DerivedError, fold::fold, schema, statements::Statements};
use crate::state::Participant;

/// Number of names that are known to have a row. At the limit all are dropped.
const KNOWN_MAX: usize = 20_000;
/// Number of participations that one step of [`fill`] enters, about 50 ms of work.
const FILL_ROWS: usize = 2_000;
/// Maximum number of pieces of a searched text. The comparison that follows does the rest.
const WANTED_MAX: usize = 12;

/// The names that are known to have a row, as hashes: a participant has many events and one name.
#[derive(Default)]
pub(super) struct Known(HashSet<u64, RandomState>);

impl Known {
    /// Enters a participant, if there is no row with this name yet.
    pub fn person(&mut self, to: &mut Statements, p: &Participant) -> rusqlite::Result<()> {
        let phone = p.phone_number().unwrap_or_default();
        if p.identity.is_empty() || !self.note(("person", &*p.project, &*p.identity, &*p.name, &*phone)) {
            return Ok(());
        }
        let Statements { new_person, new_person_grams, .. } = to;
        enter_person(new_person, new_person_grams, &p.project, &p.identity, &p.name, &phone)
    }

    /// Enters a room, if there is no row for it yet.
    pub fn room(&mut self, to: &mut Statements, project: &str, room: &str) -> rusqlite::Result<()> {
        if room.is_empty() || !self.note(("room", project, room)) {
            return Ok(());
        }
        enter_room(&mut to.new_room, &mut to.new_room_grams, project, room)
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Returns true if the name was not known.
    fn note(&mut self, name: impl Hash) -> bool {
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        let hash = self.0.hasher().hash_one(name);
        self.0.insert(hash)
    }
}

fn enter_person(
    new: &mut CachedStatement,
    new_grams: &mut CachedStatement,
    project: &str,
    identity: &str,
    name: &str,
    phone: &str,
) -> rusqlite::Result<()> {
    if new.execute(params![project, identity, name, phone])? > 0 {
        new_grams.execute([grams(project, &person_text(identity, name, phone))])?;
    }
    Ok(())
}

fn enter_room(
    new: &mut CachedStatement,
    new_grams: &mut CachedStatement,
    project: &str,
    room: &str,
) -> rusqlite::Result<()> {
    if new.execute(params![project, room])? > 0 {
        new_grams.execute([grams(project, &fold(room))])?;
    }
    Ok(())
}

/// Returns the text in which a participant is searched, folded.
pub(super) fn person_text(identity: &str, name: &str, phone: &str) -> String {
    let mut text = fold(identity);
    text.push('\n');
    text.push_str(&fold(name));
    text.push('\n');
    text.extend(phone.chars().filter(char::is_ascii_digit));
    text
}

/// Returns the pieces of a folded text, separated by spaces. A line break separates texts.
fn grams(project: &str, text: &str) -> String {
    let mut all = project_gram(project);
    for line in text.split('\n') {
        let chars: Vec<char> = line.chars().collect();
        for at in 0..chars.len() {
            let rest = &chars[at..];
            if rest.len() >= 3 {
                add_gram(&mut all, &rest[..3]);
            }
            let begins = at == 0 || !chars[at - 1].is_alphanumeric();
            if begins || !rest[0].is_ascii() {
                add_gram(&mut all, &rest[..1]);
            }
            if rest.len() >= 2 && (begins || !rest[0].is_ascii() || !rest[1].is_ascii()) {
                add_gram(&mut all, &rest[..2]);
            }
        }
    }
    all
}

fn add_gram(to: &mut String, chars: &[char]) {
    to.push(' ');
    to.push_str(&gram(chars));
}

/// Returns a piece as letters and digits, which the full-text table takes as one word.
fn gram(chars: &[char]) -> String {
    chars.iter().map(|c| format!("{:x}z", u32::from(*c))).collect()
}

fn project_gram(project: &str) -> String {
    project.chars().fold("p".to_owned(), |gram, c| gram + &format!("{:x}z", u32::from(c)))
}

/// Returns the query of the full-text tables for the rows that may have one of these folded texts, in one of these
/// projects. `None` if there can be no such row.
pub(super) fn query<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    projects: Option<impl IntoIterator<Item = &'a str>>,
) -> Option<String> {
    let texts: Vec<String> = texts.into_iter().filter_map(wanted).collect();
    if texts.is_empty() {
        return None;
    }
    let mut query = format!("({})", texts.join(") OR ("));
    if let Some(projects) = projects {
        let projects: Vec<String> = projects.into_iter().map(project_gram).collect();
        query = format!("({}) AND ({query})", projects.join(" OR "));
    }
    Some(query)
}

/// Returns the pieces of a searched text, all of which a row must have.
fn wanted(text: &str) -> Option<String> {
    let chars: Vec<char> = text.chars().collect();
    if chars.is_empty() || chars.contains(&'\n') {
        return None;
    }
    let mut all: Vec<String> = chars.windows(chars.len().min(3)).map(gram).collect();
    // The first and the last: the beginning is often the same in all names, and so is the end.
    if all.len() > WANTED_MAX {
        all.drain(WANTED_MAX / 2..all.len() - WANTED_MAX / 2);
    }
    Some(all.join(" AND "))
}

/// Returns true if [`fill`] has something to do.
pub(super) fn is_filling(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema::get(connection, "index_until")?.is_some())
}

/// Enters some more of the names that were there before the index was. Returns false if there are no more.
pub(super) fn fill(connection: &mut Connection) -> Result<bool, DerivedError> {
    let (Some(after), Some(until)) =
        (schema::get(connection, "index_filled")?, schema::get(connection, "index_until")?)
    else {
        return Ok(false);
    };
    let transaction = connection.transaction()?;
    let mut last = until;
    {
        let mut to = Statements::of(&transaction)?;
        let mut rows = 0;
        let mut sessions = transaction.prepare_cached(
            "SELECT id, project, room FROM sessions WHERE id > ?1 AND id <= ?2 ORDER BY id",
        )?;
        let mut sessions = sessions.query([after, until])?;
        let mut people = transaction.prepare_cached(
            "SELECT DISTINCT identity, name, coalesce(phone, '') FROM participations WHERE session = ?1 AND identity <> ''",
        )?;
        while let Some(session) = sessions.next()? {
            let id: i64 = session.get(0)?;
            if rows >= FILL_ROWS {
                last = id - 1;
                break;
            }
            let text = |n| session.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
            let (project, room) = (text(1)?, text(2)?);
            enter_room(&mut to.new_room, &mut to.new_room_grams, project, room)?;
            let mut people = people.query([id])?;
            while let Some(row) = people.next()? {
                let text = |n| row.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
                let Statements { new_person, new_person_grams, .. } = &mut to;
                enter_person(new_person, new_person_grams, project, text(0)?, text(1)?, text(2)?)?;
                rows += 1;
            }
            rows += 1;
        }
    }
    if last < until {
        schema::put(&transaction, "index_filled", last)?;
    } else {
        transaction.execute("DELETE FROM meta WHERE key IN ('index_filled', 'index_until')", [])?;
    }
    transaction.commit()?;
    Ok(last < until)
}

/// Makes [`fill`] enter the names of all sessions that are in the tables now.
pub(super) fn refill(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(refill!())
}

/// The names of sessions that are about to be removed.
pub(super) struct Leaving {
    people: Vec<(String, String, String)>,
    rooms: Vec<(String, String)>,
}

impl Leaving {
    pub fn of(connection: &Connection, sessions: &[i64]) -> rusqlite::Result<Leaving> {
        let mut leaving = Leaving { people: Vec::new(), rooms: Vec::new() };
        let mut room = connection.prepare_cached("SELECT project, room FROM sessions WHERE id = ?1")?;
        let mut people = connection.prepare_cached(
            "SELECT s.project, p.identity, p.name FROM participations p JOIN sessions s ON s.id = p.session WHERE s.id = ?1",
        )?;
        for id in sessions {
            leaving.rooms.push(room.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?);
            let rows = people.query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            leaving.people.extend(rows.collect::<Result<Vec<_>, _>>()?);
        }
        leaving.people.sort_unstable();
        leaving.people.dedup();
        leaving.rooms.sort_unstable();
        leaving.rooms.dedup();
        Ok(leaving)
    }

    /// Removes the names that no session has any more.
    pub fn remove(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (project, identity, name) in &self.people {
            remove(
                connection,
                "DELETE FROM people WHERE project = ?1 AND identity = ?2 AND name = ?3 AND NOT EXISTS
                 (SELECT 1 FROM participations p JOIN sessions s ON s.id = p.session
                 WHERE p.identity = ?2 AND p.name = ?3 AND s.project = ?1) RETURNING id",
                "DELETE FROM people_grams WHERE rowid = ?1",
                &[project, identity, name],
            )?;
        }
        for (project, room) in &self.rooms {
            remove(
                connection,
                "DELETE FROM rooms WHERE project = ?1 AND room = ?2 AND NOT EXISTS
                 (SELECT 1 FROM sessions WHERE project = ?1 AND room = ?2) RETURNING id",
                "DELETE FROM room_grams WHERE rowid = ?1",
                &[project, room],
            )?;
        }
        Ok(())
    }
}

/// Removes the names that no session has any more, of all rows.
pub(super) fn sweep(connection: &Connection) -> rusqlite::Result<()> {
    remove(
        connection,
        "DELETE FROM people WHERE NOT EXISTS
         (SELECT 1 FROM participations p JOIN sessions s ON s.id = p.session
         WHERE p.identity = people.identity AND p.name = people.name AND s.project = people.project) RETURNING id",
        "DELETE FROM people_grams WHERE rowid = ?1",
        &[],
    )?;
    remove(
        connection,
        "DELETE FROM rooms WHERE NOT EXISTS
         (SELECT 1 FROM sessions s WHERE s.project = rooms.project AND s.room = rooms.room) RETURNING id",
        "DELETE FROM room_grams WHERE rowid = ?1",
        &[],
    )
}

fn remove(connection: &Connection, rows: &str, grams: &str, values: &[&String]) -> rusqlite::Result<()> {
    let mut rows = connection.prepare_cached(rows)?;
    let ids = rows.query_map(rusqlite::params_from_iter(values), |row| row.get(0))?;
    let ids: Vec<i64> = ids.collect::<Result<_, _>>()?;
    let mut grams = connection.prepare_cached(grams)?;
    for id in ids {
        grams.execute([id])?;
    }
    Ok(())
}
