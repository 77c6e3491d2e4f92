//! Sessions in the shape of LiveKit Cloud's analytics API: `GET /api/project/{id}/sessions` and `.../sessions/{sid}`, for
//! programs that were written for it.
//!
//! Times are texts there, and pages have numbers. Webhooks do not tell of bandwidth, regions and SDKs: these are null.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    response::Response,
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::sessions::{answer, failed};
use crate::{
    derived::{Participation, Session, SessionDetail, SessionQuery},
    rights::Window,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        path::{CloudProjectPath, CloudSessionPath, Names, names},
        query::Query,
    },
    state::State,
};

/// Number of sessions in a page without `limit`, and the maximum.
const SESSIONS: usize = 100;
const SESSIONS_MAX: usize = 1_000;
/// Maximum number of sessions before a page: they are read too.
const BEFORE_MAX: usize = 100_000;
const DAY_MS: i64 = 24 * 3_600_000;

#[derive(Serialize, utoipa::ToSchema)]
pub struct CloudSessions {
    /// The newest first
    sessions: Vec<CloudSession>,
}

/// A session as LiveKit Cloud lists it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudSession {
    session_id: String,
    room_name: String,
    /// RFC 3339, as all times here
    created_at: String,
    /// Null while it is live
    #[schema(required)]
    ended_at: Option<String>,
    /// The end, or the present
    last_active: String,
    /// Always null: unknown
    #[schema(required)]
    bandwidth_in: Option<u64>,
    /// Always null: unknown
    #[schema(required)]
    bandwidth_out: Option<u64>,
    /// 0: never started, 1: active, 2: ended
    egress: u8,
    /// Number of distinct identities, with agents
    num_participants: i64,
    /// Number of participants who are in the room now
    num_active_participants: i64,
}

/// A session as LiveKit Cloud details it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudSessionDetail {
    room_id: String,
    room_name: String,
    /// 0: closed, 1: active
    status: u8,
    /// Always null: unknown
    #[schema(required)]
    bandwidth: Option<u64>,
    start_time: String,
    /// Null while it is live
    #[schema(required)]
    end_time: Option<String>,
    num_participants: i64,
    /// Of participants and agents
    connection_minutes: f64,
    participants: Vec<CloudParticipant>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudParticipant {
    participant_identity: String,
    participant_name: String,
    room_id: String,
    is_active: bool,
    joined_at: String,
    /// Null while the participant is in the room
    #[schema(required)]
    left_at: Option<String>,
    /// Always null: unknown
    #[schema(required)]
    region: Option<String>,
    /// Always null: unknown
    #[schema(required)]
    connection_type: Option<String>,
    /// Always null: unknown
    #[schema(required)]
    sdk_version: Option<String>,
}

/// Lists the sessions of a project as LiveKit Cloud does.
#[utoipa::path(
    get,
    path = "/api/project/{id}/sessions",
    tag = "history",
    params(
        CloudProjectPath,
        ("limit" = Option<u32>, Query, description = "1 to 1000; 100 if not given"),
        ("page" = Option<u32>, Query, description = "Number of the page; the first is 0"),
        ("start" = Option<String>, Query, description = "Only sessions that started on this day of UTC or later, as `YYYY-MM-DD`"),
        ("end" = Option<String>, Query, description = "Only sessions that started on this day of UTC or earlier, as `YYYY-MM-DD`"),
    ),
    responses(
        (status = 200, description = "The sessions", body = CloudSessions),
        (status = 400, description = "A parameter is unknown or out of range", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 403, description = "The request is outside the caller's rights", body = ErrorBody),
        (status = 404, description = "`unknown_project`; also for a project that the caller may not see", body = ErrorBody),
    )
)]
pub async fn cloud_sessions(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<CloudProjectPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let CloudProjectPath { id } = names(path)?;
    let query = Query::parse(query.as_deref(), &["limit", "page", "start", "end"])?;
    let project = caller.project(&app, Some(&id))?;
    let window = caller.window(&app, &[project.to_string()], &[])?;
    let limit = query.limit(SESSIONS_MAX)?.unwrap_or(SESSIONS);
    let pages = format!("0 to {}", BEFORE_MAX / limit);
    let page = query.number("page", 0, (BEFORE_MAX / limit) as i64, "bad_limit", &pages)?.unwrap_or(0);
    let (start, end) = (day(&query, "start")?, day(&query, "end")?);
    let now = app.config.clock.unix_ms();
    let mut wanted = SessionQuery {
        to: end.and_then(|end| u64::try_from(end + DAY_MS - 1).ok()),
        now,
        ..SessionQuery::newest(window.clone(), SESSIONS_MAX)
    };
    let mut skip = usize::try_from(page).unwrap_or(0) * limit;
    let mut found: Vec<Session> = Vec::new();
    let _turn = app.turns.take(&caller).await?;
    loop {
        let read = app.derived.sessions(wanted.clone()).await.map_err(failed)?;
        // The newest come first, so the first one that started too early is the end.
        let in_time = |session: &Session| start.is_none_or(|start| session.started_at >= start);
        let all = read.sessions.len();
        let mut in_time: Vec<Session> = read.sessions.into_iter().take_while(in_time).collect();
        let is_end = in_time.len() < all || read.next.is_none();
        let skipped = skip.min(in_time.len());
        skip -= skipped;
        found.extend(in_time.drain(skipped..).take(limit - found.len()));
        if is_end || found.len() == limit {
            break;
        }
        wanted.before = read.next;
    }
    let state = app.state.read().clone();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let sessions = found.into_iter().map(|session| CloudSession::of(session, &state, now)).collect();
    Ok(answer(CloudSessions { sessions }))
}

/// Returns one session as LiveKit Cloud does.
#[utoipa::path(
    get,
    path = "/api/project/{id}/sessions/{sid}",
    tag = "history",
    params(CloudSessionPath),
    responses(
        (status = 200, description = "The session", body = CloudSessionDetail),
        (status = 400, description = "A parameter is unknown", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 404, description = "`unknown_project`, `unknown_session`; also for one that the caller may not see", body = ErrorBody),
    )
)]
pub async fn cloud_session(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<CloudSessionPath>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let CloudSessionPath { id, sid } = names(path)?;
    Query::parse(query.as_deref(), &[])?;
    let unknown = || Error::not_found("unknown_session", "there is no session with this sid");
    let project = caller.project(&app, Some(&id))?;
    // The answer for a session that the caller may not see is that of a session that does not exist.
    let window: Window = caller.window(&app, &[project.to_string()], &[]).map_err(|_| unknown())?;
    let _turn = app.turns.take(&caller).await?;
    let detail = app.derived.session(window, sid, app.config.clock.unix_ms()).await.map_err(failed)?;
    Ok(answer(CloudSessionDetail::of(detail.ok_or_else(unknown)?)))
}

/// Returns the beginning of a day in unix milliseconds.
fn day(query: &Query, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = query.one(name)? else { return Ok(None) };
    let bad = || Error::bad_request("bad_time", format!("{name} is a day, such as 2026-11-30"));
    let date: Date = Date::strptime("%Y-%m-%d", &text).map_err(|_| bad())?;
    let begins = date.to_zoned(TimeZone::UTC).map_err(|_| bad())?;
    Ok(Some(begins.timestamp().as_millisecond()))
}

/// Writes a time as LiveKit Cloud does.
fn time(at: i64) -> String {
    Timestamp::from_millisecond(at).map(|at| format!("{at:.3}")).unwrap_or_default()
}

impl CloudSession {
    fn of(session: Session, state: &State, now: i64) -> CloudSession {
        let live = state.room(&session.project, &session.sid).filter(|_| session.ended_at.is_none());
        let is_recording = live.is_some_and(|entry| entry.room.recording());
        CloudSession {
            created_at: time(session.started_at),
            ended_at: session.ended_at.map(time),
            last_active: time(session.ended_at.unwrap_or(now)),
            bandwidth_in: None,
            bandwidth_out: None,
            egress: match (is_recording, session.recorded) {
                (true, _) => 1,
                (false, true) => 2,
                (false, false) => 0,
            },
            num_participants: session.participant_count + session.agent_count,
            num_active_participants: live.map_or(0, |entry| {
                i64::from(entry.room.counts.participants) + i64::from(entry.room.counts.agents)
            }),
            session_id: session.sid,
            room_name: session.room,
        }
    }
}

impl CloudSessionDetail {
    fn of(detail: SessionDetail) -> CloudSessionDetail {
        let SessionDetail { session, participations, .. } = detail;
        let visible = |one: &Participation| !one.hidden && !one.watcher && one.kind != "egress";
        let participants = participations.into_iter().filter(visible).map(|one| CloudParticipant {
            participant_identity: one.identity,
            participant_name: one.name,
            room_id: session.sid.clone(),
            is_active: one.left_at.is_none(),
            joined_at: time(one.joined_at),
            left_at: one.left_at.map(time),
            region: None,
            connection_type: None,
            sdk_version: None,
        });
        CloudSessionDetail {
            participants: participants.collect(),
            status: u8::from(session.ended_at.is_none()),
            bandwidth: None,
            start_time: time(session.started_at),
            end_time: session.ended_at.map(time),
            num_participants: session.participant_count + session.agent_count,
            connection_minutes: session.participant_minutes + session.agent_minutes,
            room_id: session.sid,
            room_name: session.room,
        }
    }
}
