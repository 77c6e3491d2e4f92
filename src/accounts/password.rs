//! Passwords: their hashes, and how many are checked at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::token::Secret;

/// How many passwords are hashed at a time: each takes a core and 19 MiB.
const HASHES_AT_ONCE: usize = 2;
/// How many sign-ins wait for that. More are refused as busy: a flood from many addresses must not queue up for minutes.
const HASHES_WAITING_MAX: usize = 32;
/// The longest password that is looked at, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Returns the argon2id hash of a password, with the crate's parameters, which are OWASP's: 19 MiB, 2 passes.
pub fn hash(password: &Secret) -> anyhow::Result<Secret> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.reveal().as_bytes())
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(Secret::new(hash.to_string()))
}

/// Checks a password against a hash. Takes tens of milliseconds of one core.
pub fn matches(hash: &Secret, password: &Secret) -> bool {
    // The configuration has been checked, and the stored hash is ours: it parses.
    PasswordHash::new(hash.reveal())
        .is_ok_and(|hash| Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok())
}

/// Too many sign-ins wait already.
pub struct Busy;

/// Checks passwords, a few at a time.
pub struct Checker {
    /// Permits for those that are being checked and those that wait.
    waiting: Semaphore,
    hashing: Semaphore,
}

impl Checker {
    pub fn new() -> Checker {
        Checker {
            waiting: Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING_MAX),
            hashing: Semaphore::new(HASHES_AT_ONCE),
        }
    }

    pub async fn check(&self, hash: Secret, password: Secret) -> Result<bool, Busy> {
        let _waiting = self.waiting.try_acquire().map_err(|_| Busy)?;
        let _hashing = self.hashing.acquire().await.map_err(|_| Busy)?;
        // A panic has been printed; the password is not accepted.
        Ok(tokio::task::spawn_blocking(move || matches(&hash, &password)).await.unwrap_or(false))
    }
}
