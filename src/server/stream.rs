//! Streams over server-sent events and Socket.IO, and pages of the log.

pub mod events;
pub mod handover;
pub mod message;
pub mod open;
pub mod page;
pub mod session;
pub mod socketio;
pub mod wanted;
