//! Finding rooms and people by a part of their names, or by their sids.

use rusqlite::{Connection, Row};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Derived, DerivedError, sessions::Conditions};
use crate::rights::Window;

/// A part of a name is looked for in so many of the newest sessions, and among so many who took part in the newest. A
/// whole identity and the beginning of a sid are found however old they are.
const NEWEST: i64 = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SearchResultKind {
    /// A room, by its name; `sid` is its newest session's.
    Room,
    /// A session, by its sid.
    Session,
    /// Somebody, by their identity or name; the newest time.
    Identity,
    /// Somebody, by the sid of one time they were there.
    Participant,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SearchResult {
    pub kind: SearchResultKind,
    pub project: String,
    pub room: String,
    /// The session's sid, or for a participant its own.
    pub sid: String,
    pub identity: Option<String>,
    pub name: Option<String>,
    /// Is it so now?
    pub live: bool,
    /// When it began.
    pub at: i64,
}

impl Derived {
    /// What matches `text`, the live and the newest first, at most `limit`.
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
    // Every sid that begins with the text, as a range of the index: no string sorts after U+10FFFF.
    let range = (text.to_owned(), format!("{text}\u{10FFFF}"));
    let mut found = Vec::new();
    let mut look = |kind: SearchResultKind,
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
    look(SearchResultKind::Session, &format!("SELECT {SESSION} FROM sessions s"), &by_sid, "ORDER BY s.sid")?;
    let visible = if window.area().hides_restricted() { "AND NOT p.restricted" } else { "" };
    let by_sid: [(&str, &str); 2] = [("p.sid >= ?", &range.0), ("p.sid < ?", &range.1)];
    let people = format!("SELECT {PERSON} FROM participations p JOIN sessions s ON s.id = p.session");
    look(SearchResultKind::Participant, &people, &by_sid, visible)?;
    let newest = format!(
        "s.id > (SELECT coalesce(max(id), 0) - {NEWEST} FROM sessions) AND s.room LIKE ? ESCAPE '\\'"
    );
    let rooms = format!("SELECT {SESSION}, max(s.started_at) FROM sessions s");
    look(
        SearchResultKind::Room,
        &rooms,
        &[(&newest, &part)],
        "GROUP BY s.project, s.room ORDER BY max(s.started_at) DESC",
    )?;
    let grouped = format!("{visible} GROUP BY s.project, p.identity ORDER BY max(p.joined_at) DESC");
    let people = format!(
        "SELECT {PERSON}, max(p.joined_at) FROM participations p JOIN sessions s ON s.id = p.session"
    );
    look(SearchResultKind::Identity, &people, &[("p.identity = ?", text)], &grouped)?;
    let newest = format!(
        "p.session >= coalesce((SELECT session FROM participations ORDER BY session DESC LIMIT 1 OFFSET {NEWEST}), 0)
         AND (p.identity || char(10) || p.name) LIKE ? ESCAPE '\\'"
    );
    look(SearchResultKind::Identity, &people, &[(&newest, &part), ("p.identity <> ?", text)], &grouped)?;
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

/// What was typed stands for itself in a LIKE pattern.
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
