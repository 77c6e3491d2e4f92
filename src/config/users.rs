//! The users who may sign in: `[[users]]` of the file.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, ensure};
use argon2::password_hash::phc::PasswordHash;
use clap::ValueEnum;
use serde::Deserialize;

use super::parse;
use crate::token::Secret;

/// One `[[users]]` of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    /// argon2id, as `roomwatch user hash` prints it.
    pub password_hash: Secret,
    pub role: Role,
}

/// The rights of an operator. Each role includes those before it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Deserialize,
    serde::Serialize,
    ValueEnum,
    utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees everything.
    Viewer,
    /// Moderates, creates, ends and watches rooms.
    Operator,
    /// Reads the audit record too.
    Admin,
}

/// Reads the users of the file again, for a server that is running.
pub fn read_users(path: &Path) -> anyhow::Result<Vec<User>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let users = parse(&text).with_context(|| format!("in {}", path.display()))?.users;
    check(&users)?;
    Ok(users)
}

/// Refuses names that are not unique, and hashes that no sign-in can be checked with.
pub(super) fn check(users: &[User]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for user in users {
        ensure!(!user.name.is_empty() && names.insert(&user.name), "two users are called {:?}", user.name);
        ensure!(
            is_argon2id(&user.password_hash),
            "the password_hash of user {:?} is not an argon2id hash; `roomwatch user hash` makes one",
            user.name
        );
    }
    Ok(())
}

/// Returns true if sign-ins can be checked with the hash.
fn is_argon2id(hash: &Secret) -> bool {
    PasswordHash::new(hash.reveal())
        .is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && argon2::Params::try_from(&hash).is_ok())
}
