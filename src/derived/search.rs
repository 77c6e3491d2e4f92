//! Finds rooms, sessions and participants by a part of a name, or by the beginning of a sid.

use icu_normalizer::DecomposingNormalizerBorrowed;
use rusqlite::{Connection, Row, functions::FunctionFlags};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Derived, DerivedError, sessions::Conditions};
use crate::rights::Window;

/// Number of the newest sessions, and of the newest participations, in which a part of a name is searched. A whole
/// identity and the beginning of a sid are found whatever their age is.
const NEWEST: i64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchResultKind {
    /// A room, found by its name; `sid` is that of its newest session.
    Room,
    /// A session, found by its sid.
    Session,
    /// A participant, found by identity or name; the newest participation.
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
    pub name: Option<String>,
    /// True if it has not ended
    pub live: bool,
    /// Time when it began
    pub at: i64,
}

impl Derived {
    /// Returns at most `limit` results that match `text`: live ones first, then the newest.
    pub async fn search(
        &self,
        window: Window,
        text: String,
        limit: usize,
    ) -> Result<Vec<SearchResult>, DerivedError> {
        self.ask(move |connection| search(connection, &window, &text, limit)).await
    }
}

fn search(
    connection: &Connection,
    window: &Window,
    text: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, DerivedError> {
    add_contains(connection)?;
    let part = fold(text);
    // All sids that begin with the text, as a range of the index: U+10FFFF sorts after every other character.
    let range = (text.to_owned(), format!("{text}\u{10FFFF}"));
    let mut found = Vec::new();
    let mut select_into = |kind: SearchResultKind,
                           select: &str,
                           and: &[(&str, &str)],
                           rest: &str|
     -> Result<(), DerivedError> {
        let mut conditions = Conditions::of(window);
        for (sql, value) in and {
            conditions.and(sql, (*value).to_owned());
        }
        let sql = format!("{select} WHERE {} {rest} LIMIT {limit}", conditions.sql());
        let mut select = connection.prepare_cached(&sql)?;
        let rows = select.query_map(conditions.values().as_slice(), |row| read(kind, row))?;
        for row in rows {
            found.push(row?);
        }
        Ok(())
    };
    let by_sid: [(&str, &str); 2] = [("s.sid >= ?", &range.0), ("s.sid < ?", &range.1)];
    select_into(
        SearchResultKind::Session,
        &format!("SELECT {SESSION} FROM sessions s"),
        &by_sid,
        "ORDER BY s.sid",
    )?;
    let visible = if window.area().hides_restricted() { "AND NOT p.restricted" } else { "" };
    let by_sid: [(&str, &str); 2] = [("p.sid >= ?", &range.0), ("p.sid < ?", &range.1)];
    let people = format!("SELECT {PERSON} FROM participations p JOIN sessions s ON s.id = p.session");
    select_into(SearchResultKind::Participant, &people, &by_sid, visible)?;
    let newest =
        format!("s.id > (SELECT coalesce(max(id), 0) - {NEWEST} FROM sessions) AND contains(s.room, ?)");
    let rooms = format!("SELECT {SESSION}, max(s.started_at) FROM sessions s");
    select_into(
        SearchResultKind::Room,
        &rooms,
        &[(&newest, &part)],
        "GROUP BY s.project, s.room ORDER BY max(s.started_at) DESC",
    )?;
    let grouped = format!("{visible} GROUP BY s.project, p.identity ORDER BY max(p.joined_at) DESC");
    let people = format!(
        "SELECT {PERSON}, max(p.joined_at) FROM participations p JOIN sessions s ON s.id = p.session"
    );
    select_into(SearchResultKind::Identity, &people, &[("p.identity = ?", text)], &grouped)?;
    let newest = format!(
        "p.session >= coalesce((SELECT session FROM participations ORDER BY session DESC LIMIT 1 OFFSET {NEWEST}), 0)
         AND contains(p.identity || char(10) || p.name, ?)"
    );
    select_into(
        SearchResultKind::Identity,
        &people,
        &[(&newest, &part), ("p.identity <> ?", text)],
        &grouped,
    )?;
    found.sort_by_key(|found| std::cmp::Reverse((found.live, found.at)));
    found.truncate(limit);
    Ok(found)
}

const SESSION: &str = "s.project, s.room, s.sid, NULL, NULL, s.ended_at IS NULL, s.started_at";
const PERSON: &str =
    "s.project, s.room, p.sid, p.identity, p.name, p.left_at IS NULL AND s.ended_at IS NULL, p.joined_at";

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

/// Adds the SQL function `contains(text, folded)`. The LIKE of SQLite ignores the case of ASCII letters only.
pub(super) fn add_contains(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("contains", 2, flags, |arguments| {
        let text = arguments.get_raw(0).as_str_or_null()?;
        let folded = arguments.get_raw(1).as_str()?;
        // A text of nothing but accents would match everything.
        Ok(text.is_some_and(|text| !folded.is_empty() && fold(text).contains(folded)))
    })
}

/// Returns a text in a form in which texts are equal that differ only in case, accents, or width. `web/src/ui/fold.ts` is
/// the same for the browser, and fixtures/fold.json has examples for both.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(text.len());
    let apart = DecomposingNormalizerBorrowed::new_nfkd().normalize_iter(text.chars());
    for c in apart.flat_map(char::to_lowercase) {
        match c {
            // Accents, and the vowel signs of Hebrew and Arabic.
            '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}' => {}
            // Letters that are not a letter and an accent in Unicode.
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ħ' => folded.push('h'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            c => folded.push(c),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        #[derive(serde::Deserialize)]
        struct Examples {
            found: Vec<(String, String)>,
            missing: Vec<(String, String)>,
        }
        let examples: Examples =
            serde_json::from_str(include_str!("../../fixtures/fold.json")).expect("examples");
        let connection = Connection::open_in_memory().expect("it opens");
        add_contains(&connection).expect("added");
        let contains = |text: &str, part: &str| {
            let sql = "SELECT contains(?1, ?2)";
            connection.query_row(sql, (text, fold(part)), |row| row.get::<_, bool>(0)).expect("an answer")
        };
        for (text, part) in examples.found {
            assert!(contains(&text, &part), "{part} is not found in {text}");
        }
        for (text, part) in examples.missing {
            assert!(!contains(&text, &part), "{part} is found in {text}");
        }
    }
}
