//! Sign-ins: opaque tokens of 256 random bits in a cookie.
//!
//! The deployment keeps only the SHA-256 of each token, so a stolen copy of its state does not contain a valid token.
//! Sign-ins survive a restart: a new version must not sign every user out. Each sign-in keeps the digest of its
//! credential, and ends when the credential changes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::credential::CredentialDigest;
use crate::{
    clock::Clock,
    cluster::{Cluster, ClusterError, Expected, Map, MapChange},
};

/// Lifetime of a sign-in. Operators leave dashboards open for weeks; so they sign in once a month.
pub const LOGIN_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// Maximum number of sign-ins of one user. One more ends the oldest.
const LOGINS_PER_USER_MAX: usize = 100;

/// A user who has signed in.
#[derive(Debug)]
pub struct Login {
    pub user: Arc<str>,
    /// Unix milliseconds.
    pub ends_at: u64,
    began_at: u64,
    credential: CredentialDigest,
    over: CancellationToken,
}

impl Login {
    /// Returns true if the user has signed out or was removed. The caller must also compare `ends_at` with the time.
    pub fn has_ended(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until [`Login::has_ended`] is true.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// A sign-in as the deployment stores it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    user: Arc<str>,
    /// [`CredentialDigest`] in hex.
    credential: String,
    began_at: u64,
    ends_at: u64,
}

/// The sign-ins of a deployment, as this node knows them.
pub struct Logins {
    inner: Arc<Inner>,
    following: JoinHandle<()>,
}

struct Inner {
    cluster: Arc<dyn Cluster>,
    clock: Clock,
    known: RwLock<Known>,
    ended: Notify,
}

/// Keys are the SHA-256 of the tokens, in hex.
#[derive(Default)]
struct Known {
    logins: HashMap<Box<str>, Arc<Login>>,
    /// Sign-ins that ended on this node and that the deployment may still have. A late change of the map must not bring
    /// them back.
    ending: HashSet<Box<str>>,
}

impl Logins {
    /// Reads the sign-ins of the deployment, and follows their changes.
    pub async fn open(cluster: Arc<dyn Cluster>, clock: Clock) -> Logins {
        let mut watch = cluster.watch(Map::Logins);
        let inner = Arc::new(Inner { cluster, clock, known: RwLock::default(), ended: Notify::new() });
        inner.take(watch.next().await);
        let follower = inner.clone();
        let following = tokio::spawn(async move {
            loop {
                follower.take(watch.next().await);
            }
        });
        Logins { inner, following }
    }

    /// Returns the sign-in of this token, if it has not ended.
    pub fn find(&self, token: &str) -> Option<Arc<Login>> {
        let login = self.inner.known.read().logins.get(&*digest(token)).cloned()?;
        (!login.has_ended() && login.ends_at > self.inner.clock.evident_ms()).then_some(login)
    }

    /// Begins a sign-in for a user who has authenticated, and returns its token. Durable when it returns.
    pub async fn begin(
        &self,
        user: Arc<str>,
        credential: CredentialDigest,
    ) -> Result<(String, Arc<Login>), ClusterError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| ClusterError::Away(error.to_string().into()))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let key = digest(&token);
        let now = self.inner.clock.evident_ms();
        let kept =
            Kept { user, credential: HEXLOWER.encode(&credential.0), began_at: now, ends_at: now + LOGIN_MS };
        let json = serde_json::to_vec(&kept).map_err(|error| ClusterError::Away(error.to_string().into()))?;
        self.end_all(&self.surplus(&kept.user, now)).await?;
        // Inserted here, not when the watch reports it: the next request may follow at once.
        let login = self.inner.insert(key.clone(), kept, credential);
        if let Err(error) = self.inner.cluster.put(Map::Logins, &key, json.into(), Expected::Nothing).await {
            self.inner.remove(&key);
            return Err(error);
        }
        Ok((token, login))
    }

    /// Ends the sign-in of this token, if there is one.
    pub async fn end(&self, token: &str) -> Result<(), ClusterError> {
        let key = digest(token);
        if !self.inner.known.read().logins.contains_key(&*key) {
            return Ok(());
        }
        self.end_all(&[key]).await
    }

    /// Ends the sign-ins that have expired, and those for which `valid(user, credential)` is false.
    pub async fn retain(
        &self,
        mut valid: impl FnMut(&str, &CredentialDigest) -> bool,
    ) -> Result<(), ClusterError> {
        let now = self.inner.clock.evident_ms();
        let stale: Vec<Box<str>> = {
            let known = self.inner.known.read();
            let stale = known
                .logins
                .iter()
                .filter(|(_, login)| login.ends_at <= now || !valid(&login.user, &login.credential));
            stale.map(|(key, _)| key.clone()).collect()
        };
        self.end_all(&stale).await
    }

    /// Waits until a sign-in has ended since the last call. Its streams must then end too.
    pub async fn some_ended(&self) {
        self.inner.ended.notified().await;
    }

    /// Returns the sign-ins that must end before `user` begins another one.
    fn surplus(&self, user: &str, now: u64) -> Vec<Box<str>> {
        let known = self.inner.known.read();
        let over = known.logins.iter().filter(|(_, login)| login.ends_at <= now);
        let mut surplus: Vec<Box<str>> = over.map(|(key, _)| key.clone()).collect();
        let own = known.logins.iter().filter(|(_, login)| *login.user == *user && login.ends_at > now);
        let mut own: Vec<_> = own.map(|(key, login)| (login.began_at, key.clone())).collect();
        if own.len() >= LOGINS_PER_USER_MAX {
            own.sort_unstable();
            surplus.extend(own.drain(..=own.len() - LOGINS_PER_USER_MAX).map(|(_, key)| key));
        }
        surplus
    }

    /// Ends sign-ins on this node at once, and then in the deployment.
    async fn end_all(&self, keys: &[Box<str>]) -> Result<(), ClusterError> {
        self.inner.known.write().ending.extend(keys.iter().cloned());
        for key in keys {
            self.inner.remove(key);
        }
        for key in keys {
            self.inner.cluster.delete(Map::Logins, key, Expected::Anything).await?;
        }
        Ok(())
    }
}

impl Drop for Logins {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Inner {
    fn take(&self, changes: Vec<MapChange>) {
        for MapChange { key, entry } in changes {
            match entry.map(|entry| read(&entry.value)) {
                None => {
                    self.remove(&key);
                    self.known.write().ending.remove(&key);
                }
                Some(_) if self.known.read().ending.contains(&key) => {}
                Some(Some((kept, credential))) => drop(self.insert(key, kept, credential)),
                Some(None) => tracing::warn!("a stored sign-in cannot be read; its user must sign in again"),
            }
        }
    }

    /// Inserts a sign-in. An existing one is kept, because its streams refer to it.
    fn insert(&self, key: Box<str>, kept: Kept, credential: CredentialDigest) -> Arc<Login> {
        let Kept { user, began_at, ends_at, .. } = kept;
        let login = || Login { user, ends_at, began_at, credential, over: CancellationToken::new() };
        self.known.write().logins.entry(key).or_insert_with(|| Arc::new(login())).clone()
    }

    fn remove(&self, key: &str) {
        if let Some(login) = self.known.write().logins.remove(key) {
            login.over.cancel();
            self.ended.notify_one();
        }
    }
}

fn read(value: &Bytes) -> Option<(Kept, CredentialDigest)> {
    let kept: Kept = serde_json::from_slice(value).ok()?;
    let credential = HEXLOWER.decode(kept.credential.as_bytes()).ok()?.try_into().ok()?;
    Some((kept, CredentialDigest(credential)))
}

fn digest(token: &str) -> Box<str> {
    HEXLOWER.encode(&Sha256::digest(token)).into()
}
