//! The changes that one event makes, for the readers of the stream and for the history.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use utoipa::ToSchema;

use super::{
    entity::{Condition, Egress, Ingress, Participant, Room, Track, Word},
    mask::{ALL, Mask, Wire},
};
use crate::event::Source;

/// The result of [`super::State::apply`].
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Changes in the order in which a reader applies them. Empty if nothing changed: for a duplicate, a webhook after its
    /// correction, or an event that the fold does not use.
    pub changes: Vec<Change>,
    /// True if a participant of the room would not see what the event is about. A caller with only `roomJoin` must not
    /// get it.
    pub restricted: bool,
    /// The changes that such a caller gets instead, if others. They are always set for a restricted event; if they are
    /// empty, the caller does not get it.
    pub joined: Option<Vec<Change>>,
    /// Facts for the history. Some leave no trace in the present: a leave without a join, or the true reason of a leave
    /// that had been inferred.
    pub facts: Vec<Fact>,
}

/// A change of one entity. It serialises to the contract's JSON.
///
/// `set` carries the whole entity, `patch` the fields that changed, `delete` null. A `delete` of a room deletes everything
/// with its `roomSid`; each participant that is not hidden has a `delete` too.
#[derive(Clone, Debug)]
pub struct Change {
    pub op: Op,
    pub entity: Entity,
    /// The fields that a `patch` carries.
    pub(super) mask: Mask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Set,
    Patch,
    Delete,
}

/// The entity right after the event, or, for a `delete`, right before it.
#[derive(Clone, Debug)]
pub enum Entity {
    Room(Arc<Room>),
    Participant(Arc<Participant>),
    Egress(Arc<Egress>),
    Ingress(Arc<Ingress>),
    Condition(Arc<Condition>),
}

/// A fact for the history. Times are unix milliseconds.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A session began, or a field that a list of sessions shows has changed. It does not hold the room itself: the next
    /// event would have to copy a room that the history still holds.
    Session {
        project: Arc<str>,
        sid: Arc<str>,
        name: Arc<str>,
        began_at: u64,
        participants: u32,
        recording: bool,
        /// The room's metadata, shared with the room.
        metadata: Arc<str>,
        source: Source,
    },
    SessionEnded {
        room: Arc<Room>,
        at: u64,
        reason: Option<Word>,
        source: Source,
    },
    /// A session is without the agent that it should have: `agent_missing` was opened.
    AgentMissing {
        project: Arc<str>,
        room_sid: Arc<str>,
        at: u64,
    },
    /// A participant joined or has changed.
    Participation(Arc<Participant>),
    Left {
        participant: Arc<Participant>,
        at: u64,
        inferred: Inferred,
        reason: Option<Word>,
        /// Some of the participant's tracks may still be published, or seem to have ended later.
        publishing: bool,
        /// The connection of a phone was aborted before it was in the room: a call, but no participant.
        never_there: bool,
    },
    /// A track of this participant was published or has changed.
    Track {
        project: Arc<str>,
        room_sid: Arc<str>,
        participant: Arc<str>,
        track: Track,
    },
    Unpublished {
        project: Arc<str>,
        room_sid: Arc<str>,
        participant: Arc<str>,
        sid: Box<str>,
        at: u64,
        inferred: Inferred,
    },
    /// An egress has changed or ended. `seq` identifies one that has no id.
    Egress {
        egress: Arc<Egress>,
        seq: u64,
    },
}

/// `Some(from)`: no event has reported it. It happened between `from` and the given time.
pub type Inferred = Option<u64>;

impl Change {
    pub(super) fn set(entity: Entity) -> Change {
        Change { op: Op::Set, entity, mask: ALL }
    }

    pub(super) fn patch(entity: Entity, mask: Mask) -> Change {
        Change { op: Op::Patch, entity, mask }
    }

    pub(super) fn delete(entity: Entity) -> Change {
        Change { op: Op::Delete, entity, mask: 0 }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, id, project, room, room_sid) = match &self.entity {
            Entity::Room(e) => ("room", &e.sid, &e.project, Some(&e.name), Some(&e.sid)),
            Entity::Participant(e) => ("participant", &e.sid, &e.project, Some(&e.room), Some(&e.room_sid)),
            Entity::Egress(e) => ("egress", &e.egress_id, &e.project, e.room.as_ref(), e.room_sid.as_ref()),
            Entity::Ingress(e) => ("ingress", &e.ingress_id, &e.project, e.room.as_ref(), None),
            Entity::Condition(e) => {
                ("condition", &e.about.id, &e.project, e.room.as_ref(), e.room_sid.as_ref())
            }
        };
        let mut change = serializer.serialize_struct("Change", 7)?;
        change.serialize_field("op", &self.op)?;
        change.serialize_field("kind", kind)?;
        change.serialize_field("id", id)?;
        change.serialize_field("project", project)?;
        change.serialize_field("room", &room)?;
        change.serialize_field("roomSid", &room_sid)?;
        match (&self.op, &self.entity) {
            (Op::Delete, _) => change.serialize_field("value", &())?,
            (_, Entity::Room(e)) => change.serialize_field("value", &Wire(&**e, self.mask))?,
            (_, Entity::Participant(e)) => change.serialize_field("value", &Wire(&**e, self.mask))?,
            (_, Entity::Egress(e)) => change.serialize_field("value", &Wire(&**e, self.mask))?,
            (_, Entity::Ingress(e)) => change.serialize_field("value", &Wire(&**e, self.mask))?,
            (_, Entity::Condition(e)) => change.serialize_field("value", &Wire(&**e, self.mask))?,
        }
        change.end()
    }
}

/// A change of one entity.
#[derive(ToSchema)]
#[schema(as = Change, rename_all = "camelCase")]
pub struct ChangeSchema {
    pub op: OpSchema,
    pub kind: EntityKindSchema,
    /// Its sid or id.
    pub id: String,
    pub project: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    /// `set`: the whole entity. `patch`: the top-level fields that changed, each whole. `delete`: null; for a room,
    /// everything with its `roomSid` is deleted too.
    #[schema(required, value_type = Option<Object>)]
    pub value: (),
}

#[derive(ToSchema)]
#[schema(as = ChangeOp, rename_all = "lowercase")]
pub enum OpSchema {
    Set,
    Patch,
    Delete,
}

#[derive(ToSchema)]
#[schema(as = EntityKind, rename_all = "lowercase")]
pub enum EntityKindSchema {
    Room,
    Participant,
    Egress,
    Ingress,
    Condition,
}
