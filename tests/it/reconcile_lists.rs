//! Lists of LiveKit that are empty once, short, cut into pages, or broken: over all four kinds of entities.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::harness::{
    Server, Start,
    livekit::{FakeLiveKit, World, participant, room},
    now, until_async,
};

/// One kind of entity, and the list that has it.
struct Kind {
    method: &'static str,
    /// The member of the answer.
    list: &'static str,
    /// Removes the entity `2` of this kind, as its end does.
    remove: fn(&mut World),
    /// Type and sid of the event that reports its end.
    ended: (&'static str, &'static str),
    /// A later request that asks about it by name or id.
    by_name: fn(&Value) -> bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        method: "ListRooms",
        list: "rooms",
        remove: |world| world.rooms.retain(|room| room["sid"] != "RM_2"),
        ended: ("room_finished", "RM_2"),
        by_name: |request| request["names"].as_array().is_some_and(|names| names.contains(&json!("room-2"))),
    },
    Kind {
        method: "ListParticipants",
        list: "participants",
        remove: |world| drop(world.participants.insert("room-2".into(), Vec::new())),
        ended: ("participant_left", "PA_2"),
        by_name: |request| request["room"] == "room-2",
    },
    Kind {
        method: "ListEgress",
        list: "items",
        remove: |world| world.egress.as_mut().expect("egress").retain(|egress| egress["egress_id"] != "EG_2"),
        ended: ("egress_ended", "EG_2"),
        by_name: |request| request["egress_id"] == "EG_2",
    },
    Kind {
        method: "ListIngress",
        list: "items",
        remove: |world| {
            world.ingress.as_mut().expect("ingress").retain(|ingress| ingress["ingress_id"] != "IN_2");
        },
        ended: ("ingress_ended", "IN_2"),
        by_name: |request| request["ingress_id"] == "IN_2",
    },
];

/// Five rooms, each with a participant, an egress and an ingress. Nothing is newer than a minute.
fn world(livekit: &FakeLiveKit) {
    let nanos = ((now() - 60) * 1_000_000_000).to_string();
    let mut world = livekit.world();
    let (mut all_egress, mut all_ingress) = (Vec::new(), Vec::new());
    for n in 0..5 {
        let name = format!("room-{n}");
        world.rooms.push(room(&name, &format!("RM_{n}")));
        world.participants.insert(name.clone(), vec![participant("alice", &format!("PA_{n}"), vec![])]);
        all_egress.push(json!({"egress_id": format!("EG_{n}"), "room_id": format!("RM_{n}"), "room_name": name,
            "status": "EGRESS_ACTIVE", "started_at": nanos, "updated_at": nanos, "room_composite": {"room_name": name}}));
        all_ingress.push(json!({"ingress_id": format!("IN_{n}"), "name": "obs", "room_name": name,
            "state": {"status": "ENDPOINT_PUBLISHING", "started_at": nanos, "updated_at": nanos}}));
    }
    world.egress = Some(all_egress);
    world.ingress = Some(all_ingress);
}

/// A server that has found everything: 5 rooms, participants, egress and ingress.
async fn found(livekit: &FakeLiveKit) -> Server {
    let server = Start::new().env("LIVEKIT_URL", &livekit.url()).env("ROOMWATCH_RECONCILE_SECS", "1").start();
    until_async("everything is found", async || corrections(&server).await == 20).await;
    server
}

async fn corrections(server: &Server) -> u64 {
    let (_, answer) = server.get("/api/projects").await;
    answer["projects"][0]["corrections"]["total"].as_u64().expect("a number")
}

/// The types and ids of all corrections after the first 20.
async fn later(server: &Server) -> Vec<(String, String)> {
    let (_, page) = server.get("/api/events?after=start&limit=1000").await;
    let events = page["events"].as_array().expect("events").iter().skip(20);
    let about = |event: &Value| {
        let data = &event["data"];
        let ids = [
            &data["participant"]["sid"],
            &data["egressInfo"]["egressId"],
            &data["ingressInfo"]["ingressId"],
            &data["room"]["sid"],
        ];
        let id = ids.into_iter().find_map(Value::as_str).unwrap_or("");
        (event["type"].as_str().unwrap_or("").to_owned(), id.to_owned())
    };
    events.map(about).collect()
}

#[tokio::test]
async fn an_answer_that_is_empty_once_ends_nothing() {
    let livekit = FakeLiveKit::start();
    world(&livekit);
    let server = found(&livekit).await;
    for kind in KINDS {
        livekit.world().lies.entry(kind.method).or_default().push_back((200, json!({ kind.list: [] })));
        until_async("the answer is given", async || livekit.world().lies[kind.method].is_empty()).await;
        // Long enough for the question that follows, and for more lists.
        livekit.full_runs(4).await;
        assert_eq!(later(&server).await, [], "{}", kind.method);
    }
}

#[tokio::test]
async fn what_two_answers_lack_has_ended() {
    let livekit = FakeLiveKit::start();
    world(&livekit);
    let server = found(&livekit).await;
    for kind in KINDS.iter().rev() {
        let before = later(&server).await.len();
        let began = std::time::Instant::now();
        (kind.remove)(&mut livekit.world());
        until_async("it ends", async || later(&server).await.len() > before).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(6), "{} {took:?}", kind.method);
        let (what, sid) = kind.ended;
        assert_eq!(later(&server).await[before..], [(what.to_owned(), sid.to_owned())]);
        let asked = livekit.world().calls.iter().any(|(method, request, at)| {
            method == kind.method && *at > began + Duration::from_millis(1_900) && (kind.by_name)(request)
        });
        assert!(asked, "{}: asked about it by name", kind.method);
    }
}

#[tokio::test]
async fn all_pages_are_read_and_a_part_ends_nothing() {
    let livekit = FakeLiveKit::start();
    world(&livekit);
    livekit.world().page_items = Some(2);
    let server = found(&livekit).await;
    livekit.full_runs(4).await;
    assert_eq!(later(&server).await, []);
    let tokens: BTreeSet<_> = {
        let world = livekit.world();
        let pages = world.calls.iter().filter(|(method, ..)| method == "ListEgress");
        pages
            .map(|(_, request, _)| request["page_token"]["token"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    assert_eq!(tokens.into_iter().collect::<Vec<_>>(), ["", "2", "4"]);

    // The second page fails, or there is always one more.
    let endless = json!({"items": [], "next_page_token": {"token": "0"}});
    let one = |method| match method {
        "ListEgress" => livekit.world().egress.as_ref().expect("egress")[0].clone(),
        _ => livekit.world().ingress.as_ref().expect("ingress")[0].clone(),
    };
    for method in ["ListEgress", "ListIngress"] {
        let first = json!({"items": [one(method)], "next_page_token": {"token": "x"}});
        let failed = (500, json!({"code": "internal", "msg": "boom"}));
        for _ in 0..4 {
            livekit.world().lies.entry(method).or_default().extend([(200, first.clone()), failed.clone()]);
        }
        until_async("they are given", async || livekit.world().lies[method].is_empty()).await;
        assert_eq!(later(&server).await, [], "{method}");
        livekit.world().lies.entry(method).or_default().extend(vec![(200, endless.clone()); 150]);
        until_async("they are given", async || livekit.world().lies[method].is_empty()).await;
        livekit.full_runs(2).await;
        assert_eq!(later(&server).await, [], "{method}");
    }
}
