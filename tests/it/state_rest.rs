//! Live rooms, over HTTP: list, then watch.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Instant};

use roomwatch::token::Grant;
use serde_json::{Value, json};

use crate::harness::{
    faulty::Inside,
    said::{Reader, Said, joined, left, of_egress, of_track, room, said, send, send_all, started, track},
    *,
};

fn hidden(mut said: Said, kind: &str) -> Said {
    said.body["participant"]["permission"] = json!({"hidden": true, "recorder": kind == "EGRESS"});
    said.body["participant"]["kind"] = kind.into();
    said
}

/// Alice is in the standup with a microphone, a shadow and a recorder watch; another room is live.
fn meeting() -> Vec<Said> {
    let mut other = joined(9, "RM_2", "PA_z", "zoe");
    other.body["room"] = room("RM_2", "re/tro?");
    vec![
        started(0, "RM_1", "standup"),
        joined(5, "RM_1", "PA_a", "alice"),
        of_track(6, "track_published", "RM_1", "PA_a", "alice", track("TR_1", "AUDIO", "MICROPHONE")),
        hidden(joined(7, "RM_1", "PA_s", "shadow"), "STANDARD"),
        hidden(joined(8, "RM_1", "PA_e", "EG_1"), "EGRESS"),
        of_egress(8, "egress_started", "RM_1", "EG_1", ""),
        other,
    ]
}

fn sids(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|one| one["sid"].as_str().expect("a sid")).collect()
}

#[tokio::test]
async fn list_then_watch_misses_nothing() {
    let server = Server::start();
    send_all(&server, &meeting()[..4]).await;
    let (status, list) = server.get("/api/rooms").await;
    assert_eq!(status, 200);
    let (_, now) = server.get("/api/rooms/standup").await;
    // Events arrive between the list and the stream.
    let later =
        [&meeting()[4..], &[left(20, "RM_1", "PA_a", "alice"), joined(21, "RM_1", "PA_b", "bob")]].concat();
    for (n, said) in later.iter().enumerate() {
        send(&server, &format!("EV_later_{n}"), said).await;
    }
    let mut reader = Reader::default();
    let mut hold = |kind: &str, one: &Value| {
        let mut one = one.clone();
        for only_in_lists in ["checkedAt", "lastEventAt", "unconfirmedSince"] {
            one.as_object_mut().expect("an entity").remove(only_in_lists);
        }
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        reader.holds.insert((text("project"), kind.into(), text("sid")), one);
    };
    list["rooms"].as_array().expect("rooms").iter().for_each(|room| hold("room", room));
    now["participants"].as_array().expect("participants").iter().for_each(|p| hold("participant", p));
    let after = list["cursor"].as_str().expect("a cursor").to_owned();
    let mut stream = server.stream(&format!("?after={after}")).await;
    assert_eq!(stream.connected().await["resumed"], true);
    for _ in &later {
        reader.take(&stream.next().await.data["changes"]);
    }
    let (_, list) = server.get("/api/rooms").await;
    let mut rooms = BTreeMap::new();
    for room in list["rooms"].as_array().expect("rooms") {
        let mut room = room.clone();
        for only_in_lists in ["checkedAt", "lastEventAt", "unconfirmedSince"] {
            assert!(room.as_object_mut().expect("a room").remove(only_in_lists).is_some());
        }
        rooms.insert(room["sid"].clone().to_string(), room);
    }
    let held = |kind: &str| {
        let held = reader.holds.iter().filter(|(key, _)| key.1 == kind);
        held.map(|(_, value)| (value["sid"].to_string(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(held("room"), rooms);
    let mut people = BTreeMap::new();
    for name in ["standup", "re%2Ftro%3F"] {
        let (status, now) = server.get(&format!("/api/rooms/{name}/participants")).await;
        assert_eq!(status, 200, "{now}");
        for p in now["participants"].as_array().expect("participants") {
            people.insert(p["sid"].to_string(), p.clone());
        }
    }
    assert_eq!(held("participant"), people);
}

#[tokio::test]
async fn each_caller_sees_its_part_of_the_present() {
    let server = Server::start();
    send_all(&server, &meeting()).await;
    let (_, all) = server.get("/api/rooms").await;
    assert_eq!(sids(&all["rooms"]), ["RM_2", "RM_1"], "by name");
    let (_, now) = server.get("/api/rooms/standup").await;
    assert_eq!(sids(&now["participants"]), ["PA_a", "PA_s", "PA_e"]);
    assert_eq!(now["egress"][0]["egressId"], "EG_1");
    assert_eq!((&now["room"]["participantCount"], &now["room"]["recording"]), (&json!(1), &json!(true)));

    // A roomJoin caller sees what joining shows.
    let join = join_token("standup");
    let (_, list) = server.get_as(&join, "/api/rooms").await;
    assert_eq!(sids(&list["rooms"]), ["RM_1"]);
    let (_, now) = server.get_as(&join, "/api/rooms/standup").await;
    assert_eq!(sids(&now["participants"]), ["PA_a"]);
    assert_eq!((&now["egress"], &now["room"]["recording"]), (&json!([]), &json!(true)));
    let (_, people) = server.get_as(&join, "/api/rooms/standup/participants").await;
    assert_eq!(sids(&people["participants"]), ["PA_a"]);

    let admin = admin_token("standup");
    let (_, now) = server.get_as(&admin, "/api/rooms/standup").await;
    assert_eq!(sids(&now["participants"]), ["PA_a", "PA_s", "PA_e"]);
    // A foreign room is answered like an unknown one.
    for path in ["/api/rooms/re%2Ftro%3F", "/api/rooms/re%2Ftro%3F/participants"] {
        let foreign = server.get_as(&admin, path).await;
        let (status, nowhere) = server.get_as(&admin, "/api/rooms/nowhere").await;
        assert_eq!(foreign, (404, nowhere.clone()));
        assert_eq!((status, &nowhere["error"]["code"]), (404, &json!("room_not_live")));
    }
    assert_eq!(server.get_as(&join, "/api/rooms?room=other").await.0, 403);
    assert_eq!(server.get_as(&join_token("elsewhere"), "/api/rooms").await.1["rooms"], json!([]));
    let nothing = token("unknown", Grant::default());
    assert_eq!(server.get_as(&nothing, "/api/rooms").await.0, 403);
    assert_eq!(server.get_as(&nothing, "/api/rooms/standup").await.0, 404);
    assert_eq!(server.get_as("", "/api/rooms").await.0, 401);
    // A grant for every room includes this one.
    assert_eq!(server.get("/api/rooms?room=standup").await.1["rooms"].as_array().map(Vec::len), Some(1));
    for wrong in ["/api/rooms?rooms=standup", "/api/rooms/standup?projekt=x"] {
        assert_eq!(server.get(wrong).await.1["error"]["code"], "unknown_parameter");
    }
    assert_eq!(server.get("/api/rooms/standup?project=other").await.0, 404);
}

#[tokio::test]
async fn lists_are_compressed_and_the_stream_is_not() {
    let server = Server::start();
    let many: Vec<_> = (0..40).map(|n| started(0, &format!("RM_{n}"), &format!("room {n}"))).collect();
    send_all(&server, &many).await;
    let get = async |path: &str, accept: &str| {
        let request = client().get(server.url(path)).bearer_auth(list_token()).header("accept", accept);
        request.header("accept-encoding", "gzip, br").send().await.expect("an answer")
    };
    let list = get("/api/rooms", "application/json").await;
    let encoding = list.headers().get("content-encoding").cloned().expect("it is compressed");
    assert!(encoding == "gzip" || encoding == "br", "{encoding:?}");
    assert_eq!(list.headers()["cache-control"], "no-store");
    let bytes = list.bytes().await.expect("a body").len();
    let (_, plain) = server.get("/api/rooms").await;
    assert_eq!(plain["rooms"].as_array().map(Vec::len), Some(40));
    assert!(bytes * 4 < plain.to_string().len(), "{bytes} bytes");
    assert!(get("/api/events", "text/event-stream").await.headers().get("content-encoding").is_none());
}

/// The OpenAPI document matches what is sent.
#[tokio::test]
async fn the_document_has_the_fields_that_are_sent() {
    let server = Server::start();
    let mut all = meeting();
    all.push(said(
        9,
        "ingress_started",
        json!({"room": {"name": "standup"}, "ingressInfo": {"ingressId": "IN_1", "roomName": "standup", "state": {"updatedAt": "5"}}}),
    ));
    let mut file = of_egress(10, "egress_updated", "RM_1", "EG_1", "EGRESS_ACTIVE");
    file.body["egressInfo"]["fileResults"] = json!([{"filename": "a.mp4"}]);
    all.push(file);
    send_all(&server, &all).await;
    let (_, document) = server.get("/api/openapi.json").await;
    let (_, now) = server.get("/api/rooms/standup").await;
    for (schema, sent) in [
        ("Room", &now["room"]),
        ("Participant", &now["participants"][0]),
        ("Track", &now["participants"][0]["tracks"][0]),
        ("Egress", &now["egress"][0]),
        ("Output", &now["egress"][0]["outputs"][0]),
        ("Ingress", &now["ingress"][0]),
        ("RoomNow", &now),
    ] {
        let names = |value: &Value| value.as_object().map(|all| all.keys().cloned().collect::<Vec<_>>());
        let described = &document["components"]["schemas"][schema]["properties"];
        assert_eq!(names(described), names(sent), "{schema}");
    }
}

/// A read waits until the state has what is durable, with an upper bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_behind_is_shown_with_its_cursor() {
    let server = Inside::start(None).await;
    let head = async || {
        let rooms = server.get("/api/rooms").await;
        rooms["cursor"].as_str().expect("a cursor").rsplit_once('-').expect("a seq").1.to_owned()
    };
    assert_eq!(server.webhook("EV_1").await, 200);
    assert_eq!(head().await, "1");
    server.log.unreadable.store(true, Ordering::Release);
    assert_eq!(server.webhook("EV_2").await, 200);
    let began = Instant::now();
    assert_eq!(head().await, "1");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    server.log.unreadable.store(false, Ordering::Release);
    until_async("the state goes on", async || head().await == "2").await;
}
