//! The integration tests: one binary, because linking one is faster than linking twenty.

mod log;
