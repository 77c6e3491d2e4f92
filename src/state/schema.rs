//! The wire's entities as OpenAPI describes them. They exist for the document only: [`Wire`](super::Wire) writes the
//! JSON, and a test checks that both have the same fields.

pub use super::{
    change::{ChangeSchema, EntityKindSchema, OpSchema},
    entity::{
        EgressSchema, IngressSchema, OutputSchema, ParticipantSchema, RoomSchema, SourceSchema, TrackCounts,
        TrackSchema,
    },
};
