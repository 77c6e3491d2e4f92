//! Streams: how one opens, what it says, and the log in pages.

pub mod events;
pub mod handover;
pub mod open;
pub mod page;
pub mod say;
pub mod socketio;
pub mod wanted;
