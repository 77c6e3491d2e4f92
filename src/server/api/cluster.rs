//! `GET /api/cluster`: the nodes of a deployment and the servers of its log, as this node knows them.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State as AppState};
use serde::Serialize;

use crate::{
    log::{EpochChange, Servers, Stream},
    nodes::Known,
    server::{
        App,
        caller::{Action, Caller},
        error::Error,
    },
};

/// A deployment. Times in unix milliseconds.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Sorted by name. On a single node, that node
    nodes: Vec<ClusterNode>,
    /// The NATS servers and their streams. Null on a single node
    engine: Option<Engine>,
}

/// A node, as it last described itself.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterNode {
    /// Host and port
    #[schema(value_type = String)]
    name: Box<str>,
    #[schema(value_type = String)]
    version: Box<str>,
    /// True for the node that answers
    own: bool,
    /// When it started
    since: u64,
    /// When it was last heard
    heard_at: u64,
    /// True if it should have been heard since
    silent: bool,
    /// The last event that its readers have
    #[schema(value_type = String)]
    cursor: Box<str>,
    /// Number of events of the log that its readers did not have
    lag_events: u64,
    /// Time for which its readers had not had the whole log
    behind_ms: u64,
    /// The last time in which it could not reach the log
    away: Option<ClusterAway>,
    /// Jobs that it does for all: `attention`, `bootstrap`, `reconcile/<project>`. Empty on a single node, which does every job
    leases: Vec<String>,
}

/// A time in which a node could not reach the log.
#[derive(Serialize, utoipa::ToSchema)]
struct ClusterAway {
    from: u64,
    /// Null while it lasts
    to: Option<u64>,
}

/// The NATS servers, as they last answered this node.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct Engine {
    /// When they last told the newest event
    answered_at: u64,
    /// True if they have not answered for so long that events cannot be stored
    away: bool,
    /// Sequence of the newest event
    newest: u64,
    /// Empty until they have been asked for
    streams: Vec<EngineStream>,
    /// The epochs of the log, the present one first, at most 21
    epochs: Vec<EngineEpoch>,
    /// The data that new nodes of this version begin with. Null if it is unknown or was never stored
    bootstrap: Option<EngineBootstrap>,
}

/// A stream of NATS JetStream.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct EngineStream {
    #[schema(value_type = String)]
    name: Box<str>,
    /// The servers that store it, the leader first
    servers: Vec<EngineServer>,
    messages: u64,
    bytes: u64,
    /// Null if there is no limit
    max_bytes: Option<u64>,
    /// Reason why its state is unknown
    error: Option<Box<str>>,
    /// Milliseconds for which a server has not had the whole stream. Null if all have it
    missing_ms: Option<u64>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct EngineServer {
    #[schema(value_type = String)]
    name: Box<str>,
    leader: bool,
    /// True if it has the whole stream
    current: bool,
}

/// Beginning of an epoch: the cursors before it are reset.
#[derive(Serialize, utoipa::ToSchema)]
struct EngineEpoch {
    epoch: String,
    /// 0 if that is unknown
    at: u64,
    #[schema(value_type = String)]
    why: Box<str>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct EngineBootstrap {
    stored_at: u64,
    /// The last event in it
    cursor: String,
}

/// Shows the nodes of the deployment and the servers of its log. Every node answers with what it knows.
#[utoipa::path(
    get,
    path = "/api/cluster",
    tag = "cluster",
    responses(
        (status = 200, description = "The nodes, and the servers of the log", body = Cluster),
        (status = 401, description = "No valid credential"),
        (status = 403, description = "The caller is not an operator"),
    )
)]
pub async fn cluster(AppState(app): AppState<Arc<App>>, caller: Caller) -> Result<Json<Cluster>, Error> {
    caller.may(Action::ReadCluster, "", None)?;
    let now = app.config.clock.unix_ms();
    let nodes = app.nodes.all().into_iter().map(|node| described(node, now)).collect();
    Ok(Json(Cluster { nodes, engine: app.log.servers().map(|servers| engine(&app, servers, now)) }))
}

fn described(node: Known, now: u64) -> ClusterNode {
    let silent = node.is_silent();
    let Known { name, told, heard, is_own, leases, .. } = node;
    ClusterNode {
        name,
        version: told.version,
        own: is_own,
        since: told.since,
        heard_at: now.saturating_sub(ms(heard)),
        silent,
        cursor: told.cursor,
        lag_events: told.lag,
        behind_ms: told.behind_ms,
        away: told.away.map(|away| ClusterAway { from: away.from, to: away.to }),
        leases,
    }
}

fn engine(app: &App, servers: Servers, now: u64) -> Engine {
    let epoch = |EpochChange { epoch, at, why }| EngineEpoch { epoch: epoch.to_string(), at, why };
    let saved = app.nodes.saved().flatten();
    Engine {
        answered_at: now.saturating_sub(ms(servers.age)),
        away: app.log.contact().is_away,
        newest: servers.newest.0,
        streams: servers.streams.into_iter().map(stream).collect(),
        epochs: servers.epochs.into_iter().map(epoch).collect(),
        bootstrap: saved
            .map(|saved| EngineBootstrap { stored_at: saved.at, cursor: saved.cursor.to_string() }),
    }
}

fn stream(stream: Stream) -> EngineStream {
    let Stream { name, leader, replicas, messages, bytes, bytes_max, error, missing_for } = stream;
    let replicas = replicas.into_iter().map(|(name, current)| EngineServer { name, leader: false, current });
    let leader = (!leader.is_empty()).then_some(EngineServer { name: leader, leader: true, current: true });
    EngineStream {
        name,
        servers: leader.into_iter().chain(replicas).collect(),
        messages,
        bytes,
        // JetStream writes -1 or 0 for no limit.
        max_bytes: (bytes_max > 0).then_some(bytes_max),
        error,
        missing_ms: missing_for.map(ms),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
