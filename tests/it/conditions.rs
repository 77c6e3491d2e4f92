//! Each kind of condition, opened and closed by its real cause; and what must not open or close one. The clock is held,
//! so that hours pass at once.

use std::{
    collections::BTreeSet,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use roomwatch::{
    cli::serve::{Options, install_tls},
    clock::Clock,
    cluster::{Cluster, Expected, Map},
    config::{AgentRule, AttentionRules, Config},
    event::{Cursor, Kind, NewEvent, Seq, Source},
    follow::{Phase, Status},
    log::{self, EventLog, LogOptions, Servers, Stream},
    node::Node,
    nodes::{Away, Told},
    server::App,
    token::Secret,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::harness::{
    faulty::Faulty,
    livekit::{FakeLiveKit, Mood, room},
    *,
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// Kinds that need comparisons with LiveKit. Rooms of the others are not in LiveKit's lists, and would be ended.
const COMPARES: &[&str] = &["livekit_unreachable", "key_rejected", "webhooks_missing", "room_leftover"];

/// Kinds of a deployment of several nodes.
const DEPLOYED: &[&str] = &["node_gone", "node_behind", "log_away", "replica_missing", "bootstrap_old"];

/// A node whose clock the test moves.
struct World {
    app: Arc<App>,
    log: Arc<Faulty>,
    cluster: Arc<dyn Cluster>,
    clock: Clock,
    livekit: FakeLiveKit,
    url: String,
    /// Bytes that a file on its disk must have, so that little is free.
    film: u64,
    config: Config,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl World {
    /// Starts a node on which this kind of condition can be provoked.
    async fn start(kind: &str) -> World {
        install_tls();
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::held(now() as u64 * 1000);
        let livekit = FakeLiveKit::start();
        let options = Options {
            data_dir: Some(dir.path().join("data")),
            livekit_url: Some(livekit.url()),
            livekit_api_key: Some(KEY.into()),
            livekit_api_secret: Some(Secret::new(SECRET)),
            password: Some(Secret::new("correct horse")),
            reconcile_secs: Some(u32::from(COMPARES.contains(&kind))),
            ..Options::default()
        };
        let disk = rustix::fs::statvfs(dir.path()).expect("a disk");
        let free = disk.f_bavail * disk.f_frsize;
        // More than other programs write meanwhile.
        let film = (free / 2).min(8 << 30);
        let enough = u32::try_from((free - film / 2) >> 20).expect("mebibytes");
        let rules = AttentionRules {
            agents: vec![AgentRule { project: None, rooms: "voice-*".into() }],
            disk_free_percent: 0,
            disk_free_mib: if kind == "disk_nearly_full" { enough } else { 0 },
            follower_behind_events: if kind == "follower_behind" { 5 } else { 0 },
            ..AttentionRules::default()
        };
        let config = Config { clock: clock.clone(), attention: rules, ..options.check().expect("options") };
        let (app, log, cluster, url, stop, running) = run(config.clone(), DEPLOYED.contains(&kind)).await;
        World { app, log, cluster, clock, livekit, url, film, config, stop: Some(stop), running, dir }
    }

    async fn restart(&mut self) {
        self.stop().await;
        self.run_again().await;
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        (&mut self.running).await.expect("it closes");
    }

    async fn run_again(&mut self) {
        let (app, log, cluster, url, stop, running) = run(self.config.clone(), false).await;
        (self.app, self.log, self.cluster) = (app, log, cluster);
        (self.url, self.stop, self.running) = (url, Some(stop), running);
    }

    /// A file of its data directory.
    fn data(&self, file: &str) -> PathBuf {
        self.dir.path().join("data").join(file)
    }

    /// Waits until the daily check of all files finds damage, or none.
    async fn until_checked(&self, is_whole: bool) {
        until_async("the check of all files", async || {
            self.clock.advance(24 * HOUR);
            self.app.storage.damage().all().is_empty() == is_whole
        })
        .await;
    }

    /// Another node tells this of itself.
    async fn tell(&self, told: Told) {
        let told = serde_json::to_vec(&told).expect("JSON").into();
        self.cluster.put(Map::Nodes, "n2:7800", told, Expected::Anything).await.expect("told");
    }

    /// The servers answer that the log is whole, or that one of them has been missing for this time.
    fn servers(&self, missing_for: Option<Duration>) {
        let stream = Stream { name: "RW_default".into(), missing_for, ..Stream::default() };
        let servers = Servers { streams: vec![stream], ..Servers::default() };
        *self.log.servers.lock().expect("not poisoned") = Some(servers);
    }

    fn film_path(&self) -> PathBuf {
        self.dir.path().join("film.mkv")
    }

    /// Appends an event as a webhook of now.
    async fn hear(&self, mut body: Value) {
        let id = format!("EV_{}", fastrand::u64(..));
        body["id"] = json!(id);
        body["createdAt"] = json!((self.clock.unix_ms() / 1000).to_string());
        let room = if body["room"].is_null() {
            json!({ "name": body["egressInfo"]["roomName"], "sid": body["egressInfo"]["roomId"] })
        } else {
            body["room"].clone()
        };
        let text = |value: &Value| value.as_str().map(Into::into);
        let event = NewEvent {
            id: id.into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: self.clock.unix_ms(),
            kind: Kind::from(body["event"].as_str().expect("a type")),
            room: text(&room["name"]),
            room_sid: text(&room["sid"]),
            body: body.to_string().into_bytes().into(),
        };
        self.log.append(vec![event]).await.expect("stored");
        self.app.current().await;
    }

    fn room(&self, name: &str) -> Value {
        let created = (self.clock.unix_ms() / 1000).to_string();
        json!({ "sid": format!("RM_{name}"), "name": name, "creationTime": created })
    }

    async fn started(&self, name: &str) {
        self.hear(json!({ "event": "room_started", "room": self.room(name) })).await;
    }

    async fn finished(&self, name: &str) {
        self.hear(json!({ "event": "room_finished", "room": self.room(name) })).await;
    }

    /// A participant joins, leaves, or cannot connect.
    async fn participant(&self, event: &str, name: &str, identity: &str, more: Value) {
        let joined = (self.clock.unix_ms() / 1000).to_string();
        let mut participant = json!({ "sid": format!("PA_{identity}"), "identity": identity, "state": "ACTIVE",
            "joinedAt": joined });
        participant.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        self.hear(json!({ "event": event, "room": self.room(name), "participant": participant })).await;
    }

    async fn joined(&self, name: &str, identity: &str, more: Value) {
        self.participant("participant_joined", name, identity, more).await;
    }

    async fn left(&self, name: &str, identity: &str, kind: &str, reason: &str) {
        let more = json!({ "kind": kind, "disconnectReason": reason, "state": "DISCONNECTED" });
        self.participant("participant_left", name, identity, more).await;
    }

    async fn egress(&self, event: &str, name: &str, status: &str) {
        let now_ns = format!("{}000000", self.clock.unix_ms());
        let info = json!({ "egressId": format!("EG_{name}"), "roomId": format!("RM_{name}"), "roomName": name,
            "status": status, "startedAt": now_ns, "updatedAt": now_ns, "error": "S3 answered 403" });
        self.hear(json!({ "event": event, "egressInfo": info })).await;
    }

    /// The openings and closings in the log: "opened agent_missing:RM_voice-1".
    async fn said(&self) -> Vec<String> {
        let events = self.log.read(Seq::ZERO, 10_000).await.expect("the log");
        let own = events.iter().filter_map(|event| {
            let what = event.kind.as_str().strip_prefix("roomwatch.condition_")?;
            let body: Value = serde_json::from_slice(&event.body).expect("JSON");
            Some(format!("{what} {}", body["condition"]["id"].as_str().expect("an id")))
        });
        own.collect()
    }

    /// Lets time pass, a second at a look, until this is said.
    async fn until_said(&self, what: &str) {
        until_async(&format!("{what:?} to be said"), async || {
            self.clock.advance(Duration::from_secs(1));
            self.said().await.iter().any(|said| said.starts_with(what))
        })
        .await;
    }

    /// Lets seconds pass, with a look in each.
    async fn looks(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The open conditions: id and since.
    async fn open(&self) -> Vec<(String, u64)> {
        self.app.current().await;
        let state = self.app.state.read();
        let of = |condition: &Arc<_>| {
            let condition: &roomwatch::state::entity::condition::Condition = condition;
            (condition.about.id.to_string(), condition.about.since)
        };
        let mut open: Vec<_> = state.all_conditions().map(of).collect();
        open.sort();
        open
    }
}

type Parts = (Arc<App>, Arc<Faulty>, Arc<dyn Cluster>, String, oneshot::Sender<()>, JoinHandle<()>);

/// Runs a node until the sender is dropped, and closes it.
async fn run(config: Config, is_deployed: bool) -> Parts {
    let log_options = LogOptions { clock: config.clock.clone(), ..LogOptions::default() };
    let mut faulty = None;
    let node = Node::open_over(config, |config| {
        let log = Arc::new(Faulty::over(log::open(&config.log_url, log_options)?));
        Ok(faulty.insert(log).clone())
    });
    let node = node.await.expect("a node");
    let (app, cluster) = (node.app().clone(), node.cluster().clone());
    let log = faulty.expect("the node has opened it");
    if is_deployed {
        *log.servers.lock().expect("not poisoned") = Some(Servers::default());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        let shutdown = async {
            let _ = stopped.await;
        };
        node.run(listener, shutdown).await.expect("it serves");
        node.close().await.expect("it closes");
    });
    // A follower that has never run begins with the events after its start.
    until_async("the followers to run", async || {
        let follows = |status: &Arc<Status>| status.name == "attention" && status.phase() == Phase::Running;
        app.followers.statuses().iter().any(follows)
    })
    .await;
    (app, log, cluster, url, stop, running)
}

/// One test for each kind: its cause, and the end of its cause.
macro_rules! causes {
    ($($kind:ident: $open:expr, $close:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $kind() {
            let mut world = World::start(stringify!($kind)).await;
            let (open, close): (_, _) = ($open, $close);
            open(&mut world).await;
            world.until_said(concat!("opened ", stringify!($kind))).await;
            assert!(!world.said().await.iter().any(|said| said.starts_with("closed")), "{:?}", world.said().await);
            close(&mut world).await;
            world.until_said(concat!("closed ", stringify!($kind))).await;
        })*

        const TESTED: &[&str] = &[$(stringify!($kind)),*];
    };
}

causes! {
    livekit_unreachable:
        async |world: &mut World| world.livekit.down(),
        async |world: &mut World| world.livekit.up();
    key_rejected:
        async |world: &mut World| {
            let refuses = r#"{"code":"unauthenticated","msg":"invalid API key"}"#;
            world.livekit.world().mood = Mood::Says(401, refuses.into());
        },
        async |world: &mut World| world.livekit.world().mood = Mood::Fine;
    webhooks_missing:
        async |world: &mut World| {
            let rooms = ["a", "b", "c"].map(|name| room(name, &format!("RM_{name}")));
            world.livekit.world().rooms = rooms.into();
        },
        async |world: &mut World| world.clock.advance(10 * MINUTE);
    webhook_lost:
        async |world: &mut World| {
            world.log.full.store(true, Ordering::Release);
            let body = event("EV_lost", "a");
            let request = client().post(format!("{}/api/webhooks/livekit", world.url));
            let request = request.header("authorization", webhook_token(body.as_bytes())).body(body);
            let mut answer = tokio::spawn(request.send());
            let status = loop {
                tokio::select! {
                    answer = &mut answer => break answer.expect("no panic").expect("an answer").status(),
                    () = tokio::time::sleep(Duration::from_millis(100)) => world.clock.advance(Duration::from_secs(1)),
                }
            };
            assert_eq!(status, 503);
            world.log.full.store(false, Ordering::Release);
        },
        async |world: &mut World| world.clock.advance(24 * HOUR);
    egress_failed:
        async |world: &mut World| world.egress("egress_ended", "a", "EGRESS_FAILED").await,
        async |world: &mut World| world.clock.advance(24 * HOUR);
    egress_starting:
        async |world: &mut World| {
            world.started("a").await;
            world.egress("egress_started", "a", "EGRESS_STARTING").await;
            world.clock.advance(MINUTE);
        },
        async |world: &mut World| world.egress("egress_updated", "a", "EGRESS_ACTIVE").await;
    egress_orphaned:
        async |world: &mut World| {
            world.started("a").await;
            world.egress("egress_updated", "a", "EGRESS_ACTIVE").await;
            world.finished("a").await;
            world.clock.advance(MINUTE);
        },
        async |world: &mut World| world.egress("egress_ended", "a", "EGRESS_COMPLETE").await;
    agent_missing:
        async |world: &mut World| {
            world.joined("voice-1", "ann", json!({})).await;
            world.clock.advance(MINUTE / 2);
        },
        async |world: &mut World| world.joined("voice-1", "bot", json!({ "kind": "AGENT" })).await;
    agent_alone:
        async |world: &mut World| {
            world.joined("a", "bot", json!({ "kind": "AGENT" })).await;
            world.clock.advance(5 * MINUTE);
        },
        async |world: &mut World| world.left("a", "bot", "AGENT", "CLIENT_INITIATED").await;
    joins_failing:
        async |world: &mut World| for n in 0..5 {
            let more = json!({ "disconnectReason": "JOIN_FAILURE", "state": "DISCONNECTED" });
            world.participant("participant_connection_aborted", "a", &format!("p{n}"), more).await;
        },
        async |world: &mut World| world.clock.advance(6 * MINUTE);
    connections_lost:
        async |world: &mut World| for n in 0..10 {
            world.joined("a", &format!("p{n}"), json!({})).await;
            world.left("a", &format!("p{n}"), "STANDARD", "CONNECTION_TIMEOUT").await;
        },
        async |world: &mut World| world.clock.advance(6 * MINUTE);
    call_failed:
        async |world: &mut World| world.left("a", "phone", "SIP", "USER_REJECTED").await,
        async |world: &mut World| world.clock.advance(HOUR);
    agent_failed:
        async |world: &mut World| world.left("a", "bot", "AGENT", "AGENT_ERROR").await,
        async |world: &mut World| world.clock.advance(HOUR);
    room_leftover:
        async |world: &mut World| {
            world.started("a").await;
            world.livekit.world().rooms = vec![room("a", "RM_a")];
            world.clock.advance(10 * MINUTE);
        },
        async |world: &mut World| world.livekit.world().rooms.clear();
    room_old:
        async |world: &mut World| {
            world.started("a").await;
            world.clock.advance(12 * HOUR);
        },
        async |world: &mut World| world.finished("a").await;
    clock_jumped:
        async |world: &mut World| world.clock.set_wall(world.clock.unix_ms() + 600_000),
        async |world: &mut World| world.clock.set_wall(world.clock.unix_ms() - 600_000);
    follower_behind:
        async |world: &mut World| {
            // The watchers wait for LiveKit, which does not answer, and events go on.
            world.livekit.world().mood = Mood::Hangs;
            let hidden = json!({ "permission": { "hidden": true } });
            world.joined("a", "roomwatch:olga", hidden).await;
            let calls = |world: &World| world.livekit.world().calls.iter().any(|call| call.0 == "RemoveParticipant");
            until_async("the watcher to be removed", async || calls(world)).await;
            for n in 0..6 {
                world.started(&format!("r{n}")).await;
            }
        },
        // Its connection ends, and with it the wait.
        async |world: &mut World| world.livekit.down();
    disk_nearly_full:
        async |world: &mut World| {
            let file = std::fs::File::create(world.film_path()).expect("a file");
            rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, world.film).expect("space");
        },
        async |world: &mut World| std::fs::remove_file(world.film_path()).expect("removed");
    limits_reached:
        async |world: &mut World| {
            let login = async || {
                let request = client().post(format!("{}/api/login", world.url)).header("origin", &world.url);
                request.json(&json!({ "password": "wrong" })).send().await.expect("an answer").status().as_u16()
            };
            until_async("sign-ins to be refused", async || login().await == 429).await;
        },
        async |world: &mut World| world.clock.advance(10 * MINUTE);
    file_damaged:
        async |world: &mut World| {
            let path = world.data("shared.db");
            let connection = rusqlite::Connection::open(&path).expect("it opens");
            let pad = "CREATE TABLE pad (bytes); INSERT INTO pad VALUES (zeroblob(20000)); PRAGMA wal_checkpoint(TRUNCATE)";
            connection.execute_batch(pad).expect("padded");
            drop(connection);
            // The last page belongs to the pad, which the node does not use.
            let bytes = std::fs::read(&path).expect("the file");
            std::fs::write(world.data("backup"), &bytes).expect("a backup");
            write_end(&path, &[0x55; 4_096], bytes.len());
            world.until_checked(false).await;
        },
        async |world: &mut World| {
            let bytes = std::fs::read(world.data("backup")).expect("a backup");
            write_end(&world.data("shared.db"), &bytes[bytes.len() - 4_096..], bytes.len());
            world.until_checked(true).await;
        };
    history_lost:
        async |world: &mut World| {
            world.started("a").await;
            world.finished("a").await;
            world.stop().await;
            for file in ["log.db", "log.witness"] {
                std::fs::remove_file(world.data(file)).expect("removed");
            }
            let path = world.data("derived.db");
            let length = std::fs::metadata(&path).expect("the file").len() as usize;
            write_end(&path, &vec![0x55; length - 4_096], length);
            world.run_again().await;
        },
        async |world: &mut World| {
            // The history is kept for a year.
            world.clock.advance(400 * 24 * HOUR);
            world.restart().await;
            // The first event after the start, or a minute, lets the history look for what is too old.
            world.started("b").await;
        };
    node_gone:
        async |world: &mut World| {
            world.tell(Told::default()).await;
            world.looks(30).await;
        },
        async |world: &mut World| world.tell(Told::default()).await;
    node_behind:
        async |world: &mut World| world.tell(Told { behind_ms: 30_000, ..Told::default() }).await,
        async |world: &mut World| world.tell(Told::default()).await;
    log_away:
        async |world: &mut World| {
            let now = world.clock.unix_ms();
            let away = Some(Away { from: now - 12_000, to: Some(now) });
            world.tell(Told { away, ..Told::default() }).await;
        },
        async |world: &mut World| world.clock.advance(24 * HOUR);
    replica_missing:
        async |world: &mut World| world.servers(Some(MINUTE)),
        async |world: &mut World| world.servers(None);
    bootstrap_old:
        async |world: &mut World| {
            world.started("a").await;
            world.clock.advance(2 * HOUR);
        },
        async |world: &mut World| {
            // Another node stores it: the data goes further than the log of this one.
            let cursor = Cursor { epoch: world.log.bounds().epoch, seq: Seq(1_000) };
            let stored = json!([{ "cursor": cursor.to_string(), "blob": "b", "at": world.clock.unix_ms() }]);
            let (map, format) = (Map::Bootstrap, roomwatch::derived::format().to_string());
            let value = stored.to_string().into();
            world.cluster.put(map, &format, value, Expected::Anything).await.expect("stored");
        };
}

/// Writes the last bytes of a file of this length.
fn write_end(path: &Path, bytes: &[u8], length: usize) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
    file.write_all_at(bytes, (length - bytes.len()) as u64).expect("written");
}

/// A new kind needs a line in the table above: its test says how it opens, and how it closes.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_has_a_test() {
    let world = World::start("").await;
    let mut kinds = BTreeSet::new();
    until_async("the gauges of all kinds", async || {
        world.clock.advance(Duration::from_secs(1));
        let request = client().get(format!("{}/metrics", world.url));
        let metrics = request.send().await.expect("an answer").text().await.expect("text");
        let of_kind = |line: &str| {
            Some(line.strip_prefix("roomwatch_conditions_open{condition=\"")?.split_once('"')?.0.to_owned())
        };
        kinds = metrics.lines().filter_map(of_kind).collect();
        !kinds.is_empty()
    })
    .await;
    let tested: BTreeSet<String> = TESTED.iter().map(|&kind| kind.to_owned()).collect();
    assert_eq!(kinds, tested);
}

/// Opens conditions of both sorts: one that is still so, and one that has happened.
async fn two_open(world: &World) -> Vec<(String, u64)> {
    world.joined("voice-1", "ann", json!({})).await;
    world.left("hotline", "phone", "SIP", "USER_REJECTED").await;
    world.clock.advance(MINUTE / 2);
    world.until_said("opened agent_missing").await;
    world.until_said("opened call_failed").await;
    let open = world.open().await;
    assert_eq!(
        open.iter().map(|(id, _)| &**id).collect::<Vec<_>>(),
        ["agent_missing:RM_voice-1", "call_failed:PA_phone"]
    );
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_opens_and_closes_nothing_else() {
    const DAY_MS: u64 = 86_400_000;
    for ahead in [true, false] {
        let world = World::start("").await;
        let open = two_open(&world).await;
        let wall = world.clock.unix_ms();
        world.clock.set_wall(if ahead { wall + DAY_MS } else { wall - DAY_MS });
        world.until_said("opened clock_jumped").await;
        world.looks(5).await;
        let mut with_jump = world.open().await;
        with_jump.retain(|(id, _)| id != "clock_jumped");
        assert_eq!(with_jump, open, "ahead: {ahead}");
        let wall = world.clock.unix_ms();
        world.clock.set_wall(if ahead { wall - DAY_MS } else { wall + DAY_MS });
        world.until_said("closed clock_jumped").await;
        world.looks(5).await;
        assert_eq!(world.open().await, open, "ahead: {ahead}");
        assert_eq!(world.said().await.len(), 4, "{:?}", world.said().await);
    }
}

/// Conditions that are still so end with their subject. What has happened stays, although its room is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_whose_subject_disappears() {
    let world = World::start("").await;
    two_open(&world).await;
    world.joined("helpdesk", "bot", json!({ "kind": "AGENT" })).await;
    world.started("recorded").await;
    world.egress("egress_started", "recorded", "EGRESS_STARTING").await;
    world.clock.advance(5 * MINUTE);
    world.until_said("opened agent_alone").await;
    world.until_said("opened egress_starting").await;
    for room in ["voice-1", "hotline", "helpdesk", "recorded"] {
        world.finished(room).await;
    }
    world.until_said("closed agent_missing").await;
    world.until_said("closed agent_alone").await;
    world.egress("egress_ended", "recorded", "EGRESS_COMPLETE").await;
    world.until_said("closed egress_starting").await;
    world.looks(3).await;
    let ids: Vec<_> = world.open().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["call_failed:PA_phone"]);
}

/// The usual rates are read from the log at a start: losses that are usual open nothing after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_losses_are_known_after_a_restart() {
    let lose = async |world: &World, count: usize| {
        for n in 0..count {
            let identity = format!("p{n}-{}", fastrand::u64(..));
            world.joined("a", &identity, json!({})).await;
            world.left("a", &identity, "STANDARD", "SIGNAL_CLOSE").await;
        }
    };
    let mut world = World::start("").await;
    for _ in 0..30 {
        lose(&world, 4).await;
        world.clock.advance(2 * MINUTE);
    }
    // Ten in five minutes is what they have been.
    for _ in 0..3 {
        lose(&world, 4).await;
        world.clock.advance(MINUTE);
    }
    world.looks(3).await;
    assert_eq!(world.open().await, [], "before the restart");
    world.restart().await;
    for _ in 0..3 {
        lose(&world, 4).await;
        world.clock.advance(MINUTE);
    }
    world.looks(3).await;
    assert_eq!(world.open().await, [], "after the restart");
    lose(&world, 40).await;
    world.until_said("opened connections_lost").await;
}

/// The same subject opens at most once in a minute, and then again.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_flaps_opens_once_a_minute() {
    let world = World::start("").await;
    world.joined("voice-1", "ann", json!({})).await;
    world.clock.advance(MINUTE / 2);
    world.until_said("opened agent_missing").await;
    for round in 0..12 {
        let bot = format!("bot{round}");
        world.joined("voice-1", &bot, json!({ "kind": "AGENT" })).await;
        world.looks(5).await;
        world.left("voice-1", &bot, "AGENT", "CLIENT_INITIATED").await;
        world.looks(5).await;
    }
    // Two minutes: the first opening, and one after each minute.
    let opened = world.said().await.iter().filter(|said| said.starts_with("opened")).count();
    assert!((2..=3).contains(&opened), "{:?}", world.said().await);
}
