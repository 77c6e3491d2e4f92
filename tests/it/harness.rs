//! The harness: the server as a process, the clients that talk to it, and the parts that it talks to.
//!
//! Tests import what they use from here, and never from another test.

mod cases;
pub mod disk;
pub mod egress;
pub mod engineio;
pub mod faulty;
pub mod livekit;
pub mod operators;
pub mod promises;
pub mod said;
pub mod server;
pub mod shared;
pub mod sink;
pub mod sse;
pub mod tokens;
pub mod until;
pub mod webhook;

pub use cases::cases;
pub use server::{Server, Start, client, log_in_memory, raw};
pub use sse::{Sse, SseEvent};
pub use tokens::{KEY, SECRET, admin_token, join_token, list_token, now, raw_token, token};
pub use until::{PATIENCE, until, until_async};
pub use webhook::{event, webhook_claims, webhook_token};
