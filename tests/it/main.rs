//! The integration tests: one binary, because linking one is faster than linking twenty.

pub mod harness;

mod crash;
mod log;
mod state;
mod stream;
mod webhook;
