//! Egress of every kind, running and ended, by the time when it began.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, ToSql};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Derived, DerivedError,
    fold::{add_contains, fold},
    sessions::Conditions,
};
use crate::{
    event::body::mask_location,
    rights::Window,
    state::{entity::Output, schema::OutputSchema},
};

/// Position in the list: time of the beginning, id of the egress, project.
pub type EgressPosition = (i64, String, String);

#[derive(Clone, Debug)]
pub struct EgressQuery {
    pub window: Window,
    /// Only egress of rooms whose name contains this text.
    pub room: Option<String>,
    /// Only these statuses; all if there are none.
    pub statuses: Vec<String>,
    /// Only egress that began between these two, in unix milliseconds.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// Position of the last egress of the previous page.
    pub before: Option<EgressPosition>,
    pub limit: usize,
}

/// A recording or a stream out of LiveKit, running or ended.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressEntry {
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    /// Null if LiveKit could not launch it
    #[schema(required)]
    pub egress_id: Option<String>,
    /// `room_composite`, `web`, `participant`, `track_composite`, `track`, `template`, `media`, `replay` or `unknown`
    pub kind: String,
    /// `starting`, `active`, `ending`, `complete`, `failed`, `aborted` or `limit_reached`
    pub status: String,
    #[schema(required)]
    pub started_at: Option<i64>,
    #[schema(required)]
    pub ended_at: Option<i64>,
    #[schema(required)]
    pub error: Option<String>,
    /// LiveKit's words for an end that is not an error, such as `End reason: StopEgress API`
    #[serde(default)]
    #[schema(required)]
    pub details: Option<String>,
    /// As requested, until LiveKit reports the first result. Without the secret parts of URLs
    #[schema(value_type = Vec<OutputSchema>)]
    pub outputs: Vec<Output>,
    /// `startedAt`, or the arrival of the first event about it. The list has this order
    #[serde(default)]
    pub began_at: i64,
    /// True if it has not ended
    #[serde(default)]
    pub live: bool,
    /// Sum of the outputs; null if LiveKit has not reported a size
    #[serde(default)]
    #[schema(required)]
    pub size_bytes: Option<u64>,
    /// Longest of the outputs as LiveKit reports it; null if it has not reported one
    #[serde(default)]
    #[schema(required)]
    pub duration_ms: Option<u64>,
}

/// Egress; that which began last comes first.
#[derive(Debug, Default)]
pub struct EgressPage {
    pub egress: Vec<EgressEntry>,
    /// Number of egress by status, whatever statuses the query names.
    pub counts: BTreeMap<String, i64>,
    /// Position at which the next page begins.
    pub next: Option<EgressPosition>,
}

impl Derived {
    /// Returns a page of egress. The counts are those of all pages.
    pub async fn egress(&self, query: EgressQuery) -> Result<EgressPage, DerivedError> {
        if !query.window.shows_egress() {
            return Ok(EgressPage::default());
        }
        self.ask(move |connection| page(connection, &query)).await
    }
}

fn page(connection: &Connection, query: &EgressQuery) -> Result<EgressPage, DerivedError> {
    add_contains(connection)?;
    let mut conditions = Conditions::of(&query.window);
    if let Some(room) = &query.room {
        conditions.and("contains(s.room, ?)", fold(room));
    }
    if let Some(from) = query.from {
        conditions.and("s.began_at >= ?", from);
    }
    if let Some(to) = query.to {
        conditions.and("s.began_at <= ?", to);
    }
    let sql = format!(
        "SELECT s.status, count(*) FROM egress s INDEXED BY egress_status WHERE s.status IS NOT NULL AND {} GROUP BY 1",
        conditions.sql()
    );
    let counts = connection
        .prepare_cached(&sql)?
        .query_map(conditions.values().as_slice(), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if !query.statuses.is_empty() {
        conditions.one_of("s.status", &query.statuses);
    }
    let sql = listing(&mut conditions, query);
    let mut select = connection.prepare_cached(&sql)?;
    let rows = select.query_map(conditions.values().as_slice(), entry)?;
    let mut rows: Vec<(EgressPosition, Option<EgressEntry>)> = rows.collect::<Result<_, _>>()?;
    let next =
        if rows.len() == query.limit { rows.last_mut().map(|row| std::mem::take(&mut row.0)) } else { None };
    Ok(EgressPage { egress: rows.into_iter().filter_map(|(_, entry)| entry).collect(), counts, next })
}

/// Returns the SQL of a page. Completes its conditions.
pub(super) fn listing(conditions: &mut Conditions, query: &EgressQuery) -> String {
    if let Some((began_at, egress, project)) = query.before.clone() {
        let position: [Box<dyn ToSql>; 3] = [Box::new(began_at), Box::new(egress), Box::new(project)];
        conditions.before("s.began_at, s.egress, s.project", position);
    }
    conditions.limit(query.limit);
    format!(
        "SELECT s.began_at, s.egress, s.project, s.ended, s.json FROM egress s WHERE {}
         ORDER BY s.began_at DESC, s.egress DESC, s.project DESC LIMIT ?",
        conditions.sql()
    )
}

/// Returns the position of a row, and its entry. A damaged file may have rows that are not an egress.
fn entry(row: &Row) -> rusqlite::Result<(EgressPosition, Option<EgressEntry>)> {
    let position: EgressPosition = (row.get(0)?, row.get(1)?, row.get(2)?);
    let json: String = row.get(4)?;
    let Ok(mut entry) = serde_json::from_str::<EgressEntry>(&json) else { return Ok((position, None)) };
    for output in &mut entry.outputs {
        output.location = mask_location(&output.location).into();
    }
    entry.began_at = position.0;
    entry.live = !row.get::<_, bool>(3)?;
    let sum: u64 = entry.outputs.iter().map(|output| output.size_bytes).sum();
    let longest = entry.outputs.iter().map(|output| output.duration_ms).max().unwrap_or_default();
    entry.size_bytes = (sum > 0).then_some(sum);
    entry.duration_ms = (longest > 0).then_some(longest);
    Ok((position, Some(entry)))
}

/// Masks the locations in the JSON of an egress. Rows of an earlier version have them with their signatures.
pub(super) fn masked(json: String) -> String {
    if !json.contains('?') {
        return json;
    }
    let Ok(mut egress) = serde_json::from_str::<Value>(&json) else { return json };
    for output in egress["outputs"].as_array_mut().into_iter().flatten() {
        if let Some(location) = output["location"].as_str() {
            output["location"] = mask_location(location).into();
        }
    }
    egress.to_string()
}
