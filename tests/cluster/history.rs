//! The record of what senders and readers saw, and the judgement over it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Server, client, list_token, sse::Sse, webhook_token};

/// A reader gets nothing for this long: its node is gone, or cut off. Heartbeats come every second in these tests.
const SILENCE: Duration = Duration::from_secs(3);

/// Everything that was seen.
#[derive(Default)]
pub struct History {
    /// Acknowledged events by id, with the cursor of the answer.
    pub acknowledged: Mutex<HashMap<String, String>>,
    /// Events that LiveKit gave up.
    pub given_up: Mutex<Vec<String>>,
    /// Frames of each reader, in order: cursor and data, and where it connected.
    readers: Mutex<Vec<Vec<Seen>>>,
    /// The longest time between the first attempt of an event and its answer.
    pub longest: Mutex<Duration>,
}

#[derive(Clone, Debug)]
pub enum Seen {
    /// `connected` with `resumed`, and the cursor with which the reader asked.
    Connected {
        resumed: bool,
        after: Option<String>,
        cursor: String,
    },
    Event {
        cursor: String,
        data: String,
    },
}

/// Where the nodes are now. A killed node is not in it.
pub type Addresses = Arc<Mutex<Vec<std::net::SocketAddr>>>;

fn pick(addresses: &Addresses) -> Option<std::net::SocketAddr> {
    let addresses = addresses.lock().expect("not poisoned");
    fastrand::choice(addresses.iter()).copied()
}

/// Sends the events of one room as LiveKit does: one after the other, each up to five times, with pauses of 1, 2, 4 and 8
/// s or as `Retry-After` says, and for 30 s at most (livekit/protocol webhook/resource_url_notifier.go). A refused
/// connection goes to another node, as a load balancer does it.
pub async fn send_as_livekit(history: &History, addresses: &Addresses, id: &str, body: String) {
    let began = Instant::now();
    let token = webhook_token(body.as_bytes());
    for attempt in 0..5 {
        let mut asked_for = None;
        let mut tries = 0;
        while tries < 3 {
            tries += 1;
            let Some(address) = pick(addresses) else { break };
            let request = client()
                .post(format!("http://{address}/api/webhooks/livekit"))
                .header("content-type", "application/webhook+json")
                .header("authorization", &token)
                .body(body.clone());
            match request.send().await {
                Ok(answer) if answer.status() == 200 => {
                    let Ok(answer) = answer.json::<Value>().await else { break };
                    let cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
                    history.acknowledged.lock().expect("not poisoned").insert(id.to_owned(), cursor);
                    let mut longest = history.longest.lock().expect("not poisoned");
                    *longest = began.elapsed().max(*longest);
                    return;
                }
                Ok(answer) => {
                    let after = answer.headers().get("retry-after");
                    asked_for = after.and_then(|after| after.to_str().ok()?.parse().ok());
                    break;
                }
                Err(error) if error.is_connect() => {}
                Err(_) => break,
            }
        }
        let pause = Duration::from_secs(asked_for.unwrap_or(1 << attempt));
        if attempt == 4 || began.elapsed() + pause > Duration::from_secs(30) {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    history.given_up.lock().expect("not poisoned").push(id.to_owned());
}

/// Reads the stream of whatever node is there, and resumes on another one when it ends. Ends when `until` is over and it
/// has the event of `last`.
pub async fn read_as_browser(history: &History, addresses: &Addresses, last: &Mutex<Option<String>>) {
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    'connect: loop {
        let Some(address) = pick(addresses) else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut request = client()
            .get(format!("http://{address}/api/events"))
            .timeout(Duration::from_secs(3600))
            .header("accept", "text/event-stream")
            .bearer_auth(list_token());
        if let Some(cursor) = &cursor {
            request = request.header("last-event-id", cursor);
        }
        let answer = match request.send().await {
            Ok(answer) if answer.status() == 200 => answer,
            _ => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let mut stream = Sse::of(answer);
        loop {
            if last.lock().expect("not poisoned").as_ref().is_some_and(|last| reached(cursor.as_ref(), last))
            {
                break 'connect;
            }
            let Ok(Some(event)) = tokio::time::timeout(SILENCE, stream.any()).await else {
                continue 'connect;
            };
            match &*event.event {
                "" if event.data["type"] == "connected" => {
                    let resumed = event.data["resumed"] == true;
                    seen.push(Seen::Connected { resumed, after: cursor.clone(), cursor: event.id.clone() });
                    cursor = Some(event.id);
                }
                "" => {
                    seen.push(Seen::Event { cursor: event.id.clone(), data: event.data.to_string() });
                    cursor = Some(event.id);
                }
                "ping" => cursor = Some(event.id),
                "bye" => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue 'connect;
                }
                _ => {}
            }
        }
    }
    history.readers.lock().expect("not poisoned").push(seen);
}

fn seq(cursor: &str) -> u64 {
    cursor.split_once('-').and_then(|(_, seq)| seq.parse().ok()).expect("a cursor")
}

fn epoch(cursor: &str) -> &str {
    cursor.split_once('-').expect("a cursor").0
}

fn reached(cursor: Option<&String>, last: &str) -> bool {
    cursor.is_some_and(|cursor| epoch(cursor) == epoch(last) && seq(cursor) >= seq(last))
}

/// All events of a node's log, by cursor.
pub async fn log_of(node: &Server) -> BTreeMap<u64, String> {
    let mut events = BTreeMap::new();
    let mut after = "start".to_owned();
    loop {
        let (status, page) = node.get(&format!("/api/events?after={after}&limit=1000")).await;
        assert_eq!(status, 200, "{page}");
        for event in page["events"].as_array().expect("events") {
            events.insert(seq(event["cursor"].as_str().expect("a cursor")), event.to_string());
        }
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return events,
        }
    }
}

impl History {
    /// Judges what was seen by what the nodes have now. All nodes must have reached the same end.
    pub async fn judge(&self, nodes: &[Server]) {
        let mut logs = Vec::new();
        for node in nodes {
            logs.push(log_of(node).await);
        }
        for log in &logs[1..] {
            for (seq, event) in log {
                assert_eq!(logs[0].get(seq), Some(event), "event {seq} is not the same on every node");
            }
            assert_eq!(log.len(), logs[0].len(), "a node lacks events");
        }
        let log = &logs[0];
        for (n, seq) in log.keys().enumerate() {
            assert_eq!(*seq, n as u64 + 1, "a seq is left out");
        }
        let mut ids = HashSet::new();
        for event in log.values() {
            let event: Value = serde_json::from_str(event).expect("JSON");
            assert!(ids.insert(event["data"]["id"].to_string()), "twice: {event}");
        }
        for (id, cursor) in &*self.acknowledged.lock().expect("not poisoned") {
            let event = log.get(&seq(cursor)).unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
            assert!(
                event.contains(&format!("\"{id}\"")),
                "{id} was acknowledged at {cursor}, which is {event}"
            );
        }
        let readers = self.readers.lock().expect("not poisoned");
        assert!(!readers.is_empty(), "no reader has finished");
        for seen in &*readers {
            judge_reader(seen, log);
        }
    }
}

/// A reader got every event after its first position, once, in order, as the log has it.
fn judge_reader(seen: &[Seen], log: &BTreeMap<u64, String>) {
    let mut at: Option<u64> = None;
    for one in seen {
        match one {
            Seen::Connected { resumed, after, cursor } => {
                assert!(*resumed || after.is_none(), "reset after {after:?}: {one:?}");
                if let Some(at) = at.filter(|_| *resumed) {
                    assert!(seq(cursor) >= at, "it goes on before {at}: {one:?}");
                    // A heartbeat may have moved the cursor, but no event is between.
                    assert_eq!(
                        log.keys().filter(|seq| (at + 1..=self::seq(cursor)).contains(seq)).count(),
                        0,
                        "a hole after {at}: {one:?}"
                    );
                }
                at = Some(seq(cursor));
            }
            Seen::Event { cursor, data } => {
                let here = seq(cursor);
                assert_eq!(Some(here), at.map(|at| at + 1), "a hole or a twin: {one:?}");
                let stored: Value = serde_json::from_str(&log[&here]).expect("JSON");
                let read: Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(stored, read, "not as the log has it");
                at = Some(here);
            }
        }
    }
}
