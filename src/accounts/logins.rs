//! Sign-ins: opaque tokens of 256 random bits in a cookie.
//!
//! The deployment keeps the SHA-256 of each token, so a stolen copy of its state opens nothing. Sign-ins outlive a
//! restart: a deployment must not sign everybody out. Each remembers the digest of the credential it was opened with,
//! and ends when that changes.

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

/// How long a sign-in lasts: operators leave dashboards open for weeks, and sign in once a month.
pub const LOGIN_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How many sign-ins one user has. With one more the oldest ends.
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
    /// Signed out, or the user is gone. The caller compares `ends_at` with the time.
    pub fn has_ended(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Returns when it has ended.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// A sign-in as the deployment keeps it.
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
    /// Ended here, while the deployment may still have them: a late change of the map must not bring them back.
    ending: HashSet<Box<str>>,
}

impl Logins {
    /// Reads the sign-ins of the deployment, and follows them from then on.
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

    /// Returns the sign-in that this token opens, if it is alive.
    pub fn find(&self, token: &str) -> Option<Arc<Login>> {
        let login = self.inner.known.read().logins.get(&*digest(token)).cloned()?;
        (!login.has_ended() && login.ends_at > self.inner.clock.unix_ms()).then_some(login)
    }

    /// Begins a sign-in for a user whose name is proved, and returns its token. Durable when it returns.
    pub async fn begin(
        &self,
        user: Arc<str>,
        credential: CredentialDigest,
    ) -> Result<(String, Arc<Login>), ClusterError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| ClusterError::Away(error.to_string().into()))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let key = digest(&token);
        let now = self.inner.clock.unix_ms();
        let kept =
            Kept { user, credential: HEXLOWER.encode(&credential.0), began_at: now, ends_at: now + LOGIN_MS };
        let json = serde_json::to_vec(&kept).map_err(|error| ClusterError::Away(error.to_string().into()))?;
        self.end_all(&self.surplus(&kept.user, now)).await?;
        // Known here before the watch tells of it: the next request may follow the answer at once.
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

    /// Ends the sign-ins that are over, and those of which `valid(user, credential)` says that they may not go on.
    pub async fn retain(
        &self,
        mut valid: impl FnMut(&str, &CredentialDigest) -> bool,
    ) -> Result<(), ClusterError> {
        let now = self.inner.clock.unix_ms();
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

    /// Returns when sign-ins have ended since it did so last: their streams have to end, too.
    pub async fn some_ended(&self) {
        self.inner.ended.notified().await;
    }

    /// Returns the sign-ins that have to go before `user` begins one more.
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

    /// Ends sign-ins here at once, and then for the deployment.
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
                Some(None) => tracing::warn!("a sign-in cannot be read: its user has to sign in again"),
            }
        }
    }

    /// Keeps a sign-in that is there already: its streams hold it.
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
