//! An event as a message of the stream: one line of JSON with what the log knows of it, and its body.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::{Kind, NewEvent, Source};

/// Version of the message. A node that finds a higher one does not go on, because it might skip what it does not know.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Head {
    v: u32,
    id: Box<str>,
    project: Arc<str>,
    source: Source,
    at: u64,
    kind: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<Arc<str>>,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// The message is not an event that this version can read.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnEvent {
    #[error(
        "an event was written by a newer Roomwatch (version {0}, this one knows {VERSION}). Use that version"
    )]
    Newer(u32),
    #[error("a message of the stream is not an event: {0}")]
    Damaged(String),
}

pub(super) fn write(event: &NewEvent) -> Bytes {
    let head = Head {
        v: VERSION,
        id: event.id.clone(),
        project: event.project.clone(),
        source: event.source,
        at: event.received_at,
        kind: event.kind.as_str().into(),
        room: event.room.clone(),
        sid: event.room_sid.clone(),
    };
    let mut message = serde_json::to_vec(&head).expect("a head is JSON");
    message.push(b'\n');
    message.extend_from_slice(&event.body);
    message.into()
}

pub(super) fn read(message: &Bytes) -> Result<NewEvent, NotAnEvent> {
    let damaged = |error: serde_json::Error| NotAnEvent::Damaged(error.to_string());
    let end =
        memchr::memchr(b'\n', message).ok_or_else(|| NotAnEvent::Damaged("it has no body".to_owned()))?;
    // The version first: a newer head may have other fields.
    let Version { v } = serde_json::from_slice(&message[..end]).map_err(damaged)?;
    if v > VERSION {
        return Err(NotAnEvent::Newer(v));
    }
    let head: Head = serde_json::from_slice(&message[..end]).map_err(damaged)?;
    Ok(NewEvent {
        id: head.id,
        project: head.project,
        source: head.source,
        received_at: head.at,
        kind: Kind::from(&*head.kind),
        room: head.room,
        room_sid: head.sid,
        body: message.slice(end + 1..),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was_and_a_newer_one_is_refused() {
        let event = NewEvent {
            id: "EV_\u{202e}\n1".into(),
            project: "default".into(),
            source: Source::Reconcile,
            received_at: 1_787_486_406_123,
            kind: Kind::from("a_new_kind"),
            room: Some("a \"room\"".into()),
            room_sid: None,
            body: r#"{"event":"a_new_kind"}"#.into(),
        };
        let message = write(&event);
        let back = read(&message).expect("an event");
        assert_eq!(format!("{back:?}"), format!("{event:?}"));
        assert!(matches!(
            read(
                &r#"{"v":2,"other":1}
{}"#
                .into()
            ),
            Err(NotAnEvent::Newer(2))
        ));
        for junk in ["", "{}", "{}\n{}", "null\n{}", "{\"v\":1}\n{}"] {
            assert!(matches!(read(&junk.into()), Err(NotAnEvent::Damaged(_))), "{junk:?}");
        }
    }
}
