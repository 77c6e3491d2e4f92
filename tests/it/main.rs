//! The integration tests: one binary, because linking one is faster than linking twenty.

pub mod harness;

mod log;
mod webhook;
