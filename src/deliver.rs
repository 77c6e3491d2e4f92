//! Deliveries: events of the log, sent to other systems.
//!
//! ```text
//! log ─▶ worker ─▶ lanes, one for each room ─▶ requests      one worker for each endpoint, all on one thread
//!          │
//!          └─▶ position, about once a second
//! ```
//!
//! An endpoint is a follower of the log with its own position. It is a reader: nothing waits for it, and it has no queue
//! but the log. **At least once**: the position is stored after the answer. **In order** for each room: one request for
//! each endpoint and room, and a room whose delivery fails is parked at that event, while the others go on.
//!
//! The position is state of the deployment, and one node delivers, the holder of the lease `deliver`.
//!
//! `lanes` has the rooms with undelivered events, `retry` the meaning of an answer, `message` the request, `kept` the
//! position on the disk.

use std::{
    collections::HashMap,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    cluster::{Cluster, ClusterError, Expected, Map},
    config::{Config, Endpoint, Project},
    event::Seq,
    feed::Feed,
    follow::{
        Place,
        restart::{Backoff, caught},
    },
    http::{Client, Limits},
    log::EventLog,
    metrics::Metrics,
};

mod kept;
mod lanes;
mod message;
mod retry;
mod worker;

use kept::{Kept, endpoint_of};
use worker::Worker;

/// Name of the follower, and of the lease.
pub const NAME: &str = "deliver";
/// Maximum time until the head of an answer.
const TIME_MAX: Duration = Duration::from_secs(15);
/// Limits of the client. Of a body only its beginning is of use, for an operator.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), answer_bytes: 2_048 };
/// Maximum number of requests in flight of all endpoints.
const FLIGHTS_MAX: usize = 512;

/// Maximum number of reads of the log at the same time: each may return many megabytes.
const READS_MAX: usize = 4;

/// The endpoints, before they are delivered to.
pub struct Deliveries {
    shared: Arc<Shared>,
    endpoints: Vec<Arc<Endpoint>>,
    /// True if other nodes may deliver too.
    several: bool,
}

/// The parts that workers share.
struct Shared {
    /// The last event when the node was opened: a new endpoint begins after it. Of several nodes, a log may lag then.
    opened_at: Option<Seq>,
    log: Arc<dyn EventLog>,
    feed: Arc<Feed>,
    cluster: Arc<dyn Cluster>,
    clock: Clock,
    metrics: Arc<Metrics>,
    client: Client,
    projects: Vec<Project>,
    flights: Arc<Semaphore>,
    reads: Semaphore,
}

impl Deliveries {
    pub fn new(
        config: &Config,
        log: Arc<dyn EventLog>,
        feed: Arc<Feed>,
        cluster: Arc<dyn Cluster>,
        metrics: Arc<Metrics>,
        several: bool,
    ) -> anyhow::Result<Deliveries> {
        let client = Client::allowing(LIMITS, config.deliveries.allow_networks.as_slice().into())
            .context("the client for deliveries cannot be made")?;
        let shared = Arc::new(Shared {
            opened_at: (!several).then(|| log.bounds().last),
            log,
            feed,
            cluster,
            clock: config.clock.clone(),
            metrics,
            client,
            projects: config.projects.clone(),
            flights: Arc::new(Semaphore::new(FLIGHTS_MAX)),
            reads: Semaphore::new(READS_MAX),
        });
        let endpoints = config.endpoints.iter().cloned().map(Arc::new).collect();
        Ok(Deliveries { shared, endpoints, several })
    }

    /// Delivers on its own thread until the result is dropped.
    pub fn start(self, place: Place) -> std::io::Result<Delivering> {
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopped = stop.clone();
        let work = move || runtime.block_on(self.run(place, stopped));
        let thread = thread::Builder::new().name(NAME.into()).spawn(work)?;
        Ok(Delivering { stop, thread: Some(thread) })
    }

    async fn run(self, place: Place, stop: CancellationToken) {
        let place = Mutex::new(place);
        let leading = async {
            let mut backoff = Backoff::default();
            loop {
                let lease = self.shared.cluster.lease(NAME).await;
                if self.several {
                    // The node before may have sent requests that are not answered yet.
                    self.shared.clock.sleep(TIME_MAX).await;
                }
                let lead = std::pin::pin!(caught(self.lead(&stop)));
                match select(lead, std::pin::pin!(lease.lost())).await {
                    Either::Left((Ok(()), _)) => return,
                    Either::Left((Err(error), _)) => {
                        let pause = backoff.pause();
                        place.lock().failed(&format!("{error:#}"));
                        tracing::error!(
                            "deliveries failed and begin again in {} ms: {error:#}",
                            pause.as_millis()
                        );
                        self.shared.clock.sleep(pause).await;
                    }
                    Either::Right(_) => {}
                }
            }
        };
        let watching = async {
            let mut watch = self.shared.cluster.watch(Map::Deliveries);
            let mut known: HashMap<Box<str>, Kept> = HashMap::new();
            loop {
                for change in watch.next().await {
                    let kept = change.entry.and_then(|entry| serde_json::from_slice(&entry.value).ok());
                    match kept {
                        Some(kept) => known.insert(change.key, kept),
                        None => known.remove(&change.key),
                    };
                }
                self.show(&known, &mut place.lock());
            }
        };
        // A stop ends `lead`, and so `leading`, after the last positions are stored. It may also wait for a lease.
        let ended = async {
            stop.cancelled().await;
            self.shared.clock.sleep(2 * worker::STOP_MAX).await;
        };
        tokio::select! {
            () = leading => {}
            () = watching => {}
            () = ended => {}
        }
    }

    /// Shows how far the deliveries are, and keeps events for the one that is furthest behind.
    fn show(&self, known: &HashMap<Box<str>, Kept>, place: &mut Place) {
        let epoch = self.shared.log.bounds().epoch.0;
        let mine = || {
            let of = |endpoint: &Arc<Endpoint>| known.get(endpoint.name.as_str());
            self.endpoints.iter().filter_map(of).filter(|kept| kept.epoch == epoch)
        };
        let running = mine().filter(|kept| kept.disabled.is_none() && !kept.paused);
        let head = self.shared.feed.head().seq;
        let cursor = running.map(|kept| kept.cursor).min().unwrap_or(head);
        let kept = mine().map(Kept::oldest).min().unwrap_or(head);
        place.moved(cursor, kept);
    }

    /// Delivers to every endpoint until `stop`, or until one fails.
    async fn lead(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut workers = JoinSet::new();
        for endpoint in &self.endpoints {
            let worker = Worker::open(self.shared.clone(), endpoint.clone()).await;
            let worker = worker.with_context(|| format!("endpoint {:?}", endpoint.name))?;
            let (name, stop) = (endpoint.name.clone(), stop.clone());
            workers
                .spawn(async move { worker.run(stop).await.with_context(|| format!("endpoint {name:?}")) });
        }
        while let Some(ended) = workers.join_next().await {
            ended.context("a worker panicked")??;
        }
        Ok(())
    }
}

/// Deletes the positions and dead letters of endpoints that are not in the configuration. Not for several nodes: one of them
/// may have an older configuration.
pub async fn forget_removed(cluster: &dyn Cluster, endpoints: &[Endpoint]) -> Result<(), ClusterError> {
    for map in [Map::Deliveries, Map::DeadLetters] {
        for change in cluster.watch(map).next().await {
            let name = endpoint_of(&change.key);
            if endpoints.iter().all(|endpoint| endpoint.name != *name) {
                cluster.delete(map, &change.key, Expected::Anything).await?;
            }
        }
    }
    Ok(())
}

/// Running deliveries. Dropping it stops them, and waits until their positions are stored.
pub struct Delivering {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Delivering {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic has already been printed.
            let _ = thread.join();
        }
    }
}
