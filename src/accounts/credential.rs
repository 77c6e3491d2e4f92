//! The credential of a user.

use sha2::{Digest, Sha256};

use crate::token::Secret;

/// The credential with which a user authenticates. OpenID Connect becomes a second variant: an issuer and a subject.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An argon2id hash.
    Password(Secret),
}

impl Credential {
    /// Returns the digest that a sign-in keeps.
    pub fn digest(&self) -> CredentialDigest {
        match self {
            Credential::Password(hash) => CredentialDigest(Sha256::digest(hash.reveal()).into()),
        }
    }
}

/// Differs between two credentials of a user. It cannot be used to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialDigest(pub [u8; 32]);
