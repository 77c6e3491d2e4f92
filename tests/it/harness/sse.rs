//! The reading end of a stream of server-sent events.

use serde_json::Value;

use super::until::PATIENCE;

/// The reading end of a stream.
pub struct Sse {
    answer: reqwest::Response,
    bytes: Vec<u8>,
    pub retry: Option<u64>,
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SseEvent {
    pub id: String,
    /// Empty if the event has no name.
    pub event: String,
    pub data: Value,
}

impl Sse {
    /// Reads the body of an answer that is a stream.
    pub fn of(answer: reqwest::Response) -> Sse {
        assert_eq!(answer.status(), 200);
        Sse { answer, bytes: Vec::new(), retry: None }
    }

    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        self.answer.headers()
    }

    /// The next event of any name; `None` at the end of the stream.
    pub async fn any(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(at) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let block = String::from_utf8(self.bytes.drain(..at + 2).collect()).expect("text");
                let mut event = SseEvent::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", value)) => event.id = value.into(),
                        Some(("event", value)) => event.event = value.into(),
                        Some(("retry", value)) => self.retry = value.parse().ok(),
                        Some(("data", value)) => event.data = serde_json::from_str(value).expect("JSON"),
                        _ => assert!(line.is_empty(), "not a field: {line:?}"),
                    }
                }
                if event != SseEvent::default() {
                    return Some(event);
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.answer.chunk()).await.expect("the stream says something");
            // A killed server cuts its streams: that is an end, too.
            self.bytes.extend_from_slice(&chunk.ok().flatten()?);
        }
    }

    /// The next message, without heartbeats.
    pub async fn next(&mut self) -> SseEvent {
        let next = async {
            loop {
                let event = self.any().await.expect("the stream goes on");
                if event.event != "ping" {
                    return event;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the stream says something")
    }

    /// The first message: `connected`.
    pub async fn connected(&mut self) -> Value {
        let event = self.next().await;
        assert_eq!(event.data["type"], "connected", "{event:?}");
        assert_eq!(event.data["cursor"], event.id);
        event.data
    }
}
