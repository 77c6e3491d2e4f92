//! Events that Roomwatch itself adds to the log, such as `roomwatch.condition_opened`.
//!
//! They change nothing of the state, and callers with only `roomJoin` never see them. Clients ignore
//! types that they do not know.

use std::{fmt, sync::Arc};

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Kind, NewEvent, Source,
    body::{BadBody, Body, Redaction},
};

/// The types of our own events begin with this. LiveKit's names have no dot.
pub const NAMESPACE: &str = "roomwatch.";

/// An event of our own, before it has a place in the log.
///
/// One holder appends the events about one thing. Its id is derived from what it says, so a holder that
/// says it again after a restart, or a second holder by mistake, appends a duplicate.
pub struct OwnEvent<'a> {
    pub project: &'a Arc<str>,
    /// Name within the namespace, such as `condition_opened`.
    pub name: &'a str,
    /// Name and sid of the room that the event is about.
    pub room: Option<(&'a str, &'a str)>,
    /// The members of its JSON object, beside `event`, `id`, `createdAt` and `room`. What makes this event
    /// another one than the last of its kind has to be among them: the seq of its cause, for example.
    pub members: Map<String, Value>,
}

impl OwnEvent<'_> {
    /// Returns the event as it is appended. Its body is redacted like a webhook's.
    ///
    /// The time is not part of the id: the same thing said later is a duplicate.
    pub fn at(&self, unix_ms: u64, redaction: &Redaction) -> Result<NewEvent, BadBody> {
        let kind = format!("{NAMESPACE}{}", self.name);
        let mut body = self.members.clone();
        if let Some((name, sid)) = self.room {
            body.insert("room".into(), json!({ "name": name, "sid": sid }));
        }
        let mut hash = Sha256::new();
        for part in [self.project.as_bytes(), kind.as_bytes(), &text(&body)] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        body.insert("event".into(), kind.into());
        body.insert("id".into(), format!("RW_{}", HEXLOWER.encode(&hash.finalize()[..16])).into());
        body.insert("createdAt".into(), (unix_ms / 1000).to_string().into());
        let body = Body::read(&text(&body), redaction)?;
        Ok(NewEvent {
            id: body.id,
            project: self.project.clone(),
            source: Source::Roomwatch,
            received_at: unix_ms,
            kind: Kind::from(&*body.event),
            room: body.room,
            room_sid: body.room_sid,
            body: body.json,
        })
    }
}

impl fmt::Debug for OwnEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{NAMESPACE}{} in {}", self.name, self.project)
    }
}

fn text(members: &Map<String, Value>) -> Vec<u8> {
    // Strings, numbers and their lists: there is nothing in them that JSON has not.
    serde_json::to_vec(members).expect("it becomes JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(project: &str, room: Option<(&str, &str)>, seq: u64, at: u64) -> NewEvent {
        let members = json!({ "condition": "no_webhooks", "seq": seq }).as_object().cloned();
        let project = project.into();
        let event = OwnEvent {
            project: &project,
            name: "condition_opened",
            room,
            members: members.unwrap_or_default(),
        };
        event.at(at, &Redaction::default()).expect("an event")
    }

    #[test]
    fn an_own_event_has_an_id_by_what_it_says() {
        let event = opened("p", Some(("standup", "RM_1")), 7, 1_787_486_406_123);
        assert_eq!(event.kind.as_str(), "roomwatch.condition_opened");
        assert_eq!(event.kind.wire(), "roomwatch.condition_opened");
        assert_eq!((event.source, event.received_at), (Source::Roomwatch, 1_787_486_406_123));
        assert_eq!((event.room.as_deref(), event.room_sid.as_deref()), (Some("standup"), Some("RM_1")));
        let body: Value = serde_json::from_slice(&event.body).expect("JSON");
        assert_eq!(body["id"], *event.id);
        assert_eq!((&body["event"], &body["seq"]), (&json!("roomwatch.condition_opened"), &json!(7)));

        assert_eq!(opened("p", Some(("standup", "RM_1")), 7, 9).id, event.id, "at another time");
        for other in [
            opened("q", Some(("standup", "RM_1")), 7, 9),
            opened("p", Some(("standup", "RM_2")), 7, 9),
            opened("p", None, 7, 9),
            opened("p", Some(("standup", "RM_1")), 8, 9),
        ] {
            assert_ne!(other.id, event.id, "{other:?}");
        }
        assert_eq!(
            *event.id, *"RW_79a8fa915ef9dedc9ea773396802a5f9",
            "ids of an older version are found again"
        );
    }
}
