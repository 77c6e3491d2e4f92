//! The token with which an operator watches a room as a hidden participant.
//! [`watchers`](crate::reconcile::watchers) removes a watcher that is left alone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, Request, State as AppState},
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    reconcile::watchers::is_occupied,
    server::{
        App,
        api::command::{Command, CommandSpec, livekit},
        body::{self, SHORT_BYTES_MAX},
        caller::{Action, Caller},
        error::Error,
        path::{Names, RoomPath, names},
        query::ProjectQuery,
    },
    token::{Claims, Grant, sign},
};

/// Lifetime of a token. It is used at once, and LiveKit refreshes the tokens of connected participants.
const TOKEN_SECS: u64 = 60;
/// Maximum length of the user's name in the identity. LiveKit allows 256 characters for the whole.
const USER_CHARS_MAX: usize = 64;

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchRoom {
    /// Reason for the audit record; required if the server is configured to ask for it
    reason: Option<String>,
}

/// The data with which livekit-client joins.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// LiveKit's URL for clients: `ws(s)://…`
    url: String,
    /// Allows to join hidden and to subscribe, and nothing else
    token: String,
    /// Different for every token, so that two tabs do not disconnect each other
    identity: String,
    /// Unix milliseconds
    expires_at: u64,
}

/// Returns a token to watch a room as a hidden participant.
///
/// The room must have a participant: a hidden one alone would create a room that does not exist, or keep an empty one
/// open.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/token",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body(content = WatchRoom, description = "May be left out if no reason is required"),
    responses(
        (status = 200, description = "The token is valid for 60 s", body = Watch),
        (status = 400, description = "A reason is required: `reason_required`"),
        (status = 401, description = "No valid credential"),
        (status = 403, description = "The caller does not have the right"),
        (status = 404, description = "There is no live room with this name"),
        (status = 409, description = "The room has no participants: `room_empty`"),
        (status = 502, description = "The project has no LiveKit URL"),
    )
)]
pub async fn watch_room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<Watch>, Error> {
    let RoomPath { room } = names(path)?;
    let spec = CommandSpec {
        right: Action::Watch,
        action: "room.watch",
        room: Some(&room),
        target: None,
        has_webhook: true,
    };
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let wanted = if request.headers().contains_key(header::CONTENT_TYPE) {
        body::json(&app, request, SHORT_BYTES_MAX).await?
    } else {
        WatchRoom::default()
    };
    let reason = wanted.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if app.config.watch_reason && reason.is_none() {
        return Err(Error::bad_request("reason_required", "give a reason for watching this room"));
    }
    let user: String = caller.user.chars().take(USER_CHARS_MAX).collect();
    let done = command.because(reason).run(move |app, project| async move {
        let present = app.state.read().newest(&project, &room).cloned().ok_or_else(Error::room_not_live)?;
        if !is_occupied(&present) {
            let message = "the room has no participants; a watcher alone would keep it open";
            return Err(Error::new(StatusCode::CONFLICT, "room_empty", message));
        }
        livekit(&app, &project)?;
        mint(&app, &project, &room, &user)
    });
    done.await.map(Json)
}

fn mint(app: &App, project: &str, room: &str, user: &str) -> Result<Watch, Error> {
    let configured = app.config.projects.iter().find(|own| *own.name == *project);
    let (url, configured) = configured
        .and_then(|own| own.url.as_deref().map(|url| (url, own)))
        .ok_or_else(Error::room_not_live)?;
    let mut random = [0; 9];
    getrandom::fill(&mut random).map_err(Error::internal)?;
    let identity = format!("roomwatch:{user}:{}", URL_SAFE_NO_PAD.encode(random));
    let now = app.config.clock.unix_ms() / 1000;
    let seconds = |secs: u64| i64::try_from(secs).unwrap_or(i64::MAX);
    let claims = Claims {
        iss: configured.key.to_string(),
        sub: identity.clone(),
        exp: seconds(now + TOKEN_SECS),
        nbf: Some(seconds(now)),
        video: Some(Grant {
            room_join: true,
            room: room.to_owned(),
            hidden: true,
            can_publish: Some(false),
            can_publish_data: Some(false),
            can_subscribe: Some(true),
            ..Grant::default()
        }),
        ..Claims::default()
    };
    Ok(Watch {
        // `http` and `https` become `ws` and `wss`.
        url: format!("ws{}", url.trim_start_matches("http")),
        token: sign(&claims, &configured.secret),
        identity,
        expires_at: (now + TOKEN_SECS) * 1000,
    })
}
