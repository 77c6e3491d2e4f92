//! Events of Roomwatch itself: in the log and on the stream like all others, and never taken for LiveKit's.

use std::sync::Arc;

use roomwatch::{
    event::{Source, body::Redaction, own::OwnEvent},
    log::{Appended, EventLog, LogUrl},
};
use serde_json::{Value, json};

use crate::harness::{event, faulty::Inside, join_token, list_token};

const TYPE: &str = "roomwatch.condition_opened";

async fn append(server: &Inside, cause: u64) -> Appended {
    let project: Arc<str> = "default".into();
    let members = json!({ "condition": "no_webhooks", "seq": cause, "enabledToken": "CANARY" });
    let own = OwnEvent {
        project: &project,
        name: "condition_opened",
        room: Some(("a", "RM_a")),
        members: members.as_object().expect("an object").clone(),
    };
    let new = own.at(1_787_486_406_123, &Redaction::new(&["enabledToken".into()]).expect("a path"));
    server.log.append(vec![new.expect("an event")]).await.expect("stored")[0]
}

fn types(events: &Value) -> Vec<&str> {
    let events = events["events"].as_array().expect("events");
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

async fn an_own_event_is_shown_to_operators_and_counts_as_nothing(log_url: Option<LogUrl>) {
    let server = Inside::over(log_url, None).await;
    assert_eq!(server.post(&event("EV_1", "a")).await, 200);
    server.app.current().await;
    let before = server.get("/api/rooms/a").await;
    let mut all = server.stream_as(&list_token(), "").await;
    let mut joined = server.stream_as(&join_token("a"), "").await;
    all.connected().await;
    joined.connected().await;

    let first = append(&server, 1).await;
    assert_eq!(append(&server, 1).await, Appended { duplicate: true, ..first }, "said twice");
    assert_eq!(server.post(&event("EV_2", "a")).await, 200);
    server.app.current().await;

    let told = all.next().await.data;
    assert_eq!((&told["type"], &told["source"]), (&json!(TYPE), &json!("roomwatch")));
    assert_eq!((&told["room"], &told["changes"]), (&json!("a"), &json!([])));
    assert_eq!(told["data"]["condition"], "no_webhooks");
    assert!(!told.to_string().contains("CANARY"), "redacted like a webhook: {told}");
    assert_eq!(all.next().await.data["data"]["id"], "EV_2");

    // A caller with only `roomJoin` gets the events on both sides of it: live, replayed and in pages.
    assert_eq!(joined.next().await.data["data"]["id"], "EV_2");
    let mut replayed = server.stream_as(&join_token("a"), "?after=start").await;
    replayed.connected().await;
    assert_eq!(replayed.next().await.data["data"]["id"], "EV_1");
    assert_eq!(replayed.next().await.data["data"]["id"], "EV_2");
    let page = server.get_as(&join_token("a"), "/api/events?after=start").await;
    assert_eq!(types(&page), ["room_started", "room_started"]);
    let page = server.get("/api/events?after=start&type=roomwatch.*").await;
    assert_eq!(types(&page), [TYPE]);

    // Nothing of the room has changed, and nothing was corrected.
    let stored = server.log.read(roomwatch::event::Seq(1), 1).await.expect("read");
    assert_eq!(stored[0].source, Source::Roomwatch, "read back as it was stored");
    let after = server.get("/api/rooms/a").await;
    for field in ["sid", "source", "stale", "counts", "participantCount", "metadata"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let projects = server.get("/api/projects").await;
    assert_eq!(projects["projects"][0]["corrections"]["total"], 0, "{projects}");
    assert!(server.metrics.render().contains("roomwatch_reconcile_corrections_total 0"));
    assert!(server.metrics.render().contains("roomwatch_webhooks_total{outcome=\"stored\"} 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_event_is_shown_to_operators_and_counts_as_nothing_on_sqlite() {
    an_own_event_is_shown_to_operators_and_counts_as_nothing(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_event_is_shown_to_operators_and_counts_as_nothing_in_memory() {
    an_own_event_is_shown_to_operators_and_counts_as_nothing(Some(LogUrl::Memory)).await;
}
