//! Deliveries to endpoints: the bytes that a receiver gets, and what happens when it does not take them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, response::Response};
use roomwatch::{
    cli::serve::{Options, install_tls},
    clock::Clock,
    cluster::{Cluster, Local, Map},
    config::Config,
    deliver::{Deliveries, Delivering, forget_removed},
    derived::{self, Derived},
    event::{Kind, NewEvent, Seq, Source},
    feed::Feed,
    follow::{Fold, FoldThread, Followers},
    log::{self, EventLog, LogOptions, LogUrl, memory::MemoryLog},
    metrics::Metrics,
    storage::Quota,
};
use serde_json::{Value, json};

use crate::harness::{
    sink::{Received, Sink, WHSEC},
    *,
};

const NOW: u64 = 1_787_486_406_123;

/// Options under which a test can deliver to itself.
const LOCAL: &str = "[deliveries]\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n";

fn webhook(name: &str, url: &str, rest: &str) -> String {
    format!(
        "[[endpoints]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = \"{WHSEC}\"\n{rest}\n"
    )
}

fn livekit(name: &str, url: &str, rest: &str) -> String {
    format!("[[endpoints]]\nname = \"{name}\"\nkind = \"livekit\"\nurl = \"{url}\"\n{rest}\n")
}

fn config(dir: &Path, clock: &Clock, text: &str) -> Config {
    install_tls();
    let written: Options = toml::from_str(&format!("{LOCAL}{text}")).expect("options");
    let options = Options { data_dir: Some(dir.into()), dev: Some(true), ..written };
    Config { clock: clock.clone(), ..options.check().expect("a configuration") }
}

/// A log with its fold and its deliveries, without a server, under a clock that the test moves.
struct World {
    dir: Arc<tempfile::TempDir>,
    clock: Clock,
    log: Arc<dyn EventLog>,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    followers: Arc<Followers>,
    cluster: Arc<dyn Cluster>,
    _fold: FoldThread,
    delivering: Option<Delivering>,
}

impl World {
    /// Starts, and waits until every endpoint has its position.
    async fn start(text: &str) -> World {
        World::in_dir(Arc::new(tempfile::tempdir().expect("a directory")), text).await
    }

    async fn in_dir(dir: Arc<tempfile::TempDir>, text: &str) -> World {
        let options = LogOptions { retain_age: None, ..LogOptions::default() };
        let log = log::open(&LogUrl::Sqlite(dir.path().into()), options).expect("a log");
        World::over(dir, log, text).await
    }

    async fn over(dir: Arc<tempfile::TempDir>, log: Arc<dyn EventLog>, text: &str) -> World {
        let clock = Clock::held(NOW);
        let metrics: Arc<Metrics> = Arc::default();
        let followers =
            Followers::open(dir.path(), log.clone(), clock.clone(), metrics.clone()).expect("followers");
        let (derived, state) =
            Derived::open(dir.path(), log.bounds(), derived::Options::default()).expect("derived data");
        let derived = Arc::new(derived);
        let fold = Fold::new(log.clone(), derived.clone(), state, &followers);
        let head = fold.state().read().head();
        let feed = Feed::new(log.clone(), derived, head);
        let fold = fold.start(feed.clone()).expect("a thread");
        let cluster: Arc<dyn Cluster> = Arc::new(Local::open(dir.path()).expect("shared state"));
        let mut world =
            World { dir, clock, log, feed, metrics, followers, cluster, _fold: fold, delivering: None };
        world.deliver(text).await;
        world
    }

    /// Stops the deliveries if they run, and starts them with another configuration.
    async fn deliver(&mut self, text: &str) {
        self.stop();
        let config = config(self.dir.path(), &self.clock, text);
        forget_removed(&*self.cluster, &config.endpoints).await.expect("deleted");
        let deliveries = Deliveries::new(
            &config,
            self.log.clone(),
            self.feed.clone(),
            self.cluster.clone(),
            self.metrics.clone(),
            false,
        );
        let place = self.followers.place("deliver");
        self.delivering = Some(deliveries.expect("deliveries").start(place).expect("a thread"));
        for endpoint in &config.endpoints {
            until_async("the endpoint has a position", async || {
                self.position(&endpoint.name).await.is_some()
            })
            .await;
        }
    }

    fn stop(&mut self) {
        self.delivering = None;
    }

    async fn append_from(&self, source: Source, events: &[(&str, &str, &str)]) {
        let new = |(id, room, kind): &(&str, &str, &str)| NewEvent {
            id: (*id).into(),
            project: "default".into(),
            source,
            received_at: NOW,
            kind: Kind::from(*kind),
            room: (!room.is_empty()).then(|| (*room).into()),
            room_sid: None,
            body: json!({"event": kind, "id": id, "room": {"name": room}}).to_string().into(),
        };
        self.log.append(events.iter().map(new).collect()).await.expect("stored");
    }

    async fn append(&self, events: &[(&str, &str)]) {
        let events: Vec<_> = events.iter().map(|(id, room)| (*id, *room, "room_started")).collect();
        self.append_from(Source::Webhook, &events).await;
    }

    async fn position(&self, name: &str) -> Option<Value> {
        let entry = self.cluster.get(Map::Deliveries, name).await.expect("an entry")?;
        Some(serde_json::from_slice(&entry.value).expect("JSON"))
    }

    async fn dead(&self) -> Vec<Value> {
        let changes = self.cluster.watch(Map::DeadLetters).next().await;
        let entries = changes.into_iter().filter_map(|change| change.entry);
        entries.map(|entry| serde_json::from_slice(&entry.value).expect("JSON")).collect()
    }

    /// Moves the clock until `condition` is true, at most `secs` seconds in steps of one.
    async fn advance_until(&self, what: &str, secs: u64, condition: impl Fn() -> bool) {
        let mut left = secs;
        until_async(what, async || {
            if left > 0 {
                self.clock.advance(Duration::from_secs(1));
                left -= 1;
            }
            condition()
        })
        .await;
    }

    fn metric(&self, line: &str) -> u64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|found| found.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().expect("a number"))
    }
}

fn names(prefix: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("{prefix}{n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standard_webhook_has_these_bytes() {
    let sink = Sink::statuses(|_| 204).await;
    let both = format!("{WHSEC} whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk");
    let text = webhook("billing", &sink.url(), "").replace(WHSEC, &both);
    let world = World::start(&text).await;
    world.append(&[("EV_1", "standup")]).await;
    until("it has arrived", || sink.count() == 1);
    let got = &sink.received()[0];
    let epoch = world.log.bounds().epoch;
    assert_eq!(
        String::from_utf8_lossy(&got.body),
        format!(
            r#"{{"type":"room_started","timestamp":"2026-08-23T12:00:06.123Z","data":{{"cursor":"{epoch}-1","project":"default","source":"webhook","room":"standup","roomSid":null,"event":{{"event":"room_started","id":"EV_1","room":{{"name":"standup"}}}}}}}}"#
        )
    );
    assert_eq!(got.header("webhook-id"), format!("billing_{epoch}-1"));
    assert_eq!(got.header("roomwatch-delivery"), got.header("webhook-id"));
    assert_eq!(got.header("webhook-timestamp"), "1787486406");
    assert_eq!(got.header("content-type"), "application/json");
    assert!(got.header("user-agent").starts_with("roomwatch/"));
    got.assert_signed();
    assert_eq!(got.header("webhook-signature").split(' ').filter(|one| one.starts_with("v1,")).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_livekit_delivery_is_what_livekit_sends() {
    let sink = Sink::statuses(|_| 200).await;
    let server = Start::new().file(&format!("{LOCAL}{}", livekit("old", &sink.url(), ""))).start();
    let body = event("EV_1", "standup");
    assert_eq!(server.webhook(&body).await, 200);
    until("it has arrived", || sink.count() == 1);
    let got = &sink.received()[0];
    assert_eq!(String::from_utf8_lossy(&got.body), body);
    assert_eq!(got.header("content-type"), "application/webhook+json");
    assert_eq!(got.header("roomwatch-source"), "webhook");
    let token = got.header("authorization");
    let theirs = livekit_api::access_token::TokenVerifier::with_api_key(KEY, SECRET);
    let claims = theirs.verify(token).expect("LiveKit's SDK accepts it");
    assert_eq!(
        (claims.iss.as_str(), claims.sha256),
        (KEY, webhook_claims(body.as_bytes()).sha256.expect("a hash"))
    );
    // A second Roomwatch would take it, were it not a delivery.
    let second = Start::new().start();
    assert_eq!(second.webhook_as(token, body.into_bytes()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_the_events_that_it_asks_for() {
    let sinks = [Sink::statuses(|_| 200).await, Sink::statuses(|_| 200).await];
    let more = [Sink::statuses(|_| 200).await, Sink::statuses(|_| 200).await, Sink::statuses(|_| 200).await];
    let text = webhook("all", &sinks[0].url(), "")
        + &livekit("lk", &sinks[1].url(), "")
        + &livekit("corrected", &more[0].url(), "corrected = true")
        + &webhook("rooms", &more[1].url(), "rooms = [\"a*\", \"b\"]\ntypes = [\"room_*\"]")
        + &webhook("own", &more[2].url(), "types = [\"roomwatch.*\"]");
    let world = World::start(&text).await;
    world.append_from(Source::Webhook, &[("1", "a1", "room_started"), ("2", "b", "track_published")]).await;
    world.append_from(Source::Reconcile, &[("3", "b1", "room_finished"), ("4", "b", "room_finished")]).await;
    world.append_from(Source::Roomwatch, &[("5", "a1", "roomwatch.condition_opened")]).await;
    world.append_from(Source::Webhook, &[("6", "", "egress_updated"), ("7", "a1", "room_finished")]).await;
    let ids = |sink: &Sink| sink.received().iter().map(|one| one.id()).collect::<BTreeSet<_>>();
    for (sink, expected) in
        sinks.iter().chain(&more).zip(["1 2 3 4 5 6 7", "1 2 6 7", "1 2 3 4 6 7", "1 4 7", "5"])
    {
        let expected: BTreeSet<_> = expected.split(' ').map(str::to_owned).collect();
        until(&format!("{expected:?} have arrived"), || ids(sink) == expected);
    }
    let corrected = more[0].received();
    let sources: BTreeMap<_, _> =
        corrected.iter().map(|one| (one.id(), one.header("roomwatch-source").to_owned())).collect();
    assert_eq!((&*sources["1"], &*sources["3"]), ("webhook", "reconcile"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_has_one_request_at_a_time_and_an_endpoint_many() {
    let sink = Sink::start(|_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Response::new(Body::empty())
    })
    .await;
    let world = World::start(&webhook("w", &sink.url(), "")).await;
    let events: Vec<_> = (0..1_000).map(|n| (format!("{n}"), format!("r{}", n % 50))).collect();
    let events: Vec<_> = events.iter().map(|(id, room)| (&**id, &**room)).collect();
    world.append(&events).await;
    until("all have arrived", || sink.count() == 1_000);
    for room in 0..50 {
        let expected = names("", (0..20).map(|n| n * 50 + room));
        assert_eq!(sink.ids(&format!("r{room}")), expected);
    }
    let (of_room, of_all) = sink.most();
    assert_eq!(of_room, 1);
    assert!((9..=32).contains(&of_all), "{of_all} at the same time");
}

/// A poisoned event among good ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_is_a_dead_letter_after_three_attempts_and_holds_only_its_room() {
    let sink = Sink::statuses(|one| if one.id() == "bad" { 422 } else { 200 }).await;
    let world = World::start(&webhook("w", &sink.url(), "")).await;
    world.append(&[("a1", "a"), ("bad", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")]).await;
    until("the other room has all, this one the bad event", || {
        sink.ids("b") == ["b1", "b2"] && sink.ids("a") == ["a1", "bad"]
    });
    world.advance_until("the second attempt", 6, || sink.ids("a") == ["a1", "bad", "bad"]).await;
    assert!(world.dead().await.is_empty());
    world
        .advance_until("the third attempt, and the rest", 331, || {
            sink.ids("a") == ["a1", "bad", "bad", "bad", "a2"]
        })
        .await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1);
    assert_eq!((&dead[0]["seq"], &dead[0]["attempts"]), (&json!(2), &json!(3)));
    assert_eq!(dead[0]["error"], "it answered 422: told");
    let [first, second] = [1, 2].map(|n| sink.received().into_iter().filter(|one| one.id() == "bad").nth(n));
    let (first, second) = (first.expect("one"), second.expect("another"));
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_ne!(first.header("webhook-timestamp"), second.header("webhook-timestamp"));
    second.assert_signed();
    until("they are counted", || {
        world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"delivered\"}") == 4
    });
    assert_eq!(world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"failed\"}"), 2);
    assert_eq!(world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"dead\"}"), 1);
}

/// 10,000 undelivered events for a dead endpoint while another one runs at full speed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_holds_no_other_one_and_gets_everything_when_it_is_back() {
    const EVENTS: u64 = 10_000;
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let dead = Sink::statuses(move |_| if back.load(Ordering::SeqCst) { 200 } else { 503 }).await;
    let well = Sink::statuses(|_| 200).await;
    let world = World::start(&(webhook("dead", &dead.url(), "") + &webhook("well", &well.url(), ""))).await;
    let room_of = |n: u64| format!("r{}", n % 1_500);
    for from in (0..EVENTS).step_by(1_000) {
        let events: Vec<_> = (from..from + 1_000).map(|n| (n.to_string(), room_of(n))).collect();
        world.append(&events.iter().map(|(id, room)| (&**id, &**room)).collect::<Vec<_>>()).await;
    }
    until("the other endpoint has all", || well.count() as u64 == EVENTS);
    until("the dead one has tried some rooms", || dead.count() > 100);
    let tried = dead.count();
    is_back.store(true, Ordering::SeqCst);
    let delivered = || world.metric("roomwatch_deliveries_total{endpoint=\"dead\",outcome=\"delivered\"}");
    world.advance_until("it has all too", 20_000, || delivered() == EVENTS).await;
    assert!(tried < 5_000, "{tried} attempts at an endpoint that is down");
    // One event may have come twice: the first time it was refused.
    let mut rooms: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for one in dead.received() {
        rooms.entry(one.room()).or_default().push(one.id().parse().expect("a number"));
    }
    for (room, mut ids) in rooms {
        ids.dedup();
        let number: u64 = room[1..].parse().expect("a number");
        assert_eq!(ids, (number..EVENTS).step_by(1_500).collect::<Vec<_>>(), "{room}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_answers_410_is_disabled_until_its_url_changes() {
    let gone = Sink::statuses(|_| 410).await;
    let text = webhook("w", &gone.url(), "");
    let mut world = World::start(&text).await;
    world.append(&[("1", "a"), ("2", "b")]).await;
    until("it was asked", || gone.count() > 0);
    let disabled = async || !world.position("w").await.expect("a position")["disabled"].is_null();
    until_async("it is disabled", disabled).await;
    let asked = gone.count();
    world.deliver(&text).await;
    world.append(&[("3", "a"), ("4", "c")]).await;
    let well = Sink::statuses(|_| 200).await;
    world.deliver(&webhook("w", &well.url(), "")).await;
    until("nothing is lost", || well.count() == 4);
    assert_eq!(
        (well.ids("a"), well.ids("b"), well.ids("c")),
        (names("", [1, 3]), names("", [2]), names("", [4]))
    );
    assert_eq!(gone.count(), asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_days_without_a_success_disable_an_endpoint() {
    let sink = Sink::statuses(|_| 500).await;
    let world = World::start(&webhook("w", &sink.url(), "")).await;
    world.append(&[("1", "a"), ("2", "a")]).await;
    let hours = || (world.clock.unix_ms() - NOW) / 3_600_000;
    loop {
        let position = world.position("w").await.expect("a position");
        if !position["disabled"].is_null() {
            assert!(position["disabled"].as_str().expect("text").contains("three days"), "{position}");
            break;
        }
        assert!(hours() < 200, "{position}");
        let (count, due) = (sink.count(), position["rooms"][0]["due"].as_u64());
        if let Some(due) = due.filter(|due| *due > world.clock.unix_ms()) {
            world.clock.advance(Duration::from_millis(due - world.clock.unix_ms()));
            until("the next attempt", || sink.count() > count);
        }
        // The position is stored once a second.
        world.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!((72..100).contains(&hours()), "after {} hours", hours());
    assert_eq!((world.dead().await.len(), sink.ids("a").iter().filter(|id| *id == "1").count()), (1, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured_for_all_rooms() {
    let is_busy = Arc::new(AtomicBool::new(true));
    let busy = is_busy.clone();
    let sink = Sink::start(move |_| {
        let answer = Response::builder();
        let answer = match busy.load(Ordering::SeqCst) {
            true => answer.status(429).header("retry-after", "60"),
            false => answer.status(200),
        };
        async move { answer.body(Body::empty()).expect("an answer") }
    })
    .await;
    let world = World::start(&webhook("w", &sink.url(), "")).await;
    world.append(&[("1", "a")]).await;
    until("it was asked", || sink.count() == 1);
    is_busy.store(false, Ordering::SeqCst);
    let failed = || world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"failed\"}");
    until("the answer is known", || failed() == 1);
    world.append(&[("2", "b")]).await;
    let since = world.clock.unix_ms();
    world.advance_until("both rooms have theirs", 61, || sink.count() == 3).await;
    assert!(world.clock.unix_ms() - since >= 60_000, "the other room has not waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_by_its_status_however_it_comes() {
    let elsewhere = Sink::statuses(|_| 200).await;
    let location = elsewhere.url();
    let sink = Sink::start(move |one| {
        let location = location.clone();
        async move {
            let answer = Response::builder();
            match &*one.id() {
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(14)).await;
                    answer.status(200).body(Body::empty())
                }
                "never" => std::future::pending().await,
                "redirect" => answer.status(307).header("location", location).body(Body::empty()),
                "large" => answer.status(200).body(Body::from(vec![b'x'; 100 << 20])),
                _ => answer.status(200).body(Body::from_stream(futures_util::stream::pending::<
                    Result<axum::body::Bytes, std::io::Error>,
                >())),
            }
            .expect("an answer")
        }
    })
    .await;
    let world = World::start(&webhook("w", &sink.url(), "")).await;
    let kinds = ["slow", "never", "redirect", "large", "endless"];
    world.append(&kinds.map(|kind| (kind, kind))).await;
    let count = |outcome: &str| {
        world.metric(&format!("roomwatch_deliveries_total{{endpoint=\"w\",outcome=\"{outcome}\"}}"))
    };
    until("each has its outcome", || (count("delivered"), count("failed")) == (3, 2));
    assert_eq!(elsewhere.count(), 0, "the redirect was followed");
    let mut world = world;
    world.stop();
    let position = world.position("w").await.expect("a position");
    let rooms: BTreeSet<_> =
        position["rooms"].as_array().expect("rooms").iter().map(|room| room["room"].as_str()).collect();
    assert_eq!(rooms, BTreeSet::from([Some("never"), Some("redirect")]));
    assert_eq!(position["lastError"], "no complete answer within 15 s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_allowed_gets_no_connection_and_the_reason_is_kept() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("a socket");
    let plain = Sink::statuses(|_| 200).await;
    for (url, allowed, expected) in [
        (format!("https://127.0.0.1:{port}/"), "10.0.0.0/8", "127.0.0.1 is not a public address"),
        (format!("https://localhost:{port}/"), "10.0.0.0/8", "localhost is not a public address"),
        (format!("https://[::ffff:127.0.0.1]:{port}/"), "10.0.0.0/8", "is not a public address"),
        // It speaks no TLS.
        (plain.url().replace("http:", "https:"), "127.0.0.0/8", ""),
    ] {
        let text = webhook("w", &url, "");
        let mut world = World::start("").await;
        let written = format!("[deliveries]\nallow_networks = [\"{allowed}\"]\n{text}");
        let written: Options = toml::from_str(&written).expect("options");
        let options = Options { data_dir: Some(world.dir.path().into()), dev: Some(true), ..written };
        let config = Config { clock: world.clock.clone(), ..options.check().expect("a configuration") };
        world.stop();
        let deliveries = Deliveries::new(
            &config,
            world.log.clone(),
            world.feed.clone(),
            world.cluster.clone(),
            world.metrics.clone(),
            false,
        );
        let place = world.followers.place("deliver");
        world.delivering = Some(deliveries.expect("deliveries").start(place).expect("a thread"));
        until_async("it has a position", async || world.position("w").await.is_some()).await;
        world.append(&[("1", "a")]).await;
        let failed = || world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"failed\"}");
        until(&format!("{url} has failed"), || failed() == 1);
        world.stop();
        let position = world.position("w").await.expect("a position");
        let error = position["lastError"].as_str().expect("an error").to_owned();
        assert!(error.contains(expected) && !error.is_empty(), "{url}: {error}");
    }
    assert!(listener.accept().is_err(), "there was a connection");
    assert_eq!(plain.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_leads_back_to_a_roomwatch_is_disabled() {
    for kind in ["livekit", "webhook"] {
        let server = Server::start();
        let url = server.url("/api/webhooks/livekit");
        let text = if kind == "livekit" { livekit("back", &url, "") } else { webhook("back", &url, "") };
        let world = World::start(&text).await;
        world.append(&[("1", "a")]).await;
        until_async("it is disabled", async || {
            world.position("back").await.expect("a position")["disabled"] == "its URL leads to a Roomwatch"
        })
        .await;
        let (_, page) = server.get("/api/events?after=start").await;
        assert_eq!(page["events"], json!([]), "{page}");
    }
}

/// `kill -9` between a delivery and its position: a repeat with the same id, and no gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_repeat_events_with_the_same_id_and_lose_none() {
    let sink = Sink::start(|_| async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        Response::new(Body::empty())
    })
    .await;
    let text = format!("{LOCAL}{}", webhook("w", &sink.url(), ""));
    let mut server = Start::new().on_disk().file(&text).start();
    let mut sent = 0;
    for _ in 0..10 {
        for _ in 0..40 {
            let body = event(&format!("EV_{sent}"), &format!("r{}", sent % 7));
            assert_eq!(server.webhook(&body).await, 200);
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..80))).await;
        server.kill();
        let again = server.again().file(&text);
        server = tokio::task::spawn_blocking(move || again.start()).await.expect("started");
    }
    let ids = || sink.received().iter().map(|one| one.id()).collect::<BTreeSet<_>>();
    until("all have arrived", || ids().len() == sent);
    let mut by_event: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in sink.received() {
        one.assert_signed();
        by_event.entry(one.id()).or_default().insert(one.header("webhook-id").to_owned());
    }
    assert!(by_event.values().all(|ids| ids.len() == 1), "an event has two ids");
    for room in 0..7 {
        let mut expected = (0..sent).filter(|n| n % 7 == room);
        let mut highest = None;
        for id in sink.ids(&format!("r{room}")) {
            let number: usize = id["EV_".len()..].parse().expect("a number");
            if highest.is_none_or(|highest| number > highest) {
                assert_eq!(Some(number), expected.next(), "a gap in room {room}");
                highest = Some(number);
            }
        }
        assert_eq!(expected.next(), None);
    }
    eprintln!("{sent} events, {} requests", sink.count());
    assert!(sink.count() > sent, "no kill came between a delivery and its position");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_that_reaches_an_endpoint_is_counted_and_shown() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = is_back.clone();
    let sink = Sink::statuses(move |_| if back.load(Ordering::SeqCst) { 200 } else { 500 }).await;
    // It removes everything that it may.
    let options = LogOptions { quota: Quota::of(1), clock: Clock::held(NOW), ..LogOptions::default() };
    let log = Arc::new(MemoryLog::new(options));
    let text = webhook("w", &sink.url(), "");
    let mut world =
        World::over(Arc::new(tempfile::tempdir().expect("a directory")), log.clone(), &text).await;
    world.append(&[("1", "a")]).await;
    until("it was tried", || sink.count() == 1);
    world.stop();
    let position = world.position("w").await.expect("a position");
    assert_eq!((&position["cursor"], &position["rooms"][0]["first"]), (&json!(1), &json!(1)));
    let events = names("", 2..=200);
    world.append(&events.iter().map(|id| (&**id, "a")).collect::<Vec<_>>()).await;
    until("they are folded", || world.feed.head().seq == Seq(200));
    log.retain(Seq(150));
    let first = log.bounds().first.0;
    assert_eq!(first, 151);
    is_back.store(true, Ordering::SeqCst);
    world.deliver(&text).await;
    world
        .advance_until("the rest has arrived", 60, || sink.ids("a").last().is_some_and(|id| id == "200"))
        .await;
    assert_eq!(sink.ids("a")[1..], names("", first..=200), "in order, after the gap");
    let missed = || world.metric("roomwatch_deliveries_total{endpoint=\"w\",outcome=\"missed\"}");
    until("it is counted", || missed() > 0);
    until_async("it is shown", async || {
        world.clock.advance(Duration::from_secs(1));
        world.position("w").await.expect("a position")["missed"].as_u64() > Some(0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_endpoint_begins_with_the_next_event_and_a_removed_one_is_forgotten() {
    let sink = Sink::statuses(|_| 200).await;
    let mut world = World::start("").await;
    world.append(&[("1", "a")]).await;
    until("it is folded", || world.feed.head().seq == Seq(1));
    let text = webhook("w", &sink.url(), "");
    world.deliver(&text).await;
    world.append(&[("2", "a")]).await;
    until("the next one has arrived", || sink.ids("a") == ["2"]);
    world.stop();
    world.append(&[("3", "a")]).await;
    world.deliver(&text).await;
    until("it goes on after a stop", || sink.ids("a") == ["2", "3"]);
    world.deliver("").await;
    assert_eq!(world.position("w").await, None, "it is forgotten");
    world.append(&[("4", "a")]).await;
    until("it is folded", || world.feed.head().seq == Seq(4));
    world.deliver(&text).await;
    world.append(&[("5", "a")]).await;
    until("it begins with the next event", || sink.ids("a") == ["2", "3", "5"]);
}

/// A restored log has another epoch: the position is found by time, so events of last month do not come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_restored_log_deliveries_go_on_where_they_were() {
    let sink = Sink::statuses(|_| 200).await;
    let text = webhook("w", &sink.url(), "");
    let mut world = World::start(&text).await;
    let clock = AtomicU64::new(0);
    let append = async |world: &World, id: &str| {
        let n = clock.fetch_add(1, Ordering::SeqCst);
        let event = NewEvent {
            id: id.into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: NOW + n * 600_000,
            kind: Kind::RoomStarted,
            room: Some("a".into()),
            room_sid: None,
            body: json!({"event": "room_started", "id": id, "room": {"name": "a"}}).to_string().into(),
        };
        world.log.append(vec![event]).await.expect("stored");
    };
    for id in ["1", "2", "3"] {
        append(&world, id).await;
    }
    until("they have arrived", || sink.count() == 3);
    world.stop();
    let mut position = world.position("w").await.expect("a position");
    position["epoch"] = json!(7);
    let value = position.to_string().into();
    world
        .cluster
        .put(Map::Deliveries, "w", value, roomwatch::cluster::Expected::Anything)
        .await
        .expect("stored");
    append(&world, "4").await;
    world.deliver(&text).await;
    until("the new one has arrived", || sink.ids("a").last().is_some_and(|id| id == "4"));
    // The last one may come again: clocks are not exact.
    assert!(matches!(&*sink.ids("a").join(" "), "1 2 3 4" | "1 2 3 3 4"), "{:?}", sink.ids("a"));
}

/// Bad options of endpoints are refused at the start, and no message has a secret.
#[test]
fn an_endpoint_that_cannot_work_is_refused_by_name() {
    let good = webhook("w", "https://example.com/CANARY", "");
    for (text, expected) in [
        (format!("{good}{good}"), "two endpoints are called \"w\""),
        (good.replace("\"w\"", "\"W.\""), "must have 1 to 48 characters"),
        (good.replace("https:", "http:"), "allow_http = true"),
        (good.replace("https:", "ftp:"), "must begin with https://"),
        (good.replace("https://example.com", "example.com"), "must begin with https://"),
        (good.replace(WHSEC, "whsec_CANARY"), "base64 of 24 to 64 bytes"),
        (good.replace(&format!("secret = \"{WHSEC}\""), ""), "set one of secret, secret_file and secret_env"),
        (format!("{good}secret_env = \"X\""), "set one of secret, secret_file and secret_env"),
        (good.replace(&format!("secret = \"{WHSEC}\""), "secret_env = \"HOOK\""), "no variable HOOK"),
        (
            good.replace(&format!("secret = \"{WHSEC}\""), "secret_file = \"/none\""),
            "cannot read its secret_file",
        ),
        (format!("{good}corrected = true"), "kind \"livekit\""),
        (format!("{good}project = \"p\""), "no project \"p\""),
        (good.replace("\"webhook\"", "\"livekit\""), "leave the secret out"),
        (format!("{good}room = [\"a\"]"), "room"),
    ] {
        let log = Start::new().file(&text).fails();
        assert!(log.contains(expected) && !log.contains("CANARY") && !log.contains(WHSEC), "{text}\n{log}");
    }
    drop(Start::new().file(&good).start());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_may_come_from_a_file_or_the_environment() {
    let sink = Sink::statuses(|_| 200).await;
    let written = format!("secret = \"{WHSEC}\"");
    let path = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(path.path(), format!("{WHSEC}\n")).expect("written");
    let text = webhook("env", &sink.url(), "").replace(&written, "secret_env = \"HOOK\"")
        + &webhook("file", &sink.url(), "")
            .replace(&written, &format!("secret_file = \"{}\"", path.path().display()));
    let server = Start::new().env("HOOK", WHSEC).file(&format!("{LOCAL}{text}")).start();
    assert_eq!(server.webhook(&event("EV_1", "a")).await, 200);
    until("both have arrived", || sink.count() == 2);
    sink.received().iter().for_each(Received::assert_signed);
}
