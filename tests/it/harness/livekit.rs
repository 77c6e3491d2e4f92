//! A fake of LiveKit's API: Twirp over JSON as livekit-server 1.13.5 answers it (fixtures/roomservice), with rooms that
//! a test sets, and every way to misbehave.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use roomwatch::token::{Key, Keys, Secret};
use serde_json::{Value, json};

use super::{
    egress::{self, Service},
    tokens::{KEY, SECRET, now},
    until::until_async,
};

/// The way in which it answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Mood {
    #[default]
    Fine,
    /// Every answer has this status and text.
    Says(u16, String),
    /// It accepts requests and never answers.
    Hangs,
    /// Its answer never ends.
    Rambles,
    /// It redirects to this address.
    SendsTo(String),
}

/// The rooms and participants that LiveKit knows, and the calls it has received.
#[derive(Default)]
pub struct World {
    pub rooms: Vec<Value>,
    /// By room name.
    pub participants: HashMap<String, Vec<Value>>,
    /// `None`: LiveKit runs without Redis.
    pub egress: Option<Vec<Value>>,
    pub ingress: Option<Vec<Value>>,
    /// Agent dispatches by room name, as ListDispatch has them.
    pub dispatches: HashMap<String, Vec<Value>>,
    pub mood: Mood,
    /// Method, request and time of each call.
    pub calls: Vec<(String, Value, Instant)>,
    /// The egress services behind it.
    pub service: Service,
    /// Items of egress or ingress in one page; all without one.
    pub page_items: Option<usize>,
    /// Answers that come once each, by method, in place of the true ones.
    pub lies: HashMap<&'static str, VecDeque<(u16, Value)>>,
    /// Answers to commands, by method; `{}` without one.
    pub answers: HashMap<&'static str, (u16, Value)>,
}

/// A running fake. Dropping it breaks every connection.
pub struct FakeLiveKit {
    pub address: SocketAddr,
    pub world: Arc<Mutex<World>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl FakeLiveKit {
    pub fn start() -> FakeLiveKit {
        let mut fake =
            FakeLiveKit { address: ([127, 0, 0, 1], 0).into(), world: Arc::default(), runtime: None };
        fake.up();
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it (again) on its address.
    pub fn up(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("one");
        let listener = std::net::TcpListener::bind(self.address).expect("its address");
        self.address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a socket");
        let router = Router::new()
            .route("/twirp/{service}/{method}", axum::routing::post(answer))
            .route("/behind/a/proxy/twirp/{service}/{method}", axum::routing::post(answer))
            .with_state(self.world.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await
        });
        self.runtime = Some(runtime);
    }

    /// Kills it. Its rooms stay; call `forget` for a LiveKit without Redis.
    pub fn down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    pub fn forget(&self) {
        let mut world = self.world();
        world.rooms.clear();
        world.participants.clear();
    }

    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("not poisoned")
    }

    /// Waits until it has listed all rooms this many more times.
    pub async fn full_runs(&self, more: usize) {
        let full = |world: &World| {
            let all = |(method, request, _): &&(String, Value, Instant)| {
                method == "ListRooms" && request["names"].as_array().is_some_and(Vec::is_empty)
            };
            world.calls.iter().filter(all).count()
        };
        let wanted = full(&self.world()) + more;
        until_async("LiveKit is asked again", async || full(&self.world()) >= wanted).await;
    }
}

impl Drop for FakeLiveKit {
    fn drop(&mut self) {
        self.down();
    }
}

/// A room as ListRooms has it.
pub fn room(name: &str, sid: &str) -> Value {
    let list: Value =
        serde_json::from_str(include_str!("../../../fixtures/roomservice/list_rooms.json")).expect("JSON");
    let mut room = list["rooms"][0].clone();
    room["name"] = name.into();
    room["sid"] = sid.into();
    room["creation_time"] = now().to_string().into();
    room["creation_time_ms"] = (now() * 1000).to_string().into();
    room["active_recording"] = false.into();
    room
}

/// A participant as ListParticipants has it.
pub fn participant(identity: &str, sid: &str, tracks: Vec<Value>) -> Value {
    let list: Value =
        serde_json::from_str(include_str!("../../../fixtures/roomservice/list_participants.json"))
            .expect("JSON");
    let list = list["participants"].as_array().expect("a list");
    let mut one = list.iter().find(|p| p["identity"] == "bob").expect("bob").clone();
    one["identity"] = identity.into();
    one["sid"] = sid.into();
    one["joined_at"] = now().to_string().into();
    one["joined_at_ms"] = (now() * 1000).to_string().into();
    one["tracks"] = tracks.into();
    one
}

/// An agent dispatch as ListDispatch has it. Each job has this status.
pub fn dispatch(id: &str, agent: &str, room: &str, jobs: &[&str]) -> Value {
    let job = |status: &&str| json!({ "id": "AJ_1", "dispatch_id": id, "type": "JT_ROOM", "state": { "status": status } });
    json!({
        "id": id, "agent_name": agent, "room": room, "metadata": "", "state": {
            "jobs": jobs.iter().map(job).collect::<Vec<_>>(),
            "created_at": ((now() - 5) * 1_000_000_000).to_string(), "deleted_at": "0",
        },
    })
}

pub fn track(sid: &str, source: &str, muted: bool) -> Value {
    json!({
        "sid": sid, "type": if source == "MICROPHONE" { "AUDIO" } else { "VIDEO" }, "name": source.to_lowercase(),
        "muted": muted, "width": 0, "height": 0, "simulcast": false, "source": source, "layers": [],
        "mime_type": "video/VP8", "mid": "1", "codecs": [], "stereo": false, "encryption": "NONE", "stream": "",
        "version": {"unix_micro": (now() * 1_000_000).to_string(), "ticks": 0},
    })
}

async fn answer(
    State(world): State<Arc<Mutex<World>>>,
    Path((service, method)): Path<(String, String)>,
    headers: HeaderMap,
    Json(request): Json<Value>,
) -> Response {
    let mood = {
        let mut world = world.lock().expect("not poisoned");
        world.calls.push((method.clone(), request.clone(), Instant::now()));
        world.mood.clone()
    };
    match mood {
        Mood::Fine => {}
        Mood::Says(status, text) => {
            return (StatusCode::from_u16(status).expect("a status"), text).into_response();
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Rambles => {
            let spaces = axum::body::Bytes::from(vec![b' '; 1 << 20]);
            let endless = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(spaces.clone()));
            return axum::body::Body::from_stream(endless).into_response();
        }
        Mood::SendsTo(address) => {
            // 307: a client that follows it posts the same request again, with its token.
            return (StatusCode::TEMPORARY_REDIRECT, [("location", address)]).into_response();
        }
    }
    let token = headers["authorization"].to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
    let mut keys = Keys::default();
    let _ = keys.insert(KEY.into(), Key { project: "default".into(), secret: Secret::new(SECRET) });
    let Ok(verified) = keys.verify(token.unwrap_or(""), now()) else {
        return (StatusCode::UNAUTHORIZED, format!("invalid API key: {KEY}")).into_response();
    };
    let grant = verified.claims.video.unwrap_or_default();
    let allowed = match (service.as_str(), method.as_str()) {
        ("livekit.RoomService", "ListRooms") => grant.room_list,
        ("livekit.RoomService", "CreateRoom" | "DeleteRoom") => grant.room_create,
        ("livekit.RoomService" | "livekit.AgentDispatchService", _) => {
            grant.room_admin && request["room"] == grant.room
        }
        ("livekit.Egress", _) => grant.room_record,
        ("livekit.Ingress", _) => grant.ingress_admin,
        _ => false,
    };
    if !allowed {
        let denied = json!({"code": "unauthenticated", "msg": "permissions denied"});
        return (StatusCode::UNAUTHORIZED, Json(denied)).into_response();
    }
    let mut world = world.lock().expect("not poisoned");
    if let Some((status, lie)) = world.lies.get_mut(&*method).and_then(VecDeque::pop_front) {
        return (StatusCode::from_u16(status).expect("a status"), Json(lie)).into_response();
    }
    if let Some((status, answer)) = egress::answer(&mut world, &method, &request) {
        return (StatusCode::from_u16(status).expect("a status"), Json(answer)).into_response();
    }
    let side = |list: &Option<Vec<Value>>, what: &str| match list {
        Some(list) => {
            let ended = ["EGRESS_COMPLETE", "EGRESS_FAILED", "EGRESS_ABORTED", "EGRESS_LIMIT_REACHED"];
            let is_asked = |item: &&Value| {
                let room = request["room_name"].as_str().unwrap_or("");
                (room.is_empty() || item["room_name"] == room)
                    && !(request["active"] == true && ended.iter().any(|status| item["status"] == *status))
            };
            let list: Vec<Value> = list.iter().filter(is_asked).cloned().collect();
            let member = format!("{what}_id");
            if let Some(id) = request[&member].as_str().filter(|id| !id.is_empty()) {
                return match list.iter().find(|item| item[&member] == *id) {
                    Some(item) => Json(json!({ "items": [item], "next_page_token": null })).into_response(),
                    None => {
                        let error = json!({"code": "not_found", "msg": format!("{what} does not exist")});
                        (StatusCode::NOT_FOUND, Json(error)).into_response()
                    }
                };
            }
            let token = request["page_token"]["token"].as_str().unwrap_or("0");
            let from: usize = token.parse().expect("a token of the fake");
            let to = world.page_items.map_or(list.len(), |items| list.len().min(from + items));
            let next = (to < list.len()).then(|| json!({ "token": to.to_string() }));
            Json(json!({ "items": list[from..to], "next_page_token": next })).into_response()
        }
        None => {
            let msg = format!("twirp error unknown: {what} not connected (redis required)");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({"code": "internal", "msg": msg}))).into_response()
        }
    };
    match method.as_str() {
        "ListRooms" => {
            let names = request["names"].as_array().cloned().unwrap_or_default();
            let rooms: Vec<_> =
                world.rooms.iter().filter(|room| names.is_empty() || names.contains(&room["name"])).collect();
            Json(json!({ "rooms": rooms })).into_response()
        }
        "ListParticipants" => {
            let name = request["room"].as_str().unwrap_or("");
            let participants = world.participants.get(name).cloned().unwrap_or_default();
            Json(json!({ "participants": participants })).into_response()
        }
        "ListDispatch" => {
            let name = request["room"].as_str().unwrap_or("");
            let dispatches = world.dispatches.get(name).cloned().unwrap_or_default();
            Json(json!({ "agent_dispatches": dispatches })).into_response()
        }
        "CreateDispatch" => {
            let (name, agent) =
                (request["room"].as_str().unwrap_or(""), request["agent_name"].as_str().unwrap_or(""));
            let list = world.dispatches.entry(name.to_owned()).or_default();
            let mut created = dispatch(&format!("AD_{}", list.len() + 1), agent, name, &[]);
            created["metadata"] = request["metadata"].clone();
            list.push(created.clone());
            Json(created).into_response()
        }
        "DeleteDispatch" => {
            let list = world.dispatches.entry(request["room"].as_str().unwrap_or("").to_owned()).or_default();
            match list.iter().position(|one| one["id"] == request["dispatch_id"]) {
                Some(at) => Json(list.remove(at)).into_response(),
                None => {
                    let error = json!({"code": "not_found", "msg": "dispatch ID not found"});
                    (StatusCode::NOT_FOUND, Json(error)).into_response()
                }
            }
        }
        "ListEgress" => side(&world.egress, "egress"),
        "ListIngress" => side(&world.ingress, "ingress"),
        method => {
            let (status, answer) = world.answers.get(method).cloned().unwrap_or((200, json!({})));
            (StatusCode::from_u16(status).expect("a status"), Json(answer)).into_response()
        }
    }
}
