//! `GET /api/participants/{identity}`: a participant by identity, over all sessions.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State as AppState},
    response::Response,
};

use super::sessions::{answer, failed};
use crate::{
    derived::Person,
    server::{
        App,
        caller::Caller,
        error::{Error, ErrorBody},
        path::{Names, names},
        query::ProjectQuery,
    },
};

/// Returns a participant by identity: names, first and last time, rooms now, and numbers over all sessions that the caller
/// may see. `GET /api/sessions?identity=` has the sessions.
#[utoipa::path(
    get,
    path = "/api/participants/{identity}",
    tag = "history",
    params(
        ("identity" = String, Path, description = "The participant's identity"),
        ProjectQuery,
    ),
    responses(
        (status = 200, description = "The participant", body = Person),
        (status = 400, description = "`project_required`, or a parameter is unknown", body = ErrorBody),
        (status = 401, description = "No valid credential", body = ErrorBody),
        (status = 404, description = "`unknown_participant`; also for a participant whom the caller may not see", body = ErrorBody),
    )
)]
pub async fn participant(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let identity = names(path)?;
    let unknown = || Error::not_found("unknown_participant", "there is no participant with this identity");
    let ProjectQuery { project } = ProjectQuery::parse(query.as_deref())?;
    let project = caller.project(&app, project.as_deref())?;
    // The answer for a participant whom the caller may not see is that of one who does not exist.
    let window = caller.window(&app, &[project.to_string()], &[]).map_err(|_| unknown())?;
    let now = i64::try_from(app.config.clock.unix_ms()).unwrap_or(i64::MAX);
    let _turn = app.turns.take(&caller).await?;
    let found = app.derived.person(window, identity, now).await.map_err(failed)?;
    Ok(answer(found.ok_or_else(unknown)?))
}
