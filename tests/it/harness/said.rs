//! Events as LiveKit sends them, and a reader that applies their changes.

use std::collections::BTreeMap;

use roomwatch::{
    event::{
        Event, Kind, Seq, Source,
        body::{Body, Redaction},
    },
    state::{Applied, State, Wire, mask::ALL},
};
use serde_json::{Map, Value, json};

use super::server::Server;

/// Start of the meetings in these tests: 2026-08-23, in unix seconds.
pub const START: u64 = 1_787_486_400;

/// The body of a webhook and its source, before it has a position in a log.
#[derive(Clone)]
pub struct Said {
    pub project: &'static str,
    pub source: Source,
    pub body: Value,
    /// Seconds after [`START`] at which it is received. Also its `createdAt`, if the body has none.
    pub at: u64,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} s, {}, {:?}: {}", self.at, self.project, self.source, self.body)
    }
}

pub fn said(at: u64, event: &str, body: Value) -> Said {
    let mut body = body;
    body["event"] = event.into();
    if body.get("createdAt").is_none() {
        body["createdAt"] = (START + at).to_string().into();
    }
    Said { project: "default", source: Source::Webhook, body, at }
}

impl Said {
    pub fn corrected(mut self) -> Said {
        self.source = Source::Reconcile;
        self
    }

    pub fn event(&self, seq: u64) -> Event {
        event(seq, self.project, self.source, (START + self.at) * 1000, self.body.to_string().as_bytes())
    }
}

/// An event as the webhook handler makes it.
pub fn event(seq: u64, project: &str, source: Source, received_at: u64, raw: &[u8]) -> Event {
    let body = Body::read(raw, &Redaction::default()).expect("a body");
    Event {
        seq: Seq(seq),
        project: project.into(),
        source,
        received_at,
        kind: Kind::from(&*body.event),
        room: body.room,
        room_sid: body.room_sid,
        body: body.json,
    }
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/webhooks/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A whole `room`, as in most events.
pub fn room(sid: &str, name: &str) -> Value {
    json!({"sid": sid, "name": name, "creationTime": START.to_string(), "creationTimeMs": (START * 1000 + 123).to_string(),
        "enabledCodecs": [{"mime": "audio/opus"}], "metadata": "m", "numParticipants": 7})
}

/// A whole `participant` that joined `at` seconds after the start.
pub fn participant(sid: &str, identity: &str, at: u64) -> Value {
    json!({"sid": sid, "identity": identity, "state": "ACTIVE", "name": identity.to_uppercase(),
        "joinedAt": (START + at).to_string(), "joinedAtMs": ((START + at) * 1000 + 77).to_string(), "version": 2,
        "permission": {"canSubscribe": true, "canPublish": true}})
}

pub fn track(sid: &str, kind: &str, source: &str) -> Value {
    let mut track = json!({"sid": sid, "source": source, "mimeType": "video/VP8",
        "version": {"unixMicro": (START * 1_000_000 + 5_000_000).to_string()}});
    if kind != "AUDIO" {
        track["type"] = kind.into();
    }
    track
}

pub fn started(at: u64, sid: &str, name: &str) -> Said {
    said(at, "room_started", json!({"room": room(sid, name)}))
}

pub fn finished(at: u64, sid: &str, name: &str) -> Said {
    said(at, "room_finished", json!({"room": room(sid, name)}))
}

pub fn joined(at: u64, room_sid: &str, sid: &str, identity: &str) -> Said {
    said(
        at,
        "participant_joined",
        json!({"room": room(room_sid, "standup"), "participant": participant(sid, identity, at)}),
    )
}

pub fn left(at: u64, room_sid: &str, sid: &str, identity: &str) -> Said {
    let mut leaver = participant(sid, identity, 1);
    leaver["state"] = "DISCONNECTED".into();
    leaver["disconnectReason"] = "CLIENT_INITIATED".into();
    leaver["version"] = 9.into();
    said(at, "participant_left", json!({"room": room(room_sid, "standup"), "participant": leaver}))
}

/// Track events carry only sid and name of the room, and only sid and identity of the participant.
pub fn of_track(at: u64, event: &str, room_sid: &str, sid: &str, identity: &str, track: Value) -> Said {
    said(
        at,
        event,
        json!({"room": {"sid": room_sid, "name": "standup"}, "participant": {"sid": sid, "identity": identity}, "track": track}),
    )
}

pub fn of_egress(at: u64, event: &str, room_sid: &str, id: &str, status: &str) -> Said {
    let mut info = json!({"egressId": id, "roomId": room_sid, "roomName": "standup", "roomComposite": {"layout": "grid"},
        "startedAt": ((START + 1) * 1_000_000_000).to_string(), "updatedAt": ((START + at) * 1_000_000_000).to_string()});
    if !status.is_empty() {
        info["status"] = status.into();
    }
    said(at, event, json!({"egressInfo": info}))
}

/// `updated` counts the changes of the ingress.
pub fn of_ingress(at: u64, event: &str, id: &str, updated: u64) -> Said {
    let status = if event == "ingress_started" { "ENDPOINT_PUBLISHING" } else { "ENDPOINT_INACTIVE" };
    said(
        at,
        event,
        json!({"room": {"name": "standup"}, "ingressInfo": {"ingressId": id, "name": "obs", "roomName": "standup",
            "participantIdentity": "obs", "state": {"status": status, "updatedAt": (updated * 1_000_000).to_string()}}}),
    )
}

/// Posts it as a webhook with this id.
pub async fn send(server: &Server, id: &str, said: &Said) {
    let mut body = said.body.clone();
    body["id"] = id.into();
    assert_eq!(server.webhook(&body.to_string()).await, 200);
}

/// Posts all, as `EV_0`, `EV_1`, ….
pub async fn send_all(server: &Server, all: &[Said]) {
    for (n, said) in all.iter().enumerate() {
        send(server, &format!("EV_{n}"), said).await;
    }
}

/// Folds the events in this order, from seq 1.
pub fn fold(all: &[Said]) -> State {
    let mut state = State::default();
    for (n, said) in all.iter().enumerate() {
        state.apply(&said.event(n as u64 + 1));
    }
    state
}

pub fn changes(applied: &Applied) -> Value {
    serde_json::to_value(&applied.changes).expect("changes are JSON")
}

/// Every entity by (project, kind, id), as lists show it. Without `lastEventAt`, which is not in any change.
pub type Listing = BTreeMap<(String, String, String), Value>;

pub fn listing(state: &State, projects: &[&str]) -> Listing {
    let mut all = Listing::new();
    let mut put = |project: &str, kind: &str, id: &str, mut value: Value| {
        if let Some(room) = value.as_object_mut().filter(|_| kind == "room") {
            room.remove("lastEventAt");
        }
        all.insert((project.into(), kind.into(), id.into()), value);
    };
    let wire = |value: Result<Value, serde_json::Error>| value.expect("an entity is JSON");
    for entry in state.rooms(|_, _| true) {
        let of = &entry.room;
        put(&of.project, "room", &of.sid, wire(serde_json::to_value(Wire(&**of, ALL))));
        for of in entry.participants() {
            put(&of.project, "participant", &of.sid, wire(serde_json::to_value(Wire(&**of, ALL))));
        }
    }
    for project in projects {
        for of in state.egress(project) {
            put(project, "egress", &of.egress_id, wire(serde_json::to_value(Wire(&**of, ALL))));
        }
        for of in state.ingress(project) {
            put(project, "ingress", &of.ingress_id, wire(serde_json::to_value(Wire(&**of, ALL))));
        }
    }
    all
}

/// A reader that knows the contract and nothing else: `set`, `patch` of top-level fields, `delete`.
#[derive(Default)]
pub struct Reader {
    pub holds: Listing,
    /// A delete of an unknown entity is ignored: it may be of a participant that this reader may not see.
    pub lenient: bool,
}

impl Reader {
    pub fn take(&mut self, changes: &Value) {
        for change in changes.as_array().expect("changes are a list") {
            let text = |name: &str| change[name].as_str().unwrap_or_default().to_owned();
            let key = (text("project"), text("kind"), text("id"));
            let value = change["value"].as_object().cloned();
            match (&*text("op"), value) {
                ("set", Some(mut value)) => {
                    if key.1 == "room" {
                        value.remove("lastEventAt");
                    }
                    self.holds.insert(key, value.into());
                }
                ("patch", Some(value)) => {
                    let held = self
                        .holds
                        .get_mut(&key)
                        .unwrap_or_else(|| panic!("a patch of what is not there: {key:?}"));
                    let held: &mut Map<_, _> = held.as_object_mut().expect("an entity is an object");
                    for (field, value) in value {
                        assert!(held.contains_key(&field), "a field that no entity has: {field}");
                        held.insert(field, value);
                    }
                }
                ("delete", None) => {
                    let removed = self.holds.remove(&key).is_some();
                    assert!(removed || self.lenient, "a delete of what is not there: {key:?}");
                    if key.1 == "room" {
                        // Hidden participants have no `delete`.
                        let hidden_in_it = |held: &Value| {
                            held["project"] == *key.0
                                && held["roomSid"] == *key.2
                                && held.get("identity").is_some()
                        };
                        self.holds.retain(|_, held| !hidden_in_it(held));
                    }
                }
                other => panic!("not a change: {other:?}"),
            }
        }
    }
}
