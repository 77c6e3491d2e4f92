//! LiveKit's API over the simulated meetings: Twirp as livekit-server 1.13.5 answers it (fixtures/roomservice), as far as
//! Roomwatch calls it.
//!
//! It verifies tokens and their grants, so the demo uses the same path as a real LiveKit: a command reaches it through
//! the client, changes the meetings, and its effect comes back as a webhook, or is found by comparison if LiveKit has none.

use std::sync::Arc;

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, sync::Mutex};

use super::{
    entities::{EMPTY_TIMEOUT_SECS, Egress, Person, Sid},
    meetings::Meetings,
};
use crate::{
    clock::unix_ms,
    token::{Grant, Keys},
};

struct Api {
    meetings: Arc<Mutex<Meetings>>,
    keys: Keys,
}

/// A Twirp error.
struct Refused(StatusCode, &'static str, &'static str);

const NO_ROOM: Refused = Refused(StatusCode::NOT_FOUND, "not_found", "requested room does not exist");
const NO_PARTICIPANT: Refused = Refused(StatusCode::NOT_FOUND, "not_found", "participant does not exist");
const NO_EGRESS: Refused = Refused(StatusCode::NOT_FOUND, "not_found", "egress does not exist");
/// No node of LiveKit has the room.
const NO_NODE: Refused = Refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "no response from servers");
const NO_WORKERS: Refused =
    Refused(StatusCode::NOT_IMPLEMENTED, "unimplemented", "the demo has no workers for agents");
const DENIED: Refused = Refused(StatusCode::UNAUTHORIZED, "unauthenticated", "permissions denied");
const NO_METHOD: Refused = Refused(StatusCode::NOT_FOUND, "bad_route", "no handler for this path");

/// Serves the API until it is dropped.
pub async fn serve(listener: TcpListener, meetings: Arc<Mutex<Meetings>>, keys: Keys) -> anyhow::Result<()> {
    let api = Arc::new(Api { meetings, keys });
    let router = Router::new().route("/twirp/{service}/{method}", post(answer)).with_state(api);
    axum::serve(listener, router).await.context("the LiveKit of the demo")
}

async fn answer(
    State(api): State<Arc<Api>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let now = unix_ms();
    let mut meetings = api.meetings.lock().await;
    // What is planned waits for the sender of webhooks: a list must not have what no webhook has reported.
    meetings.now = meetings.now.max(now);
    if now < meetings.api_away_until {
        // As a load balancer answers whose servers do not.
        return (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream").into_response();
    }
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Ok(verified) = api.keys.verify(token.unwrap_or_default(), (now / 1000).cast_signed()) else {
        return (StatusCode::UNAUTHORIZED, "invalid token").into_response();
    };
    let grant = verified.claims.video.unwrap_or_default();
    let answer = match is_allowed(&service, &method, &grant, &request) {
        true => call(&mut meetings, &method, &request),
        false => Err(DENIED),
    };
    match answer {
        Ok(answer) => Json(answer).into_response(),
        Err(Refused(status, code, message)) => {
            (status, Json(json!({ "code": code, "msg": message }))).into_response()
        }
    }
}

/// Returns true if a token with this grant may make the call (livekit pkg/service/auth.go).
fn is_allowed(service: &str, method: &str, grant: &Grant, request: &Value) -> bool {
    match (service, method) {
        ("livekit.RoomService", "ListRooms") => grant.room_list,
        ("livekit.RoomService", "CreateRoom" | "DeleteRoom") => grant.room_create,
        ("livekit.RoomService", _) => grant.room_admin && request["room"] == grant.room,
        ("livekit.Egress", _) => grant.room_record,
        ("livekit.Ingress", _) => grant.ingress_admin,
        ("livekit.AgentDispatchService", _) => grant.room_admin && request["room"] == grant.room,
        _ => false,
    }
}

fn call(meetings: &mut Meetings, method: &str, request: &Value) -> Result<Value, Refused> {
    let text = |member: &str| request[member].as_str().unwrap_or_default();
    let number = |member: &str| request[member].as_u64().unwrap_or_default();
    let named = meetings.rooms.iter().position(|room| room.name == text("room"));
    match method {
        "ListRooms" => {
            let names = request["names"].as_array().map(Vec::as_slice).unwrap_or_default();
            let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
            let rooms = (0..meetings.rooms.len()).filter(|i| is_asked(&meetings.rooms[*i].name));
            Ok(json!({ "rooms": rooms.map(|i| meetings.whole(i)).collect::<Vec<_>>() }))
        }
        "ListParticipants" => {
            let people = named.map(|i| meetings.rooms[i].people.as_slice()).unwrap_or_default();
            Ok(json!({ "participants": people.iter().map(listed).collect::<Vec<_>>() }))
        }
        "ListEgress" => {
            let asked = text("egress_id");
            let is_asked = |egress: &&Egress| asked.is_empty() || *egress.id == *asked;
            let items: Vec<_> = meetings.egress.iter().filter(is_asked).map(Egress::json).collect();
            if items.is_empty() && !asked.is_empty() {
                return Err(NO_EGRESS);
            }
            Ok(json!({ "items": items, "next_page_token": null }))
        }
        "ListIngress" => Ok(json!({ "items": [], "next_page_token": null })),
        "ListDispatch" => Ok(json!({ "agent_dispatches": [] })),
        "CreateDispatch" | "DeleteDispatch" => Err(NO_WORKERS),
        "CreateRoom" => {
            let name = text("name");
            let i = match meetings.rooms.iter().position(|room| room.name == name) {
                Some(i) => i,
                None => {
                    let secs = number("empty_timeout");
                    let empty = if secs == 0 { EMPTY_TIMEOUT_SECS } else { secs };
                    meetings.open(name.into(), text("metadata").into(), empty, number("max_participants"), 0);
                    meetings.rooms.len() - 1
                }
            };
            Ok(meetings.whole(i))
        }
        "DeleteRoom" => {
            let sid = meetings.rooms[named.ok_or(NO_ROOM)?].sid.clone();
            meetings.end(&sid);
            Ok(json!({}))
        }
        "UpdateRoomMetadata" => {
            let i = named.ok_or(NO_ROOM)?;
            meetings.rooms[i].metadata = text("metadata").into();
            Ok(meetings.whole(i))
        }
        "GetParticipant" => find(meetings, named, text("identity")).map(|person| listed(person)),
        "RemoveParticipant" => {
            let sid: Sid = find(meetings, named, text("identity"))?.sid.clone();
            meetings.leave(&sid, "PARTICIPANT_REMOVED");
            Ok(json!({}))
        }
        "UpdateParticipant" => {
            let person = find(meetings, named, text("identity"))?;
            update(person, request);
            Ok(listed(person))
        }
        "MutePublishedTrack" => {
            let person = find(meetings, named, text("identity")).map_err(|_| NO_NODE)?;
            let sid = text("track_sid");
            let Some(track) = person.tracks.iter_mut().find(|track| *track.sid == *sid) else {
                return Ok(json!({ "track": null }));
            };
            // As a LiveKit with `enable_remote_unmute`.
            track.muted = request["muted"].as_bool().unwrap_or_default();
            let json = track.json();
            person.version += 1;
            Ok(json!({ "track": json }))
        }
        "SendData" => named.map(|_| json!({})).ok_or(NO_NODE),
        _ => Err(NO_METHOD),
    }
}

fn find<'a>(
    meetings: &'a mut Meetings,
    room: Option<usize>,
    identity: &str,
) -> Result<&'a mut Person, Refused> {
    let people = &mut meetings.rooms[room.ok_or(NO_PARTICIPANT)?].people;
    people.iter_mut().find(|person| person.guest.identity == identity).ok_or(NO_PARTICIPANT)
}

fn listed(person: &Person) -> Value {
    person.json("ACTIVE", "UNKNOWN_REASON")
}

/// Changes a participant. LiveKit keeps what is left out and what is empty, and removes attributes with an empty value.
fn update(person: &mut Person, request: &Value) {
    let text = |member: &str| request[member].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if let Some(name) = text("name") {
        person.guest.name = name;
    }
    if let Some(metadata) = text("metadata") {
        person.metadata = metadata;
    }
    for (name, value) in request["attributes"].as_object().unwrap_or(&Map::new()) {
        match value.as_str().filter(|value| !value.is_empty()) {
            Some(value) => person.guest.attributes.insert(name.clone(), value.to_owned()),
            None => person.guest.attributes.remove(name),
        };
    }
    if let Some(permission) = request["permission"].as_object() {
        person.permission.clone_from(permission);
    }
    person.version += 1;
}
