//! The fields of an entity that one change carries, and the JSON they are written to.

use serde::{Serialize, ser::SerializeMap};

/// A set of fields of one entity, one bit each.
pub type Mask = u32;

/// Every field, and the key of the entity.
pub const ALL: Mask = Mask::MAX;

/// Fields that never change. Only a whole entity carries them.
pub const KEY: Mask = 1 << 31;

/// Numbers the bits of an entity's fields in the order of its table. `KEY` stays the one it is.
macro_rules! bits {
    ($($bit:ident)*) => {
        $crate::state::mask::bits!(@ 0, $($bit)*);
    };
    (@ $at:expr, KEY $($rest:ident)*) => {
        $crate::state::mask::bits!(@ $at, $($rest)*);
    };
    (@ $at:expr, $bit:ident $($rest:ident)*) => {
        pub const $bit: $crate::state::mask::Mask = 1 << ($at);
        $crate::state::mask::bits!(@ $at + 1, $($rest)*);
    };
    (@ $at:expr,) => {};
}
pub(super) use bits;

/// The contract's JSON of an entity, or of those of its fields that a mask names.
pub struct Wire<'a, T>(pub &'a T, pub Mask);

/// Writes the fields that a mask names.
pub(super) struct Fields<M> {
    pub map: M,
    pub mask: Mask,
}

impl<M: SerializeMap> Fields<M> {
    /// Writes one field if the mask names it.
    pub fn put(&mut self, bit: Mask, key: &'static str, value: impl Serialize) -> Result<(), M::Error> {
        if self.mask & bit != 0 {
            self.map.serialize_entry(key, &value)?;
        }
        Ok(())
    }
}

/// Returns a time as a reader gets it: 0 means unknown and is written as null.
pub(super) fn known(time: u64) -> Option<u64> {
    (time > 0).then_some(time)
}

/// Returns a text as a reader gets it where an empty one is written as null.
pub(super) fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Returns the mask of those fields that differ.
pub(super) fn fields<const N: usize>(fields: [(bool, Mask); N]) -> Mask {
    fields.iter().filter(|(differs, _)| *differs).fold(0, |mask, (_, bit)| mask | bit)
}
