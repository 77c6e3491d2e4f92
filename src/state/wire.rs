//! The JSON of the contract: an entity as readers get it, whole or only the fields of a mask.

pub use super::mask::{ALL, Mask, Wire};
