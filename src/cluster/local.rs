//! The deployment of one node: maps in memory, the durable ones in `shared.db` too, blobs as files.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use rusqlite::{Connection, params};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Cluster, ClusterError, Entry, Expected, Lease, Map, MapChange, Watch, is_blob_name};
use crate::store::{Repair, Store, has_table};

/// Maximum number of changes that a map remembers for its watches. A watch that is further behind gets every entry.
const CHANGES_KEPT: usize = 4_096;

/// The shared state of a deployment that is one node.
pub struct Local(Arc<Shared>);

struct Shared {
    store: Mutex<Connection>,
    maps: [Entries; Map::ALL.len()],
    leases: Mutex<HashMap<Box<str>, Arc<Semaphore>>>,
    blobs: PathBuf,
}

/// The entries of one map.
struct Entries {
    content: Mutex<Content>,
    /// The newest revision.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Content {
    entries: BTreeMap<Box<str>, Entry>,
    revision: u64,
    /// The newest changes, ascending by revision. Those up to `forgotten` are not in it.
    changes: VecDeque<(u64, Box<str>)>,
    forgotten: u64,
}

/// If the file is lost, every user must sign in again. A node that does not start would be worse, and a copy would be one
/// more file with hashes of passwords.
const STORE: Store = Store {
    file: "shared.db",
    application_id: 0x526d_5368,
    first_version: 1,
    steps: &[LOGINS, ENTRIES],
    unversioned: |connection| {
        Ok((has_table(connection, "session")? && has_table(connection, "operator")?).then_some(1))
    },
    repair: Repair::Recreate,
    private: true,
    pragmas: "",
};

/// Version 1 was called `logins.db` and had only the sign-ins.
const LOGINS: &str = "
CREATE TABLE session (
    hash BLOB PRIMARY KEY, user TEXT NOT NULL, credential BLOB NOT NULL,
    began_at INTEGER NOT NULL, ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE operator (one INTEGER PRIMARY KEY CHECK (one = 1), hash TEXT NOT NULL) STRICT;
";

const ENTRIES: &str = "
CREATE TABLE entries (
    map TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (map, key)
) STRICT, WITHOUT ROWID;
INSERT INTO entries SELECT 'logins', lower(hex(hash)), row_number() OVER (), CAST(json_object(
    'user', user, 'credential', lower(hex(credential)), 'beganAt', began_at, 'endsAt', ends_at) AS BLOB) FROM session;
INSERT INTO entries SELECT 'operator', 'password', 1, CAST(hash AS BLOB) FROM operator;
DROP TABLE session;
DROP TABLE operator;
";

impl Local {
    /// Opens the shared state in `dir`, which the caller has locked.
    pub fn open(dir: &Path) -> anyhow::Result<Local> {
        rename_logins(dir).context("cannot rename logins.db to shared.db")?;
        let store = STORE.open(dir)?;
        let [a, b, c, d, e, f, g, h, i, j] = Map::ALL.map(|map| read(&store, map));
        let maps = [a?, b?, c?, d?, e?, f?, g?, h?, i?, j?];
        let shared =
            Shared { store: Mutex::new(store), maps, leases: Mutex::default(), blobs: dir.join("blobs") };
        Ok(Local(Arc::new(shared)))
    }

    /// Makes a change: first on the disk, if the map is durable, and then in memory, for reads and watches.
    async fn change(
        &self,
        map: Map,
        key: &str,
        value: Option<Bytes>,
        expected: Expected,
    ) -> Result<u64, ClusterError> {
        let (shared, key) = (self.0.clone(), Box::from(key));
        if !map.is_durable() {
            return shared.entries(map).change(key, value, expected, |_, _| Ok(()));
        }
        let work = move || {
            // Locked for the whole change, so that changes reach the disk in the order of their revisions.
            let store = shared.store.lock();
            let entries = shared.entries(map);
            entries.change(key, value, expected, |key, entry| write(&store, map, key, entry))
        };
        tokio::task::spawn_blocking(work).await.map_err(away)?
    }
}

impl Shared {
    fn entries(&self, map: Map) -> &Entries {
        &self.maps[map as usize]
    }
}

impl Entries {
    fn change(
        &self,
        key: Box<str>,
        value: Option<Bytes>,
        expected: Expected,
        store: impl FnOnce(&str, Option<&Entry>) -> rusqlite::Result<()>,
    ) -> Result<u64, ClusterError> {
        let mut content = self.content.lock();
        if !expected.allows(content.entries.get(&key).map(|entry| entry.revision)) {
            return Err(ClusterError::Conflict);
        }
        let revision = content.revision + 1;
        let entry = value.map(|value| Entry { value, revision });
        store(&key, entry.as_ref()).map_err(away)?;
        content.revision = revision;
        match entry {
            Some(entry) => content.entries.insert(key.clone(), entry),
            None => content.entries.remove(&key),
        };
        if content.changes.len() == CHANGES_KEPT
            && let Some((forgotten, _)) = content.changes.pop_front()
        {
            content.forgotten = forgotten;
        }
        content.changes.push_back((revision, key));
        drop(content);
        self.changed.send_replace(revision);
        Ok(revision)
    }

    /// Returns the changes since `seen`, or every entry if `seen` is too old.
    fn since(&self, seen: Option<u64>) -> (u64, Vec<MapChange>) {
        let content = self.content.lock();
        let change = |key: &str| MapChange { key: key.into(), entry: content.entries.get(key).cloned() };
        let changes = match seen.filter(|seen| *seen >= content.forgotten) {
            Some(seen) => {
                let from = content.changes.partition_point(|(revision, _)| *revision <= seen);
                let keys: BTreeMap<&str, ()> =
                    content.changes.range(from..).map(|(_, key)| (&**key, ())).collect();
                keys.into_keys().map(change).collect()
            }
            None => content.entries.keys().map(|key| change(key)).collect(),
        };
        (content.revision, changes)
    }
}

/// Renames the file of version 1. Its WAL is renamed first, because it has the last commits: after a crash in between,
/// the next start finishes the work.
fn rename_logins(dir: &Path) -> io::Result<()> {
    if dir.join("shared.db").exists() {
        return Ok(());
    }
    for ending in ["-wal", ""] {
        found(fs::rename(dir.join(format!("logins.db{ending}")), dir.join(format!("shared.db{ending}"))))?;
    }
    found(fs::remove_file(dir.join("logins.db-shm"))).map(drop)
}

fn read(store: &Connection, map: Map) -> rusqlite::Result<Entries> {
    let mut content = Content::default();
    let mut rows = store.prepare("SELECT key, revision, value FROM entries WHERE map = ?1")?;
    let mut rows = rows.query([map.name()])?;
    while let Some(row) = rows.next()? {
        let (key, revision, value): (String, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let entry = Entry { value: value.into(), revision: revision.cast_unsigned() };
        content.revision = content.revision.max(entry.revision);
        content.entries.insert(key.into(), entry);
    }
    content.forgotten = content.revision;
    let changed = watch::Sender::new(content.revision);
    Ok(Entries { content: Mutex::new(content), changed })
}

fn write(store: &Connection, map: Map, key: &str, entry: Option<&Entry>) -> rusqlite::Result<()> {
    let done = match entry {
        Some(Entry { value, revision }) => store
            .prepare_cached(
                "INSERT OR REPLACE INTO entries (map, key, revision, value) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![map.name(), key, revision.cast_signed(), &value[..]]),
        None => store
            .prepare_cached("DELETE FROM entries WHERE map = ?1 AND key = ?2")?
            .execute([map.name(), key]),
    };
    done.map(drop)
}

impl Cluster for Local {
    fn get(&self, map: Map, key: &str) -> BoxFuture<'_, Result<Option<Entry>, ClusterError>> {
        let entry = self.0.entries(map).content.lock().entries.get(key).cloned();
        async move { Ok(entry) }.boxed()
    }

    fn put(
        &self,
        map: Map,
        key: &str,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'_, Result<u64, ClusterError>> {
        let key = key.to_owned();
        async move { self.change(map, &key, Some(value), expected).await }.boxed()
    }

    fn delete(&self, map: Map, key: &str, expected: Expected) -> BoxFuture<'_, Result<(), ClusterError>> {
        let key = key.to_owned();
        async move { self.change(map, &key, None, expected).await.map(drop) }.boxed()
    }

    fn watch(&self, map: Map) -> Box<dyn Watch> {
        let changed = self.0.entries(map).changed.subscribe();
        Box::new(LocalWatch { shared: self.0.clone(), map, changed, seen: None })
    }

    fn lease(&self, job: &str) -> BoxFuture<'_, Lease> {
        let one =
            self.0.leases.lock().entry(job.into()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone();
        async move {
            let permit = one.acquire_owned().await;
            // A job cannot be taken away from the only node.
            Lease::new(CancellationToken::new(), permit)
        }
        .boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>, ClusterError>> {
        async { Ok(BTreeMap::new()) }.boxed()
    }

    fn put_blob(&self, name: &str, from: &Path) -> BoxFuture<'_, Result<(), ClusterError>> {
        let from = from.to_owned();
        self.blob(name, move |path| {
            let dir = path.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(dir)?;
            // Names of blobs have no upper-case letters, so this is not another blob.
            let new = path.with_extension("NEW");
            fs::copy(from, &new)?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, path)?;
            File::open(dir)?.sync_all()
        })
    }

    fn get_blob(&self, name: &str, to: &Path) -> BoxFuture<'_, Result<bool, ClusterError>> {
        let to = to.to_owned();
        self.blob(name, move |path| found(fs::copy(path, to)).map(|copied| copied.is_some()))
    }

    fn delete_blob(&self, name: &str) -> BoxFuture<'_, Result<(), ClusterError>> {
        self.blob(name, |path| found(fs::remove_file(path)).map(drop))
    }

    fn blobs(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        self.blob("all", |path| {
            let Some(dir) = found(fs::read_dir(path.parent().unwrap_or(Path::new("."))))? else {
                return Ok(Vec::new());
            };
            let mut names: Vec<String> = Vec::new();
            for file in dir {
                names.extend(file?.file_name().into_string().ok().filter(|name| is_blob_name(name)));
            }
            names.sort_unstable();
            Ok(names)
        })
    }
}

impl Local {
    /// Runs `work` on the file of a blob, on a blocking thread.
    fn blob<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ClusterError>> {
        let path = is_blob_name(name).then(|| self.0.blobs.join(name));
        async move {
            let path = path.ok_or_else(|| away("not the name of a blob"))?;
            tokio::task::spawn_blocking(move || work(&path)).await.map_err(away)?.map_err(away)
        }
        .boxed()
    }
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn away(cause: impl ToString) -> ClusterError {
    ClusterError::Away(cause.to_string().into())
}

struct LocalWatch {
    shared: Arc<Shared>,
    map: Map,
    changed: watch::Receiver<u64>,
    /// The newest revision that was returned. `None` before the first call.
    seen: Option<u64>,
}

impl Watch for LocalWatch {
    fn next(&mut self) -> BoxFuture<'_, Vec<MapChange>> {
        async move {
            if let Some(seen) = self.seen {
                // The sender lives as long as `shared`, so this completes only when there is a newer change.
                let _ = self.changed.wait_for(|revision| *revision > seen).await;
            }
            let (revision, changes) = self.shared.entries(self.map).since(self.seen);
            self.seen = Some(revision);
            changes
        }
        .boxed()
    }
}
