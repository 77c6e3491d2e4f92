//! The wall clock of the server jumps: nothing is deleted for its age, and the operator is told.

use std::{path::Path, sync::Arc, time::Duration};

use roomwatch::{
    audit::{AuditFilter, NewAuditEntry, Outcome},
    cli::serve::{Options, install_tls},
    clock::Clock,
    config::Config,
    event::{Kind, NewEvent, Seq, Source},
    log::{EventLog, LogOptions, memory::MemoryLog, sqlite::SqliteLog},
    node::Node,
    token::Secret,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::*;

const NOW: u64 = 1_787_486_406_123;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sets the wall clock, and only that.
fn jump(clock: &Clock, days: i64) {
    clock.set_wall(clock.unix_ms().saturating_add_signed(days * 86_400_000));
}

fn event_of(clock: &Clock, kind: &str, room: &str, id: &str) -> NewEvent {
    let secs = (clock.unix_ms() / 1000).to_string();
    let body = json!({
        "event": kind, "id": id, "createdAt": secs,
        "room": {"sid": format!("RM_{room}"), "name": room, "creationTime": secs},
    });
    NewEvent {
        id: id.into(),
        project: "default".into(),
        source: Source::Webhook,
        received_at: clock.unix_ms(),
        kind: Kind::from(kind),
        room: Some(room.into()),
        room_sid: Some(format!("RM_{room}").into()),
        body: body.to_string().into_bytes().into(),
    }
}

/// A log that keeps events for 30 days.
struct Kept<'a> {
    log: Arc<dyn EventLog>,
    clock: Clock,
    file: Option<&'a Path>,
    appended: u64,
}

impl Kept<'_> {
    fn options(clock: &Clock) -> LogOptions {
        LogOptions { clock: clock.clone(), ..LogOptions::default() }
    }

    fn in_memory() -> Kept<'static> {
        let clock = Clock::held(NOW);
        Kept { log: Arc::new(MemoryLog::new(Kept::options(&clock))), clock, file: None, appended: 0 }
    }

    fn open(dir: &Path, unix_ms: u64) -> Kept<'_> {
        let clock = Clock::held(unix_ms);
        let log = SqliteLog::open(dir, Kept::options(&clock)).expect("it opens");
        let appended = log.bounds().last.0;
        Kept { log: Arc::new(log), clock, file: Some(dir), appended }
    }

    /// Lets retention remove everything that it may, and half a minute pass.
    async fn half_a_minute(&mut self) {
        for _ in 0..10 {
            self.appended += 1;
            let id = format!("EV_{}", self.appended);
            self.log.append(vec![event_of(&self.clock, "room_started", "a", &id)]).await.expect("stored");
        }
        self.log.retain(Seq(self.appended));
        self.clock.advance(Duration::from_secs(30));
        let Some(dir) = self.file else { return };
        // A step of upkeep that began after all of this: it marks the newest event after a minute.
        self.clock.advance(Duration::from_secs(60));
        let file = rusqlite::Connection::open(dir.join("log.db")).expect("the file");
        let marked = "SELECT max(seq) FROM marks";
        let marked = || file.query_row(marked, [], |row| row.get::<_, Option<i64>>(0)).expect("read");
        until_async("it is marked", async || marked() == Some(self.appended as i64)).await;
        self.log.retain(Seq(self.appended + 1));
        self.clock.advance(Duration::from_secs(60));
        let marks =
            || file.query_row("SELECT count(*) FROM marks", [], |row| row.get::<_, i64>(0)).expect("read");
        let before = marks();
        self.clock.advance(Duration::from_secs(60));
        until_async("the next step is over", async || marks() > before).await;
    }

    fn first(&self) -> u64 {
        self.log.bounds().first.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_of_the_wall_clock_removes_no_event() {
    for days in [40, -40, 4000, -4000] {
        for on_disk in [false, true] {
            let dir = tempfile::tempdir().expect("a directory");
            let mut kept = if on_disk { Kept::open(dir.path(), NOW) } else { Kept::in_memory() };
            kept.half_a_minute().await;
            jump(&kept.clock, days);
            kept.half_a_minute().await;
            assert_eq!(kept.first(), 1, "{days} days, on disk: {on_disk}");
            jump(&kept.clock, -days);
            kept.half_a_minute().await;
            assert_eq!(kept.first(), 1, "{days} days and back, on disk: {on_disk}");
            kept.clock.advance(31 * DAY);
            kept.half_a_minute().await;
            let first = async || kept.first() > 30;
            until_async("events of a month ago are removed", first).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_clock_removes_no_event() {
    for days in [40, -40] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut kept = Kept::open(dir.path(), NOW);
        kept.half_a_minute().await;
        drop(kept);
        let wrong = NOW.saturating_add_signed(days * 86_400_000);
        for unix_ms in [wrong, NOW + 600_000] {
            let mut kept = Kept::open(dir.path(), unix_ms);
            kept.half_a_minute().await;
            assert_eq!(kept.first(), 1, "{days} days");
        }
    }
}

pub fn config(data_dir: &Path, clock: &Clock) -> Config {
    install_tls();
    let options = Options {
        data_dir: Some(data_dir.into()),
        livekit_api_key: Some(KEY.into()),
        livekit_api_secret: Some(Secret::new(SECRET)),
        password: Some(Secret::new("correct horse")),
        history_days: Some(30),
        ..Options::default()
    };
    Config { clock: clock.clone(), ..options.check().expect("options") }
}

/// One session of a room, from its start to its end.
async fn session(node: &Node, clock: &Clock, room: &str) {
    for kind in ["room_started", "room_finished"] {
        let event = event_of(clock, kind, room, &format!("{room} {kind}"));
        node.app().log.append(vec![event]).await.expect("stored");
        clock.advance(Duration::from_secs(60));
    }
    node.app().current().await;
}

async fn sids(node: &Node) -> Vec<String> {
    let listed = async |path: &str| get(node, path).await;
    let sessions = listed("/api/sessions").await;
    let sids = sessions["sessions"].as_array().unwrap_or_else(|| panic!("{sessions}")).iter();
    sids.map(|session| session["sid"].as_str().expect("a sid").to_owned()).collect()
}

async fn get(node: &Node, path: &str) -> Value {
    let text = text(node, path).await;
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{path}: {text}"))
}

/// Asks the node by HTTP.
async fn text(node: &Node, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}{path}", listener.local_addr().expect("an address"));
    let answer = async {
        let request = client().get(url).bearer_auth(list_token()).header("accept", "application/json");
        request.send().await.expect("an answer").text().await.expect("text")
    };
    tokio::select! {
        answer = answer => answer,
        ended = node.run(listener, std::future::pending()) => panic!("{ended:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_clock_removes_no_history_no_login_and_no_audit_entry() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::held(now() as u64 * 1000);
    let began = clock.unix_ms();
    let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
    session(&node, &clock, "one").await;
    let (login, _) =
        node.app().accounts.login("operator", Secret::new("correct horse")).await.expect("signed in");
    let entry = NewAuditEntry {
        user: "operator".into(),
        action: "room.end",
        project: "default".into(),
        room: Some("one".into()),
        target: None,
        reason: None,
    };
    node.app().audit.note(entry, Outcome::Done, None).await.expect("noted");
    node.close().await.expect("it closes");

    let mut rooms = vec!["RM_one".to_owned()];
    for days in [400, -400, 0] {
        let clock = Clock::held(began.saturating_add_signed(days * 86_400_000) + 300_000);
        let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
        assert!(node.app().accounts.find(&login).is_some(), "{days} days");
        let page = json!(node.app().audit.page(AuditFilter::default(), i64::MAX, 10).await.expect("a page"));
        assert_eq!(page["entries"].as_array().map(Vec::len), Some(1), "{days} days: {page}");
        session(&node, &clock, &format!("at {days}")).await;
        // A session of a clock that was behind says itself that it is old.
        if days >= 0 {
            rooms.push(format!("RM_at {days}"));
        }
        node.close().await.expect("it closes");
        let node = Node::open(config(dir.path(), &Clock::held(began + 300_000))).await.expect("a node");
        let found = sids(&node).await;
        assert!(rooms.iter().all(|room| found.contains(room)), "{days} days: {found:?}");
        node.close().await.expect("it closes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_is_a_condition_that_the_operator_sees() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::held(now() as u64 * 1000);
    let node = Node::open(config(dir.path(), &clock)).await.expect("a node");
    let seen = async || {
        let projects = get(&node, "/api/projects").await["clockJumpSecs"].clone();
        let readyz = text(&node, "/readyz?verbose").await;
        let metrics = text(&node, "/metrics").await;
        let metric = metrics.lines().find_map(|line| line.strip_prefix("roomwatch_clock_jump_seconds "));
        let line = readyz.lines().find(|line| line.starts_with("clock: ")).unwrap_or_default().to_owned();
        (projects, line, metric.expect("a metric").to_owned())
    };
    assert_eq!(seen().await, (Value::Null, String::new(), "0".to_owned()));
    // The token must stay valid, so the jump is smaller than its life.
    clock.set_wall(clock.unix_ms() + 90_000);
    let line = "clock: the wall clock has jumped by 90 s; nothing is deleted for its age by it";
    assert_eq!(seen().await, (json!(90), line.to_owned(), "90".to_owned()));
    clock.set_wall(clock.unix_ms() - 90_000);
    assert_eq!(seen().await, (Value::Null, String::new(), "0".to_owned()));
    drop(node);
}
