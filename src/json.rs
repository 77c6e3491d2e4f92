//! Reading JSON text without building a tree: [`walk`] for text that has to be checked, [`scan`] for text that was.

pub mod scan;
pub mod walk;
