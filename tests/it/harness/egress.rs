//! A double of LiveKit's egress: no egress service runs on a machine without Chrome and GStreamer's plugins.
//!
//! It acts as livekit-server 1.13.5 does (pkg/service/egress.go, pkg/service/ioservice.go): a start is refused without the
//! room, and without an egress service; an accepted one is in the list as EGRESS_STARTING. A stop makes a running
//! one EGRESS_ENDING; one that has ended cannot be stopped, and one whose service is lost does not answer.

use roomwatch::livekit::shape;
use serde_json::{Map, Value, json};

use super::{livekit::World, now};

/// State of the egress services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    #[default]
    Runs,
    /// None has taken the request within LiveKit's time.
    Absent,
    /// One has taken it, and its answer is lost. The egress runs.
    Mute,
    /// One has taken it and died. No egress runs.
    Dead,
}

type Answered = (u16, Value);

/// Returns the answer to a method of LiveKit's Egress, or `None` if it is another.
pub fn answer(world: &mut World, method: &str, request: &Value) -> Option<Answered> {
    match method {
        "StartRoomCompositeEgress" => Some(start(world, "room_composite", request)),
        "StartTrackEgress" => Some(start(world, "track", request)),
        "StartWebEgress" => Some(start(world, "web", request)),
        "StopEgress" => Some(stop(world, request)),
        _ => None,
    }
}

fn error(status: u16, code: &str, message: &str) -> Answered {
    (status, json!({ "code": code, "msg": message }))
}

fn not_connected() -> Answered {
    error(500, "internal", "twirp error unknown: egress not connected (redis required)")
}

fn start(world: &mut World, kind: &str, request: &Value) -> Answered {
    if world.egress.is_none() {
        // Without Redis its requests reach no service either; its lists say the reason.
        return error(503, "unavailable", "no response from servers");
    }
    let room = world.rooms.iter().find(|room| room["name"] == request["room_name"]).cloned();
    if kind != "web" && room.is_none() {
        return error(404, "not_found", "requested room does not exist");
    }
    let room = room.unwrap_or_default();
    let all = world.egress.get_or_insert_default();
    let id = format!("EG_{}", all.len() + 1);
    let info = json!({
        "egress_id": id, "room_id": room["sid"].as_str().unwrap_or(""), "room_name": room["name"].as_str().unwrap_or(""),
        "source_type": if kind == "track" { "EGRESS_SOURCE_TYPE_SDK" } else { "EGRESS_SOURCE_TYPE_WEB" },
        "status": "EGRESS_STARTING", "started_at": "0", "ended_at": "0", "updated_at": nanos(), "details": "", "error": "",
        "error_code": 0, kind: redacted(request), "stream_results": [], "file_results": [], "segment_results": [],
        "image_results": [], "manifest_location": "", "backup_storage_used": false, "retry_count": 0,
    });
    match world.service {
        Service::Runs => {
            all.push(info.clone());
            (200, info)
        }
        Service::Absent => error(503, "unavailable", "no response from servers"),
        Service::Mute => {
            all.push(info);
            error(408, "deadline_exceeded", "request timed out")
        }
        Service::Dead => error(408, "deadline_exceeded", "request timed out"),
    }
}

fn stop(world: &mut World, request: &Value) -> Answered {
    let service = world.service;
    let Some(all) = &mut world.egress else { return not_connected() };
    let Some(info) = all.iter_mut().find(|info| info["egress_id"] == request["egress_id"]) else {
        return error(404, "not_found", "egress does not exist");
    };
    let status = info["status"].as_str().expect("a status").to_owned();
    if !matches!(&*status, "EGRESS_STARTING" | "EGRESS_ACTIVE") {
        let message = format!("egress with status {status} cannot be stopped");
        return error(412, "failed_precondition", &message);
    }
    if service != Service::Runs {
        return error(408, "deadline_exceeded", "request timed out");
    }
    info["status"] = "EGRESS_ENDING".into();
    info["updated_at"] = nanos().into();
    (200, info.clone())
}

/// A request as LiveKit keeps it (protocol egress/redact.go): without credentials.
fn redacted(request: &Value) -> Value {
    let mut request = request.clone();
    for output in request["file_outputs"].as_array_mut().into_iter().flatten() {
        for secret in ["access_key", "secret"] {
            if !output["s3"][secret].is_null() {
                output["s3"][secret] = format!("{{{secret}}}").into();
            }
        }
    }
    request
}

fn nanos() -> String {
    (now() * 1_000_000_000).to_string()
}

/// Moves an egress on, and returns LiveKit's webhook about it.
pub fn moves(world: &mut World, id: &str, status: &str) -> String {
    let all = world.egress.as_mut().expect("a LiveKit with Redis");
    let info = all.iter_mut().find(|info| info["egress_id"] == id).expect("the egress");
    info["status"] = status.into();
    info["updated_at"] = nanos().into();
    let event = match status {
        "EGRESS_STARTING" => "egress_started",
        "EGRESS_ACTIVE" | "EGRESS_ENDING" => "egress_updated",
        _ => "egress_ended",
    };
    if status == "EGRESS_ACTIVE" {
        info["started_at"] = nanos().into();
    }
    if event == "egress_ended" {
        info["ended_at"] = nanos().into();
    }
    let info: Map<String, Value> = shape::object(info.clone());
    let room = json!({ "sid": info.get("roomId"), "name": info.get("roomName") });
    json!({ "event": event, "room": room, "egressInfo": info, "id": format!("EV_{id}_{status}"), "createdAt": now().to_string() })
        .to_string()
}
