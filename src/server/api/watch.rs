//! Watching a room from inside: the token for it, and the end of it.
//!
//! A hidden participant is seen by nobody, but LiveKit counts it as one: a room with a watcher in it
//! never becomes empty, so it never ends (livekit pkg/rtc/room.go). The server therefore removes its
//! watchers when the last other participant has gone; a browser tab that sleeps would not leave.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{FromRequest, RawQuery, Request, State as AppState},
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    event::Seq,
    feed::{Filter, ReplayError},
    rights::Window,
    server::{
        App,
        api::command::{Command, CommandSpec, livekit},
        body::JsonBody,
        caller::{Action, Caller},
        error::Error,
        path::{Names, RoomPath, names},
        query::ProjectQuery,
    },
    state::{RoomEntry, State as Rooms},
    token::{Claims, Grant, sign},
};

/// A token opens one connection at once; LiveKit refreshes the tokens of those connected.
const TOKEN_SECS: u64 = 60;
/// The longest part of a user's name that goes into the identity: LiveKit allows 256 characters.
const USER_CHARS_MAX: usize = 64;
/// How long until LiveKit is asked again to let a watcher go.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchRoom {
    /// Why; it stands in the audit record. Required where the installation asks for it.
    reason: Option<String>,
}

/// What livekit-client needs to join.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// LiveKit's address for clients: `ws(s)://…`.
    url: String,
    /// Hidden, subscribe-only.
    token: String,
    /// Of its own for every watcher, so that two tabs do not push each other out.
    identity: String,
    /// Unix milliseconds.
    expires_at: u64,
}

/// A token to watch a room unseen.
///
/// Only for a room with somebody in it: a hidden participant would create a room that is not there,
/// and keep an empty one open.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/token",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = Option<WatchRoom>,
    responses(
        (status = 200, description = "Good for 60 s", body = Watch),
        (status = 400, description = "A reason is required: `reason_required`"),
        (status = 401, description = "Nobody is anonymous"),
        (status = 403, description = "Not within the caller's rights"),
        (status = 404, description = "The room is not live"),
        (status = 409, description = "Nobody is in the room: `room_empty`"),
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
        JsonBody::<WatchRoom>::from_request(request, &app).await?.0
    } else {
        WatchRoom::default()
    };
    let reason = wanted.reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if app.config.watch_reason && reason.is_none() {
        return Err(Error::bad_request("reason_required", "say why you watch this room: `reason`"));
    }
    let user: String = caller.user.chars().take(USER_CHARS_MAX).collect();
    let done = command.because(reason).run(move |app, project| async move {
        let present = app.state.read().newest(&project, &room).cloned().ok_or_else(Error::room_not_live)?;
        if !is_occupied(&present) {
            let message = "nobody is in the room; a watcher alone would keep it open for ever";
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

/// Is somebody in the room for whom LiveKit keeps it open, watchers aside? Agents and recorders are
/// sent away with the last participant, so they do not count here.
fn is_occupied(entry: &RoomEntry) -> bool {
    entry.participants().any(|p| !p.watcher() && !p.agent() && !p.egress())
}

/// Watchers that are alone with themselves: identities.
fn watchers_alone(rooms: &Rooms, project: &str, room: &str) -> Vec<Box<str>> {
    let alone = rooms.sessions(project, room).filter(|entry| !is_occupied(entry));
    let watchers = alone.flat_map(|entry| entry.participants().filter(|p| p.watcher()));
    watchers.map(|watcher| (*watcher.identity).into()).collect()
}

type RoomKey = (Arc<str>, Arc<str>);

/// Removes watchers from rooms that everybody else has left, until the set is dropped.
pub fn remove_watchers(app: Arc<App>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        app.folded().await;
        let filter = Filter::new(&Window::all(), &["participant_*".to_owned()]);
        let head: Seq = app.feed.head().seq;
        let mut subscription = app.feed.subscribe(filter, head);
        // Those who went while we were away.
        let rooms = app.state.read().rooms(|_, _| true);
        let mut due: BTreeSet<RoomKey> =
            rooms.iter().map(|entry| (entry.room.project.clone(), entry.room.name.clone())).collect();
        loop {
            due = still_due(&app, due).await;
            let frames = if due.is_empty() {
                subscription.next().await
            } else {
                tokio::select! {
                    frames = subscription.next() => frames,
                    () = tokio::time::sleep(RETRY_AFTER) => Ok(Vec::new()),
                }
            };
            match frames {
                Ok(frames) => due.extend(
                    frames.iter().filter_map(|frame| Some((frame.project.clone(), frame.room.clone()?))),
                ),
                Err(ReplayError::Expired) => subscription.advance(app.feed.head().seq),
                Err(error) => {
                    tracing::warn!("watchers cannot be followed: {error}");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    });
    tasks
}

/// Removes watchers that are alone. Returns the rooms to try again.
async fn still_due(app: &App, due: BTreeSet<RoomKey>) -> BTreeSet<RoomKey> {
    let mut again = BTreeSet::new();
    for (project, room) in due {
        let identities = watchers_alone(&app.state.read(), &project, &room);
        let Some(livekit) = app.reconcile.livekit(&project) else { continue };
        for identity in identities {
            match livekit.remove_participant(&room, &identity).await {
                Ok(()) => tracing::info!(room.name = ?room, "a watcher was alone and has been removed"),
                // Gone already; its leave is on its way.
                Err(error) if error.is("not_found") => {}
                Err(error) => {
                    tracing::warn!(room.name = ?room, "a watcher keeps its room open: {error}");
                    again.insert((project.clone(), room.clone()));
                }
            }
        }
    }
    again
}
