//! Walking through JSON text without building a tree.

pub mod scan;
