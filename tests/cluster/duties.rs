//! Duties that one node of a deployment has for all.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    faults::node,
    harness::{
        Server, list_token,
        livekit::{FakeLiveKit, participant, room, track},
        until_async,
    },
    nats::{Servers, names},
};

async fn project(node: &Server) -> Value {
    node.get("/api/projects").await.1["projects"][0].clone()
}

/// Types of the conditions' events so far.
async fn conditions(node: &Server) -> Vec<String> {
    let (status, page) = node.get("/api/events?after=start&limit=1000&type=roomwatch.condition_*").await;
    assert_eq!(status, 200, "{page}");
    let events = page["events"].as_array().expect("events");
    let said = |event: &Value| {
        format!("{} {}", event["type"].as_str().unwrap_or(""), event["data"]["condition"]["kind"])
    };
    events.iter().map(said).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_show_one_comparison_with_livekit_and_each_condition_is_opened_once() {
    let servers = Servers::start();
    servers.init(&names()).await;
    let mut livekit = FakeLiveKit::start();
    {
        let mut world = livekit.world();
        world.rooms.push(room("standup", "RM_1"));
        let ada = participant("ada", "PA_1", vec![track("TR_1", "MICROPHONE", false)]);
        world.participants.insert("standup".into(), vec![ada]);
    }
    let nodes: Vec<_> = (0..2)
        .map(|_| {
            node(&servers)
                .file("[attention]\nlivekit_unreachable_secs = 2\n")
                .env("LIVEKIT_URL", &livekit.url())
                .env("ROOMWATCH_OPEN_CONDITIONS", "true")
                .env("ROOMWATCH_RECONCILE_SECS", "600")
                .start()
        })
        .collect();
    for node in &nodes {
        until_async("each node shows that LiveKit answers", async || project(node).await["state"] == "ok")
            .await;
    }

    // A reader of either node makes the one that compares look every two seconds.
    for (n, node) in nodes.iter().enumerate() {
        let mut reader = node.stream_as(&list_token(), "?room=standup", None).await;
        reader.connected().await;
        for muted in [true, false] {
            livekit.world().participants.get_mut("standup").expect("a room")[0]["tracks"][0]["muted"] =
                json!(muted);
            let began = Instant::now();
            let event = reader.next().await;
            assert_eq!(event.data["type"], if muted { "track_muted" } else { "track_unmuted" });
            assert!(began.elapsed() < Duration::from_secs(7), "node {n}: {:?}", began.elapsed());
        }
    }

    livekit.down();
    let unreachable = "roomwatch.condition_opened \"livekit_unreachable\"".to_owned();
    until_async("the condition is opened", async || conditions(&nodes[0]).await.contains(&unreachable)).await;
    until_async("both nodes say the same", async || {
        let away = [project(&nodes[0]).await, project(&nodes[1]).await];
        away[0]["state"] == "unreachable" && away[0]["awaySince"] == away[1]["awaySince"]
    })
    .await;
    // If each node judged for itself, both would open it, and one would close what only the other one knows.
    tokio::time::sleep(Duration::from_secs(4)).await;
    for node in &nodes {
        let said = conditions(node).await;
        let kinds: HashSet<_> = said.iter().collect();
        assert!(said.iter().all(|said| said.starts_with("roomwatch.condition_opened")), "{said:?}");
        assert_eq!(kinds.len(), said.len(), "opened twice: {said:?}");
    }
}
