//! Operators: the users who may sign in, and their sign-ins.
//!
//! OpenID Connect will be another way to authenticate: its callback begins a sign-in as [`Accounts::login`] does.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use anyhow::Context;
use parking_lot::RwLock;

use crate::{
    clock::Clock,
    cluster::{Cluster, ClusterError, Expected, Map},
    config::{Role, User},
    token::Secret,
};

mod credential;
mod logins;
mod password;

use credential::Credential;
use logins::Logins;
pub use logins::{LOGIN_MS, Login};
use password::Checker;
pub use password::{PASSWORD_BYTES_MAX, hash};

/// The name of the operator whose password is `ROOMWATCH_PASSWORD`.
pub const OPERATOR: &str = "operator";
/// The key of the operator's hash in [`Map::Operator`].
const OPERATOR_KEY: &str = "password";

/// Reason why a sign-in was refused.
#[derive(Debug)]
pub enum LoginError {
    /// The name or the password is wrong. The answer does not say which.
    Wrong,
    /// No user is configured.
    NoUsers,
    /// Too many sign-ins are waiting.
    Busy,
    /// The sign-in could not be stored.
    Store(ClusterError),
}

struct Account {
    role: Role,
    credential: Credential,
}

/// Users and their sign-ins.
pub struct Accounts {
    users: RwLock<HashMap<Arc<str>, Arc<Account>>>,
    logins: Logins,
    checker: Checker,
    /// Chooses the hash with which the password of an unknown name is compared.
    decoys: RandomState,
}

impl Accounts {
    /// Opens the accounts of the configured users, and of the operator if `password` is given.
    pub async fn open(
        cluster: Arc<dyn Cluster>,
        users: &[User],
        password: Option<&Secret>,
        clock: Clock,
    ) -> anyhow::Result<Accounts> {
        let mut accounts = named(users);
        if let Some(password) = password {
            let credential = Credential::Password(operator_hash(&*cluster, password).await?);
            accounts.insert(OPERATOR.into(), Arc::new(Account { role: Role::Admin, credential }));
        }
        let accounts = Accounts {
            users: RwLock::new(accounts),
            logins: Logins::open(cluster, clock).await,
            checker: Checker::new(),
            decoys: RandomState::new(),
        };
        accounts.end_stale().await?;
        Ok(accounts)
    }

    /// Takes the users of a configuration that was read again. Users who were removed, or have another password, are
    /// signed out. A new role counts at once.
    pub async fn replace(&self, users: &[User]) -> anyhow::Result<()> {
        {
            let mut accounts = self.users.write();
            let mut new = named(users);
            // The operator stays: the environment of a process cannot change.
            if let Some(operator) = accounts.get(OPERATOR).filter(|_| users.is_empty()) {
                new.insert(OPERATOR.into(), operator.clone());
            }
            *accounts = new;
        }
        self.end_stale().await
    }

    /// Returns the sign-in of this token, and the present role of its user.
    pub fn find(&self, token: &str) -> Option<(Arc<Login>, Role)> {
        let login = self.logins.find(token)?;
        let role = self.users.read().get(&login.user)?.role;
        Some((login, role))
    }

    /// Checks a password, begins a sign-in and returns its token.
    ///
    /// An unknown name takes the same time as a known one: its password is compared with the hash of another user, and
    /// with the same user for the same name.
    pub async fn login(&self, user: &str, password: Secret) -> Result<(String, Arc<Login>), LoginError> {
        let (name, account) = {
            let users = self.users.read();
            match users.get_key_value(user) {
                Some((name, account)) => (Some(name.clone()), account.clone()),
                None => {
                    let mut others: Vec<_> = users.iter().collect();
                    others.sort_by_key(|(name, _)| (*name).clone());
                    let chosen = usize::try_from(self.decoys.hash_one(user) % others.len().max(1) as u64);
                    let decoy = others.get(chosen.unwrap_or(0)).ok_or(LoginError::NoUsers)?;
                    (None, decoy.1.clone())
                }
            }
        };
        if password.reveal().len() > PASSWORD_BYTES_MAX {
            return Err(LoginError::Wrong);
        }
        let Credential::Password(hash) = account.credential.clone();
        let right = self.checker.check(hash, password).await.map_err(|_| LoginError::Busy)?;
        match name {
            Some(name) if right => {
                self.logins.begin(name, account.credential.digest()).await.map_err(LoginError::Store)
            }
            _ => Err(LoginError::Wrong),
        }
    }

    /// Ends the sign-in of this token, if there is one. Its streams end too.
    pub async fn logout(&self, token: &str) -> Result<(), ClusterError> {
        self.logins.end(token).await
    }

    /// Waits until a sign-in has ended since the last call. Its streams must then end too.
    pub async fn some_ended(&self) {
        self.logins.some_ended().await;
    }

    /// Ends the sign-ins that have expired, and those of users who were removed or have another credential.
    async fn end_stale(&self) -> anyhow::Result<()> {
        let digests: HashMap<Arc<str>, _> = {
            let users = self.users.read();
            users.iter().map(|(name, account)| (name.clone(), account.credential.digest())).collect()
        };
        let valid = |user: &str, credential: &_| digests.get(user) == Some(credential);
        self.logins.retain(valid).await.context("cannot end sign-ins")
    }
}

fn named(users: &[User]) -> HashMap<Arc<str>, Arc<Account>> {
    let account = |user: &User| Account {
        role: user.role,
        credential: Credential::Password(user.password_hash.clone()),
    };
    users.iter().map(|user| (user.name.as_str().into(), Arc::new(account(user)))).collect()
}

/// Returns the hash of the operator's password: the deployment's one, if the password still matches it. So sign-ins
/// survive a restart, and end if the password changes.
async fn operator_hash(cluster: &dyn Cluster, password: &Secret) -> anyhow::Result<Secret> {
    let kept = cluster.get(Map::Operator, OPERATOR_KEY).await?;
    if let Some(kept) = kept.and_then(|kept| String::from_utf8(kept.value.to_vec()).ok()).map(Secret::new)
        && password::matches(&kept, password)
    {
        return Ok(kept);
    }
    let new = hash(password)?;
    cluster.put(Map::Operator, OPERATOR_KEY, new.reveal().to_owned().into(), Expected::Anything).await?;
    Ok(new)
}
