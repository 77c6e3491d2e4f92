//! *Conditions*, which need an operator's attention, and the follower that opens and closes them.
//!
//! A condition is either **still so** (a room without its agent) or **has happened** (a recording failed). `find`
//! derives the first kind from the state and from the health of every part; `occurred` derives the second kind from one
//! event. Both are pure. The follower compares the result with the conditions that are open, and appends
//! `roomwatch.condition_*` events for the difference. So conditions are part of the state: readers get them by the
//! stream, they survive a restart, and `?at=` shows those of an earlier moment.
//!
//! `dispatches` asks LiveKit which rooms have an agent dispatch: the only cause that no event and no list tells.
//!
//! A condition is opened at most once a minute for the same subject. One that has happened is closed after a time, one
//! that is still so when its cause ends. While the cause is unknown, for example right after a start, an open condition
//! stays open.

mod deployment;
mod dispatches;
mod find;
mod follower;
mod kinds;
mod occurred;
mod rates;
mod refusals;

use deployment::DeploymentHealth;
use find::{Found, Health, ProjectHealth, find};
use kinds::Kind;

pub use dispatches::{Dispatches, ask};
pub use follower::{Attention, Sources};
pub use rates::Rates;
pub use refusals::Refusals;
