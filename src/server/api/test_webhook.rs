//! `POST /api/projects/{project}/test-webhook`: sends a test event from the webhook receiver to the dashboard, without
//! a meeting.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State as AppState,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::{
    ingest::webhook::receive,
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
        path::{Names, names},
    },
    token::{Claims, sign},
};

/// Sends a test event through the webhook receiver.
///
/// The event is named `roomwatch_test`, signed with the project's own key, and received as if LiveKit had sent it. It
/// belongs to no room and changes nothing. It shows that the key, the log and the stream work. It does not show that
/// LiveKit can reach this server.
#[utoipa::path(
    post,
    path = "/api/projects/{project}/test-webhook",
    tag = "projects",
    params(("project" = String, Path, description = "The project's name")),
    responses(
        (status = 200, description = "The event is durable, at `cursor`"),
        (status = 401, description = "No valid credential"),
        (status = 403, description = "The caller is neither an operator nor an admin"),
        (status = 404, description = "There is no such project"),
        (status = 503, description = "The event could not be made durable"),
    )
)]
pub async fn test_webhook(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<String>,
) -> Result<Response, Error> {
    let project = caller.project(&app, Some(&names(path)?))?;
    caller.may(Action::TestWebhook, &project, None)?;
    app.limiter.command(&caller.counted_as)?;
    let (key, secret) = app
        .config
        .keys
        .of_project(&project)
        .ok_or_else(|| Error::not_found("unknown_project", "there is no such project"))?;
    let now = app.config.clock.unix_ms();
    let seconds = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    let mut id = [0; 9];
    getrandom::fill(&mut id).map_err(Error::internal)?;
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id);
    let body =
        format!("{{\"event\":\"roomwatch_test\",\"id\":\"EV_test_{id}\",\"createdAt\":\"{seconds}\"}}");
    let claims = Claims {
        iss: key.to_owned(),
        exp: seconds.saturating_add(300),
        nbf: Some(seconds),
        sha256: Some(STANDARD.encode(Sha256::digest(&body))),
        ..Claims::default()
    };
    let mut headers = HeaderMap::new();
    let token = HeaderValue::try_from(sign(&claims, secret)).map_err(Error::internal)?;
    headers.insert(header::AUTHORIZATION, token);
    Ok(receive(AppState(app.webhooks.clone()), headers, Body::from(body)).await)
}
