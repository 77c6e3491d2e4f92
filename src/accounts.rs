//! Operators: who may sign in, and who has.
//!
//! A session is an opaque token of 256 random bits in a cookie; what is kept is its SHA-256, so
//! that a stolen copy of the data directory opens nothing. Sessions outlive a restart, in a small
//! SQLite file of their own beside the log: a deployment must not sign everybody out. Each
//! remembers a digest of the password hash it was opened with, and ends when that changes.
//!
//! OpenID Connect will be another way to prove a name: its callback calls `Accounts::begin`, as
//! [`Accounts::login`] does.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::unix_ms,
    config::{Role, User},
    store::{Repair, Store, has_table},
    token::Secret,
};

/// The name of the operator whose password is `ROOMWATCH_PASSWORD`.
pub const OPERATOR: &str = "operator";
/// How long a session lasts: operators leave dashboards open for weeks, and sign in once a month.
pub const SESSION_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// How many sessions one user has; with one more the oldest ends.
const SESSIONS_PER_USER_MAX: usize = 100;
/// How many passwords are hashed at a time: each takes a core and 19 MiB.
const HASHES_AT_ONCE: usize = 2;
/// How many sign-ins wait for that. More are told to come back: a flood from many addresses must
/// not queue up for minutes.
const HASHES_WAITING_MAX: usize = 32;
/// The longest password that is looked at, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Losing the file costs everybody one sign-in; not starting would cost more, and a copy would be one more file with
/// hashes of passwords in it.
const STORE: Store = Store {
    file: "logins.db",
    application_id: 0x526d_4c6f,
    first_version: 1,
    steps: &[TABLES],
    unversioned: |connection| {
        Ok((has_table(connection, "session")? && has_table(connection, "operator")?).then_some(1))
    },
    repair: Repair::Recreate,
    private: true,
    pragmas: "",
};

const TABLES: &str = "
CREATE TABLE session (
    hash BLOB PRIMARY KEY, user TEXT NOT NULL, credential BLOB NOT NULL,
    began_at INTEGER NOT NULL, ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE operator (one INTEGER PRIMARY KEY CHECK (one = 1), hash TEXT NOT NULL) STRICT;
";

type TokenHash = [u8; 32];

/// Somebody who has signed in.
#[derive(Debug)]
pub struct Session {
    pub user: Arc<str>,
    /// Unix milliseconds.
    pub ends_at: u64,
    began_at: u64,
    /// Digest of the password hash it was opened with.
    credential: [u8; 32],
    over: CancellationToken,
}

impl Session {
    /// Signed out, or the user is gone. Whether time is up is for the caller to see.
    pub fn ended(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Done when it has ended.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// Why nobody was signed in.
#[derive(Debug)]
pub enum LoginError {
    /// Name or password; which of them is not said.
    Wrong,
    /// Nobody can sign in here.
    NoUsers,
    /// Too many wait already.
    Busy,
    /// The session could not be kept.
    Store(String),
}

struct Account {
    role: Role,
    hash: Secret,
}

impl Account {
    fn credential(&self) -> [u8; 32] {
        Sha256::digest(self.hash.reveal()).into()
    }
}

/// Users and their sessions.
pub struct Accounts {
    users: RwLock<HashMap<Arc<str>, Arc<Account>>>,
    sessions: RwLock<HashMap<TokenHash, Arc<Session>>>,
    ended: Notify,
    store: Arc<Mutex<Connection>>,
    /// Permits for those who hash and those who wait to.
    waiting: Semaphore,
    hashing: Semaphore,
    /// Chooses whose hash a name that nobody has is compared with.
    decoys: RandomState,
}

impl Accounts {
    /// Opens the sessions of `dir`. Users are those of the configuration, or the one whose password
    /// is given.
    pub fn open(dir: &Path, users: &[User], password: Option<&Secret>) -> anyhow::Result<Accounts> {
        let store = STORE.open(dir)?;
        let mut accounts = named(users);
        if let Some(password) = password {
            let hash = operator_hash(&store, password)?;
            accounts.insert(OPERATOR.into(), Arc::new(Account { role: Role::Admin, hash }));
        }
        let sessions = read_sessions(&store)?;
        let this = Accounts {
            users: RwLock::new(accounts),
            sessions: RwLock::new(sessions),
            ended: Notify::new(),
            store: Arc::new(Mutex::new(store)),
            waiting: Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING_MAX),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            decoys: RandomState::new(),
        };
        this.end_stale()?;
        Ok(this)
    }

    /// Can anybody sign in?
    pub fn any(&self) -> bool {
        !self.users.read().is_empty()
    }

    /// Takes the users of a configuration that was read again. Who is gone, or has another password,
    /// is signed out; a new role counts at once.
    pub fn replace(&self, users: &[User]) -> anyhow::Result<()> {
        {
            let mut accounts = self.users.write();
            let mut new = named(users);
            // The password of the environment stays: a process cannot get another environment.
            if let Some(operator) = accounts.get(OPERATOR).filter(|_| users.is_empty()) {
                new.insert(OPERATOR.into(), operator.clone());
            }
            *accounts = new;
        }
        self.end_stale()
    }

    /// Whose session this token opens, and what they may do now.
    pub fn session(&self, token: &str) -> Option<(Arc<Session>, Role)> {
        let session = self.sessions.read().get(&digest(token)).cloned()?;
        if session.ended() || session.ends_at <= unix_ms() {
            return None;
        }
        let role = self.users.read().get(&session.user)?.role;
        Some((session, role))
    }

    /// Checks a password and begins a session: its token.
    ///
    /// It takes as long for a name that nobody has: the password is compared with somebody's hash
    /// all the same, always the same one for the same name.
    pub async fn login(&self, user: &str, password: Secret) -> Result<(String, Arc<Session>), LoginError> {
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
        let _waiting = self.waiting.try_acquire().map_err(|_| LoginError::Busy)?;
        let _hashing = self.hashing.acquire().await.map_err(|_| LoginError::Busy)?;
        let hash = account.hash.clone();
        let right = tokio::task::spawn_blocking(move || matches(&hash, &password))
            .await
            .map_err(|error| LoginError::Store(error.to_string()))?;
        match name {
            Some(name) if right => self.begin(name, account.credential()).await,
            _ => Err(LoginError::Wrong),
        }
    }

    /// Begins a session for somebody whose name is proved. Durable when it returns.
    async fn begin(
        &self,
        user: Arc<str>,
        credential: [u8; 32],
    ) -> Result<(String, Arc<Session>), LoginError> {
        let failed = |error: &dyn std::fmt::Display| LoginError::Store(error.to_string());
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| failed(&error))?;
        let token = URL_SAFE_NO_PAD.encode(random);
        let hash = digest(&token);
        let now = unix_ms();
        let session = Arc::new(Session {
            user: user.clone(),
            began_at: now,
            ends_at: now + SESSION_MS,
            credential,
            over: CancellationToken::new(),
        });
        let gone = {
            let mut sessions = self.sessions.write();
            let mut gone: Vec<TokenHash> = sessions
                .iter()
                .filter(|(_, session)| session.ends_at <= now)
                .map(|(hash, _)| *hash)
                .collect();
            let mut own: Vec<_> = sessions
                .iter()
                .filter(|(_, one)| one.user == user)
                .map(|(hash, one)| (one.began_at, *hash))
                .collect();
            if own.len() >= SESSIONS_PER_USER_MAX {
                own.sort_unstable();
                gone.extend(own.drain(..=own.len() - SESSIONS_PER_USER_MAX).map(|(_, hash)| hash));
            }
            for hash in &gone {
                if let Some(session) = sessions.remove(hash) {
                    self.end(&session);
                }
            }
            sessions.insert(hash, session.clone());
            gone
        };
        let kept = session.clone();
        self.write(move |store| {
            forget(store, &gone)?;
            store.execute(
                "INSERT INTO session (hash, user, credential, began_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    hash,
                    &*kept.user,
                    kept.credential,
                    kept.began_at.cast_signed(),
                    kept.ends_at.cast_signed()
                ],
            )?;
            Ok(())
        })
        .await
        .map_err(|error| {
            self.sessions.write().remove(&hash);
            failed(&error)
        })?;
        Ok((token, session))
    }

    /// Returns when sessions have ended since it did so last: their streams have to end, too.
    pub async fn some_ended(&self) {
        self.ended.notified().await;
    }

    fn end(&self, session: &Session) {
        session.over.cancel();
        self.ended.notify_one();
    }

    /// Ends the session of this token, if there is one, and its streams.
    pub async fn logout(&self, token: &str) -> Result<(), rusqlite::Error> {
        let hash = digest(token);
        let Some(session) = self.sessions.write().remove(&hash) else { return Ok(()) };
        self.end(&session);
        self.write(move |store| forget(store, &[hash])).await
    }

    /// Ends the sessions of users who are gone or have another password, and those whose time is up.
    fn end_stale(&self) -> anyhow::Result<()> {
        let now = unix_ms();
        let gone: Vec<TokenHash> = {
            let users = self.users.read();
            let mut sessions = self.sessions.write();
            let stale = |session: &Session| {
                session.ends_at <= now
                    || users.get(&session.user).is_none_or(|user| user.credential() != session.credential)
            };
            let gone: Vec<_> =
                sessions.iter().filter(|(_, session)| stale(session)).map(|(hash, _)| *hash).collect();
            for hash in &gone {
                if let Some(session) = sessions.remove(hash) {
                    self.end(&session);
                }
            }
            gone
        };
        forget(&self.store.lock(), &gone).context("cannot end sessions")
    }

    async fn write(
        &self,
        change: impl FnOnce(&Connection) -> Result<(), rusqlite::Error> + Send + 'static,
    ) -> Result<(), rusqlite::Error> {
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || change(&store.lock())).await;
        // Only a panic or the end of the process keeps it from being done.
        done.unwrap_or(Err(rusqlite::Error::InvalidQuery))
    }
}

fn named(users: &[User]) -> HashMap<Arc<str>, Arc<Account>> {
    let account = |user: &User| Account { role: user.role, hash: user.password_hash.clone() };
    users.iter().map(|user| (user.name.as_str().into(), Arc::new(account(user)))).collect()
}

fn digest(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

fn read_sessions(store: &Connection) -> Result<HashMap<TokenHash, Arc<Session>>, rusqlite::Error> {
    let mut rows = store.prepare("SELECT hash, user, credential, began_at, ends_at FROM session")?;
    let rows = rows.query_map([], |row| {
        let session = Session {
            user: row.get::<_, String>(1)?.into(),
            credential: row.get(2)?,
            began_at: row.get::<_, i64>(3)?.cast_unsigned(),
            ends_at: row.get::<_, i64>(4)?.cast_unsigned(),
            over: CancellationToken::new(),
        };
        Ok((row.get(0)?, Arc::new(session)))
    })?;
    rows.collect()
}

fn forget(store: &Connection, gone: &[TokenHash]) -> Result<(), rusqlite::Error> {
    let mut delete = store.prepare_cached("DELETE FROM session WHERE hash = ?1")?;
    gone.iter().try_for_each(|hash| delete.execute([hash]).map(drop))
}

/// The hash of the operator's password: the one that is kept, if it still fits, so that sessions
/// outlive a restart and end with the password.
fn operator_hash(store: &Connection, password: &Secret) -> anyhow::Result<Secret> {
    let kept: Option<String> =
        store.query_row("SELECT hash FROM operator", [], |row| row.get(0)).optional()?;
    if let Some(kept) = kept.map(Secret::new).filter(|kept| matches(kept, password)) {
        return Ok(kept);
    }
    let new = hash(password)?;
    store.execute("INSERT OR REPLACE INTO operator (one, hash) VALUES (1, ?1)", [new.reveal()])?;
    Ok(new)
}

/// argon2id with the crate's parameters, which are OWASP's: 19 MiB, 2 passes.
pub fn hash(password: &Secret) -> anyhow::Result<Secret> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.reveal().as_bytes())
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(Secret::new(hash.to_string()))
}

fn matches(hash: &Secret, password: &Secret) -> bool {
    // The configuration has been checked, and what is kept is ours: it parses.
    PasswordHash::new(hash.reveal())
        .is_ok_and(|hash| Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok())
}
