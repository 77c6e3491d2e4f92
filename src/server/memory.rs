//! The memory that requests take: bodies that arrive, and answers that are not read yet.
//!
//! A client may send its body slowly, and read its answer slowly or never. So a request has a [`Share`] of the memory
//! until the last byte of its answer is with the kernel. Shares are limited for each user, for each address and in
//! total. Clients without a credential together have an eighth, so that they cannot take what callers need.
//!
//! Webhooks and streams need no share, so they have their place whatever readers ask: the sender of a webhook has proved
//! a key, and a stream holds only what its socket did not accept.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State as AppState},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use crate::{
    config::{Limit, Limits},
    metrics::Metrics,
    server::{App, arrival::Arrival, error::Error, limits::network},
};

/// Share of a request that waits for its turn: its head and its task. So the shares limit the number of those that wait.
pub const WAITING_BYTES: u64 = 64 << 10;
/// An answer up to this size is not counted. It belongs to what a connection takes, and every caller gets it.
const SMALL_BYTES: u64 = 4 << 10;
/// One of this many bytes is for clients without a credential.
const ANONYMOUS_ONE_IN: u64 = 8;
/// `Retry-After` of a request that got no share. A share may be free when another client has read its answer.
const RETRY: Duration = Duration::from_secs(2);

/// The shares of all requests.
pub struct Memory {
    limits: Limits,
    metrics: Arc<Metrics>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: u64,
    /// Bytes of requests without a credential.
    anonymous: u64,
    by_address: HashMap<IpAddr, u64>,
    by_user: HashMap<Arc<str>, u64>,
}

/// The memory of one request. It begins with nothing. Dropping it frees the memory.
#[derive(Clone)]
pub struct Share(Arc<OneShare>);

struct OneShare {
    memory: Arc<Memory>,
    address: IpAddr,
    /// Changes only under the lock of [`Memory::held`].
    own: Mutex<Own>,
}

struct Own {
    bytes: u64,
    user: Option<Arc<str>>,
}

impl Memory {
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Memory> {
        Arc::new(Memory { limits, metrics, held: Mutex::default() })
    }

    /// Returns the share of a request from this address.
    pub fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        let own = Mutex::new(Own { bytes: 0, user: None });
        Share(Arc::new(OneShare { memory: self.clone(), address: network(address), own }))
    }

    /// Refuses this number of bytes if it is more than one in `parts` of the limit.
    fn check(&self, limit: Limit, parts: u64, bytes: u64) -> Result<(), Error> {
        if limit.max(&self.limits).is_some_and(|max| bytes > u64::from(max) / parts) {
            self.metrics.limit_reached(limit.option());
            return Err(limit.error(&self.limits, Some(RETRY)));
        }
        Ok(())
    }
}

impl Share {
    /// Notes whose request it is.
    pub fn of_user(&self, user: &Arc<str>) {
        let mut held = self.0.memory.held.lock();
        let mut own = self.0.own.lock();
        if own.user.is_none() {
            held.anonymous -= own.bytes;
            *held.by_user.entry(user.clone()).or_default() += own.bytes;
            own.user = Some(user.clone());
        }
    }

    /// Changes the size of the share. If a limit does not allow it, the share stays as it was.
    pub fn resize(&self, bytes: u64) -> Result<(), Error> {
        let OneShare { memory, address, own } = &*self.0;
        let mut held = memory.held.lock();
        let mut own = own.lock();
        let old = own.bytes;
        let resized = |held: u64| held - old + bytes;
        let of_caller = match &own.user {
            Some(user) => resized(held.by_user.get(user).copied().unwrap_or(0)),
            None => resized(held.anonymous),
        };
        let of_address = resized(held.by_address.get(address).copied().unwrap_or(0));
        if bytes > old {
            match &own.user {
                Some(_) => memory.check(Limit::MemoryPerUser, 1, of_caller)?,
                None => memory.check(Limit::Memory, ANONYMOUS_ONE_IN, of_caller)?,
            }
            memory.check(Limit::MemoryPerAddress, 1, of_address)?;
            memory.check(Limit::Memory, 1, resized(held.bytes))?;
        }
        held.bytes = resized(held.bytes);
        set(&mut held.by_address, address, of_address);
        match &own.user {
            Some(user) => set(&mut held.by_user, user, of_caller),
            None => held.anonymous = of_caller,
        }
        own.bytes = bytes;
        Ok(())
    }

    /// Returns the answer with this share, which lives as long as a byte of the answer is in memory. If the limits do
    /// not allow an answer of this size, returns the error instead.
    pub fn hold(self, answer: Response) -> Response {
        // The size of a compressed answer is unknown. It is counted before it is compressed.
        if let Some(bytes) = answer.body().size_hint().exact()
            && let Err(error) = self.resize(if bytes > SMALL_BYTES { bytes } else { 0 })
        {
            return error.into_response();
        }
        answer.map(|body| Body::new(Counted { body, share: self }))
    }
}

impl Drop for OneShare {
    fn drop(&mut self) {
        let mut held = self.memory.held.lock();
        let Own { bytes, user } = self.own.get_mut();
        held.bytes -= *bytes;
        let of_address = held.by_address.get(&self.address).map_or(0, |held| held - *bytes);
        set(&mut held.by_address, &self.address, of_address);
        match user {
            Some(user) => {
                let of_user = held.by_user.get(user).map_or(0, |held| held - *bytes);
                set(&mut held.by_user, user, of_user);
            }
            None => held.anonymous -= *bytes,
        }
    }
}

/// Sets a count. A count of zero is removed.
fn set<K: Hash + Eq + Clone>(held: &mut HashMap<K, u64>, key: &K, bytes: u64) {
    match (held.get_mut(key), bytes) {
        (Some(_), 0) => drop(held.remove(key)),
        (Some(count), _) => *count = bytes,
        (None, 0) => {}
        (None, _) => drop(held.insert(key.clone(), bytes)),
    }
}

/// Gives a request its share before anything of its body is read, and its answer the share after it.
pub async fn counted(AppState(app): AppState<Arc<App>>, mut request: Request, next: Next) -> Response {
    let extensions = request.extensions_mut();
    let share = match (extensions.get::<Share>(), extensions.get::<Arrival>()) {
        // Around the routes whose answers are compressed.
        (Some(share), _) => share.clone(),
        (None, Some(arrival)) => {
            let share = app.memory.share(arrival.address);
            extensions.insert(share.clone());
            share
        }
        (None, None) => return Error::internal("a request has no Arrival").into_response(),
    };
    let answer = next.run(request).await;
    share.hold(answer)
}

/// A body whose bytes hold a share.
struct Counted {
    body: Body,
    share: Share,
}

/// Bytes that hold a share. hyper keeps them until the socket has accepted them, which may be long after it has dropped
/// the body.
struct CountedBytes {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let share = self.share.clone();
        let counted = |bytes| Bytes::from_owner(CountedBytes { bytes, _share: share });
        Pin::new(&mut self.body).poll_frame(cx).map_ok(|frame| frame.map_data(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(total: u32, address: u32, user: u32) -> Arc<Memory> {
        let limits = Limits::default()
            .with(Limit::Memory, total << 20)
            .with(Limit::MemoryPerAddress, address << 20)
            .with(Limit::MemoryPerUser, user << 20);
        Memory::new(limits, Arc::default())
    }

    fn refused<T>(result: Result<T, Error>) -> (u16, &'static str) {
        let error = result.err().expect("a refusal");
        assert_eq!(error.retry_after, Some(2));
        (error.status.as_u16(), error.code)
    }

    #[test]
    fn shares_are_limited_by_user_and_address_and_in_total() {
        const MIB: u64 = 1 << 20;
        let memory = memory(8, 6, 4);
        let [here, there, far] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(|a| a.parse().expect("an address"));
        let of = |address, user: Option<&str>| {
            let share = memory.share(address);
            if let Some(user) = user {
                share.of_user(&user.into());
            }
            share
        };
        let (ada, other, bob) = (of(here, Some("ada")), of(there, Some("ada")), of(here, Some("bob")));
        assert_eq!(refused(ada.resize(4 * MIB + 1)), (429, "too_many_requests"));
        ada.resize(4 * MIB).expect("the whole of a user");
        assert_eq!(refused(other.resize(1)), (429, "too_many_requests"));
        assert_eq!(refused(bob.resize(2 * MIB + 1)), (429, "too_many_requests"));
        bob.resize(2 * MIB).expect("the whole of an address");
        let (anonymous, eve) = (of(there, None), of(there, Some("eve")));
        assert_eq!(refused(anonymous.resize(MIB + 1)), (503, "busy"));
        anonymous.resize(MIB).expect("the whole of those without a credential");
        assert_eq!(refused(of(far, None).resize(1)), (503, "busy"));
        eve.resize(MIB).expect("the whole memory");
        assert_eq!(refused(of(far, Some("zoe")).resize(1)), (503, "busy"));
        // A smaller share is always possible, and the rest is free.
        eve.resize(0).expect("smaller");
        of(far, Some("zoe")).resize(MIB).expect("free");
        // One who signs in during the request is counted as a user from then on.
        anonymous.of_user(&"ada".into());
        assert_eq!(refused(ada.resize(4 * MIB + 1)), (429, "too_many_requests"));
        of(far, None).resize(MIB).expect("free");
        drop((ada, other, bob, anonymous, eve));
        let held = memory.held.lock();
        assert_eq!((held.bytes, held.anonymous), (0, 0));
        assert!(held.by_address.is_empty() && held.by_user.is_empty());
    }
}
