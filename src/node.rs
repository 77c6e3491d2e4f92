//! One node: opens every part for a configuration, runs them, and closes them in order.
//!
//! This is the only place that assembles a server. `serve`, `demo`, the integration tests and the benches all use it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use parking_lot::{Mutex, RwLock};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Accounts,
    attention::{self, Attention, Dispatches, Rates},
    audit::Audit,
    bootstrap::{self, Bootstrap},
    cluster::{Cluster, Counts, Deployment, Local, Map, NodeId},
    config::{Config, Deployed, DimensionOptions, Limit},
    data_dir::DataDir,
    deliver::{self, Deliveries, Delivering},
    derived::{self, Derived, Dimension, DimensionSource},
    feed::Feed,
    follow::{Fold, FoldThread, Followers, Make, Running},
    ingest::{
        Receipts, Rejections,
        webhook::{Held, Webhooks},
    },
    livekit::LiveKit,
    log::{self, EventLog, LogOptions, LogUrl, cluster::ClusterLog},
    metrics::Metrics,
    nats::Nats,
    nodes::Nodes,
    reconcile::{Reconcile, watchers::Watchers},
    server::{
        App,
        front::Front,
        limits::Limiter,
        listen,
        memory::Memory,
        stream::{open::Streams, session::Sessions},
        turns::Turns,
    },
    snapshot::Snapshots,
    state::State,
    storage::{Quota, Rate, SizeLimit, Storage},
    store,
};

/// Time between two measurements of the disk.
const MEASURED_EVERY: Duration = Duration::from_secs(5);
/// Time between two checks of all files for damage.
const CHECKED_EVERY: Duration = Duration::from_secs(24 * 3600);
/// Files that are seldom read, or only at the start.
const CHECKED: [&str; 3] = ["audit.db", "shared.db", "followers.db"];

/// An open node. It folds its log; [`Node::run`] serves requests.
pub struct Node {
    app: Arc<App>,
    log: Arc<dyn EventLog>,
    cluster: Arc<dyn Cluster>,
    /// The log, if there are several nodes.
    several: Option<Arc<ClusterLog>>,
    derived: Arc<Derived>,
    state: Arc<RwLock<State>>,
    fold: FoldThread,
    receipts: Arc<Receipts>,
    users: Arc<Counts>,
    /// Tasks that share receipts and counts with the deployment.
    _shared: [JoinSet<()>; 2],
    dirs: Dirs,
}

/// The locked directories of a node. They are locked before any file in them is opened, and until the last write.
struct Dirs {
    data: DataDir,
    /// Directory of the log, if it is another one.
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
    /// Opens a node with the log that its configuration names. Must be called within a tokio runtime.
    pub async fn open(config: Config) -> anyhow::Result<Node> {
        let dirs = Dirs::lock(&config)?;
        let storage = storage(&config);
        if let Some(deployed) = config.cluster.clone() {
            return Node::open_deployed(config, dirs, storage, deployed).await;
        }
        let log = open_log(&config, &storage)?;
        let cluster = Arc::new(Local::open(dirs.data.path())?);
        Node::assemble(config, dirs, storage, log, cluster, NodeId::random()).await
    }

    /// Opens a node of a deployment of several nodes.
    async fn open_deployed(
        config: Config,
        dirs: Dirs,
        storage: Arc<Storage>,
        Deployed { names, nats }: Deployed,
    ) -> anyhow::Result<Node> {
        let nats = Arc::new(Nats::connect(&nats, "roomwatch").await?);
        let id = NodeId::random();
        let cluster = Arc::new(Deployment::new(nats.clone(), names.clone(), id.clone()));
        let dir = dirs.data.path();
        let found = log::cluster::Found::ask(dir, nats, names).await?;
        bootstrap::prepare(dir, &*cluster, found.start()).await?;
        let options =
            LogOptions { clock: config.clock.clone(), damage: storage.damage(), ..LogOptions::default() };
        let log = Arc::new(ClusterLog::open(dir, options, found).await?);
        let mut node = Node::assemble(config, dirs, storage, log.clone(), cluster, id).await?;
        node.several = Some(log);
        Ok(node)
    }

    /// Opens a node with another log.
    pub async fn open_over(
        config: Config,
        open_log: impl FnOnce(&Config) -> anyhow::Result<Arc<dyn EventLog>>,
    ) -> anyhow::Result<Node> {
        let dirs = Dirs::lock(&config)?;
        let storage = storage(&config);
        let log = open_log(&config)?;
        let cluster = Arc::new(Local::open(dirs.data.path())?);
        Node::assemble(config, dirs, storage, log, cluster, NodeId::random()).await
    }

    /// Opens a node of a deployment.
    pub async fn open_in(config: Config, cluster: Arc<dyn Cluster>) -> anyhow::Result<Node> {
        let dirs = Dirs::lock(&config)?;
        let storage = storage(&config);
        let log = open_log(&config, &storage)?;
        Node::assemble(config, dirs, storage, log, cluster, NodeId::random()).await
    }

    /// Opens every part of a node, each after the parts that it needs.
    async fn assemble(
        config: Config,
        dirs: Dirs,
        storage: Arc<Storage>,
        log: Arc<dyn EventLog>,
        cluster: Arc<dyn Cluster>,
        id: NodeId,
    ) -> anyhow::Result<Node> {
        let data = &dirs.data;
        let clock = config.clock.clone();
        let metrics: Arc<Metrics> = Arc::default();
        let followers = Followers::open(data.path(), log.clone(), clock.clone(), metrics.clone())?;
        let covered = followers.clone();
        let options = derived::Options {
            retain: config.history,
            quota: storage.derived(),
            covered: Box::new(move |seq| covered.checkpointed(seq)),
            clock: clock.clone(),
            log: Some(log.clone()),
            dimensions: config.usage.dimensions.iter().map(dimension).collect(),
        };
        let (derived, state) = Derived::open(data.path(), log.bounds(), options)?;
        let derived = Arc::new(derived);
        let fold = Fold::new(log.clone(), derived.clone(), state, &followers);
        let state = fold.state();
        let feed = Feed::new(log.clone(), derived.clone(), state.read().head());

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
            held: Held::default(),
        });
        let reconcile = Arc::new(Reconcile::new(
            &config,
            |project| LiveKit::new(project, &config.clock),
            log.clone(),
            state.clone(),
            feed.clone(),
            metrics.clone(),
            receipts.clone(),
        ));
        let accounts =
            Accounts::open(cluster.clone(), &config.users, config.password.as_ref(), config.clock.clone())
                .await?;
        let users = Counts::new(cluster.clone(), Map::Streams, id.clone(), config.clock.clone());
        let nodes = Nodes::new(id, cluster.clone(), log.clone(), feed.clone(), clock.clone());
        let limiter = Limiter::new(config.limits, users.clone(), metrics.clone());
        let streams = Streams::new(limiter.clone(), feed.clone(), metrics.clone(), &config);
        let memory = Memory::new(*limiter.limits(), metrics.clone());

        let fold = fold.start(feed.clone())?;
        let app = Arc::new(App {
            audit: Audit::new(data.path(), clock.clone(), storage.damage()),
            front: Front::new(&config),
            began_at: log.bounds().last,
            config,
            log: log.clone(),
            storage,
            state: state.clone(),
            snapshots: Snapshots::new(log.clone(), derived.clone(), state.clone(), feed.clone()),
            derived: derived.clone(),
            feed,
            followers,
            nodes,
            metrics,
            receipts: receipts.clone(),
            webhooks,
            reconcile,
            accounts,
            memory,
            turns: Turns::default(),
            limiter,
            streams,
            sessions: Sessions::default(),
            starting: Default::default(),
        });
        let shared = [receipts.start(&clock), users.start()];
        Ok(Node {
            app,
            log,
            cluster,
            several: None,
            derived,
            state,
            fold,
            receipts,
            users,
            _shared: shared,
            dirs,
        })
    }

    /// Returns what the deployment shares.
    pub fn cluster(&self) -> &Arc<dyn Cluster> {
        &self.cluster
    }

    /// Returns the handles that requests share.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Serves until `shutdown` completes, and then drains: `/readyz` answers 503, streams are closed over the drain
    /// window, and webhooks are accepted during it.
    pub async fn run(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        // It ends with this function.
        let telling = self.app.nodes.start(listener.local_addr()?);
        let _reconciling = self.app.reconcile.start(&self.cluster);
        let _measuring = self.start_measuring();
        let _checking = self.start_checking();
        let _storing = self.several.clone().map(|log| self.bootstrap(log).start());
        // Before the followers, so that retention waits for it too.
        let delivering = self.start_deliveries().await?;
        let (followers, _asking) = self.start_followers()?;
        let lost = CancellationToken::new();
        let ended = async {
            tokio::select! {
                () = shutdown => {}
                () = self.log.lost() => lost.cancel(),
            }
        };
        listen::run(listener, self.app.clone(), ended)
            .await
            .context("cannot start the threads for streams")?;
        // Dropping waits for the followers, so it blocks.
        tokio::task::spawn_blocking(move || drop((delivering, followers))).await?;
        drop(telling);
        self.app.nodes.leave().await;
        ensure!(!lost.is_cancelled(), "the deployment has begun a new epoch; start this node again");
        Ok(())
    }

    /// Returns the part that stores derived data for new nodes.
    fn bootstrap(&self, log: Arc<ClusterLog>) -> Bootstrap {
        Bootstrap {
            cluster: self.cluster.clone(),
            log,
            derived: self.derived.clone(),
            clock: self.app.config.clock.clone(),
            data_dir: self.dirs.data.path().to_owned(),
            retention: self.app.config.retention,
        }
    }

    /// Starts the task that measures the disk.
    fn start_measuring(&self) -> JoinSet<()> {
        let (app, log) = (self.app.clone(), self.log.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let clock = &app.config.clock;
            loop {
                let rate = log::rate(&*log, clock.believed().unix_ms).await;
                let storage = app.storage.clone();
                // An error is logged by the task.
                let _ = tokio::task::spawn_blocking(move || measure(&storage, rate)).await;
                clock.sleep(MEASURED_EVERY).await;
            }
        });
        tasks
    }

    /// Starts the task that reads every page of every file now and then, because damage of a page that is seldom read
    /// would be found when it is needed.
    fn start_checking(&self) -> JoinSet<()> {
        let (app, log, derived) = (self.app.clone(), self.log.clone(), self.derived.clone());
        let dir = self.dirs.data.path().to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (clock, damage) = (&app.config.clock, app.storage.damage());
            loop {
                clock.sleep(CHECKED_EVERY).await;
                for file in CHECKED {
                    let path = dir.join(file);
                    let checked = tokio::task::spawn_blocking(move || store::check(&path)).await;
                    match checked {
                        Ok(Ok(None)) => damage.not_found(file),
                        Ok(Ok(Some(error))) => damage.found(file, &error),
                        // It does not exist yet, or is busy.
                        _ => {}
                    }
                }
                // The log notes its damage, and the history repairs it.
                if log::check(&*log, clock).await.is_ok() {
                    damage.not_found("log.db");
                }
                if let Err(error) = derived.check().await {
                    tracing::debug!("the check of the history: {error}");
                }
            }
        });
        tasks
    }

    /// Starts the deliveries, if there are endpoints.
    async fn start_deliveries(&self) -> anyhow::Result<Option<Delivering>> {
        if self.several.is_none()
            && let Err(error) = deliver::forget_removed(&*self.cluster, &self.app.config.endpoints).await
        {
            tracing::warn!("positions of removed endpoints cannot be deleted: {error}");
        }
        if self.app.config.endpoints.is_empty() {
            return Ok(None);
        }
        let deliveries = Deliveries::new(
            &self.app.config,
            self.log.clone(),
            self.app.feed.clone(),
            self.cluster.clone(),
            self.app.metrics.clone(),
            self.several.is_some(),
        )?;
        Ok(Some(deliveries.start(self.app.followers.place(deliver::NAME))?))
    }

    /// Starts every follower behind the fold, and the questions that one of them needs. This is their list.
    fn start_followers(&self) -> anyhow::Result<(Running, JoinSet<()>)> {
        let (reconcile, state) = (self.app.reconcile.clone(), self.state.clone());
        let watchers: Make = Box::new(move || Box::new(Watchers::new(reconcile.clone(), state.clone())));
        let projects = self.app.config.projects.iter().map(|project| project.name.clone());
        let askable = || projects.clone().filter(|project| self.app.reconcile.livekit(project).is_some());
        let sources = Arc::new(attention::Sources {
            log: self.log.clone(),
            feed: self.app.feed.clone(),
            state: self.state.clone(),
            reconcile: self.app.reconcile.clone(),
            receipts: self.receipts.clone(),
            followers: self.app.followers.clone(),
            nodes: self.app.nodes.clone(),
            storage: self.app.storage.clone(),
            derived: self.derived.clone(),
            limits: self.app.config.limits,
            removes_by_age: self.app.config.retention.is_some(),
            metrics: self.app.metrics.clone(),
            clock: self.app.config.clock.clone(),
            redaction: self.app.config.redaction.clone(),
            projects: projects.clone().collect(),
            rules: self.app.config.attention.clone(),
            rates: Mutex::new(Rates::new(self.app.config.clock.believed().unix_ms)),
            refusals: Mutex::default(),
            leads: AtomicBool::new(self.several.is_none()),
            dispatches: Mutex::new(Dispatches::new(askable())),
        });
        let mut asking = JoinSet::new();
        if self.several.is_some() {
            let (cluster, sources) = (self.cluster.clone(), sources.clone());
            asking.spawn(async move {
                loop {
                    let lease = cluster.lease("attention").await;
                    sources.leads.store(true, Ordering::Release);
                    lease.lost().await;
                    sources.leads.store(false, Ordering::Release);
                }
            });
        }
        if self.app.config.open_conditions {
            for project in askable() {
                asking.spawn(attention::ask(sources.clone(), project));
            }
        }
        let attention: Make = Box::new(move || Box::new(Attention::new(sources.clone())));
        let mut followers = vec![("watchers", watchers)];
        if self.app.config.open_conditions {
            followers.push(("attention", attention));
        }
        Ok((self.app.followers.start(&self.app.feed, &self.derived, followers)?, asking))
    }

    /// Stops the fold, writes a checkpoint and closes every file. Every acknowledged event is on the disk when it
    /// returns.
    pub async fn close(self) -> anyhow::Result<()> {
        let Node { app, log, cluster: _, several: _, derived, state, fold, receipts, users, _shared, dirs } =
            self;
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

/// Returns the measured files of a node that is not open yet.
fn storage(config: &Config) -> Arc<Storage> {
    let log = match &config.log_url {
        LogUrl::Sqlite(dir) => Some(&**dir),
        LogUrl::Memory => None,
    };
    let storage = Storage::new(&config.data_dir, log, config.size_limit);
    measure(&storage, None);
    Arc::new(storage)
}

fn measure(storage: &Storage, rate: Option<Rate>) {
    if let Err(error) = storage.measure(rate) {
        tracing::warn!(
            "the space on the disk cannot be measured, so the limit of bytes stays as it was: {error}"
        );
    }
}

fn open_log(config: &Config, storage: &Storage) -> anyhow::Result<Arc<dyn EventLog>> {
    let quota = match (&config.log_url, config.size_limit) {
        (LogUrl::Sqlite(_), _) => storage.log(),
        (LogUrl::Memory, SizeLimit::Bytes(max)) => Quota::of(max),
        (LogUrl::Memory, _) => Quota::default(),
    };
    let options = LogOptions {
        retain_age: config.retention,
        quota,
        told: Derived::last_of(&config.data_dir),
        clock: config.clock.clone(),
        damage: storage.damage(),
        ..LogOptions::default()
    };
    Ok(log::open(&config.log_url, options)?)
}

fn dimension(options: &DimensionOptions) -> Dimension {
    let source = match &options.metadata {
        Some(key) => DimensionSource::Metadata(key.clone()),
        None => DimensionSource::RoomPrefixes(options.room_prefixes.clone()),
    };
    Dimension { name: options.name.clone(), source }
}
