//! The messages of a stream that are not events: `connected`, `ping`, `expiring` and `bye`.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;

use crate::{
    event::Cursor,
    feed::{Reset, frame::size_line},
};

/// Range of `retry:`, in milliseconds. It differs from connection to connection, so that clients do not all reconnect
/// at the same moment after a restart.
pub const RETRY_MS: std::ops::Range<u64> = 1_500..4_500;
/// Range of `retry:` if the server is full: a quick retry would be refused again.
pub const RETRY_FULL_MS: std::ops::Range<u64> = 10_000..30_000;

/// Returns a random number in `range`. Not for secrets: it only spreads reconnects.
pub fn jitter(range: std::ops::Range<u64>) -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = RandomState::new().build_hasher().finish();
    range.start + random % (range.end - range.start).max(1)
}

/// Framing of the bytes of a stream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1: each write is a chunk (RFC 9112, 7.1).
    Chunked,
    /// HTTP/1.0: the answer ends with the connection.
    Bare,
}

impl Framing {
    /// Returns one server-sent event as it is written to the socket.
    pub fn frame(self, text: &str) -> Bytes {
        match self {
            Framing::Chunked => Bytes::from([&size_line(text.len()), text.as_bytes(), b"\r\n"].concat()),
            Framing::Bare => Bytes::copy_from_slice(text.as_bytes()),
        }
    }
}

/// Returns the time until the next heartbeat: three quarters of the interval or more, and never more than the
/// interval. The spread keeps heartbeats of many streams apart.
pub fn ping_in(heartbeat: Duration) -> Duration {
    let millis = u64::try_from(heartbeat.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(jitter(millis * 3 / 4..millis))
}

/// Returns `connected` as a server-sent event.
pub fn connected(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    format!("id: {cursor}\ndata: {}\n\n", connected_message(cursor, resumed, reset))
}

/// Returns the first message of every stream, on every transport.
pub fn connected_message(cursor: Cursor, resumed: bool, reset: Option<Reset>) -> String {
    let reset = reset.map_or(String::new(), |reset| format!("\"reset\":\"{}\",", reset.as_str()));
    format!("{{\"type\":\"connected\",\"resumed\":{resumed},{reset}\"cursor\":\"{cursor}\"}}")
}

/// Returns a heartbeat as a server-sent event.
pub fn ping(cursor: Cursor, now_ms: u64, fresh_at: Option<u64>) -> String {
    format!("event: ping\nid: {cursor}\ndata: {}\n\n", ping_message(cursor, now_ms, fresh_at))
}

/// Returns a heartbeat with the cursor up to which the log has been scanned, and how old that may be.
pub fn ping_message(cursor: impl Display, now_ms: u64, fresh_at: Option<u64>) -> String {
    let stale = fresh_at.map_or(String::new(), |at| format!(",\"stale\":true,\"freshAt\":{at}"));
    format!("{{\"cursor\":\"{cursor}\",\"at\":{now_ms}{stale}}}")
}

/// Returns the message that the right of the reader ends at this time, in unix milliseconds.
pub fn expiring(ends_at: u64) -> String {
    format!("event: expiring\ndata: {{\"at\":{ends_at}}}\n\n")
}

/// Returns `bye` with the reason, and `retry:` for the reconnect.
pub fn bye(reason: &str) -> String {
    format!("retry: {}\n{}", jitter(RETRY_MS), bye_event(reason))
}

pub fn bye_event(reason: &str) -> String {
    format!("event: bye\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}
