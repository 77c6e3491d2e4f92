//! Rooms, participants, tracks, egress and ingress as they are now.
//!
//! Each has two written forms: [`Wire`](super::Wire) for readers, and the serde derive, which only the checkpoint uses.
//! Times are unix milliseconds. Inside the program 0 means unknown; readers get null.

mod counts;
mod egress;
mod ingress;
pub mod participant;
pub mod room;
mod track;

pub use super::word::Word;
pub use counts::Counts;
pub use egress::{Egress, EgressSchema, Output, OutputSchema};
pub use ingress::{Ingress, IngressSchema};
pub use participant::{Participant, ParticipantSchema};
pub use room::{Confirmed, Room, RoomSchema, SourceSchema, TrackCounts};
pub use track::{Track, TrackSchema};

pub(super) use egress::EgressBody;
pub(super) use ingress::IngressBody;
pub(super) use participant::ParticipantBody;
pub(super) use room::RoomBody;
pub(super) use track::TrackBody;
