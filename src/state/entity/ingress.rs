//! Media that is sent into LiveKit.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use utoipa::ToSchema;

use crate::state::{
    mask::{Fields, Mask, Wire, fields, given, known},
    read::{Int, Text, object},
    word::Word,
};

/// An ingress that is live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ingress {
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    pub ingress_id: Arc<str>,
    pub name: Box<str>,
    pub kind: Word,
    pub status: Word,
    pub participant_identity: Box<str>,
    pub started_at: u64,
    pub ended_at: u64,
    pub error: Box<str>,
    pub updated_at_ns: u64,
    pub last_seq: u64,
}

/// The bit of each field.
pub mod bits {
    pub use crate::state::mask::KEY;
    crate::state::mask::bits!(NAME KIND STATUS IDENTITY STARTED_AT ENDED_AT ERROR ROOM);
}

object!(IngressBody<'a> {
    ingress_id: Text<'a> = "ingressId",
    name: Text<'a> = "name",
    input_type: Text<'a> = "inputType",
    participant_identity: Text<'a> = "participantIdentity",
    state: IngressStateBody<'a> = "state",
});

object!(IngressStateBody<'a> {
    status: Text<'a> = "status",
    error: Text<'a> = "error",
    started_at_ns: Int = "startedAt",
    ended_at_ns: Int = "endedAt",
    updated_at_ns: Int = "updatedAt",
});

impl Ingress {
    /// Returns the fields that differ.
    pub(in crate::state) fn differs(&self, before: &Ingress) -> Mask {
        use bits::*;
        fields([
            (self.room != before.room, ROOM),
            (self.name != before.name, NAME),
            (self.kind != before.kind, KIND),
            (self.status != before.status, STATUS),
            (self.participant_identity != before.participant_identity, IDENTITY),
            (self.started_at != before.started_at, STARTED_AT),
            (self.ended_at != before.ended_at, ENDED_AT),
            (self.error != before.error, ERROR),
        ])
    }
}

impl Serialize for Wire<'_, Ingress> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use bits::*;
        let Wire(of, mask) = *self;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &of.project)?;
        to.put(ROOM, "room", &of.room)?;
        to.put(KEY, "ingressId", &of.ingress_id)?;
        to.put(NAME, "name", &of.name)?;
        to.put(KIND, "kind", &of.kind)?;
        to.put(STATUS, "status", &of.status)?;
        to.put(IDENTITY, "participantIdentity", given(&of.participant_identity))?;
        to.put(STARTED_AT, "startedAt", known(of.started_at))?;
        to.put(ENDED_AT, "endedAt", known(of.ended_at))?;
        to.put(ERROR, "error", given(&of.error))?;
        to.map.end()
    }
}

/// Media that is sent into LiveKit.
#[derive(ToSchema)]
#[schema(as = Ingress, rename_all = "camelCase")]
pub struct IngressSchema {
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    pub ingress_id: String,
    pub name: String,
    /// `rtmp`, `whip` or `url`.
    pub kind: String,
    /// `inactive`, `buffering`, `publishing`, `error` or `complete`.
    pub status: String,
    #[schema(required)]
    pub participant_identity: Option<String>,
    #[schema(required)]
    pub started_at: Option<u64>,
    #[schema(required)]
    pub ended_at: Option<u64>,
    #[schema(required)]
    pub error: Option<String>,
}
