//! Something that needs an operator's attention.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use utoipa::ToSchema;

use crate::state::{
    mask::{Fields, Wire},
    word::Word,
};

/// A condition that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Empty for a condition of Roomwatch itself.
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    pub room_sid: Option<Arc<str>>,
    /// When it was opened: `received_at` of that event.
    pub opened_at: u64,
    /// The last event about it.
    pub last_seq: u64,
    pub about: About,
    pub acknowledged: Option<Acknowledged>,
}

/// The part of a condition that its events carry, and that readers get as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    /// The same for the same kind and subject, also when the condition is opened again.
    pub id: Arc<str>,
    /// One of the kinds of docs/attention.md
    pub kind: Word,
    pub severity: Severity,
    /// Unix milliseconds at which its cause began.
    pub since: u64,
    /// Unix milliseconds at which it ends by itself. Set for what has happened, such as a failed recording; null for
    /// what is still so.
    pub ends_at: Option<u64>,
    pub participant: Option<Subject>,
    pub egress_id: Option<Box<str>>,
    /// Cursors of the events that show it.
    pub evidence: Vec<Box<str>>,
    /// Numbers and texts that explain it. docs/attention.md lists them for each kind.
    pub values: BTreeMap<Box<str>, Value>,
}

/// Orders conditions: the worst last.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    #[default]
    Notice,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
    Critical,
}

/// The participant that a condition is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Subject {
    pub sid: Box<str>,
    pub identity: Box<str>,
    pub name: Box<str>,
}

/// The user who has taken note of a condition. Until then it counts in the navigation and in alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    pub by: Box<str>,
    /// Unix milliseconds.
    pub at: u64,
    /// Unix milliseconds. Until then it also counts as acknowledged if it is opened again. Null: until it is closed.
    pub until: Option<u64>,
    pub reason: Option<Box<str>>,
}

/// The bit of each field.
pub mod bits {
    pub use crate::state::mask::KEY;
    crate::state::mask::bits!(ACKNOWLEDGED);
}

impl Serialize for Wire<'_, Condition> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use bits::*;
        let Wire(Condition { about, .. }, mask) = *self;
        let of = self.0;
        let mut to = Fields { map: serializer.serialize_map(None)?, mask };
        to.put(KEY, "project", &of.project)?;
        to.put(KEY, "id", &about.id)?;
        to.put(KEY, "kind", &about.kind)?;
        to.put(KEY, "room", &of.room)?;
        to.put(KEY, "roomSid", &of.room_sid)?;
        to.put(KEY, "openedAt", of.opened_at)?;
        to.put(KEY, "participant", &about.participant)?;
        to.put(KEY, "egressId", &about.egress_id)?;
        to.put(KEY, "severity", about.severity)?;
        to.put(KEY, "since", about.since)?;
        to.put(KEY, "endsAt", about.ends_at)?;
        to.put(KEY, "evidence", &about.evidence)?;
        to.put(KEY, "values", &about.values)?;
        to.put(ACKNOWLEDGED, "acknowledged", &of.acknowledged)?;
        to.map.end()
    }
}

/// A condition that is open. Times are unix milliseconds.
#[derive(ToSchema)]
#[schema(as = Condition, rename_all = "camelCase")]
pub struct ConditionSchema {
    /// Empty for a condition of Roomwatch itself
    pub project: String,
    /// The same for the same kind and subject, also when the condition is opened again
    pub id: String,
    /// One of the kinds in docs/attention.md
    pub kind: String,
    #[schema(required)]
    pub room: Option<String>,
    #[schema(required)]
    pub room_sid: Option<String>,
    pub opened_at: u64,
    #[schema(required)]
    pub participant: Option<Subject>,
    #[schema(required)]
    pub egress_id: Option<String>,
    #[schema(inline)]
    pub severity: Severity,
    /// When its cause began
    pub since: u64,
    /// When it ends by itself. Set for what has happened, null for what is still so
    #[schema(required)]
    pub ends_at: Option<u64>,
    /// Cursors of the events that show it
    pub evidence: Vec<String>,
    /// Numbers and texts that explain it; docs/attention.md lists them for each kind
    #[schema(value_type = Object)]
    pub values: (),
    #[schema(required)]
    pub acknowledged: Option<Acknowledged>,
}
