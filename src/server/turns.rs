//! Turns: how many requests may read the history, or write a long list, at the same time.
//!
//! Such a request takes a thread, a connection to a file, a core, and megabytes until its answer is complete. The rest
//! wait for their turn, in order. Webhooks and streams need none of that, so they do not wait however much is asked.

use std::{collections::HashMap, hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::server::{caller::Caller, error::Error, limits::network, memory::WAITING_BYTES};

/// Maximum number of turns at the same time: in total, of one address, and of one user. One user cannot take all of an
/// address, and one address not all of the server.
const TURNS_MAX: usize = 4;
const TURNS_PER_ADDRESS_MAX: usize = 3;
const TURNS_PER_USER_MAX: usize = 2;
/// Maximum time that a request waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// `Retry-After` of a request that waited in vain, in seconds.
const RETRY_SECS: u32 = 2;

/// The turns of all requests.
pub struct Turns {
    total: Arc<Semaphore>,
    by_address: Arc<Queues<IpAddr>>,
    by_user: Arc<Queues<Arc<str>>>,
}

/// A turn. Dropping it ends it.
pub struct Turn {
    // In this order: the next of the same user waits for the other two again.
    _total: OwnedSemaphorePermit,
    _address: Place<IpAddr>,
    _user: Place<Arc<str>>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            total: Arc::new(Semaphore::new(TURNS_MAX)),
            by_address: Queues::new(TURNS_PER_ADDRESS_MAX),
            by_user: Queues::new(TURNS_PER_USER_MAX),
        }
    }
}

impl Turns {
    /// Waits for a turn of this caller.
    pub async fn take(&self, caller: &Caller) -> Result<Turn, Error> {
        if let Some(share) = &caller.share {
            share.resize(WAITING_BYTES)?;
        }
        let turn = async {
            // First the narrowest: a user who asks for much fills neither the queue of its address nor that of all.
            let user = Place::take(&self.by_user, caller.counted_as.clone()).await?;
            let address = Place::take(&self.by_address, network(caller.address)).await?;
            let total = self.total.clone().acquire_owned().await?;
            Ok::<_, AcquireError>(Turn { _total: total, _address: address, _user: user })
        };
        match tokio::time::timeout(WAIT_MAX, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => {
                let message = "too many requests for lists and history at once; try again";
                Err(Error::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message).retry_after(RETRY_SECS))
            }
        }
    }
}

/// One queue for each key that has a turn or waits for one.
struct Queues<K> {
    turns_max: usize,
    open: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K> Queues<K> {
    fn new(turns_max: usize) -> Arc<Queues<K>> {
        Arc::new(Queues { turns_max, open: Mutex::new(HashMap::new()) })
    }
}

/// A place in a queue: it waits, or has the turn.
struct Place<K: Hash + Eq> {
    queues: Arc<Queues<K>>,
    key: K,
    queue: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl<K: Hash + Eq + Clone> Place<K> {
    async fn take(queues: &Arc<Queues<K>>, key: K) -> Result<Place<K>, AcquireError> {
        let queue = {
            let mut open = queues.open.lock();
            let new = || Arc::new(Semaphore::new(queues.turns_max));
            open.entry(key.clone()).or_insert_with(new).clone()
        };
        // Made before the wait: a request that ends while it waits leaves its place too.
        let mut place = Place { queues: queues.clone(), key, queue, turn: None };
        place.turn = Some(place.queue.clone().acquire_owned().await?);
        Ok(place)
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut open = self.queues.open.lock();
        self.turn = None;
        // Two are the map's and this one.
        if Arc::strong_count(&self.queue) == 2 {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_next_waits_and_a_queue_without_users_is_gone() {
        let queues: Arc<Queues<u8>> = Queues::new(2);
        let first = Place::take(&queues, 1).await.expect("open");
        let _second = Place::take(&queues, 1).await.expect("open");
        assert!(Place::take(&queues, 1).now_or_never().is_none(), "the third waits");
        let other = Place::take(&queues, 2).await.expect("open");
        let waiting = tokio::spawn({
            let queues = queues.clone();
            async move { Place::take(&queues, 1).await.is_ok() }
        });
        drop(first);
        assert!(waiting.await.expect("no panic"), "it has the turn of the first");
        drop((_second, other));
        assert!(queues.open.lock().is_empty());
    }
}
