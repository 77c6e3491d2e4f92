//! One Roomwatch: opens everything for a configuration, runs it, and closes it in order.
//!
//! This is the only place that assembles a server. `serve`, `demo`, the integration tests and the benches all use it.

use std::{
    future::Future,
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::Context;
use futures_util::future::{AbortHandle, abortable};
use parking_lot::RwLock;
use tokio::{net::TcpListener, runtime::Handle, task::JoinSet};

use crate::{
    accounts::Accounts,
    audit::Audit,
    cluster::{Cluster, Counts, Local, Map, NodeId},
    config::{Config, Limit},
    data_dir::DataDir,
    derived::{self, Derived},
    feed::Feed,
    follow::Follower,
    ingest::{Receipts, Rejections, webhook::Webhooks},
    log::{self, EventLog, LogOptions, LogUrl},
    metrics::Metrics,
    reconcile::Reconcile,
    server::{App, api::watch, front::Front, limits::Limiter, listen, stream::open::Streams},
    snapshot::Snapshots,
    state::State,
};

/// A node that is open: it folds its log. [`Node::run`] serves it.
pub struct Node {
    app: Arc<App>,
    log: Arc<dyn EventLog>,
    cluster: Arc<dyn Cluster>,
    derived: Arc<Derived>,
    state: Arc<RwLock<State>>,
    fold: Fold,
    receipts: Arc<Receipts>,
    users: Arc<Counts>,
    /// Share receipts and counts with the deployment.
    _shared: [JoinSet<()>; 2],
    dirs: Dirs,
}

/// The directories of a node. They are locked first, before any file in them is opened, and for as long as anything of
/// the node may write.
struct Dirs {
    data: DataDir,
    /// That of the log, if it is another one.
    _log: Option<DataDir>,
}

impl Dirs {
    fn lock(config: &Config) -> anyhow::Result<Dirs> {
        let data = DataDir::open(&config.data_dir)?;
        let log = match &config.log_url {
            LogUrl::Sqlite(dir) => data.open_other(dir)?,
            LogUrl::Memory => None,
        };
        Ok(Dirs { data, _log: log })
    }
}

impl Node {
    /// Opens a node over the log that its configuration names. Within a tokio runtime.
    pub async fn open(config: Config) -> anyhow::Result<Node> {
        Node::open_over(config, open_log).await
    }

    /// Opens a node over another log.
    pub async fn open_over(
        config: Config,
        open_log: impl FnOnce(&Config) -> anyhow::Result<Arc<dyn EventLog>>,
    ) -> anyhow::Result<Node> {
        let dirs = Dirs::lock(&config)?;
        let log = open_log(&config)?;
        let cluster = Arc::new(Local::open(dirs.data.path())?);
        Node::assemble(config, dirs, log, cluster).await
    }

    /// Opens a node of a deployment.
    pub async fn open_in(config: Config, cluster: Arc<dyn Cluster>) -> anyhow::Result<Node> {
        let dirs = Dirs::lock(&config)?;
        let log = open_log(&config)?;
        Node::assemble(config, dirs, log, cluster).await
    }

    /// Opens every part of a node, in the order in which one needs another.
    async fn assemble(
        config: Config,
        dirs: Dirs,
        log: Arc<dyn EventLog>,
        cluster: Arc<dyn Cluster>,
    ) -> anyhow::Result<Node> {
        let data = &dirs.data;
        let clock = config.clock.clone();
        let covered = log.clone();
        let options = derived::Options {
            retain: config.history,
            covered: Box::new(move |seq| covered.retain(seq)),
            clock: config.clock.clone(),
        };
        let (derived, state) = Derived::open(data.path(), log.bounds(), options)?;
        let derived = Arc::new(derived);
        let follower = Follower::new(log.clone(), derived.clone(), state);
        let state = follower.state();
        let feed = Feed::new(log.clone(), derived.clone(), state.read().head());

        let metrics: Arc<Metrics> = Arc::default();
        let receipts = Receipts::open(cluster.clone()).await;
        let webhooks = Arc::new(Webhooks {
            keys: config.keys.clone(),
            redaction: config.redaction.clone(),
            log: log.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            receipts: receipts.clone(),
            rejections: Rejections::default(),
            body_bytes_max: Limit::WebhookBytes.bytes(&config.limits),
            body_time_max: Limit::BodyTime.time(&config.limits),
        });
        let reconcile = Arc::new(Reconcile::new(
            &config,
            log.clone(),
            state.clone(),
            feed.clone(),
            metrics.clone(),
            receipts.clone(),
        ));
        let accounts =
            Accounts::open(cluster.clone(), &config.users, config.password.as_ref(), config.clock.clone())
                .await?;
        let node = NodeId::random();
        let users = Counts::new(cluster.clone(), Map::Streams, node, config.clock.clone());
        let limiter = Limiter::new(config.limits, users.clone());
        let streams = Streams::new(limiter.clone(), feed.clone(), metrics.clone(), &config);

        let fold = Fold::start(follower, feed.clone())?;
        let app = Arc::new(App {
            audit: Audit::new(data.path(), clock.clone()),
            front: Front::new(&config),
            began_at: log.bounds().last,
            config,
            log: log.clone(),
            state: state.clone(),
            snapshots: Snapshots::new(log.clone(), derived.clone(), state.clone(), feed.clone()),
            derived: derived.clone(),
            feed,
            metrics,
            receipts: receipts.clone(),
            webhooks,
            reconcile,
            accounts,
            limiter,
            streams,
        });
        let shared = [receipts.start(&clock), users.start()];
        Ok(Node { app, log, cluster, derived, state, fold, receipts, users, _shared: shared, dirs })
    }

    /// Returns the handles that requests share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `shutdown` is done, then drains: readiness goes red, streams are closed over the drain window, and
    /// webhooks are taken to the end.
    pub async fn run(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        // Both end when this function does.
        let _reconciling = self.app.reconcile.start(&self.cluster);
        let _removing = watch::remove_watchers(self.app.clone());
        listen::run(listener, self.app.clone(), shutdown).await.context("cannot write to streams")
    }

    /// Stops the fold, writes a checkpoint and closes every file. What was acknowledged is on the disk when it returns.
    pub async fn close(self) -> anyhow::Result<()> {
        let Node { app, log, cluster: _, derived, state, fold, receipts, users, _shared, dirs } = self;
        drop(app);
        drop(_shared);
        receipts.share().await;
        users.leave().await;
        let close = move || {
            drop(fold);
            derived.checkpoint(state.read().clone());
            derived.close();
            log.close();
            // The locks are released last.
            drop(dirs);
        };
        tokio::task::spawn_blocking(close).await?;
        Ok(())
    }
}

fn open_log(config: &Config) -> anyhow::Result<Arc<dyn EventLog>> {
    let options = LogOptions {
        retain_age: config.retention,
        retain_bytes: config.retention_bytes,
        clock: config.clock.clone(),
        ..LogOptions::default()
    };
    Ok(log::open(&config.log_url, options)?)
}

/// The thread that folds the log. A round of it takes milliseconds, and any task that shared a worker with it would
/// wait as long.
struct Fold {
    thread: Option<JoinHandle<()>>,
    stop: AbortHandle,
}

impl Fold {
    fn start(follower: Follower, feed: Arc<Feed>) -> anyhow::Result<Fold> {
        let (following, stop) = abortable(follower.follow(feed));
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("fold".into()).spawn(move || {
            // An error says that it was stopped.
            let _ = runtime.block_on(following);
        })?;
        Ok(Fold { thread: Some(thread), stop })
    }
}

/// Stops the thread, and waits until it has stopped: it ends at once, wherever it waits.
impl Drop for Fold {
    fn drop(&mut self) {
        self.stop.abort();
        if let Some(thread) = self.thread.take() {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}
