//! The texts of a stream: its first message, heartbeats, notices and its end.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    event::Cursor,
    feed::{Reset, frame::size_line},
};

/// `retry:` lies between these, in milliseconds, and differs from connection to connection, so that
/// a restart brings no stampede.
pub const RETRY_MS: std::ops::Range<u64> = 1_500..4_500;
/// The same when the server is full: nobody gains by coming back at once.
pub const RETRY_FULL_MS: std::ops::Range<u64> = 10_000..30_000;

/// A number that differs from call to call. Not a secret: it only spreads reconnects.
pub fn jitter(range: std::ops::Range<u64>) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = RandomState::new().build_hasher().finish();
    range.start + random % (range.end - range.start).max(1)
}

/// How bytes stand in the answer of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1: each write is a chunk (RFC 9112, 7.1).
    Chunked,
    /// HTTP/1.0: the answer ends with the connection.
    Bare,
}

impl Framing {
    /// One server-sent event as it is written.
    pub fn frame(self, text: &str) -> Bytes {
        match self {
            Framing::Chunked => Bytes::from([&size_line(text.len()), text.as_bytes(), b"\r\n"].concat()),
            Framing::Bare => Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

/// Heartbeats are spread over a quarter of their interval, and never come late.
pub fn ping_in(heartbeat: Duration) -> Duration {
    let millis = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(jitter(millis * 3 / 4..millis))
}

/// `connected` as a server-sent event.
pub fn connected(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    format!("id: {cursor}\ndata: {}\n\n", connected_message(cursor, resumed, reset))
}

/// The first message of every stream, on every transport.
pub fn connected_message(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    let reset = reset.map_or(String::new(), |reset| format!("\"reset\":\"{}\",", reset.as_str()));
    format!("{{\"type\":\"connected\",\"resumed\":{resumed},{reset}\"cursor\":\"{cursor}\"}}")
}

/// The heartbeat, with the place scanned so far.
pub fn ping(cursor: Cursor, now_ms: u64) -> String {
    format!("event: ping\nid: {cursor}\ndata: {{\"cursor\":\"{cursor}\",\"at\":{now_ms}}}\n\n")
}

/// Tells a reader to renew its right, which ends at this time in unix milliseconds.
pub fn expiring(ends_at: u64) -> String {
    format!("event: expiring\ndata: {{\"at\":{ends_at}}}\n\n")
}

/// Why a stream ends, and when to come back.
pub fn bye(reason: &str) -> String {
    format!("retry: {}\n{}", jitter(RETRY_MS), bye_event(reason))
}

pub fn bye_event(reason: &str) -> String {
    format!("event: bye\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}
