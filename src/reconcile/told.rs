//! Messages between the nodes of a deployment about one project. The node that compares it with LiveKit tells its health, and
//! the others tell which rooms are looked at there, or were changed by a command.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Project, Shared, schedule::WATCHED_ROOMS_MAX};
use crate::cluster::{Cluster, Expected, Map, NodeId};

/// Interval at which changes are told. Rooms that are looked at are compared every two seconds, and a command settles in
/// about one.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Rooms that are looked at are told again after this time.
const WATCHED_EVERY: Duration = Duration::from_secs(2);

/// Rooms that a node wants compared.
#[derive(Default, Deserialize, Serialize)]
struct Asked {
    watched: Vec<Arc<str>>,
    changed: Vec<Arc<str>>,
}

/// The part of the node that compares the project.
pub(super) async fn lead(shared: &Shared, project: &Project, cluster: &dyn Cluster) {
    tokio::join!(tell_health(shared, project, cluster), hear_asked(shared, project, cluster));
}

/// The part of a node that does not.
pub(super) async fn follow(shared: &Shared, project: &Project, cluster: &dyn Cluster) {
    tokio::join!(hear_health(project, cluster), ask(shared, project, cluster));
}

async fn tell_health(shared: &Shared, project: &Project, cluster: &dyn Cluster) {
    let mut told = Vec::new();
    loop {
        let health = serde_json::to_vec(&*project.health.lock()).unwrap_or_default();
        if health != told {
            let put = cluster.put(Map::Health, &project.name, health.clone().into(), Expected::Anything);
            if put.await.is_ok() {
                told = health;
            }
        }
        shared.clock.sleep(HEALTH_EVERY).await;
    }
}

async fn hear_health(project: &Project, cluster: &dyn Cluster) {
    let mut watch = cluster.watch(Map::Health);
    loop {
        for change in watch.next().await {
            if *change.key == *project.name
                && let Some(entry) = change.entry
                && let Ok(health) = serde_json::from_slice(&entry.value)
            {
                *project.health.lock() = health;
            }
        }
    }
}

async fn ask(shared: &Shared, project: &Project, cluster: &dyn Cluster) {
    let key = format!("{}/{}", project.name, NodeId::random());
    let mut watched_at: Option<Duration> = None;
    loop {
        shared.clock.sleep(ASK_EVERY).await;
        let now = shared.clock.running();
        let mut asked = Asked { watched: Vec::new(), changed: project.requests.lock().take_due(now) };
        if watched_at.is_none_or(|at| now.saturating_sub(at) >= WATCHED_EVERY) {
            watched_at = Some(now);
            asked.watched = shared.feed.watched(&project.name);
            asked.watched.extend(project.requests.lock().watched(now));
            asked.watched.truncate(WATCHED_ROOMS_MAX);
        }
        if asked.watched.is_empty() && asked.changed.is_empty() {
            continue;
        }
        let value = serde_json::to_vec(&asked).unwrap_or_default();
        if let Err(error) = cluster.put(Map::Asks, &key, value.into(), Expected::Anything).await {
            tracing::debug!("cannot ask for a comparison: {error}");
        }
    }
}

async fn hear_asked(shared: &Shared, project: &Project, cluster: &dyn Cluster) {
    let mut watch = cluster.watch(Map::Asks);
    // Those of before are over.
    watch.next().await;
    loop {
        for change in watch.next().await {
            let is_ours = change.key.rsplit_once('/').is_some_and(|(name, _)| name == &*project.name);
            if is_ours
                && let Some(entry) = change.entry
                && let Ok(Asked { watched, changed }) = serde_json::from_slice(&entry.value)
            {
                let now = shared.clock.running();
                let mut requests = project.requests.lock();
                for room in watched {
                    requests.watch(now, &room);
                }
                for room in changed {
                    requests.ask(now, &room);
                }
                project.wake.notify_one();
            }
        }
    }
}
