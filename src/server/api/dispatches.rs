//! The agent dispatches of a room: list, create, delete. No event carries a dispatch, so LiveKit is asked each time.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, Request, State as AppState},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::commands::Refusals;
use crate::{
    livekit::{CallError, ListedDispatch, ListedJob, LiveKit},
    server::{
        App,
        api::command::{Command, explain, livekit, may_ask, moderate},
        body::{self, METADATA_BYTES_MAX},
        caller::{Action, Caller},
        error::Error,
        path::{DispatchPath, Names, RoomPath, names},
        query::ProjectQuery,
    },
};

/// Maximum length of the name of an agent, in bytes.
const AGENT_BYTES_MAX: usize = 256;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateDispatch {
    /// Name with which the worker registers: 1 to 256 bytes
    agent_name: String,
    /// The agent reads it as the metadata of its job
    #[serde(default)]
    metadata: String,
}

/// A request for an agent in a room.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dispatch {
    id: String,
    /// Empty for workers without a name: LiveKit gives every room such a dispatch
    agent_name: String,
    metadata: String,
    /// In unix milliseconds, by LiveKit's clock
    created_at: u64,
    jobs: Vec<Job>,
}

/// The work of one worker for a dispatch.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Job {
    id: String,
    /// LiveKit's word without `JS_`, in lower case: `pending`, `running`, `success`, `failed`, `cancelled`
    status: String,
    /// Why it failed. Null if it did not
    #[schema(required)]
    error: Option<String>,
    /// Identity of the agent in the room. Null if no worker has taken the job
    #[schema(required)]
    identity: Option<String>,
}

/// The dispatches of a room, the oldest first.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Dispatches {
    dispatches: Vec<Dispatch>,
}

impl From<ListedDispatch> for Dispatch {
    fn from(listed: ListedDispatch) -> Dispatch {
        let ListedDispatch { id, agent, metadata, created_at_ms, jobs, .. } = listed;
        Dispatch {
            id: id.into(),
            agent_name: agent.into(),
            metadata: metadata.into(),
            created_at: created_at_ms,
            jobs: jobs.into_iter().map(Job::from).collect(),
        }
    }
}

impl From<ListedJob> for Job {
    fn from(ListedJob { id, status, error, identity }: ListedJob) -> Job {
        let given = |text: Box<str>| (!text.is_empty()).then(|| text.into());
        let status = status.strip_prefix("JS_").unwrap_or(&status).to_ascii_lowercase();
        Job { id: id.into(), status, error: given(error), identity: given(identity) }
    }
}

/// Lists the agent dispatches of a live room, from LiveKit.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/dispatches",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    responses(
        (status = 200, description = "The dispatches", body = Dispatches),
        (status = 404, description = "There is no live room with this name"),
        Refusals,
    )
)]
pub async fn dispatches(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<Json<Dispatches>, Error> {
    let RoomPath { room } = names(path)?;
    let project = may_ask(&app, &caller, query.as_deref(), Action::Moderate, Some(&room))?;
    let livekit = livekit(&app, &project)?;
    let mut listed = match livekit.list_dispatches(&room).await {
        Ok(listed) => listed,
        Err(error) => return Err(absent(livekit, &room, error).await),
    };
    listed.retain(|dispatch| !dispatch.deleted);
    listed.sort_by_key(|dispatch| dispatch.created_at_ms);
    Ok(Json(Dispatches { dispatches: listed.into_iter().map(Dispatch::from).collect() }))
}

/// Asks for an agent in a live room. LiveKit accepts it also if no worker has this name: then no job begins.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/dispatches",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = CreateDispatch,
    responses(
        (status = 201, description = "LiveKit has the dispatch", body = Dispatch),
        (status = 400, description = "There is no name, or LiveKit refuses the dispatch"),
        (status = 404, description = "There is no live room with this name"),
        Refusals,
    )
)]
pub async fn create_dispatch(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<(StatusCode, Json<Dispatch>), Error> {
    let RoomPath { room } = names(path)?;
    let spec = moderate("dispatch.create", &room, None, true);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let CreateDispatch { agent_name, metadata } = body::json(&app, request, METADATA_BYTES_MAX).await?;
    if agent_name.is_empty() || agent_name.len() > AGENT_BYTES_MAX {
        let message = format!("the name of an agent must have 1 to {AGENT_BYTES_MAX} bytes");
        return Err(Error::bad_request("bad_name", message));
    }
    let answer = command.at(&agent_name).run_on(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        // LiveKit would create the room.
        if livekit.list_rooms(&[room.as_str().into()]).await.map_err(explain)?.is_empty() {
            return Err(Error::room_not_live());
        }
        let created = match livekit.create_dispatch(&room, &agent_name, &metadata).await {
            Ok(created) => created,
            Err(error) => return Err(absent(livekit, &room, error).await),
        };
        let target = format!("{agent_name}/{}", created.id);
        Ok((Dispatch::from(created), Some(target)))
    });
    Ok((StatusCode::CREATED, Json(answer.await?)))
}

/// Deletes a dispatch. LiveKit ends its jobs, and removes their agents from the room.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/dispatches/{id}",
    tag = "commands",
    params(DispatchPath, ProjectQuery),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "There is no such dispatch (`dispatch_not_found`), or no live room with this name"),
        Refusals,
    )
)]
pub async fn delete_dispatch(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<DispatchPath>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Error> {
    let DispatchPath { room, id } = names(path)?;
    let spec = moderate("dispatch.delete", &room, Some(id.clone()), true);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let done = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        match livekit.delete_dispatch(&room, &id).await {
            Err(error) => Err(absent(livekit, &room, error).await),
            Ok(()) => Ok(()),
        }
    });
    done.await.map(|()| StatusCode::NO_CONTENT)
}

/// Explains an error. LiveKit answers `unavailable` if no node answers for the room, most likely because there is no such
/// room, and `not_found` for a room and for a dispatch.
async fn absent(livekit: &LiveKit, room: &str, error: CallError) -> Error {
    let not_found = error.is("not_found");
    if !not_found && !error.is("unavailable") {
        return explain(error);
    }
    match livekit.list_rooms(&[room.into()]).await {
        Ok(rooms) if rooms.is_empty() => Error::room_not_live(),
        Ok(_) if not_found => Error::not_found("dispatch_not_found", "the room has no dispatch with this id"),
        _ => explain(error),
    }
}
