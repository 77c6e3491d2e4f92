//! Several nodes: three real nats-servers, and as many Roomwatches as a test needs.
//!
//! `tests/cluster/install-nats` installs the nats-server.

// The harness of the integration tests, of which these use only a part.
#[path = "../it"]
mod shared {
    #[allow(dead_code, unused_imports, reason = "these tests use a part of it")]
    pub mod harness;
}
use shared::harness;

mod away;
mod begin;
mod cut;
mod duties;
mod faults;
mod history;
mod nats;
mod nodes;
mod promises;
mod settings;
