//! Phone calls, live and ended: `GET /api/calls`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{RawQuery, State as AppState},
    response::Response,
};
use serde::Serialize;

use super::sessions::{answer, failed};
use crate::{
    derived::{Call, CallPage, CallPosition, CallQuery},
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        export::FormatQuery,
        query::{ProjectsQuery, Query, parse_place, write_place},
    },
};

/// Number of calls in a page without `limit`, and the maximum.
const CALLS: usize = 50;
const CALLS_MAX: usize = 1_000;
/// Outcomes that the word `trouble` stands for.
const TROUBLE: &[&str] = &["no_answer", "declined", "trunk_error", "failed"];

/// Calls; the one that joined last comes first.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Calls {
    calls: Vec<Call>,
    /// Number of calls by outcome, of all pages and whatever `outcome` is; at most the newest 100,000 are counted
    counts: BTreeMap<String, i64>,
    /// `before=` of the next page; null at the end
    #[schema(required)]
    next: Option<String>,
}

/// Lists phone calls (participants of kind SIP), live and ended.
#[utoipa::path(
    get,
    path = "/api/calls",
    tag = "history",
    params(
        ("number" = Option<String>, Query, description = "Only calls whose number or identity contains this text; spaces and dashes do not count"),
        ("room" = Option<String>, Query, description = "Only calls in rooms whose name contains this text"),
        ("outcome" = Option<Vec<String>>, Query, description = "Only these outcomes; may be repeated. `trouble` is `no_answer`, `declined`, `trunk_error` and `failed`"),
        ("from" = Option<i64>, Query, description = "Only calls that joined at this time or later, in unix milliseconds"),
        ("to" = Option<i64>, Query, description = "Only calls that joined at this time or earlier, in unix milliseconds"),
        ("before" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 50 if not given"),
        ProjectsQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The calls", body = Calls),
        (status = 400, description = "A parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
    )
)]
pub async fn calls(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let known = ["number", "room", "outcome", "from", "to", "before", "limit", "project"];
    let query = Query::parse(query.as_deref(), &known)?;
    let wanted = CallQuery {
        window: caller.window(&app, &query.all("project"), &[])?,
        number: query.one("number")?,
        room: query.one("room")?,
        outcomes: query.all("outcome").iter().flat_map(|word| outcomes(word)).collect(),
        from: query.millis("from")?,
        to: query.millis("to")?,
        before: query.before(parse)?,
        limit: query.limit(CALLS_MAX)?.unwrap_or(CALLS),
    };
    let _turn = app.turns.take(&caller).await?;
    let CallPage { calls, counts, next } = app.derived.calls(wanted).await.map_err(failed)?;
    Ok(answer(Calls { calls, counts, next: next.map(write) }))
}

fn outcomes(word: &str) -> Vec<String> {
    let words = if word == "trouble" { TROUBLE } else { &[word] };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn write((joined_at, sid, session, project): CallPosition) -> String {
    write_place([joined_at], [&project, &session, &sid])
}

fn parse(text: &str) -> Option<CallPosition> {
    let ([joined_at], [project, session, sid]) = parse_place(text)?;
    Some((joined_at, sid, session, project))
}
