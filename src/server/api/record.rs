//! Starting and stopping egress (recordings and streams) with the presets of the configuration file.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json,
    extract::{RawQuery, Request, State as AppState},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::commands::Refusals;
use crate::{
    config::{EgressKind, EgressPreset},
    livekit::{CallError, LiveKit, text},
    server::{
        App,
        api::command::{Command, CommandSpec, explain, livekit},
        body::{self, SHORT_BYTES_MAX},
        caller::{Action, Caller},
        error::Error,
        path::{EgressPath, Names, names},
        query::ProjectQuery,
    },
};

/// Number of looks at LiveKit's list after a start without an answer, and the time between two: the egress service enters it.
const LOOKS: usize = 3;
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartEgress {
    /// Name of a preset of the project
    preset: String,
    /// For the kinds `room_composite` and `track`
    room: Option<String>,
    /// Sid of a track of the room, for the kind `track`
    track: Option<String>,
    /// For the kind `web`: a page of one of the preset's origins
    url: Option<String>,
    /// Starts also if an egress of this kind is running for the same room, track or page
    #[serde(default)]
    another: bool,
}

/// The egress after the command.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressAnswer {
    project: String,
    egress_id: String,
    /// LiveKit's word without `EGRESS_`, in lower case, such as `starting`
    status: String,
}

/// Source of an egress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Source {
    Room(String),
    Track { room: String, sid: String },
    Page(String),
}

/// The starts that LiveKit has not answered: two operators who press the button at the same time start one egress.
#[derive(Default)]
pub struct Starting(Mutex<HashSet<(Arc<str>, Source)>>);

/// One of them.
struct Begun {
    app: Arc<App>,
    key: (Arc<str>, Source),
}

impl Begun {
    fn begin(app: &Arc<App>, project: &Arc<str>, source: &Source) -> Option<Begun> {
        let key = (project.clone(), source.clone());
        let mut starting = app.starting.0.lock().unwrap_or_else(PoisonError::into_inner);
        starting.insert(key.clone()).then(|| Begun { app: app.clone(), key })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.app.starting.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Source {
    fn room(&self) -> Option<&str> {
        match self {
            Source::Room(room) | Source::Track { room, .. } => Some(room),
            Source::Page(_) => None,
        }
    }

    /// Returns true for the EgressInfo of an egress with this source.
    fn is_of(&self, info: &Map<String, Value>) -> bool {
        match self {
            Source::Room(room) => {
                info.contains_key("roomComposite") && text(info, "roomName") == Some(&**room)
            }
            Source::Track { sid, .. } => info.get("track").is_some_and(|track| track["trackId"] == **sid),
            Source::Page(url) => info.get("web").is_some_and(|web| web["url"] == **url),
        }
    }

    async fn start(&self, livekit: &LiveKit, preset: &EgressPreset) -> Result<Map<String, Value>, CallError> {
        let (kind, request) = (preset.kind, &preset.request);
        match self {
            Source::Room(room) => livekit.start_egress(kind, request, [("room_name", room)]).await,
            Source::Track { room, sid } => {
                livekit.start_egress(kind, request, [("room_name", room), ("track_id", sid)]).await
            }
            Source::Page(url) => livekit.start_egress(kind, request, [("url", url)]).await,
        }
    }
}

impl StartEgress {
    /// Returns the source that the body names, if it has exactly what the preset needs.
    fn source(self, preset: &EgressPreset) -> Result<Source, Error> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (preset.kind, given(self.room), given(self.track), given(self.url)) {
            (EgressKind::RoomComposite, Some(room), None, None) => Ok(Source::Room(room)),
            (EgressKind::Track, Some(room), Some(sid), None) => Ok(Source::Track { room, sid }),
            (EgressKind::Web, None, None, Some(url)) if preset.allows(&url) => Ok(Source::Page(url)),
            (EgressKind::Web, None, None, Some(_)) => {
                let origins = preset.allowed_origins.join(", ");
                let message = format!("this preset is for pages of these origins only: {origins}");
                Err(Error::new(StatusCode::FORBIDDEN, "origin_not_allowed", message))
            }
            (kind, ..) => {
                let needed = match kind {
                    EgressKind::RoomComposite => "room",
                    EgressKind::Track => "room and track",
                    EgressKind::Web => "url",
                };
                Err(Error::bad_request("bad_body", format!("this preset needs {needed}, and nothing else")))
            }
        }
    }
}

/// Starts an egress with a preset of the configuration file.
///
/// If LiveKit does not answer, its list says whether the egress has started. It is never started twice for that.
#[utoipa::path(
    post,
    path = "/api/egress",
    tag = "commands",
    params(ProjectQuery),
    request_body = StartEgress,
    responses(
        (status = 201, description = "LiveKit has started it", body = EgressAnswer),
        (status = 400, description = "The preset needs other members, or LiveKit refuses the request"),
        (status = 403, description = "The caller does not have the right; or `origin_not_allowed`"),
        (status = 404, description = "`unknown_preset`, or there is no live room with this name"),
        (status = 409, description = "`egress_running`: the same is running, or being started"),
        (status = 504, description = "`egress_unconfirmed`: LiveKit does not answer, and its list does not have the egress; it may still start"),
        Refusals,
    )
)]
pub async fn start_egress(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<(StatusCode, Json<EgressAnswer>), Error> {
    let command = Command::allowed(&app, &caller, query.as_deref(), spec("egress.start", None)).await?;
    let wanted: StartEgress = body::json(&app, request, SHORT_BYTES_MAX).await?;
    let mut presets = app.config.egress_presets.iter();
    let preset = presets.find(|preset| preset.name == wanted.preset && preset.is_for(command.project()));
    let preset = preset.cloned().ok_or_else(|| {
        Error::not_found("unknown_preset", "the project has no egress preset with this name")
    })?;
    let another = wanted.another;
    let source = wanted.source(&preset)?;
    let command = command.at(&preset.name);
    let command = match source.room() {
        Some(room) => command.of_room(room),
        None => command,
    };
    let answer = command.run_on(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let _begun = Begun::begin(&app, &project, &source)
            .ok_or_else(|| running("another caller is starting the same; wait for the answer"))?;
        let before = listed(livekit, &source).await.map_err(explain)?;
        if let Some(id) = before.iter().find_map(|info| text(info, "egressId")).filter(|_| !another) {
            return Err(running(&format!(
                "{id} of the same is running; stop it first, or start another one beside it"
            )));
        }
        let info = match source.start(livekit, &preset).await {
            Ok(info) => info,
            Err(error) if is_unanswered(&error) => found(&app, livekit, &source, &before, error).await?,
            Err(error) => return Err(explain_start(error)),
        };
        let answer = egress_answer(&project, &info);
        let target = format!("{}/{}", preset.name, answer.egress_id);
        Ok((answer, Some(target)))
    });
    Ok((StatusCode::CREATED, Json(answer.await?)))
}

/// Stops an egress. LiveKit first completes its outputs; then it has ended.
#[utoipa::path(
    delete,
    path = "/api/egress/{id}",
    tag = "commands",
    params(EgressPath, ProjectQuery),
    responses(
        (status = 200, description = "It is ending", body = EgressAnswer),
        (status = 404, description = "`egress_not_found`: LiveKit has no egress with this id"),
        (status = 409, description = "It has ended"),
        Refusals,
    )
)]
pub async fn stop_egress(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<EgressPath>,
    RawQuery(query): RawQuery,
) -> Result<Json<EgressAnswer>, Error> {
    let EgressPath { id } = names(path)?;
    let spec = spec("egress.stop", Some(id.clone()));
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let state = app.state.read().clone();
    let known = state.egress(command.project()).find(|egress| *egress.egress_id == *id);
    let command = match known.and_then(|egress| egress.room.as_deref()) {
        Some(room) => command.of_room(room),
        None => command,
    };
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        match livekit.stop_egress(&id).await {
            Ok(info) => Ok(egress_answer(&project, &info)),
            Err(error) if error.is("not_found") => {
                Err(Error::not_found("egress_not_found", "LiveKit has no egress with this id"))
            }
            Err(error) => Err(explain(error)),
        }
    });
    Ok(Json(answer.await?))
}

/// Returns the running egress of this source, from LiveKit.
async fn listed(livekit: &LiveKit, source: &Source) -> Result<Vec<Map<String, Value>>, CallError> {
    let mut listed = livekit.active_egress(source.room().unwrap_or_default()).await?;
    listed.retain(|info| source.is_of(info));
    Ok(listed)
}

/// Returns the egress that LiveKit has started without an answer: the one that was not listed before.
async fn found(
    app: &App,
    livekit: &LiveKit,
    source: &Source,
    before: &[Map<String, Value>],
    error: CallError,
) -> Result<Map<String, Value>, Error> {
    let is_new = |info: &Map<String, Value>| {
        before.iter().all(|other| text(other, "egressId") != text(info, "egressId"))
    };
    for _ in 0..LOOKS {
        let now = listed(livekit, source).await.unwrap_or_default();
        if let Some(info) = now.into_iter().find(is_new) {
            return Ok(info);
        }
        app.config.clock.sleep(LOOK_EVERY).await;
    }
    tracing::warn!("the start of an egress is not confirmed: {error}");
    let message = format!(
        "{error}; its list does not have the egress, but it may still start: look at the recordings before you start it \
         again"
    );
    Err(Error::new(StatusCode::GATEWAY_TIMEOUT, "egress_unconfirmed", message))
}

/// Returns true if LiveKit may have started the egress. It has not if it refuses the key, and after `unavailable`: then no
/// egress service has taken the request.
fn is_unanswered(error: &CallError) -> bool {
    error.is("deadline_exceeded")
        || error.is("canceled")
        || (error.away() && !matches!(error, CallError::Unauthorized { .. }))
}

fn explain_start(error: CallError) -> Error {
    let is_alone = error.is("unavailable");
    let explained = explain(error);
    if !is_alone {
        return explained;
    }
    let message = format!(
        "no egress service took the request; check that one runs and is not full: {}",
        explained.message
    );
    Error { message, ..explained }
}

fn running(message: &str) -> Error {
    Error::new(StatusCode::CONFLICT, "egress_running", message)
}

fn egress_answer(project: &str, info: &Map<String, Value>) -> EgressAnswer {
    // EGRESS_STARTING is the zero value, which the shape of a webhook leaves out.
    let status = text(info, "status").unwrap_or("EGRESS_STARTING");
    EgressAnswer {
        project: project.to_owned(),
        egress_id: text(info, "egressId").unwrap_or_default().to_owned(),
        status: status.strip_prefix("EGRESS_").unwrap_or(status).to_ascii_lowercase(),
    }
}

fn spec(action: &'static str, target: Option<String>) -> CommandSpec<'static> {
    CommandSpec { right: Action::Record, action, room: None, target, has_webhook: true }
}
