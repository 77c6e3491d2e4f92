//! A node that is behind the others of its deployment: cursors that another node has given out.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use roomwatch::{
    config::{Config, DEV_KEY},
    event::{Cursor, Event, NewEvent, Seq},
    log::{Appended, Bounds, EventLog, LogError, LogOptions, memory::MemoryLog},
    node::Node,
    token::{Claims, Secret, sign},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    harness::{client, event, sse::Sse, webhook_claims},
    node::config,
};

/// A copy of a log that has each event some time after the log has it.
struct Copy {
    of: Arc<MemoryLog>,
    last: watch::Receiver<Seq>,
    /// The answer of [`EventLog::newest`], or none while the deployment cannot be asked.
    is_asked: Arc<Mutex<bool>>,
    copying: JoinHandle<()>,
}

impl Copy {
    fn new(of: Arc<MemoryLog>, delay: impl Fn() -> Duration + Send + Sync + 'static) -> Copy {
        let (has, last) = watch::channel(of.bounds().last);
        let from = of.clone();
        let copying = tokio::spawn(async move {
            loop {
                let next = has.borrow().next();
                from.wait(Seq(next.0 - 1)).await;
                tokio::time::sleep(delay()).await;
                has.send_replace(from.bounds().last);
            }
        });
        Copy { of, last, is_asked: Arc::new(Mutex::new(true)), copying }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.copying.abort();
    }
}

impl EventLog for Copy {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        self.of.append(events)
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        let last = *self.last.borrow();
        async move {
            let mut events = self.of.read(after, limit).await?;
            events.retain(|event| event.seq <= last);
            Ok(events)
        }
        .boxed()
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        let mut last = self.last.clone();
        async move {
            let _ = last.wait_for(|last| *last > after).await;
        }
        .boxed()
    }

    fn bounds(&self) -> Bounds {
        Bounds { last: *self.last.borrow(), ..self.of.bounds() }
    }

    fn newest(&self) -> BoxFuture<'_, Result<Seq, LogError>> {
        let newest = match *self.is_asked.lock() {
            true => Ok(self.of.bounds().last),
            false => Err(LogError::Failed("no answer".into())),
        };
        ready(newest).boxed()
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        self.of.seek(unix_ms)
    }

    fn retain(&self, _: Seq) {}

    fn close(&self) {}
}

/// No further header.
const NONE: (&str, &str) = ("x-none", "");

/// A node over a log, with its server.
struct Running {
    address: SocketAddr,
    _dir: tempfile::TempDir,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(log: Arc<dyn EventLog>) -> Running {
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config { reconcile: None, ..config(dir.path()) };
        let node = Node::open_over(config, |_| Ok(log)).await.expect("a node");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving =
            tokio::spawn(async move { node.run(listener, std::future::pending()).await.expect("it runs") });
        Running { address, _dir: dir, serving }
    }

    /// Posts a webhook, and returns the cursor.
    async fn webhook(&self, id: &str) -> String {
        let body = event(id, "standup");
        let claims = Claims { iss: DEV_KEY.0.into(), ..webhook_claims(body.as_bytes()) };
        let answer = client()
            .post(format!("http://{}/api/webhooks/livekit", self.address))
            .header("authorization", sign(&claims, &Secret::new(DEV_KEY.1)))
            .body(body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.expect("JSON")["cursor"].as_str().expect("a cursor").to_owned()
    }

    async fn get(&self, path: &str, header: (&str, &str)) -> reqwest::Response {
        client()
            .get(format!("http://{}{path}", self.address))
            .header("accept", "application/json")
            .header(header.0, header.1)
            .send()
            .await
            .expect("an answer")
    }

    /// Opens a stream, and returns its first message.
    async fn connected(&self, cursor: &str) -> (String, Value) {
        let answer = client()
            .get(format!("http://{}/api/events", self.address))
            .header("accept", "text/event-stream")
            .header("last-event-id", cursor)
            .send()
            .await
            .expect("an answer");
        let first = Sse::of(answer).next().await;
        (first.event, first.data)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Two nodes of one log: the second has each event after the delay.
async fn two(delay: impl Fn() -> Duration + Send + Sync + 'static) -> (Running, Running, Arc<Mutex<bool>>) {
    let log = Arc::new(MemoryLog::new(LogOptions::default()));
    let copy = Copy::new(log.clone(), delay);
    let is_asked = copy.is_asked.clone();
    (Running::start(log).await, Running::start(Arc::new(copy)).await, is_asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_node_is_waited_for_and_always_resumed() {
    let (ahead, behind, _) = two(|| Duration::from_millis(fastrand::u64(0..120))).await;
    for n in 0..60 {
        let cursor = ahead.webhook(&format!("EV_{n}")).await;
        let (_, first) = behind.connected(&cursor).await;
        assert_eq!(
            (&first["resumed"], first["cursor"].as_str()),
            (&Value::Bool(true), Some(&*cursor)),
            "{first}"
        );
        // The same for a page of the log, a list, and an earlier state.
        let cursor = ahead.webhook(&format!("EV_{n}_more")).await;
        let paths = [
            format!("/api/events?after={cursor}"),
            format!("/api/events?before={cursor}"),
            format!("/api/rooms?at={cursor}"),
            "/api/rooms".to_owned(),
        ];
        let path = &paths[n % paths.len()];
        let answer = behind.get(path, ("roomwatch-cursor", &cursor)).await;
        assert_eq!(answer.status(), 200, "{path}");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["cursor"], *cursor, "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stays_behind_says_so_and_a_cursor_that_no_node_has_is_ahead() {
    let (ahead, behind, is_asked) = two(|| Duration::from_secs(3600)).await;
    let cursor = ahead.webhook("EV_1").await;
    for is_answered in [true, false] {
        *is_asked.lock() = is_answered;
        let began = Instant::now();
        let (name, data) = behind.connected(&cursor).await;
        assert_eq!((&*name, data["reason"].as_str()), ("bye", Some("behind")), "{data}");
        assert!((4_500..8_000).contains(&began.elapsed().as_millis()), "after {:?}", began.elapsed());
        for path in [format!("/api/events?after={cursor}"), format!("/api/rooms?at={cursor}")] {
            let answer = behind.get(&path, NONE).await;
            assert_eq!(answer.status(), 503, "{path}");
            assert!(answer.headers().contains_key("retry-after"), "{path}");
            assert_eq!(answer.json::<Value>().await.expect("JSON")["error"]["code"], "behind", "{path}");
        }
    }
    // A list answers with what the node has.
    let list = behind.get("/api/rooms", ("roomwatch-cursor", &cursor)).await;
    assert_eq!(list.status(), 200);
    assert_ne!(list.json::<Value>().await.expect("JSON")["cursor"], *cursor);

    // Beyond the newest event of all nodes, no time is lost.
    *is_asked.lock() = true;
    let Cursor { epoch, .. } = cursor.parse().expect("a cursor");
    let beyond = format!("{epoch}-99");
    let began = Instant::now();
    let (_, first) = behind.connected(&beyond).await;
    assert_eq!((&first["resumed"], &first["reset"]), (&Value::Bool(false), &Value::from("ahead")), "{first}");
    assert_eq!(behind.get(&format!("/api/events?after={beyond}"), NONE).await.status(), 410);
    for cursor in [&*beyond, "junk", "", "00000000-5"] {
        assert_eq!(behind.get("/api/rooms", ("roomwatch-cursor", cursor)).await.status(), 200, "{cursor:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(3), "after {:?}", began.elapsed());
}
