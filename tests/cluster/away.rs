//! A node that cannot reach its NATS servers: webhooks are refused at once, readers go on and are told how old the data is.

use std::time::{Duration, Instant};

use crate::{
    faults::node,
    harness::{Server, client, event, list_token, until_async, webhook_token},
    nats::{LOG_BYTES, Servers, names},
};

/// Status, `Retry-After` and time of a webhook.
async fn webhook(node: &Server, body: &str) -> (u16, Option<String>, Duration) {
    let began = Instant::now();
    let answer = client()
        .post(node.url("/api/webhooks/livekit"))
        .header("content-type", "application/webhook+json")
        .header("authorization", webhook_token(body.as_bytes()))
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer");
    let retry_after =
        answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (answer.status().as_u16(), retry_after, began.elapsed())
}

/// Status and text of a check.
async fn check(node: &Server, path: &str) -> (u16, String) {
    let answer = client().get(node.url(path)).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// The header of a list that tells how old it is.
async fn fresh_at(node: &Server) -> Option<u64> {
    let answer =
        client().get(node.url("/api/rooms")).bearer_auth(list_token()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.headers().get("roomwatch-fresh-at").map(|at| at.to_str().expect("text").parse().expect("a number"))
}

/// A gauge of `/metrics`.
async fn metric(node: &Server, name: &str) -> i64 {
    let (status, text) = check(node, "/metrics").await;
    assert_eq!(status, 200);
    let name = format!("roomwatch_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}"))
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().expect("a time").as_millis() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_servers_refuses_webhooks_at_once_and_says_how_old_its_data_is() {
    let mut servers = Servers::start();
    servers.init(&names()).await;
    let node = node(&servers).start();
    let known = event("EV_known", "standup");
    assert_eq!(webhook(&node, &known).await.0, 200);
    assert_eq!(check(&node, "/readyz/append").await, (200, "ready\n".to_owned()));
    assert_eq!(fresh_at(&node).await, None);
    let (_, said) = check(&node, "/readyz?verbose").await;
    assert!(said.contains(" leads, ") && said.matches("has the whole log").count() == 2, "{said}");
    assert_eq!(metric(&node, "cluster_servers_current").await, 3);
    assert_eq!(metric(&node, "cluster_log_limit_bytes").await, LOG_BYTES as i64);
    let mut reader = node.stream_as(&list_token(), "", None).await;
    reader.connected().await;

    let cut_at = now();
    for n in 0..3 {
        servers.kill(n);
    }
    // A takeover of NATS takes as long, so a webhook is held at first.
    let (status, retry_after, time) = webhook(&node, &event("EV_held", "standup")).await;
    assert_eq!((status, retry_after.as_deref()), (503, Some("1")));
    assert!(time >= Duration::from_secs(5), "{time:?}");

    until_async("it is not ready for webhooks", async || check(&node, "/readyz/append").await.0 == 503).await;
    assert!(now() - cut_at >= 9_000, "after {} ms", now() - cut_at);
    let (_, said) = check(&node, "/readyz/append").await;
    assert!(said.contains("no answer from NATS for 10 s. Check the NATS servers"), "{said}");
    let (status, said) = check(&node, "/readyz").await;
    assert!(status == 200 && said.contains("no answer from NATS"), "{status} {said}");

    let (status, retry_after, time) = webhook(&node, &event("EV_refused", "standup")).await;
    // With `Retry-After: 1` LiveKit would give up after 4 s.
    assert_eq!((status, retry_after), (503, None));
    assert!(time < Duration::from_secs(2), "{time:?}");
    assert_eq!(webhook(&node, &known).await.0, 200, "it is stored");

    assert!(metric(&node, "cluster_silent_seconds").await >= 10);
    assert!(metric(&node, "cluster_stale_seconds").await >= 5);
    let at = fresh_at(&node).await.expect("the list is old");
    assert!((cut_at - 3_000..cut_at + 1_000).contains(&at), "{at} is not about {cut_at}");
    let ping = loop {
        let event = reader.any().await.expect("the stream goes on");
        if event.event == "ping" && event.data["stale"] == true {
            break event;
        }
    };
    assert_eq!(
        ping.data["freshAt"].as_u64().map(|at| at.abs_diff(cut_at) < 3_000),
        Some(true),
        "{}",
        ping.data
    );

    // Two servers are a majority.
    servers.run(0);
    servers.run(1);
    until_async("webhooks are stored", async || webhook(&node, &event("EV_again", "standup")).await.0 == 200)
        .await;
    until_async("it is ready", async || check(&node, "/readyz/append").await == (200, "ready\n".to_owned()))
        .await;
    until_async("lists are fresh", async || fresh_at(&node).await.is_none()).await;
    until_async("one server is missing", async || metric(&node, "cluster_servers_current").await == 2).await;
    let (_, said) = check(&node, "/readyz?verbose").await;
    assert!(said.contains("is behind or offline"), "{said}");
    servers.run(2);
    until_async("all are there", async || metric(&node, "cluster_servers_current").await == 3).await;
    assert_eq!(metric(&node, "cluster_silent_seconds").await / 4, 0);
    assert_eq!(metric(&node, "cluster_stale_seconds").await, 0);
    until_async("it has all", async || metric(&node, "cluster_lag_events").await == 0).await;
    loop {
        let event = reader.any().await.expect("the stream goes on");
        if event.event == "ping" && event.data["stale"].is_null() {
            break;
        }
    }
}
