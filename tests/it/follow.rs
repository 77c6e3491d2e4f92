//! Followers: each at its own pace, at least once, and none in the way of another.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use roomwatch::{
    clock::Clock,
    derived::{self, Derived},
    event::{Kind, NewEvent, Seq, Source},
    feed::Feed,
    follow::{CURSOR_EVERY, Fold, FoldThread, Folded, Follower, Followers, Make, Phase, Running, Status},
    log::{self, EventLog, LogOptions, LogUrl},
    metrics::Metrics,
};

use crate::harness::{event, faulty::Inside, list_token, until_async};

const NOW: u64 = 1_787_486_406_123;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The seqs that a test follower got.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<u64>>>);

impl Notes {
    fn seqs(&self) -> Vec<u64> {
        self.0.lock().clone()
    }
}

/// The end of each call of a test follower, after it has noted its events.
#[derive(Clone, Copy)]
enum Manner {
    Good,
    Errs,
    Panics,
    NeverReturns,
}

struct Noting {
    notes: Notes,
    manner: Manner,
}

impl Follower for Noting {
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            self.notes.0.lock().extend(events.iter().map(|folded| folded.event.seq.0));
            match self.manner {
                Manner::Good => Ok(()),
                Manner::Errs => anyhow::bail!("no \"answer\""),
                Manner::Panics => panic!("as it was told"),
                Manner::NeverReturns => std::future::pending().await,
            }
        }
        .boxed()
    }

    /// Notes both ends of the gap, and a million.
    fn gap(&mut self, from: Seq, to: Seq) -> BoxFuture<'_, anyhow::Result<()>> {
        self.notes.0.lock().extend([1_000_000 + from.0, 1_000_000 + to.0]);
        async { Ok(()) }.boxed()
    }
}

fn noting(name: &'static str, notes: &Notes, manner: Manner) -> (&'static str, Make) {
    let notes = notes.clone();
    (name, Box::new(move || Box::new(Noting { notes: notes.clone(), manner })))
}

/// A log with its fold and its followers, without a server.
struct World {
    log: Arc<dyn EventLog>,
    metrics: Arc<Metrics>,
    derived: Arc<Derived>,
    feed: Arc<Feed>,
    followers: Arc<Followers>,
    _fold: FoldThread,
}

impl World {
    fn open(dir: &Path, clock: &Clock) -> World {
        let options = LogOptions { clock: clock.clone(), ..LogOptions::default() };
        World::over(dir, log::open(&LogUrl::Sqlite(dir.into()), options).expect("a log"), clock)
    }

    fn over(dir: &Path, log: Arc<dyn EventLog>, clock: &Clock) -> World {
        let metrics: Arc<Metrics> = Arc::default();
        let followers = Followers::open(dir, log.clone(), clock.clone(), metrics.clone()).expect("followers");
        let (derived, state) =
            Derived::open(dir, log.bounds(), derived::Options::default()).expect("derived data");
        let derived = Arc::new(derived);
        let fold = Fold::new(log.clone(), derived.clone(), state, &followers);
        let head = fold.state().read().head();
        let feed = Feed::new(log.clone(), derived.clone(), head);
        let fold = fold.start(feed.clone()).expect("a thread");
        World { log, metrics, derived, feed, followers, _fold: fold }
    }

    fn start(&self, followers: Vec<(&'static str, Make)>) -> Running {
        self.followers.start(&self.feed, &self.derived, followers).expect("threads")
    }

    /// Appends `count` events, one a second of the clock's beginning.
    async fn append(&self, count: u64) {
        let last = self.log.bounds().last.0;
        let new = |seq: u64| NewEvent {
            id: format!("EV_{seq}").into(),
            project: "default".into(),
            source: Source::Webhook,
            received_at: NOW + seq,
            kind: Kind::RoomStarted,
            room: Some(format!("r{seq}").into()),
            room_sid: Some(format!("RM_{seq}").into()),
            body: event(&format!("EV_{seq}"), &format!("r{seq}")).into(),
        };
        self.log.append((last + 1..=last + count).map(new).collect()).await.expect("stored");
    }

    fn status(&self, name: &str) -> Arc<Status> {
        let statuses = self.followers.statuses();
        statuses.into_iter().find(|status| status.name == name).expect("a follower of that name")
    }

    async fn until_at(&self, name: &str, seq: u64) {
        until_async(&format!("{name} is at {seq}"), async || self.status(name).cursor() == Seq(seq)).await;
    }

    /// The values of the metrics of one follower, by name.
    fn metrics_of(&self, name: &str) -> BTreeMap<String, i64> {
        let last = self.log.bounds().last;
        self.followers.statuses().iter().for_each(|status| status.show(last));
        let label = format!("{{follower=\"{name}\"}} ");
        let text = self.metrics.render();
        let values = text.lines().filter_map(|line| line.split_once(&label));
        let value = |(name, value): (&str, &str)| (name.to_owned(), value.parse().expect("a number"));
        values.map(value).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_a_broken_and_a_panicking_follower_do_not_hold_up_the_others() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::held(NOW));
    let world = World::open(dir.path(), &clock);
    let [good, errs, panics, never] = std::array::from_fn(|_| Notes::default());
    let running = world.start(vec![
        noting("never", &never, Manner::NeverReturns),
        noting("errs", &errs, Manner::Errs),
        noting("panics", &panics, Manner::Panics),
        noting("good", &good, Manner::Good),
    ]);
    world.append(1).await;
    for name in ["errs", "panics"] {
        until_async("it waits", async || world.status(name).phase() == Phase::Waiting).await;
    }
    world.append(999).await;
    world.until_at("good", 1000).await;
    world.until_at("fold", 1000).await;
    assert_eq!(good.seqs(), (1..=1000).collect::<Vec<_>>(), "each once, in order");

    for (name, notes) in [("errs", &errs), ("panics", &panics)] {
        assert_eq!(notes.seqs(), [1], "{name} is not tried again before its pause is over");
        assert_eq!(world.status(name).cursor(), Seq(0), "its cursor does not move");
    }
    assert_eq!(world.metrics_of("never")["roomwatch_follower_lag_events"], 1000);
    assert_eq!(world.metrics_of("good")["roomwatch_follower_lag_events"], 0);
    assert_eq!(world.metrics_of("good")["roomwatch_follower_cursor"], 1000);
    assert_eq!(world.metrics_of("errs")["roomwatch_follower_failures_total"], 1);
    let line = |name: &str| world.status(name).line(Seq(1000)).to_string();
    assert_eq!(line("good"), "good: running, cursor 1000, lag 0, restarts 0");
    let expected = r#"errs: waiting to restart, cursor 0, lag 1000, restarts 0, last error "no \"answer\"""#;
    assert_eq!(line("errs"), expected);
    assert!(line("panics").ends_with(r#"last error "panicked: as it was told""#), "{}", line("panics"));

    // The pause is a second at most, and then two.
    clock.advance(Duration::from_secs(1));
    for (name, notes) in [("errs", &errs), ("panics", &panics)] {
        until_async("it is restarted", async || notes.seqs().len() > 1).await;
        assert_eq!(notes.seqs()[1], 1, "{name} begins at its cursor");
        let failures = async || world.metrics_of(name)["roomwatch_follower_failures_total"] == 2;
        until_async("it fails again", failures).await;
        assert_eq!(world.metrics_of(name)["roomwatch_follower_restarts_total"], 1);
    }
    // Stopping waits for none of them.
    drop(running);
    assert_eq!(world.status("never").phase(), Phase::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_at_its_cursor_after_a_restart() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::held(NOW));
    let notes = Notes::default();
    let world = World::open(dir.path(), &clock);
    world.append(5).await;
    let running = world.start(vec![noting("good", &notes, Manner::Good)]);
    world.until_at("good", 5).await;
    assert_eq!(notes.seqs(), [0; 0], "a new follower begins with the next event");
    world.append(5).await;
    world.until_at("good", 10).await;
    drop(running);
    world.append(5).await;
    drop(world);

    let world = World::open(dir.path(), &clock);
    let _running = world.start(vec![noting("good", &notes, Manner::Good)]);
    world.until_at("good", 15).await;
    assert_eq!(
        notes.seqs(),
        (6..=15).collect::<Vec<_>>(),
        "what came while it was stopped, and nothing twice"
    );
}

/// Writes each event to a file. The process is killed after the effect and before the cursor.
struct Writing(std::path::PathBuf);

impl Follower for Writing {
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.0)?;
            let lines: String = events.iter().map(|folded| format!("{}\n", folded.event.seq)).collect();
            file.write_all(lines.as_bytes())?;
            Ok(())
        }
        .boxed()
    }

    fn gap(&mut self, _from: Seq, _to: Seq) -> BoxFuture<'_, anyhow::Result<()>> {
        panic!("nothing is removed in this test")
    }
}

fn writing(dir: &Path) -> Vec<(&'static str, Make)> {
    let path = dir.join("effects");
    vec![("writing", Box::new(move || Box::new(Writing(path.clone()))))]
}

fn effects(dir: &Path) -> Vec<u64> {
    let text = fs::read_to_string(dir.join("effects")).unwrap_or_default();
    // A line that is being written is left out.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| line.parse().expect("a seq")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_is_repeated_after_a_kill_before_its_cursor_was_stored() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "follow::child", "--ignored", "--nocapture"])
        .env("FOLLOW_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    until_async("its cursor is at 10 and its effects at 20", async || effects(dir.path()).len() == 20).await;
    child.kill().expect("killed");
    child.wait().expect("ended");

    let clock = Clock::held(NOW);
    let world = World::open(dir.path(), &clock);
    world.append(5).await;
    let _running = world.start(writing(dir.path()));
    world.until_at("writing", 25).await;
    let expected: Vec<u64> = (1..=20).chain(11..=25).collect();
    assert_eq!(effects(dir.path()), expected, "11 to 20 are repeated, and none is left out");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by an_effect_is_repeated_after_a_kill_before_its_cursor_was_stored, in its own process"]
async fn child() {
    let Some(dir) = std::env::var_os("FOLLOW_DIR") else { return };
    let clock = Clock::held(NOW);
    let world = World::open(Path::new(&dir), &clock);
    let _running = world.start(writing(Path::new(&dir)));
    until_async("it runs", async || world.status("writing").phase() == Phase::Running).await;
    world.append(10).await;
    world.until_at("writing", 10).await;
    clock.advance(CURSOR_EVERY);
    let stored = async || {
        let file = rusqlite::Connection::open(Path::new(&dir).join("followers.db")).expect("the file");
        let sql = "SELECT seq FROM cursors WHERE name = 'writing'";
        file.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|seq| seq == 10)
    };
    until_async("the cursor is stored", stored).await;
    // The clock stands still, so the cursor is not stored any more.
    world.append(10).await;
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_waits_a_day_for_a_follower_and_then_tells_it_of_its_gap() {
    let (dir, clock) = (tempfile::tempdir().expect("a directory"), Clock::held(NOW));
    let options =
        LogOptions { quota: roomwatch::storage::Quota::of(1), clock: clock.clone(), ..LogOptions::default() };
    let log = log::open(&LogUrl::Memory, options).expect("a log");
    let world = World::over(dir.path(), log, &clock);
    let notes = Notes::default();
    let running = world.start(vec![noting("stuck", &notes, Manner::NeverReturns)]);
    until_async("it runs", async || world.status("stuck").phase() == Phase::Running).await;
    world.append(50).await;
    world.until_at("fold", 50).await;
    until_async("it is stuck", async || !notes.seqs().is_empty()).await;
    world.followers.checkpointed(Seq(40));
    clock.advance(DAY - Duration::from_secs(100));
    assert_eq!(world.log.bounds().first, Seq(1), "retention waits for it");

    let passed = async || {
        clock.advance(Duration::from_secs(61));
        world.log.bounds().first == Seq(41)
    };
    until_async("retention passes it", passed).await;
    drop(running);
    let notes = Notes::default();
    let _running = world.start(vec![noting("stuck", &notes, Manner::Good)]);
    world.until_at("stuck", 50).await;
    let expected: Vec<u64> = [1_000_001, 1_000_040].into_iter().chain(41..=50).collect();
    assert_eq!(notes.seqs(), expected, "it is told that 1 to 40 are gone");
    assert_eq!(world.metrics_of("stuck")["roomwatch_follower_missed_events_total"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_and_metrics_show_every_follower_and_the_fold_survives_a_panic() {
    let server = Inside::start(None).await;
    assert_eq!(server.post(&event("EV_1", "a")).await, 200);
    server.log.panics.store(true, Ordering::Release);
    assert_eq!(server.post(&event("EV_2", "a")).await, 200);
    let ready = async |query: &str| {
        let answer = reqwest::get(server.url(&format!("/readyz{query}"))).await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    // The fold has gone on with the event that it panicked at.
    until_async("both have all", async || {
        let (_, text) = ready("?verbose").await;
        text.matches("running, cursor 2, lag 0").count() == 2
    })
    .await;
    let mut stream = server.stream_as(&list_token(), "?after=start").await;
    stream.connected().await;
    assert_eq!(stream.next().await.data["data"]["id"], "EV_1");
    assert_eq!(stream.next().await.data["data"]["id"], "EV_2");

    let (status, text) = ready("?verbose").await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((status, lines[0], lines.len()), (200, "ready", 3), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("fold: running")), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("watchers: running")), "{text}");
    assert!(text.contains("the log panics as it was told"), "{text}");
    assert_eq!(ready("").await, (200, "ready\n".to_owned()));

    let metrics = reqwest::get(server.url("/metrics")).await.expect("an answer").text().await.expect("text");
    for line in [
        "roomwatch_follower_cursor{follower=\"fold\"} 2",
        "roomwatch_follower_lag_events{follower=\"watchers\"} 0",
        "roomwatch_follower_missed_events_total{follower=\"watchers\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
