//! Recordings and streams, running and ended: `GET /api/egress`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State as AppState},
    response::Response,
};
use serde::Serialize;

use super::sessions::{answer, failed};
use crate::{
    derived::{EgressEntry, EgressPage, EgressPosition, EgressQuery},
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        export::FormatQuery,
        query::{ProjectsQuery, Query, parse_place, write_place},
    },
};

/// Number of entries in a page without `limit`, and the maximum.
const ENTRIES: usize = 50;
const ENTRIES_MAX: usize = 1_000;
/// Statuses by the names of their groups.
const GROUPS: [(&str, &[&str]); 2] =
    [("trouble", &["failed", "aborted", "limit_reached"]), ("live", &["starting", "active", "ending"])];

/// Egress; that which began last comes first.
#[derive(Serialize, utoipa::ToSchema)]
pub struct EgressList {
    egress: Vec<EgressEntry>,
    /// Number of egress by status, of all pages and whatever `status` is
    counts: BTreeMap<String, i64>,
    /// `before=` of the next page; null at the end
    #[schema(required)]
    next: Option<String>,
}

/// Lists egress (recordings and streams), running and ended.
#[utoipa::path(
    get,
    path = "/api/egress",
    tag = "history",
    params(
        ("room" = Option<String>, Query, description = "Only egress of rooms whose name contains this text"),
        ("status" = Option<Vec<String>>, Query, description = "Only these statuses; may be repeated. `trouble` is `failed`, `aborted` and `limit_reached`; `live` is `starting`, `active` and `ending`"),
        ("from" = Option<i64>, Query, description = "Only egress that began at this time or later, in unix milliseconds"),
        ("to" = Option<i64>, Query, description = "Only egress that began at this time or earlier, in unix milliseconds"),
        ("before" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 50 if not given"),
        ProjectsQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The egress", body = EgressList),
        (status = 400, description = "A parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
    )
)]
pub async fn egress(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query =
        Query::parse(query.as_deref(), &["room", "status", "from", "to", "before", "limit", "project"])?;
    let wanted = EgressQuery {
        window: caller.window(&app, &query.all("project"), &[])?,
        room: query.one("room")?,
        statuses: query.all("status").iter().flat_map(|word| statuses(word)).collect(),
        from: query.millis("from")?,
        to: query.millis("to")?,
        before: query.before(parse)?,
        limit: query.limit(ENTRIES_MAX)?.unwrap_or(ENTRIES),
    };
    let _turn = app.turns.take(&caller).await?;
    let EgressPage { egress, counts, next } = app.derived.egress(wanted).await.map_err(failed)?;
    Ok(answer(EgressList { egress, counts, next: next.map(write) }))
}

fn write((began_at, egress, project): EgressPosition) -> String {
    write_place([began_at], [&project, &egress])
}

fn parse(text: &str) -> Option<EgressPosition> {
    let ([began_at], [project, egress]) = parse_place(text)?;
    Some((began_at, egress, project))
}

/// Returns the statuses that a word stands for. LiveKit adds statuses, so every other word is one.
fn statuses(word: &str) -> Vec<String> {
    match GROUPS.iter().find(|(name, _)| *name == word) {
        Some((_, statuses)) => statuses.iter().map(|status| (*status).to_owned()).collect(),
        None => vec![word.to_owned()],
    }
}
