//! The nodes of a deployment, the servers of its log, and the conditions that need an operator, as every node shows them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    faults::node,
    harness::{
        Server, client,
        operators::{get, login, user},
        until_async,
    },
    nats::{Servers, names},
};

/// Asks as an operator.
async fn ask(node: &Server, cookie: &str, path: &str) -> Value {
    let (status, _, answer) = get(node, path, &[("cookie", cookie)]).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// The ids of the open conditions, sorted.
async fn open(node: &Server, cookie: &str) -> Vec<String> {
    let answer = ask(node, cookie, "/api/attention").await;
    let conditions = answer["conditions"].as_array().expect("conditions");
    let ids = conditions.iter().map(|condition| condition["id"].as_str().expect("an id").to_owned());
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

async fn until_open(what: &str, node: &Server, cookie: &str, is_right: impl Fn(&[String]) -> bool) {
    let (began, mut last) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(60) {
        last = open(node, cookie).await;
        if is_right(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{what}: {last:?}\n{}", ask(node, cookie, "/api/cluster").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_shows_its_nodes_and_servers_and_says_what_is_missing() {
    let mut servers = Servers::start();
    servers.init(&names()).await;
    // No disk has as much free space.
    let file = format!(
        "[attention]\nnode_gone_secs = 8\nreplica_missing_secs = 1\ndisk_free_mib = 4000000000\n{}",
        user("otto", "operator")
    );
    let start =
        || node(&servers).file(&file).env("ROOMWATCH_OPEN_CONDITIONS", "true").env("ROOMWATCH_PASSWORD", "");
    let mut nodes = [start().start(), start().start()];
    let cookie = login(&nodes[0], "otto").await;
    let port = |node: &Server| format!(":{}", node.address.port());

    // Both show the same.
    for n in 0..2 {
        until_async("both nodes and all streams are shown", async || {
            let shown = ask(&nodes[n], &cookie, "/api/cluster").await;
            shown["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2)
                && shown["engine"]["streams"].as_array().is_some_and(|streams| streams.len() == 4)
        })
        .await;
        let shown = ask(&nodes[n], &cookie, "/api/cluster").await;
        for (m, node) in nodes.iter().enumerate() {
            let found = shown["nodes"].as_array().expect("nodes").iter();
            let found: Vec<_> = found
                .filter(|found| found["name"].as_str().expect("a name").ends_with(&port(node)))
                .collect();
            assert_eq!(found.len(), 1, "{shown}");
            assert_eq!((&found[0]["own"], &found[0]["silent"]), (&(m == n).into(), &false.into()));
            assert_eq!(found[0]["version"], env!("CARGO_PKG_VERSION"));
        }
        for stream in shown["engine"]["streams"].as_array().expect("streams") {
            assert_eq!(stream["servers"].as_array().map(Vec::len), Some(3), "{stream}");
            assert_eq!(stream["servers"][0]["leader"], true, "{stream}");
        }
        assert_eq!(shown["engine"]["epochs"][0]["why"], "the deployment was created");
        assert!(shown["engine"]["epochs"][0]["at"].as_u64() > Some(1_700_000_000_000), "{shown}");
        assert_eq!(shown["engine"]["away"], false);
    }
    until_async("each job has one node", async || {
        let shown = ask(&nodes[1], &cookie, "/api/cluster").await;
        let leases = shown["nodes"].as_array().expect("nodes").iter();
        let mut leases: Vec<_> = leases
            .flat_map(|node| node["leases"].as_array().expect("leases"))
            .map(|job| job.as_str().expect("text").to_owned())
            .collect();
        leases.sort();
        leases == ["attention", "bootstrap"]
    })
    .await;
    // The thresholds of the file are those of a node of a deployment too.
    until_open("the disk", &nodes[1], &cookie, |open| open == ["disk_nearly_full:free"]).await;

    // A node and two servers end. Without a majority nothing can be said, until it is over.
    let gone = format!("node_gone:{}{}", hostname(), port(&nodes[0]));
    nodes[0].kill();
    servers.kill(0);
    servers.kill(1);
    until_async("NATS is away", async || {
        ask(&nodes[1], &cookie, "/api/cluster").await["engine"]["away"] == true
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(open(&nodes[1], &cookie).await, ["disk_nearly_full:free"]);
    servers.run(1);
    let missing =
        |open: &[String]| open.iter().filter(|id| id.starts_with("replica_missing:RW_test")).count();
    until_open("the outage, the node and the server", &nodes[1], &cookie, |open| {
        open.contains(&"log_away".to_owned()) && open.contains(&gone) && missing(open) == 4
    })
    .await;
    until_async("it is shown as silent", async || {
        let shown = ask(&nodes[1], &cookie, "/api/cluster").await;
        shown["nodes"].as_array().expect("nodes").iter().filter(|node| node["silent"] == true).count() == 1
    })
    .await;
    let metric = async |name: &str| {
        let metrics = client().get(nodes[1].url("/metrics")).send().await.expect("an answer");
        let metrics = metrics.text().await.expect("a text");
        let name = format!("roomwatch_cluster_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<i64>().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!((metric("nodes").await, metric("nodes_silent").await), (2, 1));
    assert_eq!(metric("streams_incomplete").await, 4);
    until_async("it does every job", async || metric("leases_held").await == 2).await;
    until_async("the data for new nodes", async || (0..120).contains(&metric("bootstrap_age_seconds").await))
        .await;

    servers.run(0);
    let again = nodes[0].again().file(&file);
    nodes[0] = tokio::task::spawn_blocking(move || again.start()).await.expect("it starts");
    until_open("all is well again", &nodes[1], &cookie, |open| open == ["disk_nearly_full:free", "log_away"])
        .await;

    // A node that ends as it should is not missed.
    nodes[0].signal("TERM");
    tokio::task::block_in_place(|| nodes[0].ended());
    until_async("the other one is alone", async || {
        ask(&nodes[1], &cookie, "/api/cluster").await["nodes"].as_array().map(Vec::len) == Some(1)
    })
    .await;
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name").trim().to_owned()
}
