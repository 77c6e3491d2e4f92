//! Settings of the NATS servers with which a deployment would not keep its promises. Each is refused with a sentence that
//! says what to do.

use serde_json::{Value, json};

use crate::{
    faults::node,
    harness::until_async,
    nats::{LOG_BYTES, Servers, names},
};
use roomwatch::{cluster::Deployment, log::cluster};

/// Returns what a node says that does not start.
fn refusal(servers: &Servers) -> String {
    node(servers).fails()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_start_without_its_deployment() {
    let servers = Servers::start();
    let nats = servers.connect().await;
    until_async("JetStream is up", async || {
        let info = nats.info("RW_other", std::time::Duration::from_secs(1)).await;
        matches!(info, Err(roomwatch::nats::NatsError::NoStream(_)))
    })
    .await;
    let said = refusal(&servers);
    assert!(said.contains("it does not exist. Create it with `roomwatch cluster init`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_with_other_settings_is_refused() {
    let servers = Servers::start();
    let nats = servers.connect().await;
    servers.init(&names()).await;
    let stream = names().events();
    let within = std::time::Duration::from_secs(5);
    let right = nats.info(&stream, within).await.expect("an answer").config;
    for (option, value, expected) in [
        ("num_replicas", json!(1), "num_replicas = 1. It must be 3"),
        ("discard", json!("old"), "discard = \"old\". It must be \"new\""),
        ("allow_direct", json!(false), "allow_direct = false. It must be true"),
        (
            "duplicate_window",
            json!(120_000_000_000_u64),
            "duplicate_window = 120000000000. It must be 10 minutes",
        ),
    ] {
        let mut config = right.clone();
        config[option] = value;
        nats.api::<Value>("STREAM.UPDATE", &stream, &config, within).await.expect("updated");
        let said = refusal(&servers);
        assert!(said.contains(expected), "{option}: {said}");
        nats.api::<Value>("STREAM.UPDATE", &stream, &right, within).await.expect("updated");
    }
    drop(node(&servers).start());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_take_only_small_messages_are_refused() {
    let servers = Servers::start_with("", "sync_interval: always");
    let nats = servers.connect().await;
    until_async("it is refused", async || {
        let created = cluster::create(&nats, &names(), LOG_BYTES, Deployment::maps()).await;
        created.is_err_and(|error| {
            error.to_string().contains("max_payload of the NATS servers is 1048576. Set it to 9MB")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_a_single_node_is_not_taken_for_a_copy() {
    let servers = Servers::start();
    servers.init(&names()).await;
    let mut alone = crate::harness::Start::new().on_disk().start();
    alone.kill();
    let said = node(&servers).dir(&alone.dir).fails();
    assert!(said.contains("is the log of a single node"), "{said}");
}
