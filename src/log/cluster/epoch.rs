//! The common knowledge of all nodes about their log: its epoch, its beginning, and the hash of a recent event.

use std::{ops::Deref, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Epoch, Seq},
    log::{EpochChange, new_epoch, sqlite::Link},
    nats::{Nats, NatsError, StreamInfo, Write, names::Names},
};

const WRITE_MAX: Duration = Duration::from_secs(5);
/// Number of earlier epochs that are kept.
const EARLIER_MAX: usize = 20;

/// The epoch of the deployment.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub epoch: Epoch,
    /// When the stream of this epoch was created.
    pub created: String,
    /// The event before the first one that is kept. A new copy begins after it.
    pub start: Link,
    pub witness: Option<Link>,
    /// Why this epoch began.
    pub why: String,
    /// When it began, in unix milliseconds.
    pub at: u64,
    /// Those before it, the newest first.
    earlier: Vec<Earlier>,
    /// Sequence of the entry; 0 if it has not been stored.
    revision: u64,
}

/// The entry, as it is stored.
#[derive(Serialize, Deserialize)]
struct Entry {
    epoch: String,
    created: String,
    start: StoredLink,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<StoredLink>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    at: u64,
    #[serde(default)]
    earlier: Vec<Earlier>,
}

/// An earlier epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Earlier {
    epoch: String,
    at: u64,
    why: String,
}

#[derive(Serialize, Deserialize)]
struct StoredLink {
    seq: u64,
    hash: String,
}

impl StoredLink {
    fn of(link: Link) -> StoredLink {
        StoredLink { seq: link.seq.0, hash: HEXLOWER.encode(&link.hash) }
    }

    fn link(&self) -> Option<Link> {
        let hash = HEXLOWER.decode(self.hash.as_bytes()).ok()?.try_into().ok()?;
        Some(Link { seq: Seq(self.seq), hash })
    }
}

impl Known {
    /// A new epoch of the stream as it is.
    fn new(info: &StreamInfo, why: &str, at: u64) -> Known {
        // The hashes of another epoch mean nothing in this one.
        let start = Link { seq: Seq(info.state.first_seq.saturating_sub(1)), ..Link::START };
        Known {
            epoch: new_epoch(),
            created: info.created.clone(),
            start,
            witness: None,
            why: why.to_owned(),
            at,
            earlier: Vec::new(),
            revision: 0,
        }
    }

    /// Returns this epoch and those before it.
    pub fn changes(&self) -> Vec<EpochChange> {
        let this = EpochChange { epoch: self.epoch, at: self.at, why: self.why.as_str().into() };
        let earlier = self.earlier.iter().filter_map(|earlier| {
            let epoch = Epoch(u32::from_str_radix(&earlier.epoch, 16).ok()?);
            Some(EpochChange { epoch, at: earlier.at, why: earlier.why.as_str().into() })
        });
        [this].into_iter().chain(earlier).collect()
    }

    /// Returns this epoch and those before it, as the next one stores them.
    fn as_earlier(&self) -> Vec<Earlier> {
        let this = Earlier { epoch: self.epoch.to_string(), at: self.at, why: self.why.clone() };
        [this].into_iter().chain(self.earlier.iter().cloned()).take(EARLIER_MAX).collect()
    }
}

/// Reads and writes the entry.
pub(super) struct Epochs<N> {
    nats: N,
    stream: String,
    subject: String,
}

impl<N: Deref<Target = Nats>> Epochs<N> {
    pub fn new(nats: N, names: &Names) -> Epochs<N> {
        Epochs { nats, stream: names.maps(true), subject: names.entry("log", "epoch") }
    }

    pub async fn read(&self, within: Duration) -> Result<Option<Known>, NatsError> {
        let found = self.nats.last(&self.stream, &self.subject, within).await?;
        let Some(found) = found.filter(|found| !found.is_deletion) else { return Ok(None) };
        let damaged = || NatsError::Refused("the epoch of the deployment cannot be read".to_owned());
        let entry: Entry = serde_json::from_slice(&found.payload).map_err(|_| damaged())?;
        Ok(Some(Known {
            epoch: Epoch(u32::from_str_radix(&entry.epoch, 16).map_err(|_| damaged())?),
            created: entry.created,
            start: entry.start.link().ok_or_else(damaged)?,
            witness: entry.witness.and_then(|witness| witness.link()),
            why: entry.why,
            at: entry.at,
            earlier: entry.earlier,
            revision: found.seq,
        }))
    }

    /// Begins the first epoch of a stream.
    pub async fn begin(&self, info: &StreamInfo, now: u64) -> Result<Epoch, NatsError> {
        let first = Known::new(info, "the deployment was created", now);
        self.store(&first).await?;
        Ok(first.epoch)
    }

    /// Begins a new epoch, unless another node has done it.
    pub async fn renew(
        &self,
        known: &Known,
        info: &StreamInfo,
        why: &str,
        now: u64,
    ) -> Result<(), NatsError> {
        let next =
            Known { revision: known.revision, earlier: known.as_earlier(), ..Known::new(info, why, now) };
        match self.store(&next).await {
            Err(NatsError::Conflict) => match self.read(WRITE_MAX).await? {
                // Only the witness or the start has changed.
                Some(found) if found.epoch == known.epoch => {
                    self.store(&Known { revision: found.revision, ..next }).await
                }
                _ => Ok(()),
            },
            done => done,
        }
    }

    /// Stores the hash of a newer event of this epoch.
    pub async fn witness(&self, epoch: Epoch, link: Link) -> Result<(), NatsError> {
        match self.read(WRITE_MAX).await? {
            Some(known) if known.epoch == epoch && known.witness.is_none_or(|known| known.seq < link.seq) => {
                self.store(&Known { witness: Some(link), ..known }).await
            }
            _ => Ok(()),
        }
    }

    /// Moves the start of this epoch, before the events up to it are removed. Returns false if it is there already, or if
    /// the epoch is another one.
    pub async fn start(&self, epoch: Epoch, link: Link) -> Result<bool, NatsError> {
        match self.read(WRITE_MAX).await? {
            Some(known) if known.epoch == epoch && known.start.seq < link.seq => {
                self.store(&Known { start: link, ..known }).await.map(|()| true)
            }
            _ => Ok(false),
        }
    }

    async fn store(&self, known: &Known) -> Result<(), NatsError> {
        let entry = Entry {
            epoch: known.epoch.to_string(),
            created: known.created.clone(),
            start: StoredLink::of(known.start),
            witness: known.witness.map(StoredLink::of),
            why: known.why.clone(),
            at: known.at,
            earlier: known.earlier.clone(),
        };
        let payload = Bytes::from(serde_json::to_vec(&entry).expect("an entry is JSON"));
        let (stream, subject) = (&*self.stream, &*self.subject);
        let write = Write { stream, subject, id: None, expected: Some(known.revision), deletes: false };
        self.nats.publish(write, payload, WRITE_MAX).await.map(drop)
    }
}
