//! The promises of the log and of what a deployment shares, kept by a deployment of several nodes.

use std::{sync::Arc, time::Duration};

use roomwatch::{
    cluster::{Cluster, Deployment, NodeId},
    event::Seq,
    log::{
        Appended, EventLog, LogOptions,
        cluster::{ClusterLog, Found},
    },
};

use crate::{
    harness::{
        promises::{append_one, id_of, log_story, new_event, read_all},
        shared::cluster_story,
        until_async,
    },
    nats::{Servers, names},
};

async fn open(servers: &Servers, dir: &std::path::Path) -> Arc<ClusterLog> {
    let nats = Arc::new(servers.connect().await);
    let found = Found::ask(dir, nats, names()).await.expect("the deployment is there");
    Arc::new(ClusterLog::open(dir, LogOptions::default(), found).await.expect("the log opens"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_keeps_the_promises_of_the_log() {
    let (servers, dir) = (Servers::start(), tempfile::tempdir().expect("a directory"));
    servers.init(&names()).await;
    log_story(open(&servers, dir.path()).await).await;

    // The same node again, and a new one.
    let again = open(&servers, dir.path()).await;
    let before = again.bounds();
    assert!(before.last > Seq(500), "it has a past");
    let events = read_all(&*again, Seq::ZERO).await;
    let other_dir = tempfile::tempdir().expect("a directory");
    let other = open(&servers, other_dir.path()).await;
    assert_eq!(other.bounds(), before);
    let copied = read_all(&*other, Seq::ZERO).await;
    assert_eq!(format!("{events:?}"), format!("{copied:?}"));

    // What one node appends, the other has, and an id counts once for both.
    let Appended { seq, .. } = append_one(&*again, new_event("EV_here")).await;
    assert_eq!(append_one(&*other, new_event("EV_here")).await, Appended { seq, duplicate: true });
    until_async("the other node has it", async || other.bounds().last == seq).await;
    let page = other.read(Seq(seq.0 - 1), 1).await.expect("it reads");
    assert_eq!(id_of(&page[0]), "EV_here");
    assert_eq!(other.newest().await.expect("an answer"), seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_at_both_nodes_at_once_is_one_event() {
    let (servers, dirs) = (Servers::start(), [(); 2].map(|()| tempfile::tempdir().expect("a directory")));
    servers.init(&names()).await;
    let [one, two] = [open(&servers, dirs[0].path()).await, open(&servers, dirs[1].path()).await];
    for n in 0..200 {
        let id = format!("EV_{n}");
        let (a, b) = tokio::join!(append_one(&*one, new_event(&id)), append_one(&*two, new_event(&id)));
        assert_eq!(a.seq, b.seq, "{id}");
        assert!(a.duplicate != b.duplicate, "{id}: {a:?} {b:?}");
        assert_eq!(a.seq, Seq(n + 1), "no seq is left out");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_keeps_the_promises_of_the_shared_state() {
    let servers = Servers::start();
    servers.init(&names()).await;
    cluster_story(&Deployment::new(Arc::new(servers.connect().await), names(), NodeId::random()), 500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_a_node_has_waited_for_is_kept() {
    let servers = Servers::start();
    servers.init(&names()).await;
    let [one, two] = [Arc::new(servers.connect().await), Arc::new(servers.connect().await)]
        .map(|nats| Deployment::new(nats, names(), NodeId::random()));
    let first = one.lease("job").await;
    let waited = async {
        // Longer than a holder may go without a renewal.
        tokio::time::sleep(Duration::from_secs(8)).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(two.lease("job"), waited);
    let lost = tokio::time::timeout(Duration::from_secs(10), second.lost()).await;
    assert!(lost.is_err(), "the lease was lost, although it can be renewed");
}
