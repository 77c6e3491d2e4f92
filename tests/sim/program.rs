//! The program: its own parts as a node assembles them, without its threads and sockets.

use std::{path::Path, sync::Arc};

use futures_util::FutureExt;
use parking_lot::RwLock;
use roomwatch::{
    cluster::{Cluster, Local},
    config::{Config, Options},
    derived::{self, Derived, Stepped},
    feed::Feed,
    follow::{Fold, Followers},
    ingest::{
        Receipts, Rejections,
        webhook::{Held, Webhooks},
    },
    livekit::LiveKit,
    log::EventLog,
    metrics::Metrics,
    reconcile::Reconcile,
    state::State,
    token::Secret,
};

use crate::{
    api::Api,
    disk::Disk,
    tasks::{Owner, Tasks},
};

pub const KEY: &str = "APIsim";
pub const SECRET: &str = "a secret of the simulation";
pub const PROJECT: &str = "default";

/// The parts that outlive the program.
pub struct Machine {
    pub config: Config,
    pub disk: Arc<Disk>,
    pub cluster: Arc<dyn Cluster>,
    pub api: Arc<Api>,
}

pub struct Program {
    pub webhooks: Arc<Webhooks>,
    pub state: Arc<RwLock<State>>,
    pub feed: Arc<Feed>,
    pub derived: Arc<Derived>,
    pub history: Stepped,
    pub reconcile: Arc<Reconcile>,
}

pub fn config(dir: &Path, reconcile_secs: u32, clock: &roomwatch::clock::Clock) -> Config {
    let options = Options {
        data_dir: Some(dir.to_owned()),
        livekit_url: Some("http://livekit.example".to_owned()),
        livekit_api_key: Some(KEY.to_owned()),
        livekit_api_secret: Some(Secret::new(SECRET)),
        reconcile_secs: Some(reconcile_secs),
        ..Options::default()
    };
    Config { clock: clock.clone(), ..options.check().expect("a configuration") }
}

pub fn cluster(dir: &Path) -> Arc<dyn Cluster> {
    Arc::new(Local::open(dir).expect("it opens"))
}

impl Program {
    /// Opens every part, as `Node::assemble` does, and starts its tasks.
    pub fn start(machine: &Machine, tasks: &mut Tasks) -> Program {
        let Machine { config, disk, cluster, api } = machine;
        let (dir, clock): (&Path, _) = (&config.data_dir, &config.clock);
        let log: Arc<dyn EventLog> = disk.clone();
        let metrics: Arc<Metrics> = Arc::default();
        let followers = Followers::open(dir, log.clone(), clock.clone(), metrics.clone()).expect("it opens");
        let covered = followers.clone();
        let options = derived::Options {
            retain: config.history,
            quota: Default::default(),
            covered: Box::new(move |seq| covered.checkpointed(seq)),
            clock: clock.clone(),
            // Reads of the log would block the one thread.
            log: None,
            dimensions: Arc::new([]),
        };
        let (derived, history, state) = Derived::open_stepped(dir, log.bounds(), options).expect("it opens");
        let derived = Arc::new(derived);
        let fold = Fold::new(log.clone(), derived.clone(), state, &followers);
        let state = fold.state();
        let feed = Feed::new(log.clone(), derived.clone(), state.read().head());
        let receipts = Receipts::open(cluster.clone()).now_or_never().expect("it does not wait");
        let webhooks = Arc::new(Webhooks {
            keys: config.keys.clone(),
            redaction: config.redaction.clone(),
            log: log.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            receipts: receipts.clone(),
            rejections: Rejections::default(),
            body_bytes_max: 8 << 20,
            body_time_max: None,
            held: Held::default(),
        });
        let livekit = |project: &_| LiveKit::over(project, clock, api.clone());
        let reconcile = Reconcile::new(config, livekit, log, state.clone(), feed.clone(), metrics, receipts);
        let reconcile = Arc::new(reconcile);
        tasks.add(Owner::Program, "fold", fold.run(feed.clone()));
        for project in reconcile.loops(cluster) {
            tasks.add(Owner::Program, "reconcile", project);
        }
        Program { webhooks, state, feed, derived, history, reconcile }
    }
}
