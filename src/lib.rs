//! Roomwatch shows what is happening in LiveKit rooms, as it happens, and never loses the story.
//!
//! ```text
//! LiveKit server ──webhook──▶ verify ─▶ append to log ─▶ fold into state ─▶ fan out ──SSE / Socket.IO──▶ browser
//!        ▲                                  (durable)       (rooms now)      (shared frames)               │
//!        └──── RoomService: reconcile, room commands ◀─────────────────── REST ◀────────────────────────────┘
//! ```
//!
//! The modules stand in the order of that path. ARCHITECTURE.md has the invariants.

pub mod config;
pub mod event;
pub mod token;
pub mod webhook;

pub mod log;

pub mod state;

pub mod history;

pub mod feed;

pub mod follow;

pub mod livekit;
pub mod reconcile;

pub mod server;

pub mod cli;

pub mod metrics;
