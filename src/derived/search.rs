//! Finds rooms, sessions and participants by a part of a name or a phone number, or by the beginning of a sid.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Row};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Derived, DerivedError,
    fold::fold,
    index::{self, person_text},
    sessions::Conditions,
};
use crate::rights::Window;

/// Number of the newest names that are read for a text that the index does not find: one or two ASCII characters inside of
/// a word.
const NEWEST_NAMES: usize = 20_000;
/// Number of the newest participations that are read for a caller who sees one room. The index has the names of all rooms:
/// how long it takes would tell about the others.
const NEWEST_IN_ROOM: usize = 100_000;
/// Maximum number of live participations that are compared, so that live participants are found first.
const LIVE_MAX: usize = 20_000;
/// Maximum number of names that are compared, and that may match, before the newest are chosen.
const COMPARED_MAX: usize = 20_000;
const MATCHES_MAX: usize = 200;
/// Minimum number of digits of a phone number.
const DIGITS_MIN: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchResultKind {
    /// A room, found by its name; `sid` is that of its newest session.
    Room,
    /// A session, found by its sid.
    Session,
    /// A participant, found by identity, name or phone number; the newest participation.
    Identity,
    /// A participant, found by sid.
    Participant,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchResult {
    pub kind: SearchResultKind,
    pub project: String,
    pub room: String,
    /// Sid of the session, or of the participant
    pub sid: String,
    pub identity: Option<String>,
    /// The participant's name; an earlier one if only that matches
    pub name: Option<String>,
    /// True if it has not ended
    pub live: bool,
    /// Time when it began
    pub at: i64,
}

impl Derived {
    /// Returns at most `limit` results that match `text`: a whole name or identity first, then live ones, then the newest.
    pub async fn search(
        &self,
        window: Window,
        text: String,
        limit: usize,
    ) -> Result<Vec<SearchResult>, DerivedError> {
        self.ask(move |connection| search(connection, &window, &text, limit)).await
    }
}

/// A text that is searched.
struct Wanted {
    /// Folded.
    part: String,
    /// The digits of a text that is written like a phone number, without the zeros before them: they are dialled, and are
    /// not part of an international number.
    digits: Option<String>,
}

impl Wanted {
    fn new(text: &str) -> Wanted {
        let number = text.replace("(0)", "");
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let rest = number.chars().filter(|c| !c.is_ascii_digit());
        let is_number = rest.clone().all(|c| c.is_whitespace() || "+-/.()".contains(c));
        let digits = Some(digits.trim_start_matches('0').to_owned());
        // A line break separates the texts of a name.
        let part = fold(&text.replace(['\n', '\r'], " "));
        Wanted {
            digits: digits.filter(|digits| is_number && digits.len() >= DIGITS_MIN && *digits != part),
            part,
        }
    }

    /// The texts, each of which matches.
    fn texts(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.part), self.digits.as_deref()].into_iter().flatten().filter(|text| !text.is_empty())
    }

    fn matches(&self, folded: &str) -> bool {
        self.texts().any(|text| folded.contains(text))
    }

    /// Returns true if the index finds the text only at the beginning of words.
    fn is_short(&self) -> bool {
        self.part.len() <= 2
    }
}

fn search(
    connection: &Connection,
    window: &Window,
    text: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, DerivedError> {
    let wanted = Wanted::new(text);
    let mut found = by_sid(connection, window, text, limit)?;
    if window.area().rooms().is_some() {
        found.extend(in_rooms(connection, window, &wanted, limit)?);
    } else {
        found.extend(rooms(connection, window, &wanted, text)?);
        found.extend(people(connection, window, &wanted, text)?);
    }
    let is_whole = |found: &SearchResult| found.identity.as_deref().unwrap_or(&found.room) == text;
    found.sort_by_key(|found| std::cmp::Reverse((is_whole(found), found.live, found.at)));
    found.truncate(limit);
    Ok(found)
}

const SESSION: &str = "s.project, s.room, s.sid, NULL, NULL, s.ended_at IS NULL, s.started_at";
const PERSON: &str = "s.project, s.room, p.sid, p.identity, p.name,
    p.left_at IS NULL AND s.ended_at IS NULL, p.joined_at, coalesce(p.phone, '')";

fn read(kind: SearchResultKind, row: &Row) -> rusqlite::Result<SearchResult> {
    Ok(SearchResult {
        kind,
        project: row.get(0)?,
        room: row.get(1)?,
        sid: row.get(2)?,
        identity: row.get(3)?,
        name: row.get(4)?,
        live: row.get(5)?,
        at: row.get(6)?,
    })
}

/// SQL that hides the participations `p` that the window does not show.
fn visible(window: &Window) -> &'static str {
    if window.area().hides_restricted() { "AND NOT p.restricted" } else { "" }
}

/// Returns the sessions and participants whose sid begins with the text.
fn by_sid(
    connection: &Connection,
    window: &Window,
    text: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, DerivedError> {
    // All sids that begin with the text, as a range of the index: U+10FFFF sorts after every other character.
    let end = format!("{text}\u{10FFFF}");
    let mut found = Vec::new();
    let people = format!("SELECT {PERSON} FROM participations p JOIN sessions s ON s.id = p.session");
    for (kind, select, sid, rest) in [
        (SearchResultKind::Session, format!("SELECT {SESSION} FROM sessions s"), "s.sid", "ORDER BY s.sid"),
        (SearchResultKind::Participant, people, "p.sid", visible(window)),
    ] {
        let mut conditions = Conditions::of(window);
        conditions.and(&format!("{sid} >= ?"), text.to_owned());
        conditions.and(&format!("{sid} < ?"), end.clone());
        let sql = format!("{select} WHERE {} {rest} LIMIT {limit}", conditions.sql());
        let mut select = connection.prepare_cached(&sql)?;
        for row in select.query_map(conditions.values().as_slice(), |row| read(kind, row))? {
            found.push(row?);
        }
    }
    Ok(found)
}

/// Returns what matches in the rooms of the window.
fn in_rooms(
    connection: &Connection,
    window: &Window,
    wanted: &Wanted,
    limit: usize,
) -> Result<Vec<SearchResult>, DerivedError> {
    let area = window.area();
    let mut found = Vec::new();
    for project in area.projects().into_iter().flatten() {
        for room in area.rooms().into_iter().flatten().filter(|room| wanted.matches(&fold(room))) {
            found.extend(newest_session(connection, window, project, room)?);
        }
    }
    let conditions = Conditions::of(window);
    let sql = format!(
        "SELECT {PERSON} FROM sessions s JOIN participations p ON p.session = s.id WHERE {} {}
         ORDER BY s.started_at DESC LIMIT {NEWEST_IN_ROOM}",
        conditions.sql(),
        visible(window)
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    let mut people = HashSet::new();
    while let Some(row) = rows.next()? {
        if people.len() == limit {
            break;
        }
        found.extend(person(row, wanted, &mut people)?);
    }
    Ok(found)
}

/// Returns the rooms of the index that match.
fn rooms(
    connection: &Connection,
    window: &Window,
    wanted: &Wanted,
    text: &str,
) -> Result<Vec<SearchResult>, DerivedError> {
    let names =
        Names { window, wanted, columns: "n.project, n.room, '', ''", table: "rooms", grams: "room_grams" };
    let mut found = Vec::new();
    for Name { project, name: room, .. } in
        names.find(connection, "n.room = ?1", text, |room, _, _| fold(room))?
    {
        found.extend(newest_session(connection, window, &project, &room)?);
    }
    Ok(found)
}

/// Returns the participants of the index that match, and first of all those that are live.
fn people(
    connection: &Connection,
    window: &Window,
    wanted: &Wanted,
    text: &str,
) -> Result<Vec<SearchResult>, DerivedError> {
    let mut found = Vec::new();
    let mut people = HashSet::new();
    let conditions = Conditions::of(window);
    let sql = format!(
        "SELECT {PERSON} FROM sessions s JOIN participations p ON p.session = s.id
         WHERE s.ended_at IS NULL AND p.left_at IS NULL AND {} {} LIMIT {LIVE_MAX}",
        conditions.sql(),
        visible(window)
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut rows = select.query(conditions.values().as_slice())?;
    while let Some(row) = rows.next()? {
        if people.len() == MATCHES_MAX {
            break;
        }
        found.extend(person(row, wanted, &mut people)?);
    }
    let columns = "n.project, n.identity, n.name, n.phone";
    let names = Names { window, wanted, columns, table: "people", grams: "people_grams" };
    for Name { project, name: identity, called, .. } in
        names.find(connection, "n.identity = ?1", text, person_text)?
    {
        if people.insert((project.clone(), identity.clone())) {
            found.extend(newest_participation(connection, window, wanted, &project, &identity, called)?);
        }
    }
    Ok(found)
}

/// Reads a participation if it matches and is the first of its participant.
fn person(
    row: &Row,
    wanted: &Wanted,
    seen: &mut HashSet<(String, String)>,
) -> rusqlite::Result<Option<SearchResult>> {
    let text = |n| row.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
    let (project, identity) = (text(0)?, text(3)?);
    let matches = !identity.is_empty() && wanted.matches(&person_text(identity, text(4)?, text(7)?));
    let first = matches && seen.insert((project.to_owned(), identity.to_owned()));
    first.then(|| read(SearchResultKind::Identity, row)).transpose()
}

fn newest_session(
    connection: &Connection,
    window: &Window,
    project: &str,
    room: &str,
) -> rusqlite::Result<Option<SearchResult>> {
    let mut conditions = Conditions::of(window);
    conditions.and("s.project = ?", project.to_owned());
    conditions.and("s.room = ?", room.to_owned());
    let sql = format!(
        "SELECT {SESSION} FROM sessions s WHERE {} ORDER BY s.started_at DESC LIMIT 1",
        conditions.sql()
    );
    let mut select = connection.prepare_cached(&sql)?;
    select.query_row(conditions.values().as_slice(), |row| read(SearchResultKind::Room, row)).optional()
}

/// Returns the newest participation of a participant. `called` is the name by which it was found.
fn newest_participation(
    connection: &Connection,
    window: &Window,
    wanted: &Wanted,
    project: &str,
    identity: &str,
    called: String,
) -> rusqlite::Result<Option<SearchResult>> {
    let mut conditions = Conditions::of(window);
    conditions.and("s.project = ?", project.to_owned());
    conditions.and("p.identity = ?", identity.to_owned());
    let sql = format!(
        "SELECT {PERSON} FROM participations p CROSS JOIN sessions s ON s.id = p.session WHERE {} {}
         ORDER BY p.session DESC LIMIT 1",
        conditions.sql(),
        visible(window)
    );
    let mut select = connection.prepare_cached(&sql)?;
    select
        .query_row(conditions.values().as_slice(), |row| {
            let mut found = read(SearchResultKind::Identity, row)?;
            let text = |n| row.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
            if !wanted.matches(&person_text(text(3)?, text(4)?, text(7)?)) {
                found.name = Some(called);
            }
            Ok(found)
        })
        .optional()
}

/// A name of the index: of a room, or of a participant with this identity.
struct Name {
    project: String,
    name: String,
    /// The participant's name.
    called: String,
}

/// The names of one kind in the index.
struct Names<'a> {
    window: &'a Window,
    wanted: &'a Wanted,
    columns: &'a str,
    table: &'a str,
    grams: &'a str,
}

impl Names<'_> {
    /// Returns the names that are `whole`, and the newest of those whose folded text matches. Each project and name is
    /// returned once.
    fn find(
        &self,
        connection: &Connection,
        is_whole: &str,
        whole: &str,
        folded: impl Fn(&str, &str, &str) -> String,
    ) -> rusqlite::Result<Vec<Name>> {
        let Names { window, wanted, columns, table, grams } = self;
        let area = window.area();
        let mut found: Vec<Name> = Vec::new();
        let mut seen = HashSet::new();
        let mut select_into = |sql: &str, value: &str, is_match: bool| -> rusqlite::Result<()> {
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query([value])?;
            while let Some(row) = rows.next()? {
                let text = |n| row.get_ref(n)?.as_str().map_err(rusqlite::Error::from);
                let (project, name, called) = (text(0)?, text(1)?, text(2)?);
                if area.has(project, None)
                    && (is_match || wanted.matches(&folded(name, called, text(3)?)))
                    && seen.insert((project.to_owned(), name.to_owned()))
                {
                    found.push(Name { project: project.into(), name: name.into(), called: called.into() });
                }
                if found.len() >= MATCHES_MAX {
                    break;
                }
            }
            Ok(())
        };
        select_into(
            &format!(
                "SELECT {columns} FROM {table} n WHERE {is_whole} ORDER BY n.id DESC LIMIT {MATCHES_MAX}"
            ),
            whole,
            true,
        )?;
        let projects = area.projects().map(|projects| projects.iter().map(|project| &**project));
        if let Some(query) = index::query(wanted.texts(), projects) {
            let sql = format!(
                "SELECT {columns} FROM {grams} g CROSS JOIN {table} n ON n.id = g.rowid WHERE g.{grams} MATCH ?1
                 ORDER BY g.rowid DESC LIMIT {COMPARED_MAX}"
            );
            select_into(&sql, &query, false)?;
            if wanted.is_short() {
                let sql = format!(
                    "SELECT {columns} FROM {table} n WHERE ?1 <> '' ORDER BY n.id DESC LIMIT {NEWEST_NAMES}"
                );
                select_into(&sql, whole, false)?;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_found_by_its_digits_however_it_is_written() {
        for (text, number, expected) in [
            ("4915112345678", "+4915112345678", true),
            ("+49 151 123", "+4915112345678", true),
            ("0151 1234", "+4915112345678", true),
            ("0049 151/1234", "+4915112345678", true),
            ("+49 (0)151-1234", "+4915112345678", true),
            ("5678", "+4915112345678", true),
            ("0151 9", "+4915112345678", false),
            ("0", "+4915112345678", false),
            ("00 12", "+4915112345678", false),
            ("a151", "+4915112345678", false),
        ] {
            let folded = person_text("caller", "", number);
            assert_eq!(Wanted::new(text).matches(&folded), expected, "{text}");
            let folded = person_text(&format!("sip_{number}"), "", "");
            assert_eq!(Wanted::new(text).matches(&folded), expected, "{text} in an identity");
        }
    }

    /// A file with a million participations, of which half are of distinct participants, in 50,000 sessions.
    ///
    /// `cargo test --lib derived::search -- --ignored --nocapture`
    #[test]
    #[ignore = "it takes a minute"]
    fn a_million_participations_are_searched_in_200_ms() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut connection = super::super::schema::STORE.open(dir.path()).expect("it opens");
        connection
            .execute_batch(
                "PRAGMA synchronous = OFF; BEGIN;
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
                 INSERT INTO sessions (id, project, sid, room, started_at, ended_at, source)
                 SELECT i, iif(i % 10 = 0, 'other', 'default'), 'RM_' || i, 'consultation-' || (i * 7919 % 40000),
                 i * 1000, iif(i > 49900, NULL, i * 1000 + 900), 'webhook' FROM n;
                 WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
                 INSERT INTO participations SELECT i / 20 + 1, 'PA_' || i,
                 iif(i % 2, 'user-' || (i * 7919 % 500), printf('%08x-%04x-4%03x', i * 2654435761 % 4294967296, i % 65521, i % 4093)),
                 CASE i % 4 WHEN 0 THEN 'Guest ' || i WHEN 1 THEN 'Maria Schmidt' WHEN 2 THEN 'Иван Петров' ELSE '王小明' END,
                 'standard', 0, 0, 1, 0, i * 50, iif(i / 20 + 1 > 49900, NULL, i * 50 + 40), NULL, NULL, 'webhook',
                 iif(i % 100 = 0, '+49151' || printf('%08d', i), NULL) FROM n;
                 UPDATE participations SET identity = 'needle', name = 'Мария Иванова', phone = '+4917012345678'
                 WHERE session = 3 AND sid = 'PA_41';
                 COMMIT;",
            )
            .expect("filled");
        index::refill(&connection).expect("begun");
        let began = std::time::Instant::now();
        let (mut steps, mut longest) = (1, std::time::Duration::ZERO);
        loop {
            let step = std::time::Instant::now();
            let more = index::fill(&mut connection).expect("filled");
            longest = longest.max(step.elapsed());
            if !more {
                break;
            }
            steps += 1;
        }
        println!("filled in {:?}, {steps} steps, the longest {longest:?}", began.elapsed());
        let pages = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE ?1";
        for tables in ["participations%", "people%", "rooms%", "room_grams%"] {
            let size: Option<i64> =
                connection.query_row(pages, [tables], |row| row.get(0)).unwrap_or_default();
            println!("{tables} {} MB", size.unwrap_or_default() / 1_000_000);
        }
        let one = |text: &'static str| (text, Some("needle"));
        let any = |text: &'static str| (text, None);
        let texts = [
            one("needle"),
            one("мария"),
            one("ИВАНОВА"),
            one("0170 1234"),
            one("мария иванова"),
            one("edle"),
            any("иван"),
            any("maria"),
            any("guest"),
            any("guest 999"),
            any("user-"),
            any("user-49"),
            any("王"),
            any("小明"),
            any("петров"),
            any("a"),
            any("zz"),
            any("qx"),
            any("0"),
            any("consultation-39999"),
            any("consultation"),
            any("abcdef"),
            any("0151 0"),
            any("guest maria"),
            any("nothing like it at all"),
            any("user-user-user-user-user"),
            any("e-e-e"),
            any("-4"),
            any("default"),
        ];
        let window = Window::all();
        for (text, expected) in texts {
            let began = std::time::Instant::now();
            let found = search(&connection, &window, text, 20).expect("an answer");
            let took = began.elapsed();
            println!("{took:>12?} {:>3} {text}", found.len());
            if let Some(expected) = expected {
                assert!(
                    found.iter().any(|one| one.identity.as_deref() == Some(expected)),
                    "{text}: {found:?}"
                );
            }
            assert!(took < std::time::Duration::from_millis(200), "{text} took {took:?}");
        }
    }
}
