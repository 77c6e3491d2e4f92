//! What was on: `GET /api/sessions`, `/api/sessions/{sid}`, `/api/activity` and `/api/search`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State as AppState},
    http::header,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    derived::{Activity, DerivedError, SearchResult, Session, SessionDetail, SessionQuery},
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        path::{Names, names},
        query::{ProjectsQuery, Query},
    },
};

/// How many sessions an answer has if nobody says, and at most.
const SESSIONS: usize = 50;
const SESSIONS_MAX: usize = 1_000;
/// The same of what a search finds.
const FOUND: usize = 20;
const FOUND_MAX: usize = 100;
/// The most points of an activity, and how many there are about if nobody says.
const POINTS_MAX: i64 = 1_500;
const POINTS: i64 = 288;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Sessions, the one that began last first.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Sessions {
    sessions: Vec<Session>,
    /// `before=` of the next page; null at the end.
    #[schema(required)]
    next: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Results {
    /// What is live comes first, then what is newest.
    results: Vec<SearchResult>,
}

/// The lives of rooms, past and present.
#[utoipa::path(
    get,
    path = "/api/sessions",
    tag = "history",
    params(
        ("room" = Option<String>, Query, description = "Only of the room with this name"),
        ("identity" = Option<String>, Query, description = "Only those in which this identity took part"),
        ("from" = Option<i64>, Query, description = "Only those that were on at this time or later, in unix milliseconds"),
        ("to" = Option<i64>, Query, description = "Only those that were on at this time or earlier"),
        ("before" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 50 if not given"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The sessions", body = Sessions),
        (status = 400, description = "A parameter that is unknown or out of bounds", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 403, description = "None of it is within the caller's rights", body = ErrorBody),
    )
)]
pub async fn sessions(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let known = ["room", "identity", "from", "to", "before", "limit", "project"];
    let query = Query::parse(query.as_deref(), &known)?;
    let limit = query.limit(SESSIONS_MAX)?.unwrap_or(SESSIONS);
    let unsigned = |time: Option<i64>| time.and_then(|time| u64::try_from(time).ok());
    let window = window(&app, &caller, &query)?;
    let wanted = SessionQuery {
        window,
        identity: query.one("identity")?,
        from: unsigned(query.millis("from")?),
        to: unsigned(query.millis("to")?),
        before: query.before(parse_place)?,
        limit,
    };
    let sessions = app.derived.sessions(wanted).await.map_err(failed)?;
    let next = sessions.last().filter(|_| sessions.len() == limit).map(|last| write_place(last.place()));
    Ok(answer(Sessions { sessions, next }))
}

/// One life of a room: who was there, when each came and went and why, what was published and recorded.
#[utoipa::path(
    get,
    path = "/api/sessions/{sid}",
    tag = "history",
    params(
        ("sid" = String, Path, description = "LiveKit's sid of the session"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The session", body = SessionDetail),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 404, description = "`unknown_session`; one out of sight answers alike", body = ErrorBody),
    )
)]
pub async fn session(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let sid = names(path)?;
    let unknown = || Error::not_found("unknown_session", "no session with this sid is known");
    let query = Query::parse(query.as_deref(), &["project"])?;
    // A foreign session answers as none does.
    let window = window(&app, &caller, &query).map_err(|_| unknown())?;
    let detail = app.derived.session(window, sid).await.map_err(failed)?;
    Ok(answer(detail.ok_or_else(unknown)?))
}

/// How many rooms and people there were, and how many came and went, step by step.
#[utoipa::path(
    get,
    path = "/api/activity",
    tag = "history",
    params(
        ("from" = Option<i64>, Query, description = "Unix milliseconds; a day before `to` if not given"),
        ("to" = Option<i64>, Query, description = "Unix milliseconds; now if not given, and never later"),
        ("step" = Option<i64>, Query, description = "Milliseconds, rounded up to minutes; at most 1500 steps"),
        ("room" = Option<String>, Query, description = "Only of the room with this name"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The activity", body = Activity),
        (status = 400, description = "A parameter that is unknown or out of bounds; `too_many_points`, `too_much`", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 403, description = "None of it is within the caller's rights", body = ErrorBody),
    )
)]
pub async fn activity(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["from", "to", "step", "room", "project"])?;
    let window = window(&app, &caller, &query)?;
    let now = i64::try_from(app.config.clock.unix_ms()).unwrap_or(i64::MAX);
    let up = |time: i64| (time + MINUTE_MS - 1) / MINUTE_MS * MINUTE_MS;
    let to = query.millis("to")?.unwrap_or(now).min(now);
    let from = query.millis("from")?.unwrap_or(to - DAY_MS);
    if from >= to {
        return Err(Error::bad_request("bad_time", "from is before to, and not in the future"));
    }
    // Whole minutes; the one that is going on belongs to it.
    let (from, to) = (from / MINUTE_MS * MINUTE_MS, up(to + 1));
    let step = up(query.millis("step")?.unwrap_or((to - from) / POINTS).max(1));
    if (to - from + step - 1) / step > POINTS_MAX {
        return Err(Error::bad_request(
            "too_many_points",
            format!("at most {POINTS_MAX} steps; take longer ones"),
        ));
    }
    if window.has_no_session() {
        return Ok(answer(Activity { from, to, step, points: Vec::new() }));
    }
    Ok(answer(app.derived.activity(window, from, to, step).await.map_err(failed)?))
}

/// Rooms, sessions and people, now and past, by a part of a name or the beginning of a sid.
#[utoipa::path(
    get,
    path = "/api/search",
    tag = "history",
    params(
        ("q" = String, Query, description = "What to look for"),
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 if not given"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "What matches", body = Results),
        (status = 400, description = "A parameter that is unknown or out of bounds; nothing to look for", body = ErrorBody),
        (status = 401, description = "Nobody is signed in", body = ErrorBody),
        (status = 403, description = "None of it is within the caller's rights", body = ErrorBody),
    )
)]
pub async fn search(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["q", "limit", "project"])?;
    let limit = query.limit(FOUND_MAX)?.unwrap_or(FOUND);
    let text = query.one("q")?.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Error::bad_request("empty_query", "q says what to look for"))?;
    let window = window(&app, &caller, &query)?;
    let results = app.derived.search(window, text.trim().to_owned(), limit).await.map_err(failed)?;
    Ok(answer(Results { results }))
}

/// What a request with an optional `room` and any number of `project` may see.
fn window(app: &App, caller: &Caller, query: &Query) -> Result<Window, Error> {
    caller.window(app, &query.all("project"), query.one("room")?.as_slice())
}

fn write_place((started_at, id): (i64, i64)) -> String {
    format!("{started_at:x}-{id:x}")
}

fn parse_place(text: &str) -> Option<(i64, i64)> {
    let hex = |text: &str| i64::from_str_radix(text, 16).ok().filter(|_| !text.starts_with(['+', '-']));
    let (started_at, id) = text.split_once('-')?;
    Some((hex(started_at)?, hex(id)?))
}

fn failed(error: DerivedError) -> Error {
    match error {
        DerivedError::TooMuch(_) => {
            Error::bad_request("too_much", "that is too much for one answer; ask for less time")
        }
        error => Error::internal(error),
    }
}

fn answer(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
