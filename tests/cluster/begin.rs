//! The beginning of a node: a new one, one that was away for long, and nodes whose stream is another one than before.

use std::{net::SocketAddr, path::Path, time::Duration};

use roomwatch::{
    cli::serve::{Options, install_tls},
    clock::Clock,
    config::{ClusterOptions, Config},
    event::{Kind, NewEvent, Seq},
    node::Node,
    token::Secret,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    faults::node,
    harness::{
        KEY, SECRET, client, list_token,
        said::{START, Said, finished, joined, started},
        until_async,
    },
    nats::{LOG_BYTES, Servers, names},
};

/// A node in this process, so that its clock can be moved.
struct Here {
    address: SocketAddr,
    app: std::sync::Arc<roomwatch::server::App>,
    serving: JoinHandle<()>,
}

impl Here {
    async fn start(servers: &Servers, dir: &Path, clock: &Clock) -> Here {
        install_tls();
        let options = Options {
            data_dir: Some(dir.into()),
            livekit_api_key: Some(KEY.into()),
            livekit_api_secret: Some(Secret::new(SECRET)),
            retention_days: Some(1),
            open_conditions: Some(false),
            cluster: ClusterOptions {
                url: Some(servers.url()),
                name: Some(names().name().to_owned()),
                ..ClusterOptions::default()
            },
            ..Options::default()
        };
        let config = Config { clock: clock.clone(), ..options.check().expect("options") };
        let node = Node::open(config).await.expect("a node");
        let app = node.app().clone();
        app.folded().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            node.run(listener, std::future::pending()).await.expect("it serves");
        });
        Here { address, app, serving }
    }

    async fn hear(&self, said: &[Said]) {
        for said in said {
            let event = said.event(1);
            let event = NewEvent {
                id: format!("EV_{}", fastrand::u64(..)).into(),
                project: "default".into(),
                source: event.source,
                received_at: event.received_at,
                kind: Kind::from(event.kind.as_str()),
                room: event.room,
                room_sid: event.room_sid,
                body: event.body,
            };
            // A clock that jumps looks like a long silence, and webhooks wait until it is over.
            until_async("it is stored", async || self.app.log.append(vec![event.clone()]).await.is_ok())
                .await;
        }
    }

    async fn get(&self, path: &str) -> Value {
        let request = client().get(format!("http://{}{path}", self.address)).bearer_auth(list_token());
        request.send().await.expect("an answer").json().await.expect("JSON")
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A meeting that has ended.
fn meeting(n: u64) -> [Said; 3] {
    let room = format!("RM_{n}");
    [
        started(n * 10, &room, "standup"),
        joined(n * 10 + 1, &room, &format!("PA_{n}"), "ada"),
        finished(n * 10 + 5, &room, "standup"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_begins_with_the_data_of_another_one_when_old_events_are_removed() {
    let servers = Servers::start();
    servers.init(&names()).await;
    let clock = Clock::held((START + 10_000) * 1000);
    let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
    let one = Here::start(&servers, dirs[0].path(), &clock).await;
    // A second node is there for the beginning only.
    let two = Here::start(&servers, dirs[1].path(), &clock).await;
    for n in 0..20 {
        one.hear(&meeting(n)).await;
    }
    one.hear(&[started(300, "RM_live", "allhands"), joined(301, "RM_live", "PA_live", "grace")]).await;
    until_async("the second node has everything", async || two.app.log.bounds().last == Seq(62)).await;
    drop(two);

    // Two days later nothing of this is young enough, and two copies of the derived data are stored.
    until_async("old events are removed", async || {
        clock.advance(Duration::from_secs(8 * 3600));
        tokio::time::sleep(Duration::from_millis(50)).await;
        one.hear(&[joined(302, "RM_live", "PA_live", "grace")]).await;
        one.app.log.bounds().first > Seq(50)
    })
    .await;

    let three = Here::start(&servers, dirs[2].path(), &clock).await;
    let two = Here::start(&servers, dirs[1].path(), &clock).await;
    assert!(three.app.log.bounds().first > Seq(50));
    let last = one.app.log.bounds().last;
    for node in [&three, &two] {
        until_async("it has everything", async || node.app.feed.head().seq >= last).await;
        for path in ["/api/rooms", "/api/sessions?limit=100", "/api/sessions/RM_7", "/api/search?q=grace"] {
            let (here, there) = (node.get(path).await, one.get(path).await);
            assert_eq!(here, there, "{path}");
        }
    }
    let sessions = three.get("/api/sessions?limit=100").await;
    assert_eq!(sessions["sessions"].as_array().expect("sessions").len(), 21, "of events that are gone");
    assert_eq!(three.get("/api/rooms").await["rooms"][0]["participantCount"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_created_again_begins_a_new_epoch() {
    let servers = Servers::start();
    servers.init(&names()).await;
    let mut nodes = [node(&servers).start(), node(&servers).start()];
    for n in 0..5 {
        assert_eq!(nodes[0].webhook(&crate::harness::event(&format!("EV_{n}"), "standup")).await, 200);
    }
    let before = nodes[0].get("/api/rooms").await.1["cursor"].as_str().expect("a cursor").to_owned();
    let nats = servers.connect().await;
    let within = Duration::from_secs(5);
    nats.api::<Value>("STREAM.DELETE", &names().events(), &Value::Null, within).await.expect("deleted");
    roomwatch::log::cluster::create(&nats, &names(), LOG_BYTES, roomwatch::cluster::Deployment::maps())
        .await
        .expect("created");
    for node in &mut nodes {
        let code = tokio::task::block_in_place(|| node.ended());
        assert!(code.is_some_and(|code| code > 0), "{}", node.log());
        assert!(node.log().contains("start this node again"), "{}", node.log());
    }
    for node in &mut nodes {
        let again = node.again();
        *node = tokio::task::spawn_blocking(move || again.start()).await.expect("it starts");
    }
    for node in &nodes {
        let mut stream = node.stream_as(&list_token(), "", Some(&before)).await;
        let first = stream.connected().await;
        assert_eq!((&first["resumed"], &first["reset"]), (&false.into(), &"unknown_epoch".into()));
    }
    assert_eq!(nodes[0].webhook(&crate::harness::event("EV_new", "standup")).await, 200);
    let cursors = async || {
        let mut cursors = Vec::new();
        for node in &nodes {
            cursors.push(node.get("/api/rooms").await.1["cursor"].as_str().expect("a cursor").to_owned());
        }
        cursors
    };
    until_async("both have the new event", async || {
        cursors().await.iter().all(|cursor| cursor.ends_with("-1"))
    })
    .await;
    assert_ne!(cursors().await[0].split('-').next(), before.split('-').next());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_were_restored_from_a_backup_begin_a_new_epoch() {
    let mut servers = Servers::start();
    servers.init(&names()).await;
    let mut one = node(&servers).start();
    assert_eq!(one.webhook(&crate::harness::event("EV_kept", "standup")).await, 200);
    let all = |servers: &mut Servers, work: fn(&Servers, usize)| {
        for n in 0..3 {
            servers.kill(n);
        }
        for n in 0..3 {
            work(servers, n);
            servers.run(n);
        }
    };
    all(&mut servers, Servers::save_store);
    for n in 0..3 {
        let id = format!("EV_lost_{n}");
        until_async("it is stored", async || {
            one.webhook(&crate::harness::event(&id, "standup")).await == 200
        })
        .await;
    }
    let before = one.get("/api/rooms").await.1["cursor"].as_str().expect("a cursor").to_owned();
    assert!(before.ends_with("-4"), "{before}");
    all(&mut servers, Servers::restore_store);
    // For half a minute it might be a server that was cut off.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let code = tokio::task::block_in_place(|| one.ended());
    assert!(code.is_some_and(|code| code > 0), "{}", one.log());
    assert!(one.log().contains("it ends at 1, and this node has 4"), "{}", one.log());
    let again = one.again();
    let one = tokio::task::spawn_blocking(move || again.start()).await.expect("it starts");
    let mut stream = one.stream_as(&list_token(), "", Some(&before)).await;
    let first = stream.connected().await;
    assert_eq!((&first["resumed"], &first["reset"]), (&false.into(), &"unknown_epoch".into()));
    // LiveKit may send them again.
    assert_eq!(one.webhook(&crate::harness::event("EV_lost_0", "standup")).await, 200);
    until_async("it is there", async || {
        one.get("/api/rooms").await.1["cursor"].as_str().is_some_and(|cursor| cursor.ends_with("-2"))
    })
    .await;
}
