//! The checks that the stream is the one that readers know.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{COPY_MAX, READ_MAX, Shared, envelope, epoch::Known, failure};
use crate::{
    event::Seq,
    log::{EventLog, LogError},
    nats::StreamInfo,
};

/// Interval between two checks.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A stream that ends before the copy in this many checks over this time has lost its end. The leader of a part that was
/// cut off answers for 13 s.
const BEHIND_CHECKS: u32 = 3;
const BEHIND_TIME: Duration = Duration::from_secs(30);
/// Interval between two witnesses.
const WITNESS_EVERY: Duration = Duration::from_secs(5);

impl Shared {
    /// Compares the stream with the copy, once a second and at every change.
    pub async fn check(self: Arc<Self>, mut known: Known) {
        let mut behind: Option<(Instant, u32)> = None;
        let mut leader = None;
        while !self.lost.is_cancelled() {
            tokio::time::sleep(CHECK_EVERY).await;
            let asked = self.clock.running();
            let Ok(info) = self.nats.info(&self.names.events(), READ_MAX).await else { continue };
            if !info.is_believed() {
                continue;
            }
            self.contacts.answered_with(asked, &info);
            if info.created != known.created {
                self.contradicted("it was created again".to_owned()).await;
                continue;
            }
            let newest = Seq(info.state.last_seq);
            if newest < self.last() {
                let (since, checks) = behind.get_or_insert((Instant::now(), 0));
                *checks += 1;
                if *checks >= BEHIND_CHECKS && since.elapsed() >= BEHIND_TIME {
                    self.contradicted(format!("it ends at {newest}, and this node has {}", self.last()))
                        .await;
                }
                continue;
            }
            behind = None;
            self.removed.fetch_max(info.state.first_seq.saturating_sub(1), Ordering::AcqRel);
            self.trim();
            let now =
                (self.nats.connected(), info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()));
            if leader.as_ref() != Some(&now) {
                match self.epochs.read(READ_MAX).await {
                    Ok(Some(found)) if found.epoch != known.epoch => {
                        tracing::error!("the deployment has begun another epoch");
                        self.lost.cancel();
                        continue;
                    }
                    Ok(Some(found)) => known = found,
                    _ => continue,
                }
                match self.contradiction(&known, &info).await {
                    Ok(None) => leader = Some(now),
                    Ok(Some(why)) => self.contradicted(why).await,
                    Err(_) => continue,
                }
            }
            // Under load the copy is some milliseconds behind.
            if tokio::time::timeout(COPY_MAX, self.copy.wait(Seq(newest.0.saturating_sub(1)))).await.is_ok() {
                self.contacts.whole(asked);
            }
        }
    }

    /// Returns how the stream differs from the one that this node has copied.
    pub async fn contradiction(&self, known: &Known, info: &StreamInfo) -> Result<Option<String>, LogError> {
        if info.created != known.created {
            return Ok(Some("the stream was created again".into()));
        }
        let last = self.last();
        if last > Seq::ZERO && last.0 >= info.state.first_seq {
            let found = self.nats.at(&self.names.events(), last.0, READ_MAX).await.map_err(failure)?;
            let Some(found) = found else { return Ok(None) };
            let event =
                envelope::read(&found.payload).map_err(|error| LogError::Failed(error.to_string().into()))?;
            if self.copy.find(vec![event]).await? != [last] {
                return Ok(Some(format!("its event {last} is another one than before")));
            }
        }
        if let Some(witness) = known.witness.filter(|witness| witness.seq <= last)
            && let Some(own) = self.copy.link(witness.seq).await?
            && own != witness
        {
            return Ok(Some(format!("its events up to {} are others than before", witness.seq)));
        }
        Ok(None)
    }

    /// Begins a new epoch, and ends this log.
    pub async fn contradicted(&self, why: String) {
        if self.lost.is_cancelled() {
            return;
        }
        let renew = async {
            let known = self.epochs.read(READ_MAX).await?;
            let info = self.nats.info(&self.names.events(), READ_MAX).await?;
            match known {
                Some(known) if known.epoch == self.copy.bounds().epoch => {
                    self.epochs.renew(&known, &info, &why, self.clock.unix_ms()).await
                }
                _ => Ok(()),
            }
        };
        match renew.await {
            Ok(()) => {
                tracing::error!(
                    "the stream is not the one that readers know: {why}. The deployment begins a new epoch"
                );
                self.lost.cancel();
            }
            Err(error) => tracing::warn!(
                "the stream is not the one that readers know: {why}. A new epoch cannot begin: {error}"
            ),
        }
    }

    /// Stores the hash of the newest event for all nodes.
    pub async fn witness(self: Arc<Self>) {
        let mut stored = Seq::ZERO;
        while !self.lost.is_cancelled() {
            tokio::time::sleep(WITNESS_EVERY).await;
            let last = self.last();
            if last > stored
                && let Ok(Some(link)) = self.copy.link(last).await
                && self.epochs.witness(self.copy.bounds().epoch, link).await.is_ok()
            {
                stored = last;
            }
        }
    }
}
