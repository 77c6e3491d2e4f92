//! The commands: create, end and update rooms; update and remove participants; mute tracks; send data.
//!
//! An answer says only that LiveKit has done the command. Its effect arrives as events.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{RawQuery, Request, State as AppState},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    livekit::{NewRoom, text},
    server::{
        App,
        api::command::{Command, CommandSpec, explain, livekit, moderate, no_participant},
        body::{self, METADATA_BYTES_MAX, SHORT_BYTES_MAX},
        caller::{Action, Caller},
        error::Error,
        path::{Names, ParticipantPath, RoomPath, TrackPath, names},
        query::ProjectQuery,
    },
};

/// Maximum size of one data message, in bytes. LiveKit's clients accept about this much.
const DATA_BYTES_MAX: usize = 64 << 10;
/// Maximum size of the body with one data message: JSON writes a byte with up to six.
const DATA_BODY_BYTES_MAX: usize = 512 << 10;
/// Maximum length of a room name, in bytes. LiveKit accepts 256 characters unless it is configured otherwise.
const ROOM_NAME_BYTES_MAX: usize = 2_048;
/// Maximum number of recipients of one data message.
const IDENTITIES_MAX: usize = 1_000;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRoom {
    name: String,
    #[serde(default)]
    metadata: String,
    /// Seconds that the room waits for its first participant; 0 for LiveKit's default
    #[serde(default)]
    empty_timeout: u32,
    /// 0 for no limit
    #[serde(default)]
    max_participants: u32,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRoom {
    metadata: String,
}

/// A field that is left out does not change.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateParticipant {
    name: Option<String>,
    metadata: Option<String>,
    /// An empty value removes the attribute
    attributes: Option<BTreeMap<String, String>>,
    /// LiveKit's ParticipantPermission; it replaces the whole permission, so a field that is left out is not allowed
    #[schema(value_type = Option<Object>)]
    permission: Option<Map<String, Value>>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MuteTrack {
    muted: bool,
}

/// Either `text` or `base64`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendData {
    text: Option<String>,
    base64: Option<String>,
    topic: Option<String>,
    /// Recipients; an empty list means every participant
    #[serde(default)]
    identities: Vec<String>,
    #[serde(default = "yes")]
    reliable: bool,
}

fn yes() -> bool {
    true
}

/// The room after the command.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RoomAnswer {
    project: String,
    sid: String,
    name: String,
    metadata: String,
}

/// The participant after the command.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ParticipantAnswer {
    project: String,
    room: String,
    sid: String,
    identity: String,
}

/// The track after the command.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TrackAnswer {
    sid: String,
    muted: bool,
}

/// Errors that every command has.
#[derive(utoipa::IntoResponses)]
pub enum Refusals {
    /// No valid credential
    #[response(status = 401)]
    Anonymous,
    /// The caller does not have the right
    #[response(status = 403)]
    NotAllowed,
    /// Too many commands
    #[response(status = 429)]
    TooMany,
    /// LiveKit cannot be reached, or its answer is not valid
    #[response(status = 502)]
    NoAnswer,
    /// LiveKit does not answer in time
    #[response(status = 504)]
    NoAnswerInTime,
}

fn room_answer(project: &str, room: &Map<String, Value>) -> RoomAnswer {
    let member = |name| text(room, name).unwrap_or("").to_owned();
    RoomAnswer {
        project: project.to_owned(),
        sid: member("sid"),
        name: member("name"),
        metadata: member("metadata"),
    }
}

/// Creates a room. If a room with this name is live, returns that one.
#[utoipa::path(
    post,
    path = "/api/rooms",
    tag = "commands",
    params(ProjectQuery),
    request_body = CreateRoom,
    responses(
        (status = 201, description = "The room exists", body = RoomAnswer),
        (status = 400, description = "There is no name, or LiveKit refuses it"),
        (status = 404, description = "`unknown_project`"),
        Refusals,
    )
)]
pub async fn create_room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<(StatusCode, Json<RoomAnswer>), Error> {
    let spec = CommandSpec {
        right: Action::CreateRoom,
        action: "room.create",
        room: None,
        target: None,
        has_webhook: true,
    };
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let wanted: CreateRoom = body::json(&app, request, METADATA_BYTES_MAX).await?;
    if wanted.name.is_empty() || wanted.name.len() > ROOM_NAME_BYTES_MAX {
        // LiveKit would create a room without a name, and no later request could name it.
        let message = format!("the name of a room must have 1 to {ROOM_NAME_BYTES_MAX} bytes");
        return Err(Error::bad_request("bad_name", message));
    }
    let answer = command.of_room(&wanted.name).run(move |app, project| async move {
        let room = NewRoom {
            name: &wanted.name,
            metadata: &wanted.metadata,
            empty_timeout_secs: wanted.empty_timeout,
            max_participants: wanted.max_participants,
        };
        let room = livekit(&app, &project)?.create_room(&room).await.map_err(explain)?;
        Ok(room_answer(&project, &room))
    });
    Ok((StatusCode::CREATED, Json(answer.await?)))
}

/// Ends a room. Every participant is disconnected.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    responses(
        (status = 204, description = "The room has ended"),
        (status = 404, description = "There is no live room with this name"),
        Refusals,
    )
)]
pub async fn delete_room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Error> {
    let RoomPath { room } = names(path)?;
    let spec = CommandSpec {
        right: Action::EndRoom,
        action: "room.end",
        room: Some(&room),
        target: None,
        has_webhook: true,
    };
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let done = command.run(move |app, project| async move {
        livekit(&app, &project)?.delete_room(&room).await.map_err(explain)
    });
    done.await.map(|()| StatusCode::NO_CONTENT)
}

/// Updates the metadata of a room.
#[utoipa::path(
    patch,
    path = "/api/rooms/{room}",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = UpdateRoom,
    responses(
        (status = 200, description = "Updated", body = RoomAnswer),
        (status = 400, description = "LiveKit refuses the metadata"),
        (status = 404, description = "There is no live room with this name"),
        Refusals,
    )
)]
pub async fn update_room(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<RoomAnswer>, Error> {
    let RoomPath { room } = names(path)?;
    let spec = moderate("room.update", &room, None, false);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let wanted: UpdateRoom = body::json(&app, request, METADATA_BYTES_MAX).await?;
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let room = livekit.update_room_metadata(&room, &wanted.metadata).await.map_err(explain)?;
        Ok(room_answer(&project, &room))
    });
    Ok(Json(answer.await?))
}

/// Removes a participant from a room.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/participants/{identity}",
    tag = "commands",
    params(ParticipantPath, ProjectQuery),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is no participant with this identity in the room"),
        Refusals,
    )
)]
pub async fn remove_participant(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<ParticipantPath>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Error> {
    let ParticipantPath { room, identity } = names(path)?;
    let spec = moderate("participant.remove", &room, Some(identity.clone()), true);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let done = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        match livekit.remove_participant(&room, &identity).await {
            Err(error) if error.is("not_found") => Err(no_participant()),
            answer => answer.map_err(explain),
        }
    });
    done.await.map(|()| StatusCode::NO_CONTENT)
}

/// Updates the name, metadata, attributes or permission of a participant.
#[utoipa::path(
    patch,
    path = "/api/rooms/{room}/participants/{identity}",
    tag = "commands",
    params(ParticipantPath, ProjectQuery),
    request_body = UpdateParticipant,
    responses(
        (status = 200, description = "Updated", body = ParticipantAnswer),
        (status = 400, description = "There is nothing to change, or LiveKit refuses the change"),
        (status = 404, description = "There is no participant with this identity in the room"),
        Refusals,
    )
)]
pub async fn update_participant(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<ParticipantPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<ParticipantAnswer>, Error> {
    let ParticipantPath { room, identity } = names(path)?;
    let spec = moderate("participant.update", &room, Some(identity.clone()), false);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let change: UpdateParticipant = body::json(&app, request, METADATA_BYTES_MAX).await?;
    let change = change.change()?;
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let participant = match livekit.update_participant(&room, &identity, change).await {
            Err(error) if error.is("not_found") => return Err(no_participant()),
            answer => answer.map_err(explain)?,
        };
        let sid = text(&participant, "sid").unwrap_or("").to_owned();
        Ok(ParticipantAnswer { project: project.to_string(), room, sid, identity })
    });
    Ok(Json(answer.await?))
}

impl UpdateParticipant {
    /// Returns the fields of LiveKit's request.
    fn change(self) -> Result<Map<String, Value>, Error> {
        let mut change = Map::new();
        for (name, value) in [("name", self.name), ("metadata", self.metadata)] {
            if value.as_deref() == Some("") {
                let message =
                    format!("{name} cannot be made empty: LiveKit understands an empty value as no change");
                return Err(Error::bad_request("cannot_be_empty", message));
            }
            change.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        if let Some(attributes) = self.attributes.filter(|attributes| !attributes.is_empty()) {
            let attributes = attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
            change.insert("attributes".into(), Value::Object(attributes));
        }
        change.extend(self.permission.map(|permission| ("permission".to_owned(), permission.into())));
        if change.is_empty() {
            let message = "give at least one of name, metadata, attributes and permission";
            return Err(Error::bad_request("nothing_to_change", message));
        }
        Ok(change)
    }
}

/// Mutes a track, or unmutes it if LiveKit's configuration allows that.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/participants/{identity}/tracks/{sid}/mute",
    tag = "commands",
    params(TrackPath, ProjectQuery),
    request_body = MuteTrack,
    responses(
        (status = 200, description = "Muted or unmuted", body = TrackAnswer),
        (status = 404, description = "There is no such participant or track in the room"),
        (status = 409, description = "LiveKit's configuration does not allow remote unmuting"),
        Refusals,
    )
)]
pub async fn mute_track(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<TrackPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Json<TrackAnswer>, Error> {
    let TrackPath { room, identity, sid } = names(path)?;
    // Only the body says which of the two it is, and the body is not read before the rights are checked.
    let spec = moderate("track.mute", &room, Some(format!("{identity}/{sid}")), false);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let MuteTrack { muted } = body::json(&app, request, SHORT_BYTES_MAX).await?;
    let command = if muted { command } else { command.called("track.unmute") };
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        match livekit.mute_track(&room, &identity, &sid, muted).await {
            Ok(Some(_)) => Ok(TrackAnswer { sid, muted }),
            Ok(None) => {
                Err(Error::not_found("track_not_found", "the participant has no track with this sid"))
            }
            // No node of LiveKit answered for the participant, most likely because there is no such participant.
            Err(error) if error.is("unavailable") || error.is("not_found") => {
                match livekit.get_participant(&room, &identity).await {
                    Err(absent) if absent.is("not_found") => Err(no_participant()),
                    _ => Err(explain(error)),
                }
            }
            Err(error) => Err(explain(error)),
        }
    });
    Ok(Json(answer.await?))
}

/// Sends data to all or some participants of a room. LiveKit sends no event about it.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/data",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = SendData,
    responses(
        (status = 204, description = "LiveKit has accepted the data"),
        (status = 400, description = "Not exactly one of `text` and `base64`, or too much data"),
        (status = 404, description = "There is no live room with this name"),
        Refusals,
    )
)]
pub async fn send_data(
    AppState(app): AppState<Arc<App>>,
    caller: Caller,
    path: Names<RoomPath>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<StatusCode, Error> {
    let RoomPath { room } = names(path)?;
    let spec = moderate("data.send", &room, None, false);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let wanted: SendData = body::json(&app, request, DATA_BODY_BYTES_MAX).await?;
    let data = wanted.encoded()?;
    let done = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let SendData { topic, identities, reliable, .. } = wanted;
        match livekit.send_data(&room, &data, topic.as_deref(), &identities, reliable).await {
            // No node of LiveKit answered for the room, most likely because there is no such room.
            Err(error) if error.is("unavailable") => match livekit.list_rooms(&[room.into()]).await {
                Ok(rooms) if rooms.is_empty() => Err(Error::room_not_live()),
                _ => Err(explain(error)),
            },
            answer => answer.map_err(explain),
        }
    });
    done.await.map(|()| StatusCode::NO_CONTENT)
}

impl SendData {
    /// Returns the data in base64, the encoding of LiveKit's API.
    fn encoded(&self) -> Result<String, Error> {
        let bytes = match (&self.text, &self.base64) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(base64)) => {
                let bad = |_| Error::bad_request("bad_body", "the value of base64 is not valid base64");
                STANDARD.decode(base64).map_err(bad)?
            }
            _ => return Err(Error::bad_request("bad_body", "give exactly one of text and base64")),
        };
        if bytes.len() > DATA_BYTES_MAX || self.identities.len() > IDENTITIES_MAX {
            let message = format!(
                "send at most {DATA_BYTES_MAX} bytes of data, to at most {IDENTITIES_MAX} identities"
            );
            return Err(Error::bad_request("too_much_data", message));
        }
        Ok(STANDARD.encode(bytes))
    }
}
