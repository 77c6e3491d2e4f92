//! The beginning of a new node of a deployment: the derived data of another node, as it was at some event. So a node does
//! not have to fold the whole log, and the log does not have to be kept from its first event on.
//!
//! One node stores it, every half an hour or million events. The events before the older of two stored ones may then be
//! removed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    cluster::{Cluster, Expected, Map},
    derived::{self, Derived},
    event::{Cursor, Seq},
    log::{EventLog, cluster::ClusterLog},
};

/// The derived data is stored again after this time or this number of events.
const STORED_EVERY: Duration = Duration::from_secs(30 * 60);
const STORED_EVENTS: u64 = 1_000_000;
/// Interval between two looks whether that is due.
const LOOKED_EVERY: Duration = Duration::from_secs(60);
/// Number of stored ones that are kept. A node may be reading the older one.
const KEPT: usize = 2;
/// Level of zstd.
const LEVEL: i32 = 3;

/// One stored file of derived data.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    /// The last event in it.
    cursor: String,
    blob: String,
    /// Unix milliseconds at which it was stored.
    #[serde(default)]
    at: u64,
}

impl Stored {
    fn cursor(&self) -> Option<Cursor> {
        self.cursor.parse().ok()
    }
}

/// Stores the derived data of this node for others, and removes old events, as long as it holds the lease.
pub struct Bootstrap {
    pub cluster: Arc<dyn Cluster>,
    pub log: Arc<ClusterLog>,
    pub derived: Arc<Derived>,
    pub clock: Clock,
    pub data_dir: PathBuf,
    /// Age at which events are removed. `None` means no limit.
    pub retention: Option<Duration>,
}

impl Bootstrap {
    /// Starts it. Dropping the set ends it.
    pub fn start(self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let lease = self.cluster.lease("bootstrap").await;
                tokio::select! {
                    () = lease.lost() => {}
                    () = self.hold() => {}
                }
            }
        });
        tasks
    }

    async fn hold(&self) {
        let mut stored_at: Option<Duration> = None;
        loop {
            if let Err(error) = self.look(&mut stored_at).await {
                tracing::warn!(
                    "the derived data for new nodes cannot be stored, trying again in a minute: {error:#}"
                );
            }
            self.clock.sleep(LOOKED_EVERY).await;
        }
    }

    async fn look(&self, stored_at: &mut Option<Duration>) -> anyhow::Result<()> {
        let (mut stored, expected) = read(&*self.cluster, derived::format()).await?;
        let bounds = self.log.bounds();
        stored.retain(|one| one.cursor().is_some_and(|cursor| cursor.epoch == bounds.epoch));
        let newest = stored.first().and_then(Stored::cursor).map_or(Seq::ZERO, |cursor| cursor.seq);
        let events = bounds.last.0.saturating_sub(newest.0);
        let is_old = stored_at.is_none_or(|at| self.clock.running().saturating_sub(at) >= STORED_EVERY);
        if (is_old && events > 0) || events >= STORED_EVENTS {
            stored.insert(0, self.store().await?);
            *stored_at = Some(self.clock.running());
            let old = stored.split_off(KEPT.min(stored.len()));
            let value = Bytes::from(serde_json::to_vec(&stored)?);
            self.cluster.put(Map::Bootstrap, &derived::format().to_string(), value, expected).await?;
            for one in old {
                self.cluster.delete_blob(&one.blob).await?;
            }
        }
        if let Some(covered) = stored.get(KEPT - 1).and_then(Stored::cursor) {
            self.log.remove_old(self.retention, covered.seq).await?;
        }
        Ok(())
    }

    /// Stores a copy of the derived data as it is now.
    async fn store(&self) -> anyhow::Result<Stored> {
        let dir = tempfile_in(&self.data_dir)?;
        let (file, packed) = (dir.0.join("derived.db"), dir.0.join("derived.db.zst"));
        let cursor = self.derived.save(&file).await?;
        let (from, to) = (file.clone(), packed.clone());
        tokio::task::spawn_blocking(move || {
            zstd::stream::copy_encode(File::open(from)?, File::create(to)?, LEVEL)
        })
        .await??;
        let blob = format!("derived-{}-{cursor}", derived::format());
        self.cluster.put_blob(&blob, &packed).await?;
        tracing::info!(%cursor, "stored the derived data for new nodes");
        Ok(Stored { cursor: cursor.to_string(), blob, at: self.clock.unix_ms() })
    }
}

/// A directory for files in between. Dropping it removes it.
struct Between(PathBuf);

impl Drop for Between {
    fn drop(&mut self) {
        // If this fails, the next one removes the files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tempfile_in(data_dir: &Path) -> io::Result<Between> {
    let dir = data_dir.join("bootstrap");
    match fs::remove_dir_all(&dir) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    fs::create_dir(&dir)?;
    Ok(Between(dir))
}

/// Returns the stored files of a format, the newest first.
async fn read(cluster: &dyn Cluster, format: i64) -> anyhow::Result<(Vec<Stored>, Expected)> {
    Ok(match cluster.get(Map::Bootstrap, &format.to_string()).await? {
        Some(entry) => (serde_json::from_slice(&entry.value)?, Expected::Revision(entry.revision)),
        None => (Vec::new(), Expected::Nothing),
    })
}

/// Returns the newest data that a new node of this version begins with: its last event, and when it was stored.
pub async fn newest(cluster: &dyn Cluster) -> anyhow::Result<Option<(Cursor, u64)>> {
    let (stored, _) = read(cluster, derived::format()).await?;
    Ok(stored.first().and_then(|stored| Some((stored.cursor()?, stored.at))))
}

/// Prepares the derived data in `dir` for a log whose events up to `start` have been removed. If none has
/// been removed, there is nothing to do: the events that are missing are folded.
pub async fn prepare(dir: &Path, cluster: &dyn Cluster, start: Cursor) -> anyhow::Result<()> {
    let continues =
        Derived::last_of(dir).is_some_and(|last| last.epoch == start.epoch && last.seq >= start.seq);
    if continues {
        return Ok(());
    }
    let path = dir.join("derived.db");
    // Newer formats cannot be read, older ones can.
    for format in (1..=derived::format()).rev() {
        for stored in read(cluster, format).await?.0 {
            let Some(cursor) = stored.cursor() else { continue };
            if cursor.epoch != start.epoch || cursor.seq < start.seq {
                continue;
            }
            match fetch(dir, cluster, &stored.blob, &path).await {
                Ok(true) => {
                    tracing::info!(%cursor, "begins with the derived data of another node");
                    return Ok(());
                }
                Ok(false) => {}
                Err(error) => tracing::warn!("{} cannot be used: {error:#}", stored.blob),
            }
        }
    }
    if start.seq > Seq::ZERO {
        bail!(
            "the events up to {} have been removed, and no node has stored what a new node of this version begins with. \
             Wait until another node of this version has run for a minute, or use a newer version",
            start.seq
        );
    }
    Ok(())
}

/// Replaces the derived data with a stored one. Returns false if it is not there.
async fn fetch(dir: &Path, cluster: &dyn Cluster, blob: &str, path: &Path) -> anyhow::Result<bool> {
    let between = tempfile_in(dir)?;
    let (packed, file) = (between.0.join("derived.db.zst"), between.0.join("derived.db"));
    if !cluster.get_blob(blob, &packed).await? {
        return Ok(false);
    }
    let (from, to) = (packed.clone(), file.clone());
    tokio::task::spawn_blocking(move || -> io::Result<()> {
        let mut to = File::create(to)?;
        zstd::stream::copy_decode(File::open(from)?, &mut to)?;
        to.sync_all()
    })
    .await??;
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(format!("{}{ending}", path.display())) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause.into()),
            _ => {}
        }
    }
    fs::rename(&file, path).context("cannot replace derived.db")?;
    Ok(true)
}
