//! Commands, and their audit record.

use roomwatch::token::Grant;
use serde_json::{Value, json};

use crate::harness::{
    Server, Start, admin_token, client, join_token, list_token,
    livekit::{FakeLiveKit, Mood, participant, room, track},
    token, until_async,
};

/// A server where a caller without credentials has the rights of an operator.
pub fn dev(livekit: &FakeLiveKit) -> Server {
    Start::new()
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_DEV", "true")
        .env("ROOMWATCH_RECONCILE_SECS", "600")
        .start()
}

pub async fn send(server: &Server, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let mut request = client().request(method, server.url(path));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

pub async fn refused(server: &Server, token: &str, method: &str, path: &str, body: Value) -> (u16, String) {
    let (status, answer) = send(server, token, method, path, body).await;
    (status, answer["error"]["code"].as_str().unwrap_or("").to_owned())
}

/// The audit record as `user action room target outcome code`, the oldest first.
pub async fn record(server: &Server) -> Vec<String> {
    let (status, answer) = server.get_as("", "/api/audit?limit=1000").await;
    assert_eq!(status, 200, "{answer}");
    let entries = answer["entries"].as_array().expect("a list");
    let line = |entry: &Value| {
        let words = ["user", "action", "room", "target", "outcome", "code"];
        let words = words.map(|word| entry[word].as_str().unwrap_or("-").to_owned());
        assert!(entry["at"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{entry}");
        words.join(" ")
    };
    entries.iter().rev().map(line).collect()
}

pub fn meeting(livekit: &FakeLiveKit) {
    let mut world = livekit.world();
    world.rooms.push(room("standup", "RM_1"));
    let alice = participant("alice", "PA_1", vec![track("TR_1", "CAMERA", false)]);
    world.participants.insert("standup".into(), vec![alice]);
    let mut created = room("new", "RM_new");
    created["turn_password"] = "REDACT-ME".into();
    world.answers.insert("CreateRoom", (200, created.clone()));
    world.answers.insert("UpdateRoomMetadata", (200, created));
    world.answers.insert("UpdateParticipant", (200, participant("alice", "PA_1", vec![])));
    world.answers.insert("MutePublishedTrack", (200, json!({"track": track("TR_1", "CAMERA", true)})));
}

/// Operators see who acted. A caller with a token does not.
#[tokio::test]
async fn the_history_names_the_operator_who_removed_and_ended() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_millis();
    let post = async |event: &str, identity: &str, reason: &str| {
        let (sid, at) = (format!("PA_{identity}"), now());
        let body = json!({"id": format!("EV_{event}_{identity}"), "event": event, "createdAt": (at / 1000).to_string(),
            "room": {"sid": "RM_1", "name": "standup", "creationTimeMs": (at - 60_000).to_string()},
            "participant": {"sid": sid, "identity": identity, "state": "ACTIVE", "joinedAtMs": (at - 50_000).to_string(),
                "disconnectReason": reason}});
        assert_eq!(server.webhook(&body.to_string()).await, 200);
    };
    for identity in ["alice", "bob"] {
        post("participant_joined", identity, "UNKNOWN_REASON").await;
    }
    assert_eq!(
        send(&server, "", "DELETE", "/api/rooms/standup/participants/alice", Value::Null).await.0,
        204
    );
    post("participant_left", "alice", "PARTICIPANT_REMOVED").await;
    // Another tool removes Bob.
    post("participant_left", "bob", "PARTICIPANT_REMOVED").await;
    assert_eq!(send(&server, "", "DELETE", "/api/rooms/standup", Value::Null).await.0, 204);
    post("room_finished", "-", "").await;

    let names = async |token: &str| {
        let (status, list) = server.get_as(token, "/api/sessions").await;
        assert_eq!(status, 200, "{list}");
        let (_, story) = server.get_as(token, "/api/sessions/RM_1").await;
        let of = |identity: &str| {
            let all = story["participations"].as_array().expect("participations");
            let one = all.iter().find(|one| one["identity"] == identity).expect("the participant");
            one["removedBy"].clone()
        };
        json!([list["sessions"][0]["endedBy"], story["session"]["endedBy"], of("alice"), of("bob")])
    };
    assert_eq!(names("").await, json!(["dev", "dev", "dev", null]));
    assert_eq!(names(&admin_token("standup")).await, json!([null, null, null, null]));
}

#[tokio::test]
async fn every_command_reaches_livekit_and_the_record() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let tracks = "/api/rooms/standup/participants/alice/tracks/TR_1/mute";
    let (status, answer) = send(
        &server,
        "",
        "POST",
        "/api/rooms",
        json!({"name": "new", "metadata": "m", "emptyTimeout": 60, "maxParticipants": 5}),
    )
    .await;
    assert_eq!(status, 201);
    assert_eq!(answer["sid"], "RM_new");
    assert!(!answer.to_string().contains("REDACT-ME"));
    for (method, path, body, expected) in [
        ("PATCH", "/api/rooms/standup", json!({"metadata": "agenda"}), 200),
        (
            "PATCH",
            "/api/rooms/standup/participants/alice",
            json!({"name": "Alice", "metadata": "x", "attributes": {"a": ""}, "permission": {"canPublish": true}}),
            200,
        ),
        ("POST", tracks, json!({"muted": true}), 200),
        ("POST", tracks, json!({"muted": false}), 200),
        (
            "POST",
            "/api/rooms/standup/data",
            json!({"text": "hallo", "topic": "chat", "identities": ["alice"], "reliable": false}),
            204,
        ),
        ("POST", "/api/rooms/standup/data", json!({"base64": "AAH/"}), 204),
        ("DELETE", "/api/rooms/standup/participants/alice", Value::Null, 204),
        ("DELETE", "/api/rooms/standup", Value::Null, 204),
    ] {
        let (status, answer) = send(&server, "", method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let commands: Vec<(String, Value)> = livekit
        .world()
        .calls
        .iter()
        .filter(|(method, _, _)| !method.starts_with("List"))
        .map(|(method, request, _)| (method.clone(), request.clone()))
        .collect();
    let expected = [
        ("CreateRoom", json!({"name": "new", "metadata": "m", "empty_timeout": 60, "max_participants": 5})),
        ("UpdateRoomMetadata", json!({"room": "standup", "metadata": "agenda"})),
        (
            "UpdateParticipant",
            json!({"room": "standup", "identity": "alice", "name": "Alice", "metadata": "x",
            "attributes": {"a": ""}, "permission": {"canPublish": true}}),
        ),
        (
            "MutePublishedTrack",
            json!({"room": "standup", "identity": "alice", "track_sid": "TR_1", "muted": true}),
        ),
        (
            "MutePublishedTrack",
            json!({"room": "standup", "identity": "alice", "track_sid": "TR_1", "muted": false}),
        ),
        (
            "SendData",
            json!({"room": "standup", "data": "aGFsbG8=", "kind": "LOSSY", "destination_identities": ["alice"], "topic": "chat"}),
        ),
        (
            "SendData",
            json!({"room": "standup", "data": "AAH/", "kind": "RELIABLE", "destination_identities": []}),
        ),
        ("RemoveParticipant", json!({"room": "standup", "identity": "alice"})),
        ("DeleteRoom", json!({"room": "standup"})),
    ];
    assert_eq!(commands, expected.map(|(method, request)| (method.to_owned(), request)));
    assert_eq!(
        record(&server).await,
        [
            "dev room.create new - done -",
            "dev room.update standup - done -",
            "dev participant.update standup alice done -",
            "dev track.mute standup alice/TR_1 done -",
            "dev track.unmute standup alice/TR_1 done -",
            "dev data.send standup - done -",
            "dev data.send standup - done -",
            "dev participant.remove standup alice done -",
            "dev room.end standup - done -",
        ]
    );
}

#[tokio::test]
async fn livekits_errors_have_a_meaning() {
    let mut livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let twirp = |code: &str| json!({"code": code, "msg": format!("twirp error unknown: {code}")});
    let mute = "/api/rooms/standup/participants/alice/tracks/TR_1/mute";
    let person = "/api/rooms/standup/participants/alice";
    let muted = json!({"muted": true});
    for (method, status, answer, request, expected) in [
        (
            "DeleteRoom",
            404,
            twirp("not_found"),
            ("DELETE", "/api/rooms/standup", json!(null)),
            (404, "room_not_live"),
        ),
        (
            "UpdateRoomMetadata",
            404,
            twirp("not_found"),
            ("PATCH", "/api/rooms/standup", json!({"metadata": "x"})),
            (404, "room_not_live"),
        ),
        (
            "UpdateRoomMetadata",
            403,
            twirp("permission_denied"),
            ("PATCH", "/api/rooms/standup", json!({"metadata": "x"})),
            (403, "livekit_denied"),
        ),
        (
            "UpdateRoomMetadata",
            400,
            twirp("invalid_argument"),
            ("PATCH", "/api/rooms/standup", json!({"metadata": "x"})),
            (400, "livekit_refused"),
        ),
        (
            "UpdateRoomMetadata",
            429,
            twirp("resource_exhausted"),
            ("PATCH", "/api/rooms/standup", json!({"metadata": "x"})),
            (429, "livekit_limited"),
        ),
        (
            "RemoveParticipant",
            404,
            twirp("not_found"),
            ("DELETE", person, json!(null)),
            (404, "participant_not_found"),
        ),
        (
            "UpdateParticipant",
            404,
            twirp("not_found"),
            ("PATCH", person, json!({"name": "x"})),
            (404, "participant_not_found"),
        ),
        (
            "MutePublishedTrack",
            200,
            json!({"track": null}),
            ("POST", mute, muted.clone()),
            (404, "track_not_found"),
        ),
        (
            "MutePublishedTrack",
            412,
            twirp("failed_precondition"),
            ("POST", mute, muted.clone()),
            (409, "livekit_refused"),
        ),
        (
            "MutePublishedTrack",
            503,
            twirp("unavailable"),
            ("POST", mute, muted.clone()),
            (502, "livekit_failed"),
        ),
        (
            "SendData",
            503,
            twirp("unavailable"),
            ("POST", "/api/rooms/ended/data", json!({"text": "x"})),
            (404, "room_not_live"),
        ),
        (
            "SendData",
            503,
            twirp("unavailable"),
            ("POST", "/api/rooms/standup/data", json!({"text": "x"})),
            (502, "livekit_failed"),
        ),
        (
            "CreateRoom",
            500,
            twirp("internal"),
            ("POST", "/api/rooms", json!({"name": "x"})),
            (502, "livekit_failed"),
        ),
        (
            "CreateRoom",
            401,
            twirp("unauthenticated"),
            ("POST", "/api/rooms", json!({"name": "x"})),
            (502, "livekit_unauthorized"),
        ),
        ("CreateRoom", 200, json!([]), ("POST", "/api/rooms", json!({"name": "x"})), (502, "livekit_failed")),
    ] {
        livekit.world().answers.insert(method, (status, answer.clone()));
        let got = refused(&server, "", request.0, request.1, request.2).await;
        assert_eq!((got.0, got.1.as_str()), expected, "{method} {answer}");
    }
    // No such identity: LiveKit times out, and a second question to LiveKit finds the reason.
    livekit.world().answers.insert("MutePublishedTrack", (503, twirp("unavailable")));
    livekit.world().answers.insert("GetParticipant", (404, twirp("not_found")));
    assert_eq!(refused(&server, "", "POST", mute, muted).await, (404, "participant_not_found".into()));

    livekit.world().mood = Mood::Hangs;
    assert_eq!(refused(&server, "", "DELETE", person, json!(null)).await, (504, "livekit_timeout".into()));
    livekit.down();
    let (status, answer) = send(&server, "", "DELETE", person, json!(null)).await;
    assert_eq!((status, &answer["error"]["code"]), (502, &json!("livekit_unreachable")));
    let message = answer["error"]["message"].as_str().expect("words");
    assert!(message.contains(&livekit.address.to_string()), "{message}");
    let record = record(&server).await;
    assert_eq!(record.len(), 18);
    assert_eq!(record[17], "dev participant.remove standup alice failed livekit_unreachable");
}

#[tokio::test]
async fn bad_requests_never_reach_livekit() {
    let livekit = FakeLiveKit::start();
    let server = dev(&livekit);
    let person = "/api/rooms/standup/participants/alice";
    for (method, path, body, expected) in [
        ("POST", "/api/rooms", json!({"name": ""}), (400, "bad_name")),
        ("POST", "/api/rooms", json!({"name": "x".repeat(2_049)}), (400, "bad_name")),
        ("POST", "/api/rooms", json!({"name": "x", "colour": "red"}), (400, "bad_body")),
        ("POST", "/api/rooms", json!({"metadata": "x"}), (400, "bad_body")),
        ("POST", "/api/rooms", json!({"name": "x", "emptyTimeout": -1}), (400, "bad_body")),
        ("POST", "/api/rooms?colour=red", json!({"name": "x"}), (400, "unknown_parameter")),
        (
            "POST",
            "/api/rooms?project=default&project=default",
            json!({"name": "x"}),
            (400, "duplicate_parameter"),
        ),
        ("POST", "/api/rooms?project=nope", json!({"name": "x"}), (404, "unknown_project")),
        ("PATCH", "/api/rooms/standup", json!({}), (400, "bad_body")),
        ("PATCH", person, json!({}), (400, "nothing_to_change")),
        ("PATCH", person, json!({"attributes": {}}), (400, "nothing_to_change")),
        ("PATCH", person, json!({"name": ""}), (400, "cannot_be_empty")),
        ("PATCH", person, json!({"permission": 7}), (400, "bad_body")),
        ("POST", "/api/rooms/standup/data", json!({}), (400, "bad_body")),
        ("POST", "/api/rooms/standup/data", json!({"text": "a", "base64": "YQ=="}), (400, "bad_body")),
        ("POST", "/api/rooms/standup/data", json!({"base64": "*"}), (400, "bad_body")),
        ("POST", "/api/rooms/standup/data", json!({"text": "x".repeat(70_000)}), (400, "too_much_data")),
        ("DELETE", "/api/rooms/%ff", json!(null), (400, "bad_path")),
    ] {
        let got = refused(&server, "", method, path, body).await;
        assert_eq!((got.0, got.1.as_str()), expected, "{method} {path}");
    }
    assert!(livekit.world().calls.iter().all(|(method, _, _)| method.starts_with("List")));
}

#[tokio::test]
async fn rights_come_before_everything_and_refusals_are_recorded() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let creator = token("creator", Grant { room_create: true, ..Grant::default() });
    let mute = "/api/rooms/standup/participants/alice/tracks/TR_1/mute";
    for (token, method, path, expected) in [
        (list_token(), "POST", "/api/rooms", (403, "forbidden")),
        (list_token(), "PATCH", "/api/rooms/standup", (403, "forbidden")),
        (join_token("standup"), "DELETE", "/api/rooms/standup", (403, "forbidden")),
        (join_token("standup"), "POST", mute, (403, "forbidden")),
        // A room of another caller is answered like an unknown room.
        (admin_token("other"), "POST", mute, (404, "room_not_live")),
        (admin_token("other"), "POST", "/api/rooms/standup/data", (404, "room_not_live")),
        (creator.clone(), "PATCH", "/api/rooms/standup", (404, "room_not_live")),
        (admin_token("standup"), "POST", "/api/rooms", (403, "forbidden")),
        (admin_token("standup"), "GET", "/api/audit", (403, "forbidden")),
    ] {
        // The body is not parsed.
        let got = refused(&server, &token, method, path, json!({"nonsense": true})).await;
        assert_eq!((got.0, got.1.as_str()), expected, "{method} {path}");
    }
    assert!(livekit.world().calls.iter().all(|(method, _, _)| method.starts_with("List")));
    assert_eq!(send(&server, &creator, "POST", "/api/rooms", json!({"name": "new"})).await.0, 201);
    assert_eq!(send(&server, &creator, "DELETE", "/api/rooms/new", Value::Null).await.0, 204);
    assert_eq!(send(&server, &admin_token("standup"), "POST", mute, json!({"muted": true})).await.0, 200);
    let record = record(&server).await;
    assert_eq!(record.len(), 11, "{record:#?}");
    assert_eq!(record[0], "APItestkey/lister room.create - - refused forbidden");
    assert_eq!(record[4], "APItestkey/admin track.mute standup alice/TR_1 refused room_not_live");
    assert_eq!(record[10], "APItestkey/admin track.mute standup alice/TR_1 done -");
    let everything = server.get_as("", "/api/audit").await.1.to_string();
    assert!(!everything.contains("nonsense"));
}

#[tokio::test]
async fn the_record_survives_a_restart_and_has_pages() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let mut server = dev(&livekit);
    for n in 0..7 {
        let path = format!("/api/rooms/room-{n}");
        assert_eq!(send(&server, "", "DELETE", &path, Value::Null).await.0, 204);
    }
    server.kill();
    let server = server.again().start();
    let (mut seen, mut next) = (Vec::new(), String::new());
    for expected in [3, 3, 1] {
        let (status, page) = server.get_as("", &format!("/api/audit?limit=3{next}")).await;
        assert_eq!(status, 200, "{page}");
        let entries = page["entries"].as_array().expect("a list");
        assert_eq!(entries.len(), expected);
        seen.extend(entries.iter().map(|entry| entry["room"].as_str().expect("a room").to_owned()));
        next = page["next"].as_str().map(|next| format!("&before={next}")).unwrap_or_default();
    }
    assert_eq!(next, "");
    assert_eq!(seen, (0..7).rev().map(|n| format!("room-{n}")).collect::<Vec<_>>());
    let count = async |query: &str| {
        let (status, page) = server.get_as("", &format!("/api/audit?{query}")).await;
        assert_eq!(status, 200, "{page}");
        page["entries"].as_array().expect("a list").len()
    };
    for (query, expected) in [
        ("user=dev", 7),
        ("user=other", 0),
        ("action=room.end", 7),
        ("action=room.create", 0),
        ("outcome=done&project=default", 7),
        ("outcome=failed", 0),
        ("project=other", 0),
        ("room=room-3", 1),
        ("room=room-3&action=room.end&user=dev", 1),
        ("from=1", 7),
        ("to=1", 0),
        ("room=room-3&limit=1", 1),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
    for (query, code) in [
        ("?from=x", "bad_time"),
        ("?limit=0", "bad_limit"),
        ("?limit=1001", "bad_limit"),
        ("?before=x", "bad_cursor"),
        ("?who=me", "unknown_parameter"),
    ] {
        let (status, answer) = server.get_as("", &format!("/api/audit{query}")).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{query}");
    }
}

#[tokio::test]
async fn names_of_every_kind_arrive_unchanged() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    for (path, name) in [
        ("a%2Fb", "a/b".to_owned()),
        ("a%3Fb%23c", "a?b#c".to_owned()),
        ("%252f", "%2f".to_owned()),
        ("%F0%9F%8E%89", "🎉".to_owned()),
        ("..%2F..", "../..".to_owned()),
        (&"x".repeat(500), "x".repeat(500)),
    ] {
        assert_eq!(
            send(&server, "", "DELETE", &format!("/api/rooms/{path}"), Value::Null).await.0,
            204,
            "{path}"
        );
        let world = livekit.world();
        let (_, request, _) =
            world.calls.iter().rfind(|(method, _, _)| method == "DeleteRoom").expect("called");
        assert_eq!(request["room"], name);
    }
}

#[tokio::test]
async fn with_several_projects_the_project_is_required() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let file = format!(
        "[[projects]]\nname = \"one\"\nurl = {:?}\nkeys = [{{ key = {:?}, secret = {:?} }}]\n\
         [[projects]]\nname = \"two\"\nkeys = [{{ key = \"APIother\", secret = \"another-secret-of-the-tests\" }}]\n",
        livekit.url(),
        crate::harness::KEY,
        crate::harness::SECRET,
    );
    let server = Start::new()
        .env("LIVEKIT_API_KEY", "")
        .env("LIVEKIT_API_SECRET", "")
        .env("ROOMWATCH_DEV", "true")
        .file(&file)
        .start();
    let end = async |query: &str| {
        refused(&server, "", "DELETE", &format!("/api/rooms/standup{query}"), json!(null)).await
    };
    assert_eq!(end("").await, (400, "project_required".into()));
    assert_eq!(end("?project=three").await, (404, "unknown_project".into()));
    assert_eq!(end("?project=two").await, (502, "livekit_unreachable".into()));
    assert_eq!(end("?project=one").await.0, 204);
    // The project of a token is that of its key.
    let own = token("creator", Grant { room_create: true, ..Grant::default() });
    assert_eq!(refused(&server, &own, "DELETE", "/api/rooms/standup", json!(null)).await.0, 204);
    assert_eq!(
        refused(&server, &own, "DELETE", "/api/rooms/standup?project=two", json!(null)).await,
        (404, "unknown_project".into())
    );
}

#[tokio::test]
async fn a_command_is_visible_at_once_without_watchers() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = dev(&livekit);
    let mut stream = server.stream("?type=track_muted&type=room_started").await;
    stream.connected().await;
    until_async("the meeting is there", async || {
        server.get("/api/events?type=track_published").await.1["events"]
            .as_array()
            .is_some_and(|e| e.len() == 1)
    })
    .await;
    livekit.world().participants.get_mut("standup").expect("a room")[0]["tracks"][0]["muted"] = true.into();
    let began = std::time::Instant::now();
    let mute = "/api/rooms/standup/participants/alice/tracks/TR_1/mute";
    assert_eq!(send(&server, "", "POST", mute, json!({"muted": true})).await.0, 200);
    loop {
        let event = stream.next().await;
        if event.data["type"] == "track_muted" {
            break assert_eq!(event.data["source"], "reconcile");
        }
    }
    assert!(began.elapsed().as_secs() < 3, "{:?}", began.elapsed());
}

#[tokio::test]
async fn too_many_commands_are_refused() {
    let livekit = FakeLiveKit::start();
    let server = Start::new()
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_DEV", "true")
        .env("ROOMWATCH_MAX_COMMANDS_PER_MINUTE", "3")
        .start();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(refused(&server, "", "DELETE", "/api/rooms/x", json!(null)).await.0);
    }
    assert_eq!(answers, [204, 204, 204, 429, 429]);
    assert_eq!(record(&server).await.len(), 3);
}
