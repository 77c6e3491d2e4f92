//! An event as the bytes that readers get. It is encoded once for all of them.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut, buf::Writer};
use serde::Serialize;
use serde_json::json;

use crate::{
    derived::{Joined, NO_CHANGES},
    event::{Cursor, Epoch, Event, Kind, Seq, participant_of},
};

/// One encoded event.
///
/// ```text
/// 000001f3\r\nid: 7f3a9c21-1043\ndata: {"type":…,"data":…,"timestamp":…,"cursor":…,"project":…,"room":…,"source":…,"changes":[…]}\n\n\r\n
/// ```
///
/// The JSON is one line: `serde_json` escapes its strings, and LiveKit's object was stored without CR and LF.
/// `changes` is the last member, so the message without it is a prefix and a brace. The framing of an HTTP/1.1 chunk
/// (RFC 9112, 7.1) is part of the bytes: it is the same for every socket, so it is encoded once too.
#[derive(Debug)]
pub struct Frame {
    pub seq: Seq,
    pub project: Arc<str>,
    pub room: Option<Arc<str>>,
    /// The `type` that a reader sees.
    pub kind: Box<str>,
    /// Index of the kind in [`Kind::KNOWN`].
    pub known_kind: Option<usize>,
    /// True if `roomJoin` callers must not see the event.
    pub restricted: bool,
    /// See [`Frame::participant`].
    participant: OnceLock<Option<Box<str>>>,
    whole: Message,
    /// The message that `roomJoin` callers get instead, if they get another one.
    joined: Option<Message>,
}

/// The part of a frame that a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Whole,
    WithoutChanges,
    /// As a `roomJoin` caller gets it: of a restricted frame only the changes of what a list shows them. They see that the
    /// room is recorded, and not by which egress.
    Joined,
}

#[derive(Debug)]
struct Message {
    /// `<size>\r\n<event>\r\n`, and the size line of the event without its changes.
    bytes: Bytes,
    json_at: usize,
    data_at: usize,
    changes_at: usize,
}

/// Length of the size line of a chunk: eight hex digits, CR and LF.
const SIZE_BYTES: usize = 10;
/// End of an event whose changes are left out.
const CUT: Bytes = Bytes::from_static(b"}\n\n");
const CUT_CHUNK: Bytes = Bytes::from_static(b"}\n\n\r\n");

impl Frame {
    /// Encodes `event` with the JSON array of its changes, and those for `roomJoin` callers if they get others.
    pub fn encode(epoch: Epoch, event: &Event, changes: &[u8], joined: Option<&Joined>) -> Frame {
        let restricted = joined.is_some_and(|joined| joined.restricted);
        let joined = joined.and_then(|joined| {
            let changes = &joined.json[..];
            if !restricted {
                return Some(Message::encode(epoch, event, event.kind.wire(), &event.body, changes));
            }
            (changes != &NO_CHANGES[..]).then(|| {
                // The kind that reconciliation uses for changes of the room itself.
                let kind = Kind::RoomUpdated.wire();
                let room = json!({ "sid": event.room_sid, "name": event.room });
                let data = json!({ "event": kind, "room": room }).to_string();
                Message::encode(epoch, event, kind, data.as_bytes(), changes)
            })
        });
        Frame {
            seq: event.seq,
            project: event.project.clone(),
            room: event.room.clone(),
            kind: event.kind.wire().into(),
            known_kind: event.kind.known(),
            restricted,
            participant: OnceLock::new(),
            whole: Message::encode(epoch, event, event.kind.wire(), &event.body, changes),
            joined,
        }
    }

    /// Returns the identity of the event's participant. It is read from the message when a filter asks for it first.
    pub fn participant(&self) -> Option<&str> {
        let read = || participant_of(&self.whole.bytes[self.whole.data_at..]).map(|identity| identity.into());
        self.participant.get_or_init(read).as_deref()
    }

    /// Returns true if the frame has another message for `roomJoin` callers.
    pub fn joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Returns the size of the frame in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.whole.bytes.len() + self.joined.as_ref().map_or(0, |joined| joined.bytes.len())
    }

    /// Appends the pieces of the server-sent event, as a chunk of HTTP/1.1 or bare. They share the bytes of the frame.
    pub fn put_sse(&self, out: &mut Vec<Bytes>, view: View, chunked: bool) {
        let message = self.message(view);
        let (bytes, end) = (&message.bytes, message.sse_end());
        match (view == View::WithoutChanges, chunked) {
            (false, true) => out.push(bytes.slice(..end + 2)),
            (false, false) => out.push(bytes.slice(SIZE_BYTES..end)),
            (true, true) => {
                out.extend([bytes.slice(end + 2..), bytes.slice(SIZE_BYTES..message.changes_at), CUT_CHUNK]);
            }
            (true, false) => out.extend([bytes.slice(SIZE_BYTES..message.changes_at), CUT]),
        }
    }

    /// Returns the message alone, as JSON.
    pub fn json(&self, view: View) -> Bytes {
        let message = self.message(view);
        let Message { bytes, json_at, changes_at, .. } = message;
        if view != View::WithoutChanges {
            return bytes.slice(*json_at..message.sse_end() - 2);
        }
        let mut out = BytesMut::with_capacity(changes_at - json_at + 1);
        out.put_slice(&bytes[*json_at..*changes_at]);
        out.put_slice(b"}");
        out.freeze()
    }

    fn message(&self, view: View) -> &Message {
        match (view, &self.joined) {
            (View::Joined, Some(joined)) => joined,
            _ => &self.whole,
        }
    }
}

impl Message {
    fn encode(epoch: Epoch, event: &Event, kind: &str, data: &[u8], changes: &[u8]) -> Message {
        let cursor = Cursor { epoch, seq: event.seq }.to_string();
        let mut out = BytesMut::with_capacity(data.len() + changes.len() + 256).writer();
        out.get_mut().put_bytes(b'0', SIZE_BYTES);
        out.get_mut().put_slice(b"id: ");
        out.get_mut().put_slice(cursor.as_bytes());
        out.get_mut().put_slice(b"\ndata: ");
        let json_at = out.get_ref().len();
        out.get_mut().put_slice(b"{\"type\":");
        put_json(&mut out, kind);
        out.get_mut().put_slice(b",\"data\":");
        let data_at = out.get_ref().len();
        out.get_mut().put_slice(data);
        out.get_mut().put_slice(b",\"timestamp\":");
        put_json(&mut out, &event.received_at);
        out.get_mut().put_slice(b",\"cursor\":\"");
        out.get_mut().put_slice(cursor.as_bytes());
        out.get_mut().put_slice(b"\",\"project\":");
        put_json(&mut out, &*event.project);
        out.get_mut().put_slice(b",\"room\":");
        put_json(&mut out, &event.room.as_deref());
        out.get_mut().put_slice(b",\"source\":\"");
        out.get_mut().put_slice(event.source.as_str().as_bytes());
        out.get_mut().put_slice(b"\"");
        let changes_at = out.get_ref().len();
        out.get_mut().put_slice(b",\"changes\":");
        out.get_mut().put_slice(changes);
        out.get_mut().put_slice(b"}\n\n");
        let mut bytes = out.into_inner();
        let size = size_line(bytes.len() - SIZE_BYTES);
        bytes[..SIZE_BYTES].copy_from_slice(&size);
        bytes.put_slice(b"\r\n");
        bytes.put_slice(&size_line(changes_at - SIZE_BYTES + CUT.len()));
        Message { bytes: bytes.freeze(), json_at, data_at, changes_at }
    }

    /// Returns the end of the event in `bytes`.
    fn sse_end(&self) -> usize {
        self.bytes.len() - SIZE_BYTES - 2
    }
}

/// Returns the first line of a chunk.
pub fn size_line(bytes: usize) -> [u8; SIZE_BYTES] {
    let mut line = *b"00000000\r\n";
    for (i, digit) in line[..8].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[bytes >> (4 * i) & 0xf];
    }
    line
}

fn put_json(out: &mut Writer<BytesMut>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(out, value)
        .expect("writing to memory cannot fail, and strings and numbers serialise");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;

    fn event(body: &'static str, room: &str) -> Event {
        Event {
            seq: Seq(7),
            project: "default".into(),
            source: Source::Webhook,
            received_at: 1_787_486_406_123,
            kind: Kind::from("room_started"),
            room: Some(room.into()),
            room_sid: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn sse(frame: &Frame, view: View, chunked: bool) -> String {
        let mut out = Vec::new();
        frame.put_sse(&mut out, view, chunked);
        String::from_utf8(out.concat()).expect("text")
    }

    #[test]
    fn a_message_is_one_event_with_one_line_of_data() {
        let hostile = "a\r\ndata: x\n\nid: 1\u{2028}\u{0}\"\\";
        let frame = Frame::encode(Epoch(0x7f3a_9c21), &event("{\"x\":\"\u{2028}\"}", hostile), b"[]", None);
        let sse = sse(&frame, View::Whole, false);
        assert_eq!(sse.lines().count(), 3, "{sse}");
        assert!(sse.starts_with("id: 7f3a9c21-7\ndata: {") && sse.ends_with("}\n\n"));
        assert!(!sse.contains('\r') && !sse.contains('\0'));
        let message: serde_json::Value = serde_json::from_slice(&frame.json(View::Whole)).expect("JSON");
        assert_eq!(message["room"], hostile);
        assert_eq!(message["changes"], serde_json::json!([]));
    }

    #[test]
    fn changes_can_be_left_out() {
        let frame = Frame::encode(Epoch(1), &event("{}", "a"), b"[{\"op\":\"delete\"}]", None);
        let without: serde_json::Value =
            serde_json::from_slice(&frame.json(View::WithoutChanges)).expect("JSON");
        assert!(without.get("changes").is_none());
        assert_eq!(without["timestamp"], 1_787_486_406_123_u64);
        let sse = sse(&frame, View::WithoutChanges, false);
        assert!(sse.starts_with("id: 00000001-7\ndata: {") && sse.ends_with("\"webhook\"}\n\n"));
    }

    #[test]
    fn a_chunk_has_the_size_in_its_size_line() {
        let frame = Frame::encode(Epoch(1), &event("{}", "a"), b"[{\"op\":\"delete\"}]", None);
        for view in [View::Whole, View::WithoutChanges] {
            let (chunk, bare) = (sse(&frame, view, true), sse(&frame, view, false));
            assert_eq!(chunk, format!("{:08x}\r\n{bare}\r\n", bare.len()));
        }
    }
}
