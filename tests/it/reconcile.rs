//! Reconciliation: facts from LiveKit's API that no webhook has reported.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    Server, Sse, SseEvent, Start,
    livekit::{FakeLiveKit, Mood, participant, room, track},
    now, until_async,
};

fn server(livekit: &FakeLiveKit) -> Start {
    Start::new().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "2")
}

/// The next messages, as type and sid.
async fn told(stream: &mut Sse, count: usize) -> Vec<(String, String)> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(about(&stream.next().await));
    }
    told
}

fn about(event: &SseEvent) -> (String, String) {
    assert_eq!(event.data["source"], "reconcile", "{event:?}");
    let data = &event.data["data"];
    let sid = [&data["track"]["sid"], &data["participant"]["sid"], &data["room"]["sid"]];
    let sid = sid.into_iter().find_map(Value::as_str).unwrap_or("");
    (event.data["type"].as_str().unwrap_or("").to_owned(), sid.to_owned())
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

async fn project(server: &Server) -> Value {
    let (status, answer) = server.get("/api/projects").await;
    assert_eq!(status, 200, "{answer}");
    answer["projects"][0].clone()
}

async fn last(server: &Server) -> String {
    server.get("/api/events?limit=1").await.1["last"].as_str().unwrap_or("").to_owned()
}

/// A room with two people, one of them muted.
fn meeting(livekit: &FakeLiveKit) {
    let mut world = livekit.world();
    world.rooms.push(room("standup", "RM_1"));
    let alice =
        participant("alice", "PA_1", vec![track("TR_1", "MICROPHONE", true), track("TR_2", "CAMERA", false)]);
    world.participants.insert("standup".into(), vec![alice, participant("bob", "PA_2", vec![])]);
}

const WHOLE_MEETING: &[(&str, &str)] = &[
    ("room_started", "RM_1"),
    ("participant_joined", "PA_1"),
    ("track_published", "TR_1"),
    ("track_published", "TR_2"),
    ("participant_joined", "PA_2"),
];

#[tokio::test]
async fn a_room_whose_events_were_all_lost_is_found_once() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let joining = json!({"sid": "PA_3", "identity": "carol", "state": "JOINED", "tracks": []});
    livekit.world().participants.get_mut("standup").expect("a room").push(joining);
    let server = server(&livekit).start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    let mut seen = Vec::new();
    for expected in WHOLE_MEETING {
        let event = stream.next().await;
        assert_eq!(about(&event), pairs(&[*expected])[0]);
        assert_ne!(event.data["changes"], json!([]), "{event:?}");
        // The shape of a webhook, redacted like a webhook.
        let text = event.data.to_string();
        assert!(
            !text.contains("REDACT-ME") && !text.contains("turn") && !text.contains("creation_time"),
            "{text}"
        );
        seen.push(event);
    }
    assert_eq!(seen[2].data["data"]["track"]["muted"], true);
    assert_eq!(seen[1].data["data"]["participant"]["state"], "ACTIVE");
    assert!(seen[1].data["data"]["participant"].get("tracks").is_none());
    let (status, answer) = server.get("/api/rooms/standup").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["room"]["source"], "reconcile");
    assert_eq!(answer["room"]["participantCount"], 2);
    until_async("it says when it was checked", async || {
        server.get("/api/rooms").await.1["rooms"][0]["checkedAt"].as_u64().is_some()
    })
    .await;
    // A participant counts from ACTIVE on, and a second and a third run change nothing.
    let last_seq = last(&server).await;
    livekit.full_runs(3).await;
    assert_eq!(last(&server).await, last_seq);
    let health = project(&server).await;
    assert_eq!(health["state"], "ok");
    assert_eq!(health["corrections"]["total"], 5);
    assert_eq!(health["corrections"]["last"][4]["type"], "room_started");
    assert_eq!(health["egress"], "unavailable");
    assert_eq!(health["ingress"], "unavailable");
    assert!(health["reconciledAt"].as_u64().is_some());

    // The webhook arrives after all: it is stored and passed on, and changes nothing.
    let mut late = seen[1].data["data"].clone();
    late["id"] = "EV_late".into();
    assert_eq!(server.webhook(&late.to_string()).await, 200);
    let event = stream.next().await;
    assert_eq!(event.data["source"], "webhook");
    assert_eq!(event.data["changes"], json!([]));
}

#[tokio::test]
async fn livekit_restarts_without_its_rooms() {
    let mut livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = server(&livekit).env("ROOMWATCH_RECONCILE_SECS", "600").start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    assert_eq!(told(&mut stream, 5).await, pairs(WHOLE_MEETING));
    livekit.down();
    until_async("the outage shows", async || project(&server).await["state"] == "unreachable").await;
    let error = project(&server).await["error"].as_str().expect("why").to_owned();
    assert!(error.contains(&livekit.address.to_string()), "{error}");
    livekit.forget();
    livekit.up();
    let back = Instant::now();
    let finished = [
        ("track_unpublished", "TR_1"),
        ("track_unpublished", "TR_2"),
        ("participant_left", "PA_1"),
        ("participant_left", "PA_2"),
        ("room_finished", "RM_1"),
    ];
    let mut endings = Vec::new();
    for expected in finished {
        let event = stream.next().await;
        assert_eq!(about(&event), pairs(&[expected])[0]);
        endings.push(event);
    }
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    // The time of the end is unknown; the last time that LiveKit still had it is known.
    let left = &endings[2].data;
    let not_before = left["data"]["roomwatch"]["notBefore"].as_u64().expect("a time");
    assert!(not_before <= left["timestamp"].as_u64().expect("a time"));
    assert_eq!(left["data"]["participant"]["identity"], "alice");
    until_async("it is well", async || project(&server).await["state"] == "ok").await;
    assert_eq!(server.get("/api/rooms").await.1["rooms"], json!([]));
    let session = server.get("/api/sessions/RM_1").await.1;
    let participation = &session["participations"][0];
    assert!(participation["leftNotBefore"].as_u64() <= participation["leftAt"].as_u64(), "{session}");
    assert!(participation["leftNotBefore"].is_u64(), "{session}");
}

#[tokio::test]
async fn every_answer_about_rooms_says_since_when_livekit_is_away() {
    let mut livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = server(&livekit).env("ROOMWATCH_RECONCILE_SECS", "600").start();
    until_async("the meeting is there", async || project(&server).await["corrections"]["total"] == 5).await;
    const ROUTES: [&str; 3] = ["/api/rooms", "/api/rooms/standup", "/api/rooms/standup/participants"];
    /// LiveKit as this route shows it, for a caller who sees everything and one who sees one room.
    async fn shown(server: &Server, route: &str) -> Value {
        let (status, whole) = server.get(route).await;
        assert_eq!(status, 200, "{route}: {whole}");
        let (status, joined) = server.get_as(&crate::harness::join_token("standup"), route).await;
        assert_eq!((status, &joined["livekit"]), (200, &whole["livekit"]), "{route}");
        match &whole["livekit"] {
            Value::Array(projects) => {
                assert_eq!(projects.len(), 1, "{route}: {whole}");
                projects[0].clone()
            }
            livekit => livekit.clone(),
        }
    }
    let unconfirmed = async || {
        let list = server.get("/api/rooms").await.1["rooms"][0]["unconfirmedSince"].clone();
        let one = server.get("/api/rooms/standup").await.1["room"]["unconfirmedSince"].clone();
        assert_eq!(list, one);
        one
    };
    let answers = json!({"project": "default", "state": "ok", "awaySince": null});
    for route in ROUTES {
        assert_eq!(shown(&server, route).await, answers, "{route}");
    }
    assert_eq!(
        (project(&server).await["awaySince"].clone(), unconfirmed().await),
        (Value::Null, Value::Null)
    );

    let before = now() as u64 * 1000;
    livekit.down();
    until_async("the outage shows", async || project(&server).await["state"] == "unreachable").await;
    let since = project(&server).await["awaySince"].as_u64().expect("a time");
    // It is the last answer, and there is one every two seconds.
    assert!(since + 4_000 > before && since <= now() as u64 * 1000 + 999, "{since} {before}");
    let away = json!({"project": "default", "state": "unreachable", "awaySince": since});
    for route in ROUTES {
        assert_eq!(shown(&server, route).await, away, "{route}");
        let (_, past) = server.get(&format!("{route}?at={since}")).await;
        assert!(past["livekit"] == Value::Null || past["livekit"] == json!([]), "{route}: {past}");
    }
    assert_eq!(unconfirmed().await, since);
    // A webhook confirms the room, and does not say that LiveKit's API answers.
    let joined = crate::harness::said::joined(0, "RM_1", "PA_3", "carol").body.to_string();
    let joined = joined.replace(&crate::harness::said::START.to_string(), &now().to_string());
    assert_eq!(server.webhook(&joined).await, 200);
    assert!(unconfirmed().await.as_u64().is_some_and(|at| at >= since), "{}", unconfirmed().await);
    assert_eq!(shown(&server, "/api/rooms").await, away);

    livekit.up();
    until_async("it answers again", async || project(&server).await["state"] == "ok").await;
    for route in ROUTES {
        assert_eq!(shown(&server, route).await, answers, "{route}");
    }
    assert_eq!(
        (project(&server).await["awaySince"].clone(), unconfirmed().await),
        (Value::Null, Value::Null)
    );
}

#[tokio::test]
async fn a_sid_comes_back_at_once_by_a_webhook_and_by_two_lists() {
    use crate::harness::said::{START, finished, joined, send_all, started};
    let livekit = FakeLiveKit::start();
    let server = server(&livekit).start();
    let people = async || {
        let (status, answer) = server.get("/api/rooms/standup/participants").await;
        let sids = answer["participants"].as_array().into_iter().flatten();
        (status, sids.map(|p| p["sid"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>())
    };
    let at = now() as u64 - START;
    let first = [
        started(at, "RM_1", "standup"),
        joined(at, "RM_1", "PA_1", "alice"),
        finished(at, "RM_1", "standup"),
    ];
    let second = [started(at, "RM_1", "standup"), joined(at + 1, "RM_1", "PA_2", "alice")];
    send_all(&server, &first).await;
    assert_eq!(people().await, (404, vec![]));
    for (n, said) in second.iter().enumerate() {
        crate::harness::said::send(&server, &format!("EV_second_{n}"), said).await;
    }
    assert_eq!(people().await, (200, vec!["PA_2".to_owned()]));
    // A join that is repeated with another id.
    crate::harness::said::send(&server, "EV_again", &first[1]).await;
    assert_eq!(people().await, (200, vec!["PA_2".to_owned()]));

    // It ends, and comes back without any webhook.
    crate::harness::said::send(&server, "EV_end", &finished(at + 2, "RM_1", "standup")).await;
    assert_eq!(people().await, (404, vec![]));
    let ended = Instant::now();
    livekit.world().rooms.push(room("standup", "RM_1"));
    livekit.world().participants.insert("standup".into(), vec![participant("carol", "PA_3", vec![])]);
    until_async("the lists bring it back", async || people().await == (200, vec!["PA_3".to_owned()])).await;
    assert!(ended.elapsed() >= Duration::from_secs(12), "{:?}", ended.elapsed());
    let (_, page) = server.get("/api/events?after=start").await;
    let last = page["events"].as_array().expect("events").iter().rev().take(2).collect::<Vec<_>>();
    assert_eq!(last[1]["type"], "room_started");
    assert_eq!(last[1]["data"]["roomwatch"], json!({"returned": true}));
    assert_eq!(last[0]["type"], "participant_joined");
}

#[tokio::test]
async fn a_watched_room_shows_mutes_within_three_seconds() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = server(&livekit).env("ROOMWATCH_RECONCILE_SECS", "600").start();
    let mut stream = server.stream("?room=standup&after=start").await;
    stream.connected().await;
    assert_eq!(told(&mut stream, 5).await, pairs(WHOLE_MEETING));
    let mut ids = std::collections::HashSet::new();
    for muted in [false, true, false, true] {
        livekit.world().participants.get_mut("standup").expect("a room")[0]["tracks"][0]["muted"] =
            muted.into();
        let began = Instant::now();
        let event = stream.next().await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let kind = if muted { "track_muted" } else { "track_unmuted" };
        assert_eq!(about(&event), (kind.into(), "TR_1".into()));
        // A second mute is a new event.
        assert!(ids.insert(event.data["data"]["id"].to_string()), "{event:?}");
    }
    {
        let mut world = livekit.world();
        world.rooms[0]["metadata"] = "agenda".into();
        let bob = &mut world.participants.get_mut("standup").expect("a room")[1];
        bob["attributes"] = json!({"hand": "up"});
        bob["version"] = 99.into();
    }
    assert_eq!(
        told(&mut stream, 2).await,
        pairs(&[("room_updated", "RM_1"), ("participant_updated", "PA_2")])
    );
}

#[tokio::test]
async fn bad_answers_of_livekit_change_nothing() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let server = server(&livekit).start();
    until_async("the meeting is there", async || project(&server).await["corrections"]["total"] == 5).await;
    let last_seq = last(&server).await;
    let thief = FakeLiveKit::start();
    let huge = format!("{{\"rooms\":[{}]}}", "0,".repeat(1000));
    let denied = json!({"code": "unauthenticated", "msg": "permissions denied"}).to_string();
    let internal = json!({"code": "internal", "msg": "boom"}).to_string();
    for (mood, state, words) in [
        (Mood::Says(200, "<html>it works!</html>".into()), "unreachable", "not JSON"),
        (Mood::Says(200, huge), "unreachable", "not JSON"),
        (Mood::Says(200, "[1,2]".into()), "unreachable", "another shape"),
        // JSON of another shape is not an empty list, which would end every room.
        (Mood::Says(200, r#"{"status":"ok"}"#.into()), "unreachable", "another shape"),
        (Mood::Says(500, internal), "unreachable", "boom"),
        (Mood::Says(502, "<html>Bad Gateway</html>".into()), "unreachable", "502"),
        (Mood::Says(401, "invalid API key: APIx".into()), "unauthorized", "does not accept the key"),
        (Mood::Says(401, denied), "unauthorized", "permissions denied"),
        (Mood::Says(301, String::new()), "unreachable", "301"),
        (Mood::SendsTo(format!("{}/twirp/livekit.RoomService/ListRooms", thief.url())), "unreachable", "307"),
        (Mood::Rambles, "unreachable", "more than 67108864 bytes"),
        (Mood::Hangs, "unreachable", "did not answer within 5 s"),
    ] {
        livekit.world().mood = mood.clone();
        until_async(&format!("{mood:?} shows"), async || {
            let health = project(&server).await;
            health["state"] == state && health["error"].as_str().is_some_and(|error| error.contains(words))
        })
        .await;
        livekit.world().mood = Mood::Fine;
        until_async("it is well again", async || project(&server).await["state"] == "ok").await;
        // No participant left because of an answer that could not be read.
        assert_eq!(last(&server).await, last_seq, "{mood:?}");
    }
    assert_eq!(thief.world().calls.len(), 0, "the token was sent to another server");
}

#[tokio::test]
async fn odd_rooms_do_not_hide_other_rooms() {
    let livekit = FakeLiveKit::start();
    {
        let mut world = livekit.world();
        let mut large = room("large", "RM_large");
        large["metadata"] = "m".repeat(1_000_000).into();
        world.rooms.push(large);
        world.rooms.push(room("", "RM_nameless"));
        world.rooms.push(json!({"sid": 7, "name": {}}));
        world.rooms.push(json!("a room"));
        for (n, name) in ["a/b", "a?b=c#d", "%2f", "🎉 party", &"é".repeat(500)].into_iter().enumerate() {
            world.rooms.push(room(name, &format!("RM_{n}")));
        }
        let mut future = participant(
            "from the future",
            "PA_future",
            vec![json!({"sid": "TR_f", "type": "SMELL", "source": 99})],
        );
        future["kind"] = "HOLOGRAM".into();
        future["disconnect_reason"] = 4711.into();
        future["new_field"] = json!({"a_b": 1});
        world.participants.insert("a/b".into(), vec![json!(null), json!({"sid": ""}), future]);
    }
    let server = server(&livekit).start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..8 {
        let event = stream.next().await;
        let kind = event.data["type"].as_str().expect("a type").to_owned();
        if kind == "participant_joined" {
            assert_eq!(event.data["data"]["participant"]["kind"], "HOLOGRAM");
            assert_eq!(event.data["data"]["participant"]["newField"]["aB"], 1);
        }
        names.insert(event.data["room"].as_str().expect("a room").chars().take(20).collect::<String>());
    }
    assert_eq!(names.len(), 6, "{names:?}");
}

#[tokio::test]
async fn a_room_of_a_crashed_node_is_stale_and_not_live() {
    let livekit = FakeLiveKit::start();
    {
        let mut leftover = room("leftover", "RM_old");
        leftover["creation_time"] = (now() - 3600).to_string().into();
        leftover["creation_time_ms"] = ((now() - 3600) * 1000).to_string().into();
        let mut world = livekit.world();
        world.rooms.push(leftover);
        // An empty room within its timeout is live.
        world.rooms.push(room("fresh", "RM_new"));
    }
    let server = server(&livekit).start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    let mut stale = std::collections::HashMap::new();
    for _ in 0..2 {
        let event = stream.next().await;
        let data = &event.data["data"];
        stale.insert(data["room"]["sid"].to_string(), data["roomwatch"]["stale"] == true);
    }
    assert_eq!(stale, [("\"RM_old\"".to_owned(), true), ("\"RM_new\"".to_owned(), false)].into());
    let last_seq = last(&server).await;
    livekit.full_runs(3).await;
    assert_eq!(last(&server).await, last_seq);
    let answer = server.get("/api/rooms").await.1;
    for room in answer["rooms"].as_array().expect("a list") {
        assert_eq!(room["stale"], room["name"] == "leftover", "{room}");
    }
    // A participant is in it after all.
    livekit.world().participants.insert("leftover".into(), vec![participant("eve", "PA_9", vec![])]);
    assert_eq!(
        told(&mut stream, 2).await,
        pairs(&[("room_updated", "RM_old"), ("participant_joined", "PA_9")])
    );
}

#[tokio::test]
async fn egress_and_ingress_are_found_if_livekit_has_redis() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let nanos = |secs: i64| (secs * 1_000_000_000).to_string();
    let egress = |id: &str, status: &str, ended: &str| {
        json!({"egress_id": id, "room_id": "RM_1", "room_name": "standup", "source_type": "EGRESS_SOURCE_TYPE_WEB",
            "status": status, "started_at": nanos(now() - 30), "ended_at": ended, "updated_at": nanos(now()), "error": "",
            "room_composite": {"room_name": "standup", "file_outputs": [{"filepath": "a.mp4",
                "s3": {"access_key": "REDACT-ME", "secret": "REDACT-ME", "bucket": "b"}}]}})
    };
    livekit.world().egress = Some(vec![egress("EG_1", "EGRESS_ACTIVE", "0")]);
    livekit.world().ingress = Some(vec![
        json!({"ingress_id": "IN_1", "name": "obs", "stream_key": "REDACT-ME", "room_name": "standup",
            "participant_identity": "obs", "state": {"status": "ENDPOINT_PUBLISHING", "started_at": nanos(now()), "updated_at": nanos(now())}}),
        json!({"ingress_id": "IN_2", "name": "idle", "room_name": "standup", "state": {"status": "ENDPOINT_INACTIVE"}}),
    ]);
    let server = server(&livekit).start();
    let mut stream = server.stream("?after=start").await;
    stream.connected().await;
    let mut kinds = Vec::new();
    for _ in 0..7 {
        let event = stream.next().await;
        assert!(!event.data.to_string().contains("REDACT-ME"), "{event:?}");
        kinds.push(event.data["type"].as_str().expect("a type").to_owned());
    }
    assert!(
        kinds.contains(&"egress_started".into()) && kinds.contains(&"ingress_started".into()),
        "{kinds:?}"
    );
    assert_eq!(project(&server).await["egress"], "ok");
    // It ended, and so did one that was unknown.
    livekit.world().egress = Some(vec![
        egress("EG_1", "EGRESS_COMPLETE", &nanos(now())),
        egress("EG_2", "EGRESS_FAILED", &nanos(now())),
        egress("EG_old", "EGRESS_COMPLETE", &nanos(now() - 80_000))
            .as_object_mut()
            .map(|old| {
                old.insert("updated_at".into(), nanos(now() - 80_000).into());
                Value::Object(old.clone())
            })
            .expect("an object"),
    ]);
    livekit.world().ingress = Some(vec![]);
    let mut ended = std::collections::BTreeSet::new();
    while ended.len() < 3 {
        let event = stream.next().await;
        let data = &event.data["data"];
        let id = data["egressInfo"]["egressId"].as_str().or(data["ingressInfo"]["ingressId"].as_str());
        ended.insert(format!("{} {}", event.data["type"].as_str().unwrap_or(""), id.unwrap_or("")));
    }
    let expected = ["egress_ended EG_1", "egress_ended EG_2", "ingress_ended IN_1"];
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), expected);
    let last_seq = last(&server).await;
    livekit.full_runs(3).await;
    assert_eq!(last(&server).await, last_seq);
}

#[tokio::test]
async fn at_most_twenty_calls_a_second() {
    let livekit = FakeLiveKit::start();
    for n in 0..30 {
        let name = format!("room-{n}");
        livekit
            .world()
            .participants
            .insert(name.clone(), vec![participant("alice", &format!("PA_{n}"), vec![])]);
        livekit.world().rooms.push(room(&name, &format!("RM_{n}")));
    }
    let server = server(&livekit).env("ROOMWATCH_RECONCILE_SECS", "1").start();
    until_async("all are there", async || project(&server).await["corrections"]["total"] == 60).await;
    livekit.full_runs(1).await;
    let calls: Vec<Instant> = livekit.world().calls.iter().map(|(_, _, at)| *at).collect();
    for (n, first) in calls.iter().enumerate() {
        let within = calls[n..].iter().take_while(|at| **at - *first < Duration::from_secs(1)).count();
        // One more, because a second may begin at any moment.
        assert!(within <= 21, "{within} calls within a second");
    }
}

#[tokio::test]
async fn livekit_behind_a_path_prefix() {
    let livekit = FakeLiveKit::start();
    meeting(&livekit);
    let url = format!("ws://{}/behind/a/proxy/", livekit.address);
    let server = Start::new().env("LIVEKIT_URL", &url).start();
    until_async("the meeting is there", async || project(&server).await["corrections"]["total"] == 5).await;
    assert_eq!(project(&server).await["url"], format!("http://{}/behind/a/proxy", livekit.address));
}

#[tokio::test]
async fn the_last_webhook_is_known_after_a_kill() {
    let started_at = now() as u64 * 1_000;
    let mut server = Start::new().on_disk().start();
    let unknown = project(&server).await;
    assert_eq!((&unknown["lastWebhookAt"], &unknown["lastWebhookEvent"]), (&Value::Null, &Value::Null));
    assert!(unknown["corrections"]["since"].as_u64().is_some_and(|since| since >= started_at), "{unknown}");
    for (n, body) in [r#"{"event":"room_started","id":"EV_1"}"#, r#"{"event":"egress_ended","id":"EV_2"}"#]
        .into_iter()
        .enumerate()
    {
        assert_eq!(server.webhook(body).await, 200, "{n}");
    }
    until_async("it is folded", async || project(&server).await["lastWebhookEvent"] == "egress_ended").await;
    let before = project(&server).await;
    server.kill();
    // Receipts of the deployment are lost too: the log has it.
    for file in std::fs::read_dir(server.dir.path().join("data")).expect("files") {
        let path = file.expect("a file").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("shared.db")) {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let server = server.again().start();
    let after = project(&server).await;
    for field in ["lastWebhookAt", "lastWebhookEvent"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert!(after["corrections"]["since"].as_u64() > before["corrections"]["since"].as_u64());
}

#[tokio::test]
async fn without_a_url_only_webhooks_count() {
    let server = Server::start();
    let health = project(&server).await;
    assert_eq!(health["state"], "unconfigured");
    assert_eq!(health["reachable"], false);
    assert_eq!(health["url"], Value::Null);
    // A token for one room does not see the health of the project.
    let (status, answer) = server.get_as(&crate::harness::admin_token("standup"), "/api/projects").await;
    assert_eq!((status, answer), (200, json!({"clockJumpSecs": null, "projects": [], "storage": null})));
    assert_eq!(server.get_as("", "/api/projects").await.0, 401);
}
