//! Passwords: hashes them, and checks a limited number at a time.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::token::Secret;

/// Number of passwords that are hashed at a time. Each takes a core and 19 MiB.
const HASHES_AT_ONCE: usize = 2;
/// Maximum number of sign-ins that wait for that. More are refused as busy: a flood from many addresses must not fill
/// minutes of work.
const HASHES_WAITING_MAX: usize = 32;
/// Maximum length of a password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// Returns the argon2id hash of a password. The crate's default parameters are those of OWASP: 19 MiB, 2 passes.
pub fn hash(password: &Secret) -> anyhow::Result<Secret> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.reveal().as_bytes())
        .map_err(|error| anyhow::anyhow!("the password cannot be hashed: {error}"))?;
    Ok(Secret::new(hash.to_string()))
}

/// Checks a password against a hash. This takes tens of milliseconds of one core.
pub fn matches(hash: &Secret, password: &Secret) -> bool {
    // The hash parses: it was checked with the configuration, or made by this program.
    PasswordHash::new(hash.reveal())
        .is_ok_and(|hash| Argon2::default().verify_password(password.reveal().as_bytes(), &hash).is_ok())
}

/// Too many sign-ins are waiting.
pub struct Busy;

/// Checks passwords, a few at a time.
pub struct Checker {
    /// Permits for passwords that are being checked or waiting.
    waiting: Arc<Semaphore>,
    hashing: Arc<Semaphore>,
}

impl Checker {
    pub fn new() -> Checker {
        Checker {
            waiting: Arc::new(Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING_MAX)),
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
        }
    }

    pub async fn check(&self, hash: Secret, password: Secret) -> Result<bool, Busy> {
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| Busy)?;
        let hashing = self.hashing.clone().acquire_owned().await.map_err(|_| Busy)?;
        let check = move || {
            // Held until the end of the work, which goes on if the user has gone.
            let _permits = (waiting, hashing);
            matches(&hash, &password)
        };
        // A panic has been printed; the password is not accepted.
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(false))
    }
}
