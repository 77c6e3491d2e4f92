//! The parts of an event's JSON that the fold reads.

use super::{
    entity::{EgressBody, IngressBody, ParticipantBody, RoomBody, TrackBody},
    read::{Flag, Int, Later, OptionalFlag, Read, Text, object},
};
use crate::json::scan::Scan;

object!(
    /// LiveKit's `WebhookEvent`, and Roomwatch's own events of the same shape.
    Body<'a> {
        created_at_secs: Int = "createdAt",
        room: RoomBody<'a> = "room",
        participant: ParticipantBody<'a> = "participant",
        track: TrackBody<'a> = "track",
        egress: Later<'a, EgressBody<'a>> = "egressInfo",
        ingress: Later<'a, IngressBody<'a>> = "ingressInfo",
        room_end_reason: Text<'a> = "roomEndReason",
        roomwatch: Extra = "roomwatch",
    }
);

object!(
    /// Facts of reconciliation beyond LiveKit's shape. See the page of [`state`](super).
    Extra {
        stale: OptionalFlag = "stale",
        not_before: Int = "notBefore",
        returned: Flag = "returned",
    }
);

impl<'a> Body<'a> {
    /// Reads a whole body. Text that is not JSON gives an empty body.
    pub fn parse(text: &'a str) -> Body<'a> {
        let (mut body, mut from) = (Body::default(), Scan::new(text));
        body.read(&mut from);
        if from.is_cut() { Body::default() } else { body }
    }
}
