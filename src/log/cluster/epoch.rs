//! What the nodes of a deployment know in common of its log: its epoch, and the hash of a recent event.

use std::{ops::Deref, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Epoch, Seq},
    log::{new_epoch, sqlite::Link},
    nats::{Nats, NatsError, StreamInfo, Write, names::Names},
};

const WRITE_MAX: Duration = Duration::from_secs(5);

/// The epoch of the deployment.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub epoch: Epoch,
    /// When the stream of this epoch was created.
    pub created: String,
    pub witness: Option<Link>,
    /// Why this epoch began.
    pub why: String,
    /// Sequence of the entry.
    revision: u64,
}

/// The entry, as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    epoch: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<(u64, String)>,
    /// Why this epoch began.
    #[serde(default)]
    why: String,
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
        let entry: Entry = serde_json::from_slice(&found.payload).map_err(|error| {
            NatsError::Refused(format!("the epoch of the deployment cannot be read: {error}"))
        })?;
        let epoch = u32::from_str_radix(&entry.epoch, 16).map_err(|error| {
            NatsError::Refused(format!("the epoch of the deployment cannot be read: {error}"))
        })?;
        let witness = entry.witness.and_then(|(seq, hash)| {
            let hash = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
            Some(Link { seq: Seq(seq), hash })
        });
        Ok(Some(Known {
            epoch: Epoch(epoch),
            created: entry.created,
            witness,
            why: entry.why,
            revision: found.seq,
        }))
    }

    /// Begins the first epoch of a stream.
    pub async fn begin(&self, info: &StreamInfo) -> Result<Epoch, NatsError> {
        let epoch = new_epoch();
        self.write(epoch, &info.created, None, "the deployment was created", 0).await?;
        Ok(epoch)
    }

    /// Begins a new epoch, unless another node has done it.
    pub async fn renew(&self, known: &Known, info: &StreamInfo, why: &str) -> Result<(), NatsError> {
        match self.write(new_epoch(), &info.created, None, why, known.revision).await {
            Err(NatsError::Conflict) => match self.read(WRITE_MAX).await? {
                // Only the witness has changed.
                Some(found) if found.epoch == known.epoch => {
                    self.write(new_epoch(), &info.created, None, why, found.revision).await
                }
                _ => Ok(()),
            },
            done => done,
        }
    }

    /// Stores the hash of an event of this epoch.
    pub async fn witness(&self, epoch: Epoch, link: Link) -> Result<(), NatsError> {
        match self.read(WRITE_MAX).await? {
            Some(known) if known.epoch == epoch && known.witness.is_none_or(|known| known.seq < link.seq) => {
                self.write(epoch, &known.created, Some(link), &known.why, known.revision).await
            }
            _ => Ok(()),
        }
    }

    async fn write(
        &self,
        epoch: Epoch,
        created: &str,
        witness: Option<Link>,
        why: &str,
        revision: u64,
    ) -> Result<(), NatsError> {
        let entry = Entry {
            epoch: epoch.to_string(),
            created: created.to_owned(),
            witness: witness.map(|link| (link.seq.0, HEXLOWER.encode(&link.hash))),
            why: why.to_owned(),
        };
        let payload = Bytes::from(serde_json::to_vec(&entry).expect("an entry is JSON"));
        let (stream, subject) = (&*self.stream, &*self.subject);
        let write = Write { stream, subject, id: None, expected: Some(revision), deletes: false };
        self.nats.publish(write, payload, WRITE_MAX).await.map(drop)
    }
}
