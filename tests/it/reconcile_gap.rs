//! Webhooks that we could not store: LiveKit gives up on them, so LiveKit is asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use roomwatch::{
    cli::serve::{Options, install_tls},
    event::{Event, NewEvent, Seq, Source},
    feed::Feed,
    follow::Follower,
    history::{self, History},
    log::{
        Appended, Bounds, EventLog, LogError,
        sqlite::{LogOptions, SqliteLog},
    },
    metrics::Metrics,
    server::{self, App, accounts::Accounts},
    token::Secret,
};

use crate::{
    harness::{KEY, SECRET, client, webhook_token},
    reconcile::until,
    twirp::{FakeLiveKit, participant, room},
};

/// A log on a disk that is full now and then.
struct Filling {
    log: SqliteLog,
    full: AtomicBool,
}

impl EventLog for Filling {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        if self.full.load(Ordering::Acquire) {
            return std::future::ready(Err(LogError::Full)).boxed();
        }
        self.log.append(events)
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        self.log.read(after, limit)
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        self.log.wait(after)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_webhook_after_an_outage_of_ours_has_livekit_asked() {
    install_tls();
    let livekit = FakeLiveKit::start();
    let dir = tempfile::tempdir().expect("a directory");
    let options = Options {
        data_dir: Some(dir.path().join("data")),
        livekit_url: Some(livekit.url()),
        livekit_api_key: Some(KEY.into()),
        livekit_api_secret: Some(Secret::new(SECRET)),
        reconcile_secs: Some(3_600),
        ..Options::default()
    };
    let config = options.check().expect("options");
    let log = SqliteLog::open(&config.data_dir, LogOptions::default()).expect("a log");
    let log = Arc::new(Filling { log, full: AtomicBool::new(false) });
    let options = history::Options { retain: None, covered: Box::new(|_| {}) };
    let (history, state) = History::open(&config.data_dir, log.bounds(), options).expect("a history");
    let history = Arc::new(history);
    let follower = Follower::new(log.clone(), history.clone(), state);
    let state = follower.state();
    let feed = Feed::new(log.clone(), history.clone(), Seq::ZERO);
    let accounts = Accounts::open(&config.data_dir, &[], None).expect("accounts");
    let metrics = Arc::new(Metrics::default());
    let app = App::new(config, log.clone(), state, history, feed.clone(), metrics.clone(), accounts);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/api/webhooks/livekit", listener.local_addr().expect("an address"));
    let following = tokio::spawn(follower.follow(feed));
    let serving = tokio::spawn(server::run(listener, app.clone(), std::future::pending()));

    let webhook = async |id: &str| {
        let body = format!(r#"{{"event":"something_else","id":"{id}"}}"#);
        let request = client().post(&url).header("authorization", webhook_token(body.as_bytes()));
        request.body(body).send().await.expect("an answer").status().as_u16()
    };
    until("the first run is over", async || {
        app.reconcile.health("default").is_some_and(|health| health.reconciled_at.is_some())
    })
    .await;
    assert_eq!(webhook("EV_1").await, 200);

    log.full.store(true, Ordering::Release);
    assert_eq!(webhook("EV_2").await, 503);
    livekit.world().rooms.push(room("standup", "RM_1"));
    livekit.world().participants.insert("standup".into(), vec![participant("alice", "PA_1", vec![])]);
    log.full.store(false, Ordering::Release);
    assert_eq!(webhook("EV_2").await, 200);

    let told = async || {
        let events = log.read(Seq::ZERO, 100).await.expect("events");
        let told = events.iter().filter(|event| event.source == Source::Reconcile);
        told.map(|event| event.kind.as_str().to_owned()).collect::<Vec<_>>()
    };
    until("what was lost is found", async || told().await == ["room_started", "participant_joined"]).await;

    let shown = metrics.render();
    for line in [
        "roomwatch_reconcile_corrections_total 2",
        "roomwatch_reconcile_calls_total{outcome=\"ok\"}",
        "roomwatch_reconcile_runs_total{outcome=\"agreed\"}",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    serving.abort();
    following.abort();
}
