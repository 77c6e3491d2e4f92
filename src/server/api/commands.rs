//! The commands: create and end rooms, change them and their participants, mute, send data.
//!
//! What they do comes back as events, like everything; the answers say only that LiveKit has done it.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{FromRequest, RawQuery, Request, State as AppState},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    livekit::{NewRoom, text},
    server::{
        App,
        api::command::{Command, CommandSpec, explain, livekit, no_participant},
        body::JsonBody,
        caller::{Action, Caller},
        error::Error,
        path::{Names, ParticipantPath, RoomPath, TrackPath, names},
        query::ProjectQuery,
    },
};

/// The most bytes one message of data may have. LiveKit's clients take up to about this much.
const DATA_BYTES_MAX: usize = 64 << 10;
/// Maximum length of a room name, in bytes. LiveKit takes 256 characters unless it is configured otherwise.
const ROOM_NAME_BYTES_MAX: usize = 2_048;
/// The most participants one message can be addressed to.
const IDENTITIES_MAX: usize = 1_000;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRoom {
    name: String,
    #[serde(default)]
    metadata: String,
    /// Seconds the room waits for its first participant; 0 for LiveKit's default.
    #[serde(default)]
    empty_timeout: u32,
    /// 0 for no limit.
    #[serde(default)]
    max_participants: u32,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRoom {
    metadata: String,
}

/// What is left out stays as it is.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateParticipant {
    name: Option<String>,
    metadata: Option<String>,
    /// An empty value removes the attribute.
    attributes: Option<BTreeMap<String, String>>,
    /// LiveKit's ParticipantPermission, whole: what it does not name is not allowed.
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
    /// To these only; to everybody if there are none.
    #[serde(default)]
    identities: Vec<String>,
    #[serde(default = "yes")]
    reliable: bool,
}

fn yes() -> bool {
    true
}

/// The room a command was about.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RoomAnswer {
    project: String,
    sid: String,
    name: String,
    metadata: String,
}

/// The participant a command was about.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ParticipantAnswer {
    project: String,
    room: String,
    sid: String,
    identity: String,
}

/// The track a command was about.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TrackAnswer {
    sid: String,
    muted: bool,
}

/// What any command may be answered.
#[derive(utoipa::IntoResponses)]
pub enum Refusals {
    /// Nobody is anonymous
    #[response(status = 401)]
    Anonymous,
    /// Not within the caller's rights
    #[response(status = 403)]
    NotAllowed,
    /// Too many commands
    #[response(status = 429)]
    TooMany,
    /// LiveKit does not answer, or not as it should
    #[response(status = 502)]
    NoAnswer,
    /// LiveKit does not answer in time
    #[response(status = 504)]
    NoAnswerInTime,
}

/// The body, read only after the rights have been checked.
async fn body<T: DeserializeOwned>(app: &Arc<App>, request: Request) -> Result<T, Error> {
    JsonBody::from_request(request, app).await.map(|JsonBody(body)| body)
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

/// Creates a room, or finds the one that is there.
#[utoipa::path(
    post,
    path = "/api/rooms",
    tag = "commands",
    params(ProjectQuery),
    request_body = CreateRoom,
    responses(
        (status = 201, description = "The room is there", body = RoomAnswer),
        (status = 400, description = "No name, or LiveKit does not take it"),
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
    let wanted: CreateRoom = body(&app, request).await?;
    if wanted.name.is_empty() || wanted.name.len() > ROOM_NAME_BYTES_MAX {
        // LiveKit makes a room without a name if asked to, and then nobody can ask about it.
        let message = format!("a room has a name of 1 to {ROOM_NAME_BYTES_MAX} bytes");
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

/// Ends a room: everybody in it is sent away.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "No such room is live"),
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

/// Gives a room other metadata.
#[utoipa::path(
    patch,
    path = "/api/rooms/{room}",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = UpdateRoom,
    responses(
        (status = 200, description = "It has the metadata", body = RoomAnswer),
        (status = 400, description = "LiveKit does not take it"),
        (status = 404, description = "No such room is live"),
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
    let wanted: UpdateRoom = body(&app, request).await?;
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let room = livekit.update_room_metadata(&room, &wanted.metadata).await.map_err(explain)?;
        Ok(room_answer(&project, &room))
    });
    Ok(Json(answer.await?))
}

/// Sends a participant away.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/participants/{identity}",
    tag = "commands",
    params(ParticipantPath, ProjectQuery),
    responses(
        (status = 204, description = "They are gone"),
        (status = 404, description = "Nobody of that identity is in the room"),
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

/// Gives a participant another name, other metadata, attributes or permissions.
#[utoipa::path(
    patch,
    path = "/api/rooms/{room}/participants/{identity}",
    tag = "commands",
    params(ParticipantPath, ProjectQuery),
    request_body = UpdateParticipant,
    responses(
        (status = 200, description = "They have it", body = ParticipantAnswer),
        (status = 400, description = "Nothing to change, or LiveKit does not take it"),
        (status = 404, description = "Nobody of that identity is in the room"),
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
    let change = body::<UpdateParticipant>(&app, request).await?.change()?;
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
    /// The members of LiveKit's request that are to change something.
    fn change(self) -> Result<Map<String, Value>, Error> {
        let mut change = Map::new();
        for (name, value) in [("name", self.name), ("metadata", self.metadata)] {
            if value.as_deref() == Some("") {
                let message = format!("LiveKit cannot make {name} empty: it takes that for no change");
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
            let message = "say what is to change: name, metadata, attributes or permission";
            return Err(Error::bad_request("nothing_to_change", message));
        }
        Ok(change)
    }
}

/// Mutes a track, or lets it be heard again where LiveKit is configured to allow that.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/participants/{identity}/tracks/{sid}/mute",
    tag = "commands",
    params(TrackPath, ProjectQuery),
    request_body = MuteTrack,
    responses(
        (status = 200, description = "It is so", body = TrackAnswer),
        (status = 404, description = "No such participant, or no such track"),
        (status = 409, description = "LiveKit does not allow unmuting from afar"),
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
    // Which of the two it is to be only the body tells, and that is not read of one who may not.
    let spec = moderate("track.mute", &room, Some(format!("{identity}/{sid}")), false);
    let command = Command::allowed(&app, &caller, query.as_deref(), spec).await?;
    let MuteTrack { muted } = body(&app, request).await?;
    let command = if muted { command } else { command.called("track.unmute") };
    let answer = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        match livekit.mute_track(&room, &identity, &sid, muted).await {
            Ok(Some(_)) => Ok(TrackAnswer { sid, muted }),
            Ok(None) => {
                Err(Error::not_found("track_not_found", "the participant publishes no track of that sid"))
            }
            // Nobody answered for the participant: because there is none, most likely.
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

/// Sends data to everybody in a room, or to some. LiveKit reports no event for it.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/data",
    tag = "commands",
    params(RoomPath, ProjectQuery),
    request_body = SendData,
    responses(
        (status = 204, description = "LiveKit has it"),
        (status = 400, description = "Not one of `text` and `base64`, or too much"),
        (status = 404, description = "No such room is live"),
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
    let wanted: SendData = body(&app, request).await?;
    let data = wanted.encoded()?;
    let done = command.run(move |app, project| async move {
        let livekit = livekit(&app, &project)?;
        let SendData { topic, identities, reliable, .. } = wanted;
        match livekit.send_data(&room, &data, topic.as_deref(), &identities, reliable).await {
            // No node answered for the room: because there is none, most likely.
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
    /// The data in base64, as LiveKit wants it.
    fn encoded(&self) -> Result<String, Error> {
        let bytes = match (&self.text, &self.base64) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(base64)) => {
                let bad = |_| Error::bad_request("bad_body", "base64 is not base64");
                STANDARD.decode(base64).map_err(bad)?
            }
            _ => return Err(Error::bad_request("bad_body", "give one of text and base64")),
        };
        if bytes.len() > DATA_BYTES_MAX || self.identities.len() > IDENTITIES_MAX {
            let message = format!(
                "at most {DATA_BYTES_MAX} bytes of data, and {IDENTITIES_MAX} identities to send it to"
            );
            return Err(Error::bad_request("too_much_data", message));
        }
        Ok(STANDARD.encode(bytes))
    }
}

fn moderate<'a>(
    action: &'static str,
    room: &'a str,
    target: Option<String>,
    has_webhook: bool,
) -> CommandSpec<'a> {
    CommandSpec { right: Action::Moderate, action, room: Some(room), target, has_webhook }
}
