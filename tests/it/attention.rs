//! Conditions: each opens by its real cause, is told to those who may see it, and closes when its cause ends.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Server, Start, admin_token, client, join_token, list_token,
    livekit::{FakeLiveKit, Mood, dispatch, room},
    now,
    operators::{get, login, users},
    until_async,
};

/// Thresholds of seconds, so that a test need not wait.
const QUICK: &str = "
[attention]
agent_missing_secs = 1
agent_alone_secs = 1
egress_starting_secs = 1
egress_orphaned_secs = 1
livekit_unreachable_secs = 1
joins_failing = 3
connections_lost = 3
room_old_hours = 1
[[attention.agents]]
rooms = \"voice-*\"
";

fn server() -> Start {
    // Some tests restart it.
    Start::new().env("ROOMWATCH_OPEN_CONDITIONS", "").on_disk().file(QUICK)
}

/// The open conditions of one caller: kind, room and id.
async fn open(server: &Server, token: &str) -> Vec<Value> {
    let (status, answer) = server.get_as(token, "/api/attention").await;
    assert_eq!(status, 200, "{answer}");
    answer["conditions"].as_array().expect("a list").clone()
}

async fn kinds(server: &Server) -> Vec<String> {
    let open = open(server, &list_token()).await;
    open.iter().map(|condition| condition["kind"].as_str().expect("a kind").to_owned()).collect()
}

async fn until_kinds(server: &Server, expected: &[&str]) {
    until_async(&format!("{expected:?} to be open"), async || kinds(server).await == expected).await;
}

/// A webhook with a fresh id, now.
async fn webhook(server: &Server, mut body: Value) {
    body["id"] = json!(format!("EV_{}", fastrand::u64(..)));
    body["createdAt"] = json!(now().to_string());
    assert_eq!(server.webhook(&body.to_string()).await, 200);
}

fn of_room(name: &str) -> Value {
    json!({ "sid": format!("RM_{name}"), "name": name, "creationTime": (now() - 5).to_string() })
}

async fn joined(server: &Server, room: &str, identity: &str, kind: &str) {
    let participant = json!({
        "sid": format!("PA_{identity}"), "identity": identity, "name": identity.to_uppercase(),
        "state": "ACTIVE", "kind": kind, "joinedAt": (now() - 5).to_string(),
    });
    webhook(
        server,
        json!({ "event": "participant_joined", "room": of_room(room), "participant": participant }),
    )
    .await;
}

async fn left(server: &Server, room: &str, identity: &str, kind: &str, reason: &str) {
    let participant = json!({
        "sid": format!("PA_{identity}"), "identity": identity, "state": "DISCONNECTED", "kind": kind,
        "disconnectReason": reason, "attributes": { "sip.phoneNumber": "+491234" },
    });
    webhook(
        server,
        json!({ "event": "participant_left", "room": of_room(room), "participant": participant }),
    )
    .await;
}

async fn egress(server: &Server, event: &str, id: &str, room: &str, status: &str) {
    let info = json!({
        "egressId": id, "roomId": format!("RM_{room}"), "roomName": room, "status": status,
        "startedAt": format!("{}000000000", now() - 5), "updatedAt": format!("{}000000000", now() - 2),
        "error": if status == "EGRESS_FAILED" { "S3 answered 403" } else { "" },
    });
    webhook(server, json!({ "event": event, "egressInfo": info })).await;
}

/// The events about conditions that are in the log: type and kind.
async fn said(server: &Server) -> Vec<String> {
    let (_, page) = server.get("/api/events?after=start&limit=1000&type=roomwatch.*").await;
    let events = page["events"].as_array().expect("events").clone();
    let said = |event: &Value| {
        let (name, kind) = (&event["type"], &event["data"]["condition"]["kind"]);
        format!(
            "{} {}",
            name.as_str().unwrap_or("").trim_start_matches("roomwatch."),
            kind.as_str().unwrap_or("")
        )
    };
    events.iter().map(said).collect()
}

#[tokio::test]
async fn a_room_without_its_agent() {
    let server = server().start();
    let mut stream = server.stream("?type=roomwatch.*").await;
    stream.connected().await;
    let mut whole = server.stream("").await;
    whole.connected().await;
    joined(&server, "lobby", "ann", "STANDARD").await;
    joined(&server, "voice-1", "ben", "STANDARD").await;
    until_kinds(&server, &["agent_missing"]).await;
    let condition = &open(&server, &list_token()).await[0];
    assert_eq!(condition["id"], "agent_missing:RM_voice-1");
    assert_eq!((&condition["room"], &condition["roomSid"]), (&json!("voice-1"), &json!("RM_voice-1")));
    assert_eq!((&condition["severity"], &condition["endsAt"]), (&json!("critical"), &Value::Null));
    assert!(condition["since"].as_u64().expect("a time") <= now() as u64 * 1000 - 4_000, "{condition}");
    let evidence = condition["evidence"][0].as_str().expect("a cursor");
    let (_, page) = server.get(&format!("/api/events?before={evidence}&limit=1")).await;
    assert!(page["events"].is_array(), "the evidence is a cursor of this log: {page}");

    // Readers of the whole stream build the same list from its changes.
    let opened = stream.next().await.data;
    assert_eq!((&opened["type"], &opened["room"]), (&json!("roomwatch.condition_opened"), &json!("voice-1")));
    let change = loop {
        let told = whole.next().await.data;
        if told["type"] == "roomwatch.condition_opened" {
            break told["changes"][0].clone();
        }
    };
    assert_eq!(
        (&change["op"], &change["kind"], &change["id"]),
        (&json!("set"), &json!("condition"), &condition["id"])
    );
    assert_eq!(change["value"], *condition);

    joined(&server, "voice-1", "helper", "AGENT").await;
    until_kinds(&server, &[]).await;
    let closed = stream.next().await.data;
    assert_eq!(closed["type"], "roomwatch.condition_closed");
    assert_eq!(closed["data"]["condition"]["id"], "agent_missing:RM_voice-1");

    // The participant leaves, and the agent stays.
    left(&server, "voice-1", "ben", "STANDARD", "CLIENT_INITIATED").await;
    until_kinds(&server, &["agent_alone"]).await;
    webhook(&server, json!({ "event": "room_finished", "room": of_room("voice-1") })).await;
    until_kinds(&server, &[]).await;
    assert_eq!(said(&server).await.len(), 4);
}

#[tokio::test]
async fn a_room_with_an_agent_dispatch_should_have_its_agent() {
    let livekit = FakeLiveKit::start();
    let rooms = ["desk", "lobby", "done", "none", "old"];
    for (name, agent, jobs) in
        [("desk", "support", &[][..]), ("lobby", "", &[]), ("done", "support", &["JS_SUCCESS"])]
    {
        let id = format!("AD_{name}");
        livekit.world().dispatches.insert(name.into(), vec![dispatch(&id, agent, name, jobs)]);
    }
    // The comparison would end participants who are not in LiveKit's lists.
    let start = server().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "0");
    let mut server = start.start();
    for name in rooms {
        joined(&server, name, &format!("ann-{name}"), "STANDARD").await;
    }
    until_kinds(&server, &["agent_missing"]).await;
    let found = open(&server, &list_token()).await;
    assert_eq!((&found[0]["id"], &found[0]["room"]), (&json!("agent_missing:RM_desk"), &json!("desk")));
    assert_eq!(found[0]["values"], json!({ "agent": "support", "dispatch": "AD_desk" }));
    let asked = || {
        let world = livekit.world();
        let calls = world.calls.iter().filter(|(method, ..)| method == "ListDispatch");
        let mut rooms: Vec<_> =
            calls.map(|(_, request, _)| request["room"].as_str().unwrap_or("").to_owned()).collect();
        rooms.sort();
        rooms
    };
    until_async("every room to be asked about", async || asked().len() >= 5).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(asked(), ["desk", "done", "lobby", "none", "old"], "each once, for a while");
    assert_eq!(kinds(&server).await, ["agent_missing"]);

    // While LiveKit gives no answer after a start, the condition stays open.
    livekit.world().mood = Mood::Says(500, "no".into());
    server.signal("TERM");
    server.ended();
    server = server
        .again()
        .env("LIVEKIT_URL", &livekit.url())
        .env("ROOMWATCH_RECONCILE_SECS", "0")
        .file(QUICK)
        .start();
    until_async("LiveKit to be asked again", async || asked().len() >= 10).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(open(&server, &list_token()).await, found, "it is not opened again");
    // A LiveKit of before dispatches.
    livekit.world().mood = Mood::Says(404, r#"{"code":"bad_route","msg":"no handler for path"}"#.into());
    until_kinds(&server, &[]).await;
}

#[tokio::test]
async fn the_agent_of_a_dispatch_ends_the_condition_when_it_comes() {
    let livekit = FakeLiveKit::start();
    livekit.world().dispatches.insert("desk".into(), vec![dispatch("AD_1", "support", "desk", &[""])]);
    let server = server().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "0").start();
    joined(&server, "desk", "ann", "STANDARD").await;
    until_kinds(&server, &["agent_missing"]).await;
    joined(&server, "desk", "bot", "AGENT").await;
    until_kinds(&server, &[]).await;
}

#[tokio::test]
async fn what_is_open_stays_open_over_a_restart_and_is_told_once() {
    let mut server = server().start();
    joined(&server, "consult", "ann", "STANDARD").await;
    egress(&server, "egress_started", "EG_1", "consult", "EGRESS_STARTING").await;
    until_kinds(&server, &["egress_starting"]).await;
    egress(&server, "egress_ended", "EG_1", "consult", "EGRESS_FAILED").await;
    egress(&server, "egress_ended", "EG_1", "consult", "EGRESS_FAILED").await;
    egress(&server, "egress_ended", "EG_2", "consult", "EGRESS_COMPLETE").await;
    left(&server, "consult", "phone", "SIP", "USER_REJECTED").await;
    left(&server, "consult", "caller", "SIP", "CLIENT_INITIATED").await;
    left(&server, "consult", "bot", "AGENT", "AGENT_ERROR").await;
    // Three conditions of events that are over, and one whose cause goes on.
    joined(&server, "voice-1", "ben", "STANDARD").await;
    let expected = ["agent_failed", "agent_missing", "call_failed", "egress_failed"];
    until_async("all to be open", async || {
        let mut open = kinds(&server).await;
        open.sort();
        open == expected
    })
    .await;
    let before = open(&server, &list_token()).await;
    assert_eq!(before.len(), expected.len());
    let of = |kind: &str| before.iter().find(|c| c["kind"] == kind).expect("open").clone();
    let failed = of("egress_failed");
    assert_eq!((&failed["egressId"], &failed["room"]), (&json!("EG_1"), &json!("consult")));
    assert_eq!(failed["values"], json!({ "status": "failed", "error": "S3 answered 403", "stream": false }));
    assert_eq!(failed["endsAt"].as_u64(), failed["since"].as_u64().map(|since| since + 24 * 3_600_000));
    let call = of("call_failed");
    assert_eq!(call["values"], json!({ "reason": "user_rejected", "number": "+491234" }));
    assert_eq!(call["participant"], json!({ "sid": "PA_phone", "identity": "phone", "name": "" }));

    let told = said(&server).await;
    for signal in ["KILL", "TERM"] {
        server.signal(signal);
        server.ended();
        server = server.again().file(QUICK).start();
        // Long enough for several looks.
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(open(&server, &list_token()).await, before, "after {signal}");
        assert_eq!(said(&server).await, told, "after {signal}");
    }
}

#[tokio::test]
async fn a_recording_of_a_room_that_is_gone() {
    let server = server().start();
    joined(&server, "gone", "ann", "STANDARD").await;
    egress(&server, "egress_updated", "EG_1", "gone", "EGRESS_ACTIVE").await;
    webhook(&server, json!({ "event": "room_finished", "room": of_room("gone") })).await;
    until_kinds(&server, &["egress_orphaned"]).await;
    egress(&server, "egress_ended", "EG_1", "gone", "EGRESS_COMPLETE").await;
    until_kinds(&server, &[]).await;
}

#[tokio::test]
async fn more_failures_than_usual() {
    let server = server().start();
    for n in 0..3 {
        joined(&server, "busy", &format!("p{n}"), "STANDARD").await;
    }
    for n in 0..2 {
        left(&server, "busy", &format!("p{n}"), "STANDARD", "CONNECTION_TIMEOUT").await;
        let participant =
            json!({ "sid": format!("PA_x{n}"), "identity": "x", "disconnectReason": "JOIN_FAILURE" });
        let body = json!({ "event": "participant_connection_aborted", "room": of_room("busy"), "participant": participant });
        webhook(&server, body).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(kinds(&server).await, [""; 0], "two are not unusual");
    left(&server, "busy", "p2", "STANDARD", "SIGNAL_CLOSE").await;
    until_kinds(&server, &["connections_lost"]).await;
    let participant = json!({ "sid": "PA_y", "identity": "y", "disconnectReason": "JOIN_FAILURE" });
    let body = json!({ "event": "participant_connection_aborted", "room": of_room("busy"), "participant": participant });
    webhook(&server, body).await;
    until_kinds(&server, &["joins_failing", "connections_lost"]).await;
    let lost = &open(&server, &list_token()).await[1];
    assert_eq!(lost["evidence"].as_array().map(Vec::len), Some(3), "{lost}");
    assert_eq!(lost["project"], "default");
}

#[tokio::test]
async fn livekit_is_away_and_comes_back() {
    let mut livekit = FakeLiveKit::start();
    let server = server().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "1").start();
    livekit.full_runs(2).await;
    assert_eq!(kinds(&server).await, [""; 0]);
    livekit.down();
    until_kinds(&server, &["livekit_unreachable"]).await;
    livekit.up();
    until_kinds(&server, &[]).await;
    let refuses = r#"{"code":"unauthenticated","msg":"invalid API key"}"#;
    livekit.world().mood = Mood::Says(401, refuses.into());
    until_kinds(&server, &["key_rejected"]).await;
    livekit.world().mood = Mood::Fine;
    until_kinds(&server, &[]).await;
}

#[tokio::test]
async fn webhooks_that_do_not_arrive_are_missed() {
    let livekit = FakeLiveKit::start();
    let server = server().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "1").start();
    livekit.world().rooms = ["a", "b", "c"].iter().map(|name| room(name, &format!("RM_{name}"))).collect();
    until_kinds(&server, &["webhooks_missing"]).await;
    let condition = &open(&server, &list_token()).await[0];
    assert_eq!(condition["values"]["lastWebhookAt"], Value::Null, "{condition}");
}

/// Each look finds all of them. What cannot be opened must not be tried again every second.
#[tokio::test]
async fn more_conditions_than_a_project_may_have_are_not_said() {
    let server = server().start();
    for n in 0..1_010 {
        joined(&server, &format!("voice-{n}"), &format!("p{n}"), "STANDARD").await;
    }
    until_async("as many to be open as may be", async || kinds(&server).await.len() == 1_000).await;
    let count = async || {
        let (_, page) = server.get("/api/events?limit=1").await;
        page["last"].as_str().expect("a cursor").to_owned()
    };
    let before = count().await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(count().await, before, "nothing more is appended");
}

#[tokio::test]
async fn a_condition_that_flaps_is_opened_once_a_minute() {
    let server = server().start();
    joined(&server, "voice-1", "ann", "STANDARD").await;
    for round in 0..3 {
        if round == 0 {
            until_kinds(&server, &["agent_missing"]).await;
        }
        joined(&server, "voice-1", &format!("bot{round}"), "AGENT").await;
        until_kinds(&server, &[]).await;
        left(&server, "voice-1", &format!("bot{round}"), "AGENT", "CLIENT_INITIATED").await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert_eq!(said(&server).await, ["condition_opened agent_missing", "condition_closed agent_missing"]);
}

#[tokio::test]
async fn a_condition_tells_of_no_room_that_the_caller_may_not_see() {
    let server = server().start();
    joined(&server, "voice-1", "ann", "STANDARD").await;
    joined(&server, "voice-2", "ben", "STANDARD").await;
    for n in 0..3 {
        left(&server, "voice-2", &format!("p{n}"), "STANDARD", "CONNECTION_TIMEOUT").await;
    }
    until_async("all to be open", async || kinds(&server).await.len() == 3).await;
    let ids = |open: Vec<Value>| -> Vec<String> {
        let mut ids: Vec<_> = open.iter().map(|c| c["id"].as_str().expect("an id").to_owned()).collect();
        ids.sort();
        ids
    };
    let of = async |token: String| ids(open(&server, &token).await);
    assert_eq!(
        of(list_token()).await,
        ["agent_missing:RM_voice-1", "agent_missing:RM_voice-2", "connections_lost"]
    );
    assert_eq!(of(admin_token("voice-1")).await, ["agent_missing:RM_voice-1"]);
    assert_eq!(of(join_token("voice-1")).await, [""; 0], "an operator's concern");
    let mut stream = server.stream_as(&admin_token("voice-1"), "?after=start&type=roomwatch.*", None).await;
    stream.connected().await;
    assert_eq!(stream.next().await.data["room"], "voice-1");
    let (_, page) = server.get_as(&admin_token("voice-1"), "/api/events?after=start&type=roomwatch.*").await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "{page}");
    let (_, page) = server.get_as(&join_token("voice-1"), "/api/events?after=start&type=roomwatch.*").await;
    assert_eq!(page["events"].as_array().map(Vec::len), Some(0), "{page}");
}

#[tokio::test]
async fn a_condition_is_acknowledged_and_the_record_says_by_whom() {
    let config = format!("{}{QUICK}", users());
    let mut server = Start::new().env("ROOMWATCH_OPEN_CONDITIONS", "").on_disk().file(&config).start();
    joined(&server, "voice-1", "ann", "STANDARD").await;
    until_kinds(&server, &["agent_missing"]).await;
    let put = async |server: &Server, cookie: &str, id: &str, body: Value| {
        let request = client().put(server.url(&format!("/api/attention/{id}"))).json(&body);
        let origin = server.url("");
        let request = request.header("cookie", cookie).header("origin", &origin);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (viewer, operator) = (login(&server, "vera").await, login(&server, "otto").await);
    let id = "agent_missing:RM_voice-1";
    assert_eq!(put(&server, &viewer, id, json!({})).await.0, 403);
    assert_eq!(
        put(&server, &operator, "agent_missing:RM_no", json!({})).await.1["error"]["code"],
        "unknown_condition"
    );
    assert_eq!(put(&server, &operator, id, json!({ "until": 1 })).await.1["error"]["code"], "bad_time");
    assert_eq!(put(&server, &operator, id, json!({ "reason": "x".repeat(513) })).await.0, 400);
    let until = (now() as u64 + 3_600) * 1000;
    let (status, answer) = put(&server, &operator, id, json!({ "until": until, "reason": "known" })).await;
    assert_eq!(status, 200, "{answer}");
    let acknowledged = async |server: &Server| open(server, &list_token()).await[0]["acknowledged"].clone();
    until_async("it to be acknowledged", async || acknowledged(&server).await.is_object()).await;
    let first = acknowledged(&server).await;
    assert_eq!(
        (&first["by"], &first["until"], &first["reason"]),
        (&json!("otto"), &json!(until), &json!("known"))
    );

    server.signal("TERM");
    server.ended();
    server = server.again().file(&config).start();
    assert_eq!(acknowledged(&server).await, first, "after a restart");
    let operator = login(&server, "otto").await;
    let request = client().delete(server.url(&format!("/api/attention/{id}")));
    let request = request.header("cookie", &operator).header("origin", server.url(""));
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    until_async("it to be open again", async || acknowledged(&server).await.is_null()).await;

    let admin = login(&server, "ada").await;
    let (_, _, audit) = get(&server, "/api/audit", &[("cookie", &admin)]).await;
    let entries = audit["entries"].as_array().expect("entries");
    let entries: Vec<_> = entries
        .iter()
        .map(|e| format!("{} {} {} {}", e["user"], e["action"], e["target"], e["outcome"]).replace('"', ""))
        .collect();
    assert_eq!(entries[0], format!("otto condition.unacknowledge {id} done"));
    assert_eq!(entries[1], format!("otto condition.acknowledge {id} done"));
    assert!(entries.contains(&format!("vera condition.acknowledge {id} refused")), "{entries:?}");
    let metrics = client().get(server.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("roomwatch_conditions_open{condition=\"agent_missing\"} 1"), "{metrics}");
}

/// The open conditions of Roomwatch itself, which only signed-in users see.
async fn of_node(server: &Server, cookie: &str) -> Vec<Value> {
    let (status, _, answer) = get(server, "/api/attention", &[("cookie", cookie)]).await;
    assert_eq!(status, 200, "{answer}");
    answer["conditions"].as_array().expect("a list").iter().filter(|c| c["project"] == "").cloned().collect()
}

async fn until_of_node(server: &Server, cookie: &str, expected: &[&str]) -> Vec<Value> {
    let mut found = Vec::new();
    until_async(&format!("{expected:?} to be open"), async || {
        found = of_node(server, cookie).await;
        found.iter().map(|condition| condition["id"].as_str().expect("an id")).eq(expected.iter().copied())
    })
    .await;
    found
}

fn node(start: Start, rules: &str) -> Start {
    let config = format!("{}[attention]\ndisk_free_percent = 0\n{rules}", users());
    start.env("ROOMWATCH_OPEN_CONDITIONS", "").on_disk().file(&config)
}

#[tokio::test]
async fn the_disk_has_little_space() {
    let dir = std::sync::Arc::new(tempfile::tempdir().expect("a directory"));
    let disk = rustix::fs::statvfs(dir.path()).expect("a disk");
    let free = disk.f_bavail * disk.f_frsize;
    // More than other programs write meanwhile.
    let film = (free / 2).min(8 << 30);
    let rules = format!("disk_free_mib = {}", (free - film / 2) >> 20);
    let server = node(Start::new().dir(&dir), &rules).start();
    let otto = login(&server, "otto").await;
    until_of_node(&server, &otto, &[]).await;
    let path = dir.path().join("film.mkv");
    let file = std::fs::File::create(&path).expect("a file");
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, film).expect("space");
    let open = until_of_node(&server, &otto, &["disk_nearly_full:free"]).await;
    assert_eq!(open[0]["severity"], "critical");
    assert!(open[0]["values"]["freeBytes"].as_u64() < Some(free - film / 2), "{open:?}");
    assert_eq!(kinds(&server).await, [""; 0], "for signed-in users only");
    std::fs::remove_file(path).expect("removed");
    drop(file);
    until_of_node(&server, &otto, &[]).await;
}

#[tokio::test]
async fn the_files_use_what_they_may() {
    let rules = "disk_free_mib = 0";
    let mut server = node(Start::new(), rules).env("ROOMWATCH_RETENTION_BYTES", "100000").start();
    let otto = login(&server, "otto").await;
    let open = until_of_node(&server, &otto, &["disk_nearly_full:limit"]).await;
    assert_eq!(open[0]["values"]["limitBytes"], 100_000);
    assert!(open[0]["values"]["usedBytes"].as_u64() > Some(95_000), "{open:?}");
    // Without a limit of age nothing is removed too early; without a limit of bytes it is half of the disk.
    for (bytes, days) in [("100000", "0"), ("1000000000", "30"), ("", "30")] {
        server.signal("TERM");
        server.ended();
        let config = format!("{}[attention]\ndisk_free_percent = 0\n{rules}", users());
        let again = server.again().file(&config).env("ROOMWATCH_RETENTION_BYTES", bytes);
        server = again.env("ROOMWATCH_RETENTION_DAYS", days).start();
        let otto = login(&server, "otto").await;
        until_of_node(&server, &otto, &[]).await;
        let (_, _, answer) = get(&server, "/api/projects", &[("cookie", &otto)]).await;
        let storage = &answer["storage"];
        let bytes_of = |name: &str| storage[name].as_u64().expect("bytes");
        assert!(bytes_of("usedBytes") > 50_000 && bytes_of("freeBytes") < bytes_of("diskBytes"), "{storage}");
        match bytes.parse::<u64>() {
            Ok(bytes) => assert_eq!(bytes_of("limitBytes"), bytes),
            Err(_) => assert!(bytes_of("limitBytes") > bytes_of("freeBytes") / 4, "{storage}"),
        }
        assert_eq!(storage["limitDays"], Value::Null, "too few events for a rate");
    }
    let (_, answer) = server.get_as(&list_token(), "/api/projects").await;
    assert_eq!(answer["storage"], Value::Null, "for operators only");
}

#[tokio::test]
async fn a_limit_refuses_readers() {
    let server = node(Start::new(), "disk_free_mib = 0\nlimits_reached = 2\nlimits_reached_secs = 3");
    let server = server.env("ROOMWATCH_MAX_STREAMS_PER_USER", "1").start();
    let otto = login(&server, "otto").await;
    let open = async || {
        let request = client().get(server.url("/api/events")).header("cookie", &otto);
        request.send().await.expect("an answer")
    };
    let first = open().await;
    assert_eq!(first.status(), 200);
    assert_eq!(open().await.status(), 429);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(of_node(&server, &otto).await, [Value::Null; 0], "one refusal is less than two");
    assert_eq!(
        (open().await.status(), open().await.status()),
        (429.try_into().expect("a status"), 429.try_into().expect("a status"))
    );
    let found = until_of_node(&server, &otto, &["limits_reached:max_streams_per_user"]).await;
    assert_eq!((&found[0]["severity"], &found[0]["values"]["max"]), (&json!("warning"), &json!(1)));
    assert!(found[0]["values"]["count"].as_u64() >= Some(2), "{found:?}");
    let metrics = client().get(server.url("/metrics")).send().await.expect("an answer");
    let metrics = metrics.text().await.expect("text");
    assert!(
        metrics.contains("roomwatch_limits_reached_total{limit=\"max_streams_per_user\"} 3"),
        "{metrics}"
    );
    until_of_node(&server, &otto, &[]).await;
    drop(first);
}
