//! The proof of a user's name.

use sha2::{Digest, Sha256};

use crate::token::Secret;

/// What a user proves their name with. OpenID Connect becomes a second variant: an issuer and a subject.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An argon2id hash.
    Password(Secret),
}

impl Credential {
    /// Returns what a sign-in remembers of it.
    pub fn digest(&self) -> CredentialDigest {
        match self {
            Credential::Password(hash) => CredentialDigest(Sha256::digest(hash.reveal()).into()),
        }
    }
}

/// Tells a credential from the one that comes after it. Nothing can be proved with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialDigest(pub [u8; 32]);
