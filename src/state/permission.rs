//! The permission of a participant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, Value};

/// LiveKit's permission of a participant, without its falsy members and with its keys sorted. A deployment has few
/// different ones, so they are shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Permission {
    pub json: Box<RawValue>,
    pub hidden: bool,
    pub recorder: bool,
    pub agent: bool,
}

impl Permission {
    /// Returns `None` if the JSON is not an object.
    pub(super) fn parse(json: &str) -> Option<Permission> {
        let mut members: BTreeMap<String, Value> = serde_json::from_str(json).ok()?;
        members.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::String(text) => !text.is_empty(),
            _ => true,
        });
        let may = |name: &str| members.get(name) == Some(&Value::Bool(true));
        Some(Permission {
            hidden: may("hidden"),
            recorder: may("recorder"),
            agent: may("agent"),
            json: serde_json::value::to_raw_value(&members).ok()?,
        })
    }
}
