//! `entity!`: one table per entity. One entry has everything about one field.

/// Defines an entity by the table of its fields. From each entry come
///
/// - `stored`: the field of the struct, which the checkpoint keeps under the same name; `derived`: a value that is
///   computed from other fields, and compared before and after an event;
/// - `body` and `takes`: the members of LiveKit's JSON it is read from, and how it is updated from them (true if that
///   changed it);
/// - `shares`: how a restored field gets its shared memory back;
/// - `wire` and `schema`: its name and value in the JSON that readers get, and its type in the OpenAPI document. The
///   value is the stored or derived one unless another is given.
///
/// The first word is the bit of the field in a [`Mask`](super::mask::Mask), or `KEY`. `body_only` lists members that
/// the fold reads and no field keeps, `internal` fields that no reader gets, `given` those that `new` takes, and
/// `listed` what the document has beside the entity.
macro_rules! entity {
    (
        $(#[$entity_doc:meta])*
        $entity:ident {
            derived: $derived:ident,
            body: $body:ident<$life:lifetime>,
            schema: $schema:ident as $shown:ident,
        }
        |$this:ident, $update:ident: $update_type:ty, $words:ident|
        fields {$(
            $(#[$doc:meta])*
            $bit:ident $field:ident {
                $(stored: $(#[$serde:meta])* $type:ty,)?
                $(derived: $derived_type:ty = $derive:expr,)?
                $(body: { $($member:ident: $member_type:ty = $member_key:literal),* $(,)? },)?
                $(takes: $takes:expr,)?
                $(shares: $shares:expr,)?
                wire: $key:literal $(= $wire:expr)?,
                schema: $(#[$schema_attribute:meta])* $schema_type:ty,
            }
        )*}
        body_only { $($only:ident: $only_type:ty = $only_key:literal),* $(,)? }
        internal { $($(#[$internal_doc:meta])* $internal:ident: $internal_type:ty),* $(,)? }
        given { $($(#[$given_doc:meta])* $given:ident: $given_type:ty),* $(,)? }
        listed { $($(#[$listed_doc:meta])* $listed:ident: $listed_type:ty),* $(,)? }
    ) => {
        $(#[$entity_doc])*
        #[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
        pub struct $entity {
            $($($(#[$serde])* pub $field: $type,)?)*
            $($(#[$internal_doc])* pub $internal: $internal_type,)*
            $($(#[$given_doc])* pub $given: $given_type,)*
        }

        /// The bit of each field.
        pub mod bits {
            pub use $crate::state::mask::KEY;
            $crate::state::mask::bits!($($bit)*);
        }

        /// The derived fields at one moment.
        #[derive(Clone, Copy, Debug)]
        pub(in crate::state) struct $derived {
            $($($field: $derived_type,)?)*
        }

        $crate::state::read::object!($body<$life> {
            $($($($member: $member_type = $member_key,)*)?)*
            $($only: $only_type = $only_key,)*
        });

        impl $entity {
            /// Returns an entity of which nothing but this is known.
            pub(in crate::state) fn new($($given: $given_type),*) -> Self {
                Self {
                    $($($field: <$type>::default(),)?)*
                    $($internal: <$internal_type>::default(),)*
                    $($given,)*
                }
            }

            /// Updates every field that the event carries. Returns the fields that changed.
            pub(in crate::state) fn take(&mut self, $update: &mut $update_type) -> $crate::state::mask::Mask {
                let $this = self;
                let before = $this.derived();
                let mut mask = 0;
                $($(if $takes {
                    mask |= bits::$bit;
                })?)*
                mask | $this.differs(before)
            }

            pub(in crate::state) fn derived(&self) -> $derived {
                let $this = self;
                $derived { $($($field: $derive,)?)* }
            }

            /// Returns the derived fields that have changed.
            pub(in crate::state) fn differs(&self, before: $derived) -> $crate::state::mask::Mask {
                let now = self.derived();
                let mut mask = 0;
                $($(if <$derived_type as PartialEq>::ne(&now.$field, &before.$field) {
                    mask |= bits::$bit;
                })?)*
                mask
            }

            /// Gives the fields of a restored entity their shared memory back.
            pub(in crate::state) fn share(&mut self, $words: &mut $crate::state::words::Words) {
                let $this = self;
                $($($shares;)?)*
            }

            fn write<S: serde::Serializer>(
                &self,
                mask: $crate::state::mask::Mask,
                serializer: S,
            ) -> Result<S::SerializeMap, S::Error> {
                let $this = self;
                let map = serializer.serialize_map(None)?;
                let mut to = $crate::state::mask::Fields { map, mask };
                $(to.put(
                    bits::$bit,
                    $key,
                    $crate::state::table::entity!(@value $this.$field, [$($wire)?], [$($derive)?]),
                )?;)*
                Ok(to.map)
            }
        }

        impl serde::Serialize for $crate::state::Wire<'_, $entity> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::ser::SerializeMap::end(self.0.write(self.1, serializer)?)
            }
        }

        $(#[$entity_doc])*
        #[derive(utoipa::ToSchema)]
        #[schema(as = $shown, rename_all = "camelCase")]
        pub struct $schema {
            $($(#[$doc])* $(#[$schema_attribute])* pub $field: $schema_type,)*
            $($(#[$listed_doc])* pub $listed: $listed_type,)*
        }
    };
    (@value $stored:expr, [$wire:expr], [$($derived:expr)?]) => { $wire };
    (@value $stored:expr, [], [$derived:expr]) => { $derived };
    (@value $stored:expr, [], []) => { &$stored };
}
pub(super) use entity;
