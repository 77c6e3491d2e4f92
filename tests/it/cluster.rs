//! The shared part of a deployment: one story for every implementation, and nodes that share one.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, header::AUTHORIZATION},
};
use roomwatch::{
    clock::Clock,
    cluster::{Cluster, Counts, Expected, Local, Map, NodeId},
    config::DEV_KEY,
    ingest::webhook::receive,
    node::Node,
    token::{Claims, Secret, sign},
};

use sha2::{Digest, Sha256};

use crate::{
    harness::{
        event,
        shared::{bytes, cluster_story},
        until_async, webhook_claims,
    },
    node::config,
};

#[tokio::test]
async fn a_node_alone_keeps_the_promises() {
    let dir = tempfile::tempdir().expect("a directory");
    cluster_story(&Local::open(dir.path()).expect("it opens"), 5_000).await;
}

#[tokio::test]
async fn durable_entries_outlive_the_node() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut revisions = Vec::new();
    for _ in 0..2 {
        let local = Local::open(dir.path()).expect("it opens");
        for map in Map::ALL {
            let found = local.get(map, "a").await.expect("an answer").map(|entry| entry.revision);
            let kept = revisions.iter().find(|(kept, _)| *kept == map).map(|(_, revision)| *revision);
            let is_durable = match map {
                Map::Logins
                | Map::Operator
                | Map::Receipts
                | Map::Bootstrap
                | Map::Deliveries
                | Map::DeadLetters => true,
                Map::Streams | Map::Health | Map::Asks | Map::Nodes => false,
            };
            assert_eq!(found, kept.filter(|_| is_durable), "{map:?}");
            let revision = local.put(map, "a", bytes("1"), Expected::Anything).await.expect("put");
            assert!(Some(revision) > found, "{map:?}");
            revisions.push((map, revision));
        }
    }
}

/// Two nodes of one deployment.
async fn pair(cluster: &Arc<Local>) -> [(Node, tempfile::TempDir); 2] {
    let node = async || {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = config(dir.path());
        config.dev = false;
        config.password = Some(Secret::new("correct horse"));
        (Node::open_in(config, cluster.clone()).await.expect("a node"), dir)
    };
    [node().await, node().await]
}

#[tokio::test]
async fn a_sign_in_holds_on_every_node_and_so_does_its_end() {
    let shared = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Local::open(shared.path()).expect("it opens"));
    let [(a, _a), (b, _b)] = pair(&cluster).await;
    let (a, b) = (a.app(), b.app());
    let (token, _) = a.accounts.login("operator", Secret::new("correct horse")).await.expect("signed in");
    until_async("the other node knows it", async || b.accounts.find(&token).is_some()).await;
    let (login, _) = b.accounts.find(&token).expect("known");
    b.accounts.logout(&token).await.expect("signed out");
    assert!(login.has_ended() && b.accounts.find(&token).is_none());
    until_async("the first node knows that", async || a.accounts.find(&token).is_none()).await;
}

#[tokio::test]
async fn a_sign_in_that_has_ended_never_comes_back() {
    let shared = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Local::open(shared.path()).expect("it opens"));
    let [(a, _a), _b] = pair(&cluster).await;
    for _ in 0..20 {
        let accounts = &a.app().accounts;
        let (token, login) =
            accounts.login("operator", Secret::new("correct horse")).await.expect("signed in");
        accounts.logout(&token).await.expect("signed out");
        for _ in 0..50 {
            assert!(accounts.find(&token).is_none() && login.has_ended());
            tokio::task::yield_now().await;
        }
    }
}

/// The file of d9a324f, as it was made there, with its last commit still in the WAL.
#[tokio::test]
async fn sign_ins_of_the_first_version_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let password = Secret::new("correct horse");
    let hash = roomwatch::accounts::hash(&password).expect("a hash");
    let token = "an-old-token";
    let old = rusqlite::Connection::open(dir.path().join("logins.db")).expect("it opens");
    old.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE session (
             hash BLOB PRIMARY KEY, user TEXT NOT NULL, credential BLOB NOT NULL,
             began_at INTEGER NOT NULL, ends_at INTEGER NOT NULL
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE operator (one INTEGER PRIMARY KEY CHECK (one = 1), hash TEXT NOT NULL) STRICT;",
    )
    .expect("made");
    old.execute("INSERT INTO operator VALUES (1, ?1)", [hash.reveal()]).expect("written");
    let sha256 = |text: &str| Sha256::digest(text).to_vec();
    old.execute(
        "INSERT INTO session VALUES (?1, 'operator', ?2, 1, 4000000000000)",
        (sha256(token), sha256(hash.reveal())),
    )
    .expect("written");
    // As after `kill -9`: the files as they are, while the connection is open.
    for ending in ["", "-wal"] {
        let name = format!("logins.db{ending}");
        std::fs::copy(dir.path().join(&name), dir.path().join(format!("{name}.copy"))).expect("copied");
    }
    drop(old);
    for ending in ["", "-wal"] {
        let name = format!("logins.db{ending}");
        std::fs::rename(dir.path().join(format!("{name}.copy")), dir.path().join(&name)).expect("renamed");
    }

    let mut config = config(dir.path());
    config.password = Some(password);
    let node = Node::open(config).await.expect("a node");
    let (login, _) = node.app().accounts.find(token).expect("still signed in");
    assert_eq!((&*login.user, login.ends_at), ("operator", 4_000_000_000_000));
    assert!(!dir.path().join("logins.db").exists());
}

#[tokio::test]
async fn receipts_are_known_on_every_node_and_after_a_restart() {
    let shared = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Local::open(shared.path()).expect("it opens"));
    let [(a, _a), (b, _b)] = pair(&cluster).await;
    let body = event("EV_1", "standup");
    let claims = Claims { iss: DEV_KEY.0.into(), ..webhook_claims(body.as_bytes()) };
    let token = sign(&claims, &Secret::new(DEV_KEY.1)).parse().expect("a header");
    let headers = HeaderMap::from_iter([(AUTHORIZATION, token)]);
    let answer = receive(State(a.app().webhooks.clone()), headers, body.into()).await;
    assert_eq!(answer.status(), 200);
    let receipt = |node: &Node| node.app().receipts.of("default").0;
    let here = receipt(&a);
    assert_eq!(here.last_event.as_deref(), Some("room_started"));
    a.close().await.expect("it closes");
    until_async("the other node knows it", async || receipt(&b) == here).await;
    b.close().await.expect("it closes");
    let [(again, _again), _] = pair(&cluster).await;
    assert_eq!(receipt(&again), here);
}

#[tokio::test]
async fn counts_are_those_of_all_nodes_that_are_alive() {
    let shared = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Local::open(shared.path()).expect("it opens"));
    let clock = Clock::held(1);
    let node = || Counts::new(cluster.clone(), Map::Streams, NodeId::random(), clock.clone());
    let (a, b, c) = (node(), node(), node());
    let (_a, _b, dead) = (a.start(), b.start(), c.start());
    let elsewhere = async |counts: &Counts, ada, bob| {
        until_async("the counts have come", async || {
            clock.advance(Duration::from_millis(10));
            (counts.elsewhere("ada"), counts.elsewhere("bob")) == (ada, bob)
        })
        .await;
    };
    a.set("ada", 2);
    b.set("ada", 1);
    c.set("bob", 4);
    elsewhere(&a, 1, 4).await;
    elsewhere(&b, 2, 4).await;
    elsewhere(&c, 3, 0).await;
    a.set("ada", 1);
    a.set("ada", 0);
    elsewhere(&c, 1, 0).await;
    // A node that was killed says nothing, and counts no more after a while; one that lives still does.
    drop(dead);
    for _ in 0..4 {
        clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    elsewhere(&a, 1, 0).await;
    // A node that leaves says so.
    b.leave().await;
    elsewhere(&a, 0, 0).await;
}
