//! Sessions, present and past: `GET /api/sessions`, `/api/sessions/{sid}`, `/api/activity` and `/api/search`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State as AppState},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    audit::Deed,
    derived::{
        Activity, DerivedError, Gap, Participation, SearchResult, Session, SessionDetail, SessionFilter,
        SessionOrder, SessionPage, SessionPlace, SessionPosition, SessionQuery, SessionSort, SessionTotals,
        SessionTrouble,
    },
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        export::FormatQuery,
        path::{Names, names},
        query::{ProjectsQuery, Query, parse_place, write_place},
    },
};

/// Number of sessions in a page without `limit`, and the maximum.
const SESSIONS: usize = 50;
const SESSIONS_MAX: usize = 1_000;
/// Number of results of a search without `limit`, and the maximum.
const RESULTS: usize = 20;
const RESULTS_MAX: usize = 100;
/// Maximum number of points of an activity, and the approximate number without `step`.
const POINTS_MAX: i64 = 1_500;
const POINTS: i64 = 288;
const MINUTE_MS: i64 = 60_000;
/// Maximum time between a command and its effect, and between two clocks.
const EFFECT_MS_MAX: i64 = 30_000;
const CLOCKS_MS_MAX: i64 = 5_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
/// Parameters of the list of sessions.
const SESSIONS_KNOWN: [&str; 16] = [
    "room",
    "identity",
    "from",
    "to",
    "before",
    "limit",
    "project",
    "roomContains",
    "participantContains",
    "trouble",
    "recorded",
    "agents",
    "calls",
    "sort",
    "order",
    "totals",
];

/// Sessions in the order of `sort`.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Sessions {
    sessions: Vec<Session>,
    /// `before=` of the next page; null at the end. A page can have fewer sessions than `limit` and a next page
    #[schema(required)]
    next: Option<String>,
    /// Null unless `totals=true` asks for them, and on all pages but the first
    #[schema(required)]
    totals: Option<SessionTotals>,
    /// False if more sessions are in question than one request looks at, which is the newest 100,000, or fewer if they
    /// have many participants. The totals are then lower bounds, and only those sessions are sorted: choose a shorter
    /// time with `from` and `to`. In the order of the start, `next` continues where the request stopped
    complete: bool,
    /// Times, between `from` and `to`, of which sessions or parts of them are missing: they were lost with a damaged file,
    /// and the log does not have their events any more. Ascending
    gaps: Vec<Gap>,
}

const SORTS: [(&str, SessionSort); 8] = [
    ("started", SessionSort::Started),
    ("duration", SessionSort::Duration),
    ("participants", SessionSort::Participants),
    ("peak", SessionSort::Peak),
    ("agents", SessionSort::Agents),
    ("calls", SessionSort::Calls),
    ("trouble", SessionSort::Trouble),
    ("minutes", SessionSort::Minutes),
];
const TROUBLES: [(&str, SessionTrouble); 4] = [
    ("lost", SessionTrouble::Lost),
    ("recording", SessionTrouble::Recording),
    ("call", SessionTrouble::Call),
    ("agent", SessionTrouble::Agent),
];
const ORDERS: [(&str, bool); 2] = [("desc", false), ("asc", true)];
const FLAGS: [(&str, bool); 2] = [("false", false), ("true", true)];

#[derive(Serialize, utoipa::ToSchema)]
pub struct Results {
    /// Whole names and identities first, then live results, then the newest
    results: Vec<SearchResult>,
}

/// Lists sessions, past and present.
#[utoipa::path(
    get,
    path = "/api/sessions",
    tag = "history",
    params(
        ("room" = Option<String>, Query, description = "Only sessions of the room with exactly this name"),
        ("identity" = Option<String>, Query, description = "Only sessions in which exactly this identity took part"),
        ("roomContains" = Option<String>, Query, description = "Only sessions of rooms whose name contains this, in any case, with or without accents"),
        ("participantContains" = Option<String>, Query, description = "Only sessions with a participant whose identity or name contains this, in any case, with or without accents"),
        ("trouble" = Option<Vec<String>>, Query, description = "Only sessions in which this went wrong: `lost` (a connection), `recording` (one failed or reached a limit), `call` or `agent`; may be repeated: any of them"),
        ("recorded" = Option<bool>, Query, description = "Only sessions that were recorded, or that were not"),
        ("agents" = Option<bool>, Query, description = "Only sessions with an agent, or without"),
        ("calls" = Option<bool>, Query, description = "Only sessions with a phone call, or without"),
        ("sort" = Option<String>, Query, description = "`started` (if not given), `duration`, `participants`, `peak`, `agents`, `calls`, `trouble` or `minutes`. Sessions with equal numbers are in the order in which they became known"),
        ("order" = Option<String>, Query, description = "`desc` (if not given): the newest or the greatest first; or `asc`"),
        ("totals" = Option<bool>, Query, description = "Adds the totals of all sessions that match, to the first page"),
        ("from" = Option<i64>, Query, description = "Only sessions that were live at this time or later, in unix milliseconds"),
        ("to" = Option<i64>, Query, description = "Only sessions that were live at this time or earlier, in unix milliseconds"),
        ("before" = Option<String>, Query, description = "`next` of the previous page"),
        ("limit" = Option<u32>, Query, description = "1 to 1000; 50 if not given"),
        ProjectsQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The sessions", body = Sessions),
        (status = 400, description = "A parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
    )
)]
pub async fn sessions(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &SESSIONS_KNOWN)?;
    let limit = query.limit(SESSIONS_MAX)?.unwrap_or(SESSIONS);
    let unsigned = |time: Option<i64>| time.and_then(|time| u64::try_from(time).ok());
    let window = window(&app, &caller, &query)?;
    let (from, to) = (query.millis("from")?, query.millis("to")?);
    let order = SessionOrder {
        sort: query.choice("sort", &SORTS)?.unwrap_or_default(),
        ascending: query.choice("order", &ORDERS)?.unwrap_or_default(),
    };
    let wanted = SessionQuery {
        window,
        identity: query.one("identity")?,
        from: unsigned(from),
        to: unsigned(to),
        filter: SessionFilter {
            room: query.one("roomContains")?,
            participant: query.one("participantContains")?,
            trouble: query.choices("trouble", &TROUBLES)?,
            recorded: query.choice("recorded", &FLAGS)?,
            agents: query.choice("agents", &FLAGS)?,
            calls: query.choice("calls", &FLAGS)?,
        },
        order,
        before: query.before(|text| parse_position(text, order))?,
        now: app.config.clock.unix_ms(),
        limit,
        totals: query.choice("totals", &FLAGS)?.unwrap_or_default(),
    };
    let _turn = app.turns.take(&caller).await?;
    let SessionPage { mut sessions, next, totals, complete } =
        app.derived.sessions(wanted).await.map_err(failed)?;
    if caller.role.is_some() {
        name_enders(&app, sessions.iter_mut().collect()).await;
    }
    let next = next.map(|next| write_position(next, order));
    let mut gaps = app.derived.gaps();
    gaps.retain(|gap| from.is_none_or(|from| gap.to >= from) && to.is_none_or(|to| gap.from <= to));
    Ok(answer(Sessions { sessions, next, totals, complete, gaps }))
}

/// Returns one session: its participants, the times and reasons of their leaves, its tracks and recordings.
#[utoipa::path(
    get,
    path = "/api/sessions/{sid}",
    tag = "history",
    params(
        ("sid" = String, Path, description = "LiveKit's sid of the session"),
        ProjectsQuery,
        FormatQuery,
    ),
    responses(
        (status = 200, description = "The session", body = SessionDetail),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 404, description = "`unknown_session`; also for a session that the caller may not see", body = ErrorBody),
    )
)]
pub async fn session(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let sid = names(path)?;
    let unknown = || Error::not_found("unknown_session", "there is no session with this sid");
    let query = Query::parse(query.as_deref(), &["project"])?;
    // The answer for a session that the caller may not see is that of a session that does not exist.
    let window = window(&app, &caller, &query).map_err(|_| unknown())?;
    let _turn = app.turns.take(&caller).await?;
    let mut detail = app
        .derived
        .session(window, sid, app.config.clock.unix_ms())
        .await
        .map_err(failed)?
        .ok_or_else(unknown)?;
    if caller.role.is_some() {
        name_removers(&app, &mut detail).await;
        name_enders(&app, vec![&mut detail.session]).await;
    }
    Ok(answer(detail))
}

/// Sets `ended_by` of the sessions that a command has ended.
async fn name_enders(app: &App, sessions: Vec<&mut Session>) {
    let mut ended: Vec<(&mut Session, i64)> =
        sessions.into_iter().filter_map(|session| session.ended_at.map(|at| (session, at))).collect();
    let deeds =
        ended.iter().map(|(session, at)| deed(session, "room.end", None, session.started_at, *at)).collect();
    for ((session, _), user) in ended.iter_mut().zip(who(app, deeds).await) {
        session.ended_by = user;
    }
}

/// Sets `removed_by` of the participants that a command has removed.
async fn name_removers(app: &App, detail: &mut SessionDetail) {
    let SessionDetail { session, participations, .. } = detail;
    let mut removed: Vec<(&mut Participation, i64)> = participations
        .iter_mut()
        .filter(|one| one.disconnect_reason.as_deref() == Some("participant_removed"))
        .filter_map(|one| one.left_at.map(|at| (one, at)))
        .collect();
    let deeds = removed
        .iter()
        .map(|(one, at)| deed(session, "participant.remove", Some(one.identity.clone()), one.joined_at, *at))
        .collect();
    for ((one, _), user) in removed.iter_mut().zip(who(app, deeds).await) {
        one.removed_by = user;
    }
}

/// Returns the command that had an effect at the time `at`, and not before `since`. These times are LiveKit's: its clock
/// may differ from ours.
fn deed(session: &Session, action: &'static str, target: Option<String>, since: i64, at: i64) -> Deed {
    let Session { project, room, .. } = session;
    let (project, room) = (project.clone(), room.clone());
    Deed { action, project, room, target, from: since.max(at - EFFECT_MS_MAX), to: at + CLOCKS_MS_MAX }
}

/// Returns the users of commands. A damaged audit record must not make the history unreadable.
async fn who(app: &App, deeds: Vec<Deed>) -> Vec<Option<String>> {
    let count = deeds.len();
    app.audit.who(deeds).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the users of past commands are unknown");
        vec![None; count]
    })
}

/// Returns the number of rooms and participants, and of joins and leaves, for each step of time.
#[utoipa::path(
    get,
    path = "/api/activity",
    tag = "history",
    params(
        ("from" = Option<i64>, Query, description = "Unix milliseconds; a day before `to` if not given"),
        ("to" = Option<i64>, Query, description = "Unix milliseconds; now if not given, and at the latest now"),
        ("step" = Option<i64>, Query, description = "Milliseconds, rounded up to minutes; at most 1500 steps"),
        ("room" = Option<String>, Query, description = "Only the room with this name"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The activity", body = Activity),
        (status = 400, description = "A parameter is unknown or out of range; `too_many_points`, `too_much`", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
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
        return Err(Error::bad_request("bad_time", "from must be before to, and not in the future"));
    }
    // Whole minutes, the present one included.
    let (from, to) = (from / MINUTE_MS * MINUTE_MS, up(to + 1));
    let step = up(query.millis("step")?.unwrap_or((to - from) / POINTS).max(1));
    if (to - from + step - 1) / step > POINTS_MAX {
        return Err(Error::bad_request(
            "too_many_points",
            format!("the time has more than {POINTS_MAX} steps; choose a longer step"),
        ));
    }
    if window.has_no_session() {
        return Ok(answer(Activity { from, to, step, points: Vec::new() }));
    }
    let _turn = app.turns.take(&caller).await?;
    Ok(answer(app.derived.activity(window, from, to, step).await.map_err(failed)?))
}

/// Searches rooms, sessions and participants, present and past, by a part of a name, identity or phone number, or the
/// beginning of a sid.
#[utoipa::path(
    get,
    path = "/api/search",
    tag = "history",
    params(
        ("q" = String, Query, description = "Part of a name, identity or phone number, whatever its case and accents; or beginning of a sid"),
        ("limit" = Option<u32>, Query, description = "1 to 100; 20 if not given"),
        ProjectsQuery,
    ),
    responses(
        (status = 200, description = "The matches", body = Results),
        (status = 400, description = "A parameter is unknown or out of range, or `q` is empty", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
    )
)]
pub async fn search(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref(), &["q", "limit", "project"])?;
    let limit = query.limit(RESULTS_MAX)?.unwrap_or(RESULTS);
    let text = query.one("q")?.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Error::bad_request("empty_query", "q must not be empty"))?;
    let window = window(&app, &caller, &query)?;
    let _turn = app.turns.take(&caller).await?;
    let results = app.derived.search(window, text.trim().to_owned(), limit).await.map_err(failed)?;
    Ok(answer(Results { results }))
}

/// Returns what a request with an optional `room` and any number of `project` may see.
fn window(app: &App, caller: &Caller, query: &Query) -> Result<Window, Error> {
    caller.window(app, &query.all("project"), query.one("room")?.as_slice())
}

/// Writes a position with its order: it means nothing in another one.
fn write_position(position: SessionPosition, order: SessionOrder) -> String {
    let SessionPosition { place: SessionPlace { key, started_at, sid, project }, now } = position;
    let place = write_place([key, started_at, now.cast_signed()], [&project, &sid]);
    format!("{}-{place}", order_name(order))
}

fn parse_position(text: &str, order: SessionOrder) -> Option<SessionPosition> {
    let place = text.strip_prefix(&order_name(order))?.strip_prefix('-')?;
    let ([key, started_at, now], [project, sid]) = parse_place(place)?;
    let place = SessionPlace { key, started_at, sid, project };
    Some(SessionPosition { place, now: u64::try_from(now).ok()? })
}

fn order_name(SessionOrder { sort, ascending }: SessionOrder) -> String {
    let sort = SORTS.iter().find(|(_, one)| *one == sort).map_or("", |(name, _)| name);
    format!("{sort}{}", if ascending { "-asc" } else { "" })
}

pub fn failed(error: DerivedError) -> Error {
    match error {
        DerivedError::TooMuch(_) => {
            Error::bad_request("too_much", "this is too much for one answer; choose a shorter time")
        }
        DerivedError::Busy => {
            let message = "too many queries of the history; try again";
            Error::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(1)
        }
        error => Error::internal(error),
    }
}

pub(super) fn answer(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
