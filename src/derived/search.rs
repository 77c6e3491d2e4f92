//! Finds rooms, sessions and participants by a part of a name, or by the beginning of a sid.

use rusqlite::{Connection, Row};
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
    let part = format!("%{}%", escape(text));
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
    let newest = format!(
        "s.id > (SELECT coalesce(max(id), 0) - {NEWEST} FROM sessions) AND s.room LIKE ? ESCAPE '\\'"
    );
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
         AND (p.identity || char(10) || p.name) LIKE ? ESCAPE '\\'"
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

/// Escapes a text for a LIKE pattern.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
