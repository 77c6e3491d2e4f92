//! Roomwatch shows the state and the events of LiveKit rooms in real time, and loses no event that it has acknowledged.
//!
//! ```text
//! LiveKit server ──webhook──▶ verify ─▶ append to log ─▶ fold into state ─▶ fan out ──SSE / Socket.IO──▶ browser
//!        ▲                                  (durable)       (rooms now)      (shared frames)               │
//!        └──── RoomService: reconcile, room commands ◀─────────────────── REST ◀────────────────────────────┘
//! ```
//!
//! The modules are in the order of that path. ARCHITECTURE.md has the invariants.

// Leaves: they use no other module of the program.
pub mod clock;
pub mod cluster;
pub mod data_dir;
pub mod http;
pub mod json;
pub mod metrics;
pub mod nats;
pub mod storage;
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

// Requests to LiveKit.
pub mod livekit;
pub mod reconcile;

// The derived data that a new node of a deployment gets from the others, and the nodes themselves.
pub mod bootstrap;
pub mod nodes;

// Conditions that need an operator's attention.
pub mod attention;

// Deliveries to other systems.
pub mod deliver;

// Users, and the record of their commands.
pub mod accounts;
pub mod audit;

pub mod server;

// One node, assembled from the modules above.
pub mod node;

pub mod cli;
