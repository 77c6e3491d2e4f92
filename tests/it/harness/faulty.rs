//! The server in the process of the test, with a log whose disk fails on demand.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use futures_util::{FutureExt, future::BoxFuture};
use roomwatch::{
    cli::serve::{Options, install_tls},
    event::{Event, NewEvent, Seq},
    log::{self, Appended, Bounds, EventLog, LogError, LogOptions, LogUrl, Servers},
    metrics::Metrics,
    node::Node,
    server::App,
    token::Secret,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

use super::{
    disk::Disk,
    server::client,
    server::log_in_memory,
    sse::Sse,
    tokens::{KEY, SECRET, list_token},
    webhook::webhook_token,
};

/// A log that takes nothing, or gives nothing.
pub struct Faulty {
    log: Arc<dyn EventLog>,
    pub full: AtomicBool,
    pub unreadable: AtomicBool,
    /// The next read panics.
    pub panics: AtomicBool,
    /// Servers of the log, as if it were one of several nodes.
    pub servers: Mutex<Option<Servers>>,
}

impl Faulty {
    /// Passes everything to this log until it is told to fail.
    pub fn over(log: Arc<dyn EventLog>) -> Faulty {
        Faulty {
            log,
            full: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            servers: Mutex::default(),
        }
    }
}

impl EventLog for Faulty {
    fn append(&self, events: Vec<NewEvent>) -> BoxFuture<'_, Result<Vec<Appended>, LogError>> {
        if self.full.load(Ordering::Acquire) {
            return std::future::ready(Err(LogError::Full)).boxed();
        }
        self.log.append(events)
    }

    fn read(&self, after: Seq, limit: usize) -> BoxFuture<'_, Result<Vec<Event>, LogError>> {
        assert!(!self.panics.swap(false, Ordering::AcqRel), "the log panics as it was told");
        if self.unreadable.load(Ordering::Acquire) {
            return std::future::ready(Err(LogError::Failed("the disk is gone".into()))).boxed();
        }
        self.log.read(after, limit)
    }

    fn wait(&self, after: Seq) -> BoxFuture<'_, ()> {
        self.log.wait(after)
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn servers(&self) -> Option<Servers> {
        self.servers.lock().expect("not poisoned").clone()
    }

    fn seek(&self, unix_ms: u64) -> BoxFuture<'_, Result<Option<Seq>, LogError>> {
        self.log.seek(unix_ms)
    }

    fn retain(&self, through: Seq) {
        self.log.retain(through);
    }

    fn close(&self) {
        self.log.close();
    }
}

pub struct Inside {
    pub app: Arc<App>,
    pub log: Arc<Faulty>,
    pub metrics: Arc<Metrics>,
    url: String,
    _tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Inside {
    /// Serves one project, whose LiveKit is at `livekit_url` if it has one.
    pub async fn start(livekit_url: Option<String>) -> Inside {
        Inside::over(log_in_memory().then_some(LogUrl::Memory), livekit_url).await
    }

    /// Serves over the log at `log_url`, or over one in the data directory.
    pub async fn over(log_url: Option<LogUrl>, livekit_url: Option<String>) -> Inside {
        Inside::with(log_url, livekit_url, LogOptions::default()).await
    }

    /// Serves over a log in the data directory, on this disk.
    pub async fn on(disk: &Disk) -> Inside {
        Inside::with(None, None, LogOptions { vfs: disk.vfs(), ..LogOptions::default() }).await
    }

    async fn with(log_url: Option<LogUrl>, livekit_url: Option<String>, log_options: LogOptions) -> Inside {
        install_tls();
        let dir = tempfile::tempdir().expect("a directory");
        let options = Options {
            data_dir: Some(dir.path().join("data")),
            log_url,
            livekit_url,
            livekit_api_key: Some(KEY.into()),
            livekit_api_secret: Some(Secret::new(SECRET)),
            reconcile_secs: Some(3_600),
            open_conditions: Some(false),
            ..Options::default()
        };
        let config = options.check().expect("options");
        let mut faulty_log = None;
        let node = Node::open_over(config, |config| {
            let faulty = Faulty::over(log::open(&config.log_url, log_options)?);
            Ok(faulty_log.insert(Arc::new(faulty)).clone())
        });
        let node = node.await.expect("a node");
        let log = faulty_log.expect("the node has opened it");
        let app = node.app().clone();
        let metrics = app.metrics.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { node.run(listener, std::future::pending()).await.expect("it serves") });
        Inside { app, log, metrics, url, _tasks: tasks, _dir: dir }
    }

    /// Posts an event that changes nothing.
    pub async fn webhook(&self, id: &str) -> u16 {
        self.post(&format!(r#"{{"event":"something_else","id":"{id}"}}"#)).await
    }

    /// Posts this event of LiveKit's.
    pub async fn post(&self, body: &str) -> u16 {
        let request = client().post(self.url("/api/webhooks/livekit"));
        let request = request.header("authorization", webhook_token(body.as_bytes()));
        request.body(body.to_owned()).send().await.expect("an answer").status().as_u16()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub async fn get(&self, path: &str) -> Value {
        self.get_as(&list_token(), path).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Value {
        let request = client().get(self.url(path)).bearer_auth(token).header("accept", "application/json");
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    pub async fn stream_as(&self, token: &str, query: &str) -> Sse {
        let request = client().get(self.url(&format!("/api/events{query}"))).bearer_auth(token);
        Sse::of(request.send().await.expect("an answer"))
    }
}
