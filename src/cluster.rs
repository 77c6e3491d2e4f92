//! The state that a deployment shares, and not a node: small maps, leases and blobs.
//!
//! One interface, so that the rest of the program has one path. A node that runs alone has [`Local`], which keeps
//! everything in its own data directory. ARCHITECTURE.md lists what is per node and what is per deployment.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

mod counts;
mod deployment;
mod local;

pub use counts::Counts;
pub use deployment::Deployment;
pub use local::Local;

/// A map of a deployment. This enum is the whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// Sign-ins, by the SHA-256 of their token.
    Logins,
    /// The hash of `ROOMWATCH_PASSWORD`. Salts differ from node to node, so one node's hash counts for all.
    Operator,
    /// The last webhook and the last rejection of each project.
    Receipts,
    /// Names of the derived data that a new node begins with, by format.
    Bootstrap,
    /// The number of open streams of each user, by node.
    Streams,
    /// The comparison of each project with LiveKit, as the node that makes it sees it.
    Health,
    /// Rooms that the other nodes want compared, by project and node.
    Asks,
    /// The nodes, by name, as each last described itself.
    Nodes,
    /// The position of each endpoint of deliveries, by its name.
    Deliveries,
    /// Events that an endpoint did not take, by its name and their seq.
    DeadLetters,
}

impl Map {
    pub const ALL: [Map; 10] = [
        Map::Logins,
        Map::Operator,
        Map::Receipts,
        Map::Bootstrap,
        Map::Streams,
        Map::Health,
        Map::Asks,
        Map::Nodes,
        Map::Deliveries,
        Map::DeadLetters,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Map::Logins => "logins",
            Map::Operator => "operator",
            Map::Receipts => "receipts",
            Map::Bootstrap => "bootstrap",
            Map::Streams => "streams",
            Map::Health => "health",
            Map::Asks => "asks",
            Map::Nodes => "nodes",
            Map::Deliveries => "deliveries",
            Map::DeadLetters => "dead_letters",
        }
    }

    /// True if an entry survives the end of every node.
    pub fn is_durable(self) -> bool {
        !matches!(self, Map::Streams | Map::Health | Map::Asks | Map::Nodes)
    }
}

/// A value of a map, and the revision that put it there. Revisions of one map rise with every change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Bytes,
    pub revision: u64,
}

/// Condition of a change: the entry that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Anything,
    Nothing,
    Revision(u64),
}

impl Expected {
    fn allows(self, found: Option<u64>) -> bool {
        match self {
            Expected::Anything => true,
            Expected::Nothing => found.is_none(),
            Expected::Revision(revision) => found == Some(revision),
        }
    }
}

/// Why the deployment's state could not be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Another change came first. Nothing was changed.
    #[error("the entry has changed")]
    Conflict,
    /// It may or may not have been changed.
    #[error("the state of the deployment cannot be reached: {0}")]
    Away(Arc<str>),
}

/// A change that a [`Watch`] saw: the entry as it is now, or none if it was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapChange {
    pub key: Box<str>,
    pub entry: Option<Entry>,
}

/// The shared state of a deployment. All methods may be called from any task at any time.
pub trait Cluster: Send + Sync + 'static {
    /// Returns the entry as the deployment last agreed on it.
    fn get(&self, map: Map, key: &str) -> BoxFuture<'_, Result<Option<Entry>, ClusterError>>;

    /// Puts a value and returns its revision. In a durable map it survives power loss once this returns.
    fn put(
        &self,
        map: Map,
        key: &str,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'_, Result<u64, ClusterError>>;

    /// Deletes an entry. Deleting what is not there succeeds, if that was expected.
    fn delete(&self, map: Map, key: &str, expected: Expected) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// Follows a map: every entry first, then every change. Changes of one key that come close together may arrive as
    /// one, the last.
    fn watch(&self, map: Map) -> Box<dyn Watch>;

    /// Waits until this caller holds `job`, alone in the deployment, and returns the lease. Dropping it releases the
    /// job.
    fn lease(&self, job: &str) -> BoxFuture<'_, Lease>;

    /// Returns each job that a node holds, and the [`NodeId`] of that node. Empty on a single node, which does every job.
    fn leases(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>, ClusterError>>;

    /// Stores a file under a name of `[a-z0-9._-]`, whole or not at all.
    fn put_blob(&self, name: &str, from: &Path) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// Writes a blob to a file. Returns false if no blob has this name.
    fn get_blob(&self, name: &str, to: &Path) -> BoxFuture<'_, Result<bool, ClusterError>>;

    fn delete_blob(&self, name: &str) -> BoxFuture<'_, Result<(), ClusterError>>;

    /// Returns the names of all blobs, sorted.
    fn blobs(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>>;
}

/// See [`Cluster::watch`].
pub trait Watch: Send {
    /// Waits for changes. The first call returns every entry, or nothing if there is none.
    fn next(&mut self) -> BoxFuture<'_, Vec<MapChange>>;
}

/// A job that this node does, alone in the deployment.
pub struct Lease {
    lost: CancellationToken,
    _hold: Box<dyn Send + Sync>,
}

impl Lease {
    /// `hold` releases the job when it is dropped; `lost` is cancelled if the job is taken away.
    pub fn new(lost: CancellationToken, hold: impl Send + Sync + 'static) -> Lease {
        Lease { lost, _hold: Box::new(hold) }
    }

    /// Returns when the job has been taken away from this node.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("lost", &self.lost.is_cancelled()).finish()
    }
}

/// The name of a node within its deployment, new at each start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(Arc<str>);

impl NodeId {
    pub fn random() -> NodeId {
        NodeId(format!("{:016x}", fastrand::u64(..)).into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_blob_name(name: &str) -> bool {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(known)
}
