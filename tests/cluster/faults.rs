//! Faults under load: killed, stopped and restarted servers and nodes. The history checker judges each run.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    cut::Link,
    harness::{Server, Start, client, event, until_async},
    history::{Addresses, History, read_as_browser, send_as_livekit},
    nats::{Servers, names},
};

/// A node of the deployment.
pub fn node(servers: &Servers) -> Start {
    Start::new()
        .on_disk()
        .env("ROOMWATCH_CLUSTER_URL", &servers.url())
        .env("ROOMWATCH_CLUSTER_NAME", names().name())
        .env("ROOMWATCH_HEARTBEAT_SECS", "1")
        .env("ROOMWATCH_RECONCILE_SECS", "0")
}

/// Three nodes on three servers, with senders and readers.
struct Running {
    servers: Servers,
    nodes: Vec<Server>,
    /// The nodes that readers reach, and those that webhooks reach.
    addresses: Addresses,
    pool: Addresses,
    history: Arc<History>,
    is_over: Arc<AtomicBool>,
    last: Arc<Mutex<Option<String>>>,
    sending: JoinSet<()>,
    reading: JoinSet<()>,
}

impl Running {
    async fn start(rooms: usize, readers: usize) -> Running {
        let servers = Servers::start();
        let urls = [(); 3].map(|()| servers.url());
        Running::start_over(servers, urls, rooms, readers).await
    }

    /// Starts nodes that reach their servers under these URLs.
    async fn start_over(servers: Servers, urls: [String; 3], rooms: usize, readers: usize) -> Running {
        servers.init(&names()).await;
        let start = |url: &String| node(&servers).env("ROOMWATCH_CLUSTER_URL", url).start();
        let nodes: Vec<_> = urls.iter().map(start).collect();
        let all = || Arc::new(Mutex::new(nodes.iter().map(|node| node.address).collect()));
        let (addresses, pool): (Addresses, Addresses) = (all(), all());
        let mut running = Running {
            servers,
            nodes,
            addresses,
            pool,
            history: Arc::default(),
            is_over: Arc::default(),
            last: Arc::default(),
            sending: JoinSet::new(),
            reading: JoinSet::new(),
        };
        for room in 0..rooms {
            let (history, addresses, is_over) =
                (running.history.clone(), running.pool.clone(), running.is_over.clone());
            let sent = AtomicUsize::new(0);
            running.sending.spawn(async move {
                while !is_over.load(Ordering::Acquire) {
                    let id = format!("EV_{room}_{}", sent.fetch_add(1, Ordering::Relaxed));
                    send_as_livekit(&history, &addresses, &id, event(&id, &format!("room-{room}"))).await;
                    tokio::time::sleep(Duration::from_millis(fastrand::u64(100..700))).await;
                }
            });
        }
        for _ in 0..readers {
            let (history, addresses, last) =
                (running.history.clone(), running.addresses.clone(), running.last.clone());
            running.reading.spawn(async move { read_as_browser(&history, &addresses, &last).await });
        }
        running
    }

    /// The load balancer notices that a node is gone.
    fn leave(&self, address: SocketAddr) {
        for list in [&self.addresses, &self.pool] {
            list.lock().expect("not poisoned").retain(|other| *other != address);
        }
    }

    fn join(&self, address: SocketAddr) {
        for list in [&self.addresses, &self.pool] {
            list.lock().expect("not poisoned").push(address);
        }
    }

    /// Kills a node, and starts it again after a moment.
    async fn kill_node(&mut self, n: usize, away: Duration) {
        let address = self.nodes[n].address;
        self.nodes[n].kill();
        // The load balancer notices after a moment.
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.leave(address);
        tokio::time::sleep(away).await;
        let again = self.nodes[n].again();
        self.nodes[n] = tokio::task::spawn_blocking(move || again.start()).await.expect("it starts");
        self.join(address);
    }

    async fn kill_server(&mut self, n: usize, away: Duration) {
        self.servers.kill(n);
        tokio::time::sleep(away).await;
        self.servers.run(n);
    }

    /// Ends the senders, waits until every node and every reader has everything, and judges.
    async fn finish(mut self) {
        self.is_over.store(true, Ordering::Release);
        while self.sending.join_next().await.is_some() {}
        let mut cursors = Vec::new();
        until_async("all nodes have the same end", async || {
            cursors.clear();
            for node in &self.nodes {
                cursors.push(node.get("/api/rooms").await.1["cursor"].clone());
            }
            cursors.windows(2).all(|two| two[0] == two[1]) && cursors[0].is_string()
        })
        .await;
        *self.last.lock().expect("not poisoned") = cursors[0].as_str().map(str::to_owned);
        let finished = async { while self.reading.join_next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(30), finished)
            .await
            .expect("every reader has the last event");
        self.history.judge(&self.nodes).await;
        let given_up = self.history.given_up.lock().expect("not poisoned").clone();
        assert!(given_up.is_empty(), "LiveKit gave up: {given_up:?}");
        println!(
            "{} events acknowledged, the longest after {:?}",
            self.history.acknowledged.lock().expect("not poisoned").len(),
            self.history.longest.lock().expect("not poisoned")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_servers_and_nodes_lose_nothing() {
    let mut running = Running::start(10, 12).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let nats = running.servers.connect().await;
    let leader = running.servers.leader(&nats, &names()).await;
    running.kill_server(leader, Duration::from_secs(3)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.kill_node(0, Duration::from_secs(1)).await;
    let leader = running.servers.leader(&nats, &names()).await;
    running.kill_server((leader + 1) % 3, Duration::from_secs(1)).await;
    running.kill_node(1, Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_nothing_and_resumes_every_reader() {
    let mut running = Running::start(8, 8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for n in 0..3 {
        // Lame duck mode: the server gives up its leaders and sends its clients away first.
        running.servers.signal(n, "USR2");
        tokio::task::block_in_place(|| running.servers.ended(n));
        running.servers.run(n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    for n in 0..3 {
        let address = running.nodes[n].address;
        running.leave(address);
        running.nodes[n].signal("TERM");
        tokio::task::block_in_place(|| running.nodes[n].ended());
        let again = running.nodes[n].again();
        running.nodes[n] = tokio::task::spawn_blocking(move || again.start()).await.expect("it starts");
        running.join(address);
    }
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_servers_and_nodes_lose_nothing() {
    let running = Running::start(8, 8).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let nats = running.servers.connect().await;
    let leader = running.servers.leader(&nats, &names()).await;
    running.servers.signal(leader, "STOP");
    tokio::time::sleep(Duration::from_secs(12)).await;
    running.servers.signal(leader, "CONT");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let address = running.nodes[0].address;
    running.nodes[0].signal("STOP");
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.leave(address);
    tokio::time::sleep(Duration::from_secs(10)).await;
    running.nodes[0].signal("CONT");
    running.join(address);
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_nats_loses_nothing_and_no_reader_notices() {
    let servers = Servers::start();
    // The first node reaches its servers over links that can be cut. The connections stay open, and nothing passes.
    let mut links = Vec::new();
    for port in servers.client_ports() {
        links.push(Link::to(port).await);
    }
    let cut_url = links.iter().map(Link::url).collect::<Vec<_>>().join(",");
    let urls = [cut_url, servers.url(), servers.url()];
    let running = Running::start_over(servers, urls, 8, 9).await;
    let (url, address) = (running.nodes[0].url("/readyz/append"), running.nodes[0].address);
    let can_append = async || client().get(&url).send().await.is_ok_and(|answer| answer.status() == 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for link in &links {
        link.cut(true);
    }
    until_async("the load balancer notices", async || !can_append().await).await;
    running.pool.lock().expect("not poisoned").retain(|other| *other != address);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for link in &links {
        link.cut(false);
    }
    until_async("the load balancer notices", can_append).await;
    running.pool.lock().expect("not poisoned").push(address);
    tokio::time::sleep(Duration::from_secs(2)).await;
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_store_is_an_older_copy_loses_nothing() {
    let mut running = Running::start(8, 8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let nats = running.servers.connect().await;
    let old = (running.servers.leader(&nats, &names()).await + 1) % 3;
    running.servers.kill(old);
    running.servers.save_store(old);
    running.servers.run(old);
    tokio::time::sleep(Duration::from_secs(4)).await;
    running.servers.kill(old);
    running.servers.restore_store(old);
    running.servers.run(old);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // It has caught up, or what it acknowledges now is lost.
    let leader = running.servers.leader(&nats, &names()).await;
    running.kill_server(leader, Duration::from_secs(2)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.finish().await;
}
