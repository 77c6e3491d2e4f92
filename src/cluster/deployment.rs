//! The deployment of several nodes: maps, leases and blobs in streams of NATS JetStream.
//!
//! An entry of a map is the last message of its subject, and its revision is the sequence of that message. A read asks the
//! leader of the stream. A watch reads what is new from any replica when the bell of the map rings, or after a second.
//!
//! A lease is an entry that its holder renews every two seconds. Another node takes it when it has not changed for eight
//! seconds by its own clock, and the holder gives up six seconds after its last good renewal began. So no two nodes hold it,
//! whatever their wall clocks say.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::future::{BoxFuture, FutureExt};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Cluster, ClusterError, Entry, Expected, Lease, Map, MapChange, NodeId, Watch, is_blob_name};
use crate::nats::{Bells, Nats, NatsError, Purge, Write, names::Names};

/// Maximum time of a request.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Interval between two reads of a watch without a bell.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Pause until the next read after a bell, if the replica that answered does not have the change yet.
const WATCH_PAUSE: Duration = Duration::from_millis(20);
const WATCH_MISSES: u32 = 100;

/// Interval between two renewals of a lease, the time without one after which the holder gives up, and the time without
/// one after which another node takes it.
const RENEW_EVERY: Duration = Duration::from_secs(2);
const GIVE_UP: Duration = Duration::from_secs(6);
const TAKE_OVER: Duration = Duration::from_secs(8);
/// Interval at which a node that waits for a lease looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The map of the leases.
const LEASES: &str = "lease";
/// The map with the epoch of the log.
const LOG: &str = "log";

/// Size of a part of a blob, and maximum time to store or to read one.
const PART_BYTES: usize = 512 << 10;

/// The shared state of a deployment of several nodes.
pub struct Deployment(Arc<Shared>);

struct Shared {
    nats: Arc<Nats>,
    names: Names,
    /// The holder of the leases that are taken here.
    node: NodeId,
}

impl Deployment {
    pub fn new(nats: Arc<Nats>, names: Names, node: NodeId) -> Deployment {
        Deployment(Arc::new(Shared { nats, names, node }))
    }

    /// Returns the names of all maps in the durable stream, and in the one that ends with the nodes.
    pub fn maps() -> [Vec<&'static str>; 2] {
        let named = |is_durable| {
            Map::ALL.into_iter().filter(move |map| map.is_durable() == is_durable).map(Map::name)
        };
        [named(true).chain([LEASES, LOG]).collect(), named(false).collect()]
    }
}

impl Shared {
    /// Returns the last message of an entry, also if it deletes the entry.
    async fn last(&self, map: &str, is_durable: bool, key: &str) -> Result<(u64, Option<Bytes>), NatsError> {
        let found =
            self.nats.last(&self.names.maps(is_durable), &self.names.entry(map, key), ASK_MAX).await?;
        Ok(found.map_or((0, None), |found| (found.seq, (!found.is_deletion).then_some(found.payload))))
    }

    /// Writes or deletes an entry. `expected` is the sequence of its last message.
    async fn write(
        &self,
        map: &str,
        is_durable: bool,
        key: &str,
        value: Option<Bytes>,
        expected: Option<u64>,
    ) -> Result<u64, NatsError> {
        let (stream, subject) = (self.names.maps(is_durable), self.names.entry(map, key));
        let write =
            Write { stream: &stream, subject: &subject, id: None, expected, deletes: value.is_none() };
        let ack = self.nats.publish(write, value.unwrap_or_default(), ASK_MAX).await?;
        self.nats.tell(&self.names.bell(Some(map)), ack.seq.to_string().into()).await;
        Ok(ack.seq)
    }

    /// Makes a change of a map.
    async fn change(
        &self,
        map: Map,
        key: &str,
        value: Option<Bytes>,
        expected: Expected,
    ) -> Result<u64, ClusterError> {
        let is_durable = map.is_durable();
        let expected = match expected {
            Expected::Anything => None,
            Expected::Revision(revision) => Some(revision),
            // A deletion is a message too.
            Expected::Nothing => match self.last(map.name(), is_durable, key).await? {
                (_, Some(_)) => return Err(ClusterError::Conflict),
                (seq, None) => Some(seq),
            },
        };
        Ok(self.write(map.name(), is_durable, key, value, expected).await?)
    }

    /// Waits until the job is free, and takes it. Returns the revision of its entry, and when its writing began.
    async fn take(&self, job: &str, holder: &Bytes) -> (u64, Instant) {
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            if let Ok((seq, held)) = self.last(LEASES, true, job).await {
                let since = match seen {
                    Some((known, since)) if known == seq => since,
                    _ => Instant::now(),
                };
                seen = Some((seq, since));
                let began = Instant::now();
                if (held.is_none() || since.elapsed() >= TAKE_OVER)
                    && let Ok(seq) = self.write(LEASES, true, job, Some(holder.clone()), Some(seq)).await
                {
                    return (seq, began);
                }
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Renews a lease until it is released or taken away. `began` is when the last good renewal began.
    async fn hold(
        &self,
        job: &str,
        holder: Bytes,
        mut seq: u64,
        mut began: Instant,
        released: CancellationToken,
    ) {
        while !released.is_cancelled() {
            tokio::select! {
                () = sleep(RENEW_EVERY) => {}
                () = released.cancelled() => break,
            }
            let trying = Instant::now();
            let left = GIVE_UP.saturating_sub(began.elapsed());
            let renewal = self.write(LEASES, true, job, Some(holder.clone()), Some(seq));
            match tokio::time::timeout(left, renewal).await {
                Ok(Ok(renewed)) => (seq, began) = (renewed, trying),
                Ok(Err(NatsError::Conflict)) => return,
                _ if began.elapsed() >= GIVE_UP => return,
                _ => {}
            }
        }
        // If this fails, another node takes it a little later.
        let _ = self.write(LEASES, true, job, None, Some(seq)).await;
    }

    /// Reads the holders of all jobs from any replica: they may be some milliseconds old.
    async fn leases(&self) -> Result<BTreeMap<String, String>, NatsError> {
        let (stream, filter) = (self.names.maps(true), self.names.map(LEASES));
        let (mut held, mut seen) = (BTreeMap::new(), 0);
        loop {
            let messages = self.nats.read(&stream, Some(&filter), seen, ASK_MAX).await?;
            let Some(last) = messages.last() else { return Ok(held) };
            seen = last.seq;
            for message in messages.into_iter().filter(|message| !message.is_deletion) {
                if let Some(job) = self.names.key(LEASES, &message.subject) {
                    held.insert(job, String::from_utf8_lossy(&message.payload).into_owned());
                }
            }
        }
    }

    async fn put_blob(&self, name: &str, from: &Path) -> Result<(), NatsError> {
        let (stream, subject) = (self.names.blobs(), self.names.blob(Some(name)));
        let old = self.manifest(name).await?;
        let id = HEXLOWER.encode(&fastrand::u64(..).to_be_bytes());
        let mut file = fs::File::open(from).await.map_err(unreadable)?;
        let (mut bytes, mut parts, mut hash) = (0, 0, Sha256::new());
        loop {
            let mut part = Vec::with_capacity(PART_BYTES);
            (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await.map_err(unreadable)?;
            if part.is_empty() {
                break;
            }
            bytes += part.len() as u64;
            hash.update(&part);
            let subject = format!("{subject}.{id}.{parts}");
            let write =
                Write { stream: &stream, subject: &subject, id: None, expected: Some(0), deletes: false };
            self.nats.publish(write, part.into(), ASK_MAX).await?;
            parts += 1;
        }
        let manifest = Manifest { id, bytes, parts, sha256: HEXLOWER.encode(&hash.finalize()) };
        let manifest = Bytes::from(serde_json::to_vec(&manifest).expect("a manifest is JSON"));
        let write = Write { stream: &stream, subject: &subject, id: None, expected: None, deletes: false };
        self.nats.publish(write, manifest, ASK_MAX).await?;
        match old {
            Some(old) => {
                let parts = format!("{subject}.{}.>", old.id);
                self.nats.purge(&stream, Purge::Subject(&parts), ASK_MAX).await
            }
            None => Ok(()),
        }
    }

    async fn manifest(&self, name: &str) -> Result<Option<Manifest>, NatsError> {
        let found = self.nats.last(&self.names.blobs(), &self.names.blob(Some(name)), ASK_MAX).await?;
        Ok(found.and_then(|found| serde_json::from_slice(&found.payload).ok()))
    }

    async fn get_blob(&self, name: &str, to: &Path) -> Result<bool, NatsError> {
        let Some(manifest) = self.manifest(name).await? else { return Ok(false) };
        let filter = format!("{}.{}.>", self.names.blob(Some(name)), manifest.id);
        let mut file = fs::File::create(to).await.map_err(unreadable)?;
        let (mut bytes, mut parts, mut last, mut hash) = (0, 0, 0, Sha256::new());
        let mut misses = 0;
        while parts < manifest.parts {
            let found = self.nats.read(&self.names.blobs(), Some(&filter), last, ASK_MAX).await?;
            if found.is_empty() {
                // The replica that answered does not have them yet.
                misses += 1;
                if misses > WATCH_MISSES {
                    break;
                }
                sleep(WATCH_PAUSE).await;
            }
            for part in found {
                (last, parts, bytes) = (part.seq, parts + 1, bytes + part.payload.len() as u64);
                hash.update(&part.payload);
                file.write_all(&part.payload).await.map_err(unreadable)?;
            }
        }
        file.sync_all().await.map_err(unreadable)?;
        if bytes != manifest.bytes || HEXLOWER.encode(&hash.finalize()) != manifest.sha256 {
            return Err(NatsError::Refused(format!("the blob {name} is not complete")));
        }
        Ok(true)
    }

    async fn delete_blob(&self, name: &str) -> Result<(), NatsError> {
        let subject = self.names.blob(Some(name));
        // The manifest first: a blob without it is not there.
        for filter in [subject.clone(), format!("{subject}.>")] {
            self.nats.purge(&self.names.blobs(), Purge::Subject(&filter), ASK_MAX).await?;
        }
        Ok(())
    }

    async fn blobs(&self) -> Result<Vec<String>, NatsError> {
        #[derive(Deserialize)]
        struct Info {
            state: Subjects,
        }
        #[derive(Deserialize)]
        struct Subjects {
            #[serde(default)]
            subjects: BTreeMap<String, u64>,
        }
        let query = json!({"subjects_filter": self.names.blob(None)});
        let info: Info = self.nats.api("STREAM.INFO", &self.names.blobs(), &query, ASK_MAX).await?;
        let mut names: Vec<_> =
            info.state.subjects.keys().filter_map(|subject| self.names.blob_name(subject)).collect();
        names.sort_unstable();
        Ok(names)
    }
}

/// The last message of a blob: where its parts are.
#[derive(Serialize, Deserialize)]
struct Manifest {
    id: String,
    bytes: u64,
    parts: u64,
    sha256: String,
}

impl Cluster for Deployment {
    fn get(&self, map: Map, key: &str) -> BoxFuture<'_, Result<Option<Entry>, ClusterError>> {
        let key = key.to_owned();
        async move {
            let (revision, value) = self.0.last(map.name(), map.is_durable(), &key).await?;
            Ok(value.map(|value| Entry { value, revision }))
        }
        .boxed()
    }

    fn put(
        &self,
        map: Map,
        key: &str,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'_, Result<u64, ClusterError>> {
        let key = key.to_owned();
        async move { self.0.change(map, &key, Some(value), expected).await }.boxed()
    }

    fn delete(&self, map: Map, key: &str, expected: Expected) -> BoxFuture<'_, Result<(), ClusterError>> {
        let key = key.to_owned();
        async move { self.0.change(map, &key, None, expected).await.map(drop) }.boxed()
    }

    fn watch(&self, map: Map) -> Box<dyn Watch> {
        Box::new(MapWatch {
            shared: self.0.clone(),
            map,
            bells: None,
            seen: 0,
            known: HashSet::new(),
            is_new: true,
        })
    }

    fn lease(&self, job: &str) -> BoxFuture<'_, Lease> {
        let job = job.to_owned();
        async move {
            let holder = Bytes::from(self.0.node.to_string());
            let (seq, began) = self.0.take(&job, &holder).await;
            let (lost, released) = (CancellationToken::new(), CancellationToken::new());
            let (shared, ended, over) = (self.0.clone(), lost.clone(), released.clone());
            tokio::spawn(async move {
                shared.hold(&job, holder, seq, began, over).await;
                ended.cancel();
            });
            Lease::new(lost, released.drop_guard())
        }
        .boxed()
    }

    fn leases(&self) -> BoxFuture<'_, Result<BTreeMap<String, String>, ClusterError>> {
        async move { Ok(self.0.leases().await?) }.boxed()
    }

    fn put_blob(&self, name: &str, from: &Path) -> BoxFuture<'_, Result<(), ClusterError>> {
        let (name, from) = (name.to_owned(), from.to_owned());
        async move {
            if !is_blob_name(&name) {
                return Err(ClusterError::Away("not the name of a blob".into()));
            }
            Ok(self.0.put_blob(&name, &from).await?)
        }
        .boxed()
    }

    fn get_blob(&self, name: &str, to: &Path) -> BoxFuture<'_, Result<bool, ClusterError>> {
        let (name, to) = (name.to_owned(), to.to_owned());
        async move { Ok(self.0.get_blob(&name, &to).await?) }.boxed()
    }

    fn delete_blob(&self, name: &str) -> BoxFuture<'_, Result<(), ClusterError>> {
        let name = name.to_owned();
        async move { Ok(self.0.delete_blob(&name).await?) }.boxed()
    }

    fn blobs(&self) -> BoxFuture<'_, Result<Vec<String>, ClusterError>> {
        async move { Ok(self.0.blobs().await?) }.boxed()
    }
}

/// An error of a file, which is not one of NATS.
fn unreadable(error: std::io::Error) -> NatsError {
    NatsError::Refused(format!("a file cannot be read or written: {error}"))
}

impl From<NatsError> for ClusterError {
    fn from(error: NatsError) -> ClusterError {
        match error {
            NatsError::Conflict => ClusterError::Conflict,
            error => ClusterError::Away(error.to_string().into()),
        }
    }
}

struct MapWatch {
    shared: Arc<Shared>,
    map: Map,
    /// `None` until the first call.
    bells: Option<Bells>,
    /// The last message that was read.
    seen: u64,
    /// Keys of the entries that it has told of.
    known: HashSet<String>,
    /// True until the first call has returned.
    is_new: bool,
}

impl MapWatch {
    /// Reads all changes that a replica has; the first time, all that the leader has.
    async fn read(&mut self) -> Result<Vec<MapChange>, NatsError> {
        let Shared { nats, names, .. } = &*self.shared;
        let (stream, filter) = (names.maps(self.map.is_durable()), names.map(self.map.name()));
        let wanted = if self.is_new {
            nats.last(&stream, &filter, ASK_MAX).await?.map_or(0, |newest| newest.seq)
        } else {
            0
        };
        let mut changes = BTreeMap::new();
        loop {
            let messages = nats.read(&stream, Some(&filter), self.seen, ASK_MAX).await?;
            let Some(last) = messages.last() else {
                if self.seen >= wanted {
                    break;
                }
                sleep(WATCH_PAUSE).await;
                continue;
            };
            self.seen = last.seq;
            for message in messages {
                let Some(key) = names.key(self.map.name(), &message.subject) else { continue };
                let entry = Entry { value: message.payload, revision: message.seq };
                changes.insert(key, (!message.is_deletion).then_some(entry));
            }
        }
        // An entry may be deleted twice, or before the first call.
        changes.retain(|key, entry| match entry {
            Some(_) => {
                self.known.insert(key.clone());
                true
            }
            None => self.known.remove(key),
        });
        Ok(changes.into_iter().map(|(key, entry)| MapChange { key: key.into(), entry }).collect())
    }
}

impl Watch for MapWatch {
    fn next(&mut self) -> BoxFuture<'_, Vec<MapChange>> {
        async move {
            // The newest change that a bell has told of, and the number of reads without it.
            let (mut awaited, mut misses) = (0, 0);
            loop {
                if self.bells.is_none() {
                    let bell = self.shared.names.bell(Some(self.map.name()));
                    self.bells = self.shared.nats.listen(&bell).await.ok();
                }
                match self.read().await {
                    Ok(changes) if self.is_new || !changes.is_empty() => {
                        self.is_new = false;
                        return changes;
                    }
                    _ => {}
                }
                let is_awaited = awaited > self.seen && misses < WATCH_MISSES;
                let pause = if is_awaited { WATCH_PAUSE } else { WATCH_EVERY };
                misses += 1;
                match &mut self.bells {
                    Some(bells) => tokio::select! {
                        bell = bells.next() => (awaited, misses) = (awaited.max(bell), 0),
                        () = sleep(pause) => {}
                    },
                    None => sleep(pause).await,
                }
            }
        }
        .boxed()
    }
}
