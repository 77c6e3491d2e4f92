//! The integration tests: one binary, because linking one is faster than linking twenty.

pub mod harness;

mod auth;
mod browser;
mod cluster;
mod commands;
mod crash;
mod damage;
mod drain;
mod errors;
mod follow;
mod history;
mod history_rest;
mod joined;
mod limits;
mod livekit;
mod log;
mod node;
mod openapi;
mod own_events;
mod reconcile;
mod reconcile_diff;
mod reconcile_gap;
mod routes;
mod secrets;
mod snapshot;
mod socketio;
mod socketio_protocol;
mod state;
mod state_rest;
mod stream;
mod tail;
mod tidy;
mod upgrade;
mod watch;
mod webhook;
