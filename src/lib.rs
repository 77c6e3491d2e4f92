//! Roomwatch shows what is happening in LiveKit rooms, as it happens, and never loses the story.
//!
//! ```text
//! LiveKit server ──webhook──▶ verify ─▶ append to log ─▶ fold into state ─▶ fan out ──SSE / Socket.IO──▶ browser
//!        ▲                                  (durable)       (rooms now)      (shared frames)               │
//!        └──── RoomService: reconcile, room commands ◀─────────────────── REST ◀────────────────────────────┘
//! ```
//!
//! The modules stand in the order of that path. ARCHITECTURE.md has the invariants.

// Leaves: they know nothing of the rest.
pub mod clock;
pub mod cluster;
pub mod data_dir;
pub mod http;
pub mod json;
pub mod metrics;
pub mod store;
pub mod token;

// The path of an event.
pub mod config;
pub mod derived;
pub mod event;
pub mod feed;
pub mod follow;
pub mod ingest;
pub mod log;
pub mod rights;
pub mod snapshot;
pub mod state;

// What acts.
pub mod livekit;
pub mod reconcile;

// Who may, and who did.
pub mod accounts;
pub mod audit;

pub mod server;

// One node: everything above, assembled.
pub mod node;

pub mod cli;
