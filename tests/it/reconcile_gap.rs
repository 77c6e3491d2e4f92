//! Webhooks that could not be stored: LiveKit gives up on them, so Roomwatch asks LiveKit.

use std::sync::atomic::Ordering;

use roomwatch::{
    event::{Seq, Source},
    log::EventLog,
};

use crate::harness::{
    faulty::Inside,
    livekit::{FakeLiveKit, participant, room},
    until_async,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_webhook_after_our_outage_triggers_a_comparison() {
    let livekit = FakeLiveKit::start();
    let server = Inside::start(Some(livekit.url())).await;
    let log = &server.log;
    until_async("the first run is over", async || {
        server.app.reconcile.health("default").is_some_and(|health| health.reconciled_at.is_some())
    })
    .await;
    assert_eq!(server.webhook("EV_1").await, 200);

    log.full.store(true, Ordering::Release);
    assert_eq!(server.webhook("EV_2").await, 503);
    livekit.world().rooms.push(room("standup", "RM_1"));
    livekit.world().participants.insert("standup".into(), vec![participant("alice", "PA_1", vec![])]);
    log.full.store(false, Ordering::Release);
    assert_eq!(server.webhook("EV_2").await, 200);

    let told = async || {
        let events = log.read(Seq::ZERO, 100).await.expect("events");
        let told = events.iter().filter(|event| event.source == Source::Reconcile);
        told.map(|event| event.kind.as_str().to_owned()).collect::<Vec<_>>()
    };
    until_async("the lost events are found", async || told().await == ["room_started", "participant_joined"])
        .await;

    // An event is counted once its append has been answered, which is after it can be read.
    until_async("the corrections are counted", async || {
        server.metrics.render().contains("roomwatch_reconcile_corrections_total 2")
    })
    .await;
    let shown = server.metrics.render();
    for line in [
        "roomwatch_reconcile_calls_total{outcome=\"ok\"}",
        "roomwatch_reconcile_runs_total{outcome=\"agreed\"}",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
}
