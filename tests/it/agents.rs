//! The agents and where they are, over HTTP.

use serde_json::{Value, json};

use crate::harness::*;

const DAY: i64 = 24 * 3_600;

async fn send(server: &Server, at: i64, mut event: Value) {
    event["id"] = json!(format!("EV_{}", fastrand::u64(..)));
    event["createdAt"] = json!(at.to_string());
    assert_eq!(server.webhook(&event.to_string()).await, 200);
}

/// An agent that joined `room` `from` seconds ago, and left it `to` seconds ago for a reason.
async fn agent(server: &Server, room: &str, identity: &str, name: &str, from: i64, to: Option<(i64, &str)>) {
    let attributes = if name.is_empty() {
        json!({})
    } else {
        json!({ "lk.agent.name": name, "lk.agent.state": "listening" })
    };
    let sid = format!("PA_{room}_{identity}");
    let participant = json!({ "sid": sid, "identity": identity, "state": "ACTIVE", "kind": "AGENT",
        "joinedAt": (now() - from).to_string(), "permission": { "agent": true }, "attributes": attributes });
    let room =
        json!({ "sid": format!("RM_{room}"), "name": room, "creationTime": (now() - from).to_string() });
    send(
        server,
        now() - from,
        json!({ "event": "participant_joined", "room": room, "participant": participant }),
    )
    .await;
    if let Some((to, reason)) = to {
        let mut gone = participant.clone();
        gone["state"] = "DISCONNECTED".into();
        gone["disconnectReason"] = reason.into();
        send(server, now() - to, json!({ "event": "participant_left", "room": room, "participant": gone }))
            .await;
    }
}

async fn server() -> Server {
    let server = Server::start();
    agent(&server, "voice-1", "agent-AJ_1", "support", 600, None).await;
    agent(&server, "voice-2", "agent-AJ_2", "support", 300, None).await;
    agent(&server, "voice-3", "agent-AJ_3", "support", 1_800, Some((600, "CLIENT_INITIATED"))).await;
    agent(&server, "voice-4", "agent-AJ_4", "support", 3 * DAY, Some((3 * DAY - 3_600, "AGENT_ERROR"))).await;
    agent(&server, "voice-5", "agent-AJ_5", "support", 8 * DAY, Some((8 * DAY - 3_600, "AGENT_ERROR"))).await;
    // Without a name; and an identity that an application gave.
    agent(&server, "plain-1", "agent-AJ_6", "", 900, Some((300, "AGENT_ERROR"))).await;
    agent(&server, "plain-2", "avatar", "", 120, Some((60, "CLIENT_INITIATED"))).await;
    server
}

async fn agents_as(server: &Server, token: &str) -> Vec<Value> {
    let (status, answer) = server.get_as(token, "/api/agents").await;
    assert_eq!(status, 200, "{answer}");
    answer["agents"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn agents_are_grouped_by_name_with_their_rooms_and_their_failures() {
    let server = server().await;
    let agents = agents_as(&server, &list_token()).await;
    let names: Vec<_> = agents.iter().map(|agent| agent["name"].clone()).collect();
    assert_eq!(
        names,
        [json!("support"), json!("avatar"), Value::Null],
        "live ones first, then the last seen"
    );
    let support = &agents[0];
    let numbers = |agent: &Value| {
        ["live", "sessionsDay", "sessionsWeek", "minutesWeek", "failuresDay", "failuresWeek"]
            .map(|name| agent[name].as_i64().unwrap_or(-1))
    };
    assert_eq!(numbers(support), [2, 3, 4, 10 + 5 + 20 + 60, 0, 1]);
    assert_eq!(numbers(&agents[1]), [0, 1, 1, 1, 0, 0]);
    assert_eq!(numbers(&agents[2]), [0, 1, 1, 10, 1, 1]);
    assert!(support["lastSeenAt"].as_i64().expect("a time") >= (now() - 5) * 1000);
    let seen = agents[2]["lastSeenAt"].as_i64().expect("a time") / 1000;
    assert!((now() - 305..=now() - 295).contains(&seen), "{seen}");
    let rooms: Vec<_> =
        support["rooms"].as_array().expect("rooms").iter().map(|room| room["room"].clone()).collect();
    assert_eq!(rooms, ["voice-2", "voice-1"]);
    assert_eq!(
        (&support["rooms"][1]["state"], &support["rooms"][1]["identity"], &support["rooms"][1]["roomSid"]),
        (&json!("listening"), &json!("agent-AJ_1"), &json!("RM_voice-1"))
    );
}

#[tokio::test]
async fn an_agent_whose_name_comes_later_is_one_agent() {
    let server = Server::start();
    agent(&server, "voice-1", "agent-AJ_1", "", 60, None).await;
    assert_eq!(agents_as(&server, &list_token()).await[0]["name"], Value::Null);
    let participant = json!({ "sid": "PA_voice-1_agent-AJ_1", "identity": "agent-AJ_1", "state": "DISCONNECTED",
        "kind": "AGENT", "version": 9, "disconnectReason": "CLIENT_INITIATED", "attributes": { "lk.agentName": "support" } });
    let room = json!({ "sid": "RM_voice-1", "name": "voice-1" });
    send(&server, now(), json!({ "event": "participant_left", "room": room, "participant": participant }))
        .await;
    let agents = agents_as(&server, &list_token()).await;
    assert_eq!((agents.len(), &agents[0]["name"], &agents[0]["live"]), (1, &json!("support"), &json!(0)));
}

#[tokio::test]
async fn a_caller_of_one_room_sees_its_agents_alone() {
    let server = server().await;
    let of_room = agents_as(&server, &admin_token("voice-1")).await;
    assert_eq!((of_room.len(), &of_room[0]["live"], &of_room[0]["sessionsWeek"]), (1, &json!(1), &json!(1)));
    let joined = agents_as(&server, &join_token("voice-2")).await;
    assert_eq!((joined.len(), &joined[0]["rooms"][0]["room"]), (1, &json!("voice-2")));
    assert_eq!(agents_as(&server, &join_token("nowhere")).await, [""; 0].map(Value::from));
    assert_eq!(agents_as(&server, &admin_token("nowhere")).await.len(), 0);
}

#[tokio::test]
async fn rooms_that_should_have_an_agent_are_listed_for_those_who_see_them() {
    let rules = "[attention]\nagent_missing_secs = 1\n[[attention.agents]]\nrooms = \"voice-*\"\n";
    let mut server = Start::new().env("ROOMWATCH_OPEN_CONDITIONS", "").on_disk().file(rules).start();
    let room = json!({ "sid": "RM_voice-9", "name": "voice-9", "creationTime": (now() - 9).to_string() });
    let ann =
        json!({ "sid": "PA_ann", "identity": "ann", "state": "ACTIVE", "joinedAt": (now() - 9).to_string() });
    send(&server, now(), json!({ "event": "participant_joined", "room": room, "participant": ann })).await;
    let missing = async |server: &Server, token: String| {
        server.get_as(&token, "/api/agents").await.1["missing"].clone()
    };
    until_async("the agent to be missed", async || missing(&server, list_token()).await != json!([])).await;
    let found = missing(&server, list_token()).await;
    assert_eq!((&found[0]["id"], &found[0]["room"]), (&json!("agent_missing:RM_voice-9"), &json!("voice-9")));
    assert_eq!(missing(&server, admin_token("voice-9")).await, found);
    assert_eq!(missing(&server, admin_token("voice-8")).await, json!([]));
    assert_eq!(missing(&server, join_token("voice-9")).await, json!([]), "an operator's concern");
    // It is counted, also when it is over, the room has ended, and the server has started again.
    let counts = async |server: &Server, token: String| {
        let (_, answer) = server.get_as(&token, "/api/agents").await;
        (
            answer["missing"].as_array().map(Vec::len),
            answer["missedDay"].clone(),
            answer["missedWeek"].clone(),
        )
    };
    assert_eq!(counts(&server, list_token()).await, (Some(1), json!(1), json!(1)));
    let room = json!({ "sid": "RM_voice-9", "name": "voice-9" });
    send(&server, now(), json!({ "event": "room_finished", "room": room })).await;
    until_async("it to be over", async || missing(&server, list_token()).await == json!([])).await;
    server.signal("TERM");
    server.ended();
    server = server.again().file(rules).start();
    for (token, expected) in [
        (list_token(), 1),
        (admin_token("voice-9"), 1),
        (admin_token("voice-8"), 0),
        (join_token("voice-9"), 0),
    ] {
        assert_eq!(counts(&server, token).await, (Some(0), json!(expected), json!(expected)));
    }
}
