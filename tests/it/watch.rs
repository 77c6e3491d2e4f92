//! Watching a room unseen: the token, and the removal of lonely watchers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    livekit::{FakeLiveKit, Mood},
    operators::{get, login, post, users},
    *,
};

fn server(livekit: &FakeLiveKit) -> Start {
    Start::new()
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_DEV", "true")
        .env("ROOMWATCH_RECONCILE_SECS", "600")
}

async fn ask(server: &Server, token: &str, room: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = client().post(server.url(&format!("/api/rooms/{room}/token")));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

/// A webhook about a participant of room `a`.
fn person(id: &str, event: &str, identity: &str, more: &str) -> String {
    format!(
        r#"{{"event":"{event}","room":{{"sid":"RM_a","name":"a"}},"participant":{{"sid":"PA_{identity}","identity":"{identity}","state":"ACTIVE"{more}}},"id":"{id}"}}"#
    )
}

/// Room `a` has just started. For older rooms the list of this LiveKit counts, and it has no rooms.
fn began(id: &str) -> String {
    format!(r#"{{"event":"room_started","room":{{"sid":"RM_a","name":"a"}},"id":"{id}"}}"#)
}

const HIDDEN: &str = r#","permission":{"canSubscribe":true,"hidden":true}"#;

async fn meeting(server: &Server) {
    assert_eq!(server.webhook(&began("EV_1")).await, 200);
    assert_eq!(server.webhook(&person("EV_2", "participant_joined", "alice", "")).await, 200);
    folded(server, 2).await;
}

/// Waits until the state has folded the log up to this position.
async fn folded(server: &Server, seq: u64) {
    let mut stream = server.stream_as("", "?after=start", None).await;
    let ending = format!("-{seq}");
    while !stream.next().await.id.ends_with(&ending) {}
}

#[tokio::test]
async fn a_watcher_is_hidden_and_may_only_look() {
    let livekit = FakeLiveKit::start();
    let server = server(&livekit).start();
    meeting(&server).await;
    let (status, first) = ask(&server, "", "a", None).await;
    assert_eq!(status, 200, "{first}");
    let (_, tab) = ask(&server, "", "a", None).await;
    assert_ne!(first["identity"], tab["identity"], "two tabs must not push each other out");
    let (_, second) = ask(&server, &admin_token("a"), "a", Some(json!({ "reason": "a complaint" }))).await;
    assert_eq!(first["url"], livekit.url().replace("http", "ws"));
    let payload = second["token"].as_str().expect("a token").split('.').nth(1).expect("a payload");
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON");
    let identity = second["identity"].as_str().expect("an identity");
    assert!(identity.starts_with(&format!("roomwatch:{KEY}/admin:")), "{identity}");
    assert_eq!((&claims["sub"], &claims["iss"]), (&second["identity"], &json!(KEY)));
    let life = claims["exp"].as_i64().expect("an end") - now();
    assert!((50..=60).contains(&life), "{life}");
    assert_eq!(
        claims["video"],
        json!({ "roomJoin": true, "room": "a", "hidden": true, "canPublish": false, "canSubscribe": true, "canPublishData": false })
    );
    // LiveKit's own verifier accepts it.
    let theirs = livekit_api::access_token::TokenVerifier::with_api_key(KEY, SECRET);
    assert!(theirs.verify(second["token"].as_str().expect("a token")).is_ok());
    let (_, record) = server.get_as("", "/api/audit").await;
    let entry = &record["entries"][0];
    assert_eq!(
        (&entry["action"], &entry["reason"], &entry["outcome"]),
        (&json!("room.watch"), &json!("a complaint"), &json!("done"))
    );
}

#[tokio::test]
async fn a_refusal_to_watch_is_explained() {
    let livekit = FakeLiveKit::start();
    let running = server(&livekit).env("ROOMWATCH_WATCH_REASON", "true").start();
    let refused = async |server: &Server, token: &str, room: &str, body: Option<Value>| {
        let (status, answer) = ask(server, token, room, body).await;
        (status, answer["error"]["code"].as_str().unwrap_or("").to_owned())
    };
    let why = || Some(json!({ "reason": "why" }));
    assert_eq!(refused(&running, "", "a", why()).await, (404, "room_not_live".into()), "an unknown room");
    assert_eq!(running.webhook(&began("EV_0")).await, 200);
    folded(&running, 1).await;
    assert_eq!(refused(&running, "", "a", why()).await, (409, "room_empty".into()));
    assert_eq!(running.webhook(&person("EV_2", "participant_joined", "alice", "")).await, 200);
    folded(&running, 2).await;
    assert_eq!(refused(&running, "", "a", None).await, (400, "reason_required".into()));
    assert_eq!(
        refused(&running, "", "a", Some(json!({ "reason": "  " }))).await,
        (400, "reason_required".into())
    );
    assert_eq!(refused(&running, "", "a", Some(json!({ "reson": "x" }))).await, (400, "bad_body".into()));
    assert_eq!(refused(&running, &list_token(), "a", why()).await, (403, "forbidden".into()));
    assert_eq!(refused(&running, &join_token("a"), "a", why()).await, (403, "forbidden".into()));
    assert_eq!(refused(&running, &admin_token("b"), "a", why()).await, (404, "room_not_live".into()));
    assert_eq!(refused(&running, "", "a", why()).await, (200, String::new()));
    assert_eq!(refused(&running, &admin_token("a"), "a", why()).await, (200, String::new()));
    let (_, record) = running.get_as("", "/api/audit").await;
    for entry in &record["entries"].as_array().expect("entries")[..2] {
        assert_eq!((&entry["action"], &entry["reason"]), (&json!("room.watch"), &json!("why")), "{entry}");
    }
    let ended = r#"{"event":"room_finished","room":{"sid":"RM_a","name":"a"},"id":"EV_end"}"#;
    assert_eq!(running.webhook(ended).await, 200);
    folded(&running, 3).await;
    assert_eq!(refused(&running, "", "a", why()).await, (404, "room_not_live".into()), "an ended room");
    // Without LiveKit's address a watcher cannot connect; the answer says which option to set.
    let alone = Start::new().env("ROOMWATCH_DEV", "true").file(&format!(
        "[[projects]]\nname = \"default\"\nkeys = [{{ key = \"{KEY}\", secret = \"{SECRET}\" }}]\n"
    ));
    let alone = alone.env("LIVEKIT_API_KEY", "").env("LIVEKIT_API_SECRET", "").start();
    meeting(&alone).await;
    let (status, answer) = ask(&alone, "", "a", None).await;
    assert_eq!(status, 502);
    assert!(answer["error"]["message"].as_str().expect("words").contains("LIVEKIT_URL"), "{answer}");
}

#[tokio::test]
async fn an_operator_may_watch_and_a_viewer_may_not() {
    let livekit = FakeLiveKit::start();
    // A long interval: this LiveKit does not know the room, and a comparison would end it before both have signed in.
    let rarely = Start::new().env("ROOMWATCH_RECONCILE_SECS", "600");
    let server = rarely.file(&users()).env("LIVEKIT_URL", &livekit.url()).start();
    assert_eq!(server.webhook(&began("EV_1")).await, 200);
    assert_eq!(server.webhook(&person("EV_2", "participant_joined", "alice", "")).await, 200);
    let mut stream = server.stream("?after=start").await;
    while !stream.next().await.id.ends_with("-2") {}
    for (name, expected, code) in [("vera", 403, json!("forbidden")), ("otto", 200, Value::Null)] {
        let cookie = login(&server, name).await;
        let (status, _, answer) =
            post(&server, "/api/rooms/a/token", &[("cookie", &cookie)], json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (expected, &code), "{name}");
        assert_eq!(answer["token"].is_string(), expected == 200);
    }
    let cookie = login(&server, "ada").await;
    let (_, _, record) = get(&server, "/api/audit", &[("cookie", &cookie)]).await;
    let told = |n: usize| {
        let entry = &record["entries"][n];
        (entry["user"].clone(), entry["action"].clone(), entry["outcome"].clone(), entry["code"].clone())
    };
    assert_eq!(told(0), (json!("otto"), json!("room.watch"), json!("done"), Value::Null));
    assert_eq!(told(1), (json!("vera"), json!("room.watch"), json!("refused"), json!("forbidden")));
}

#[tokio::test]
async fn watchers_are_removed_when_the_last_participant_leaves() {
    let livekit = FakeLiveKit::start();
    let server = server(&livekit).start();
    meeting(&server).await;
    let watcher = "roomwatch:dev:x1";
    let removed = || -> Vec<Value> {
        let world = livekit.world();
        let calls = world.calls.iter().filter(|(method, ..)| method == "RemoveParticipant");
        calls.map(|(_, body, _)| body.clone()).collect()
    };
    assert_eq!(server.webhook(&person("EV_3", "participant_joined", watcher, HIDDEN)).await, 200);
    assert_eq!(
        server.webhook(&person("EV_4", "participant_joined", "agent", r#","kind":"AGENT""#)).await,
        200
    );
    folded(&server, 4).await;
    assert_eq!(removed(), Vec::<Value>::new(), "a participant is there");
    // LiveKit is away at first, so the call is retried.
    livekit.world().mood = Mood::Says(500, "{}".into());
    assert_eq!(server.webhook(&person("EV_5", "participant_left", "alice", "")).await, 200);
    until("it was asked", || !removed().is_empty());
    livekit.world().mood = Mood::Fine;
    until("it was asked again", || removed().len() > 1);
    assert!(
        removed().iter().all(|body| body["identity"] == watcher && body["room"] == "a"),
        "{:?}",
        removed()
    );
}

/// Room names and LiveKit's messages are foreign text, and people and programs read the log.
#[tokio::test]
async fn foreign_text_cannot_forge_a_line_of_the_log() {
    let livekit = FakeLiveKit::start();
    let server = server(&livekit).start();
    let forged = "x\n2026-11-28T00:00:00.000000Z ERROR forged\r";
    let name = format!("{forged}\u{1b}[31m");
    let body = |id: &str, kind: &str, identity: &str, hidden: bool| {
        json!({
            "event": kind, "id": id, "room": { "sid": "RM_x", "name": name },
            "participant": {
                "sid": format!("PA_{identity}"), "identity": identity, "state": "ACTIVE",
                "permission": { "hidden": hidden }
            }
        })
        .to_string()
    };
    livekit.world().mood = Mood::Says(500, json!({ "code": "internal", "msg": forged }).to_string());
    assert_eq!(server.webhook(&body("EV_1", "participant_joined", "alice", false)).await, 200);
    assert_eq!(server.webhook(&body("EV_2", "participant_joined", "roomwatch:dev:x1", true)).await, 200);
    assert_eq!(server.webhook(&body("EV_3", "participant_left", "alice", false)).await, 200);
    until("the first try failed", || server.log().contains("a watcher cannot be removed"));
    livekit.world().mood = Mood::Fine;
    until("the watcher is removed", || server.log().contains("removed a watcher"));
    let log = server.log();
    for what in ["a watcher cannot be removed", "removed a watcher"] {
        let line = log.lines().find(|line| line.contains(what)).expect("a line");
        assert!(line.contains("forged"), "{line}");
    }
    assert!(!log.contains(['\u{1b}', '\r']), "{log:?}");
    assert!(log.lines().all(|line| !line.starts_with("2026-11-28T00:00:00.000000Z")), "{log}");
}
