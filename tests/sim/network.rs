//! LiveKit's queues of webhooks (livekit/protocol webhook/resource_url_notifier.go), and the network to the program.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use axum::{
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fastrand::Rng;
use roomwatch::{
    clock::Clock,
    event::{Cursor, Seq},
    ingest::webhook::{Webhooks, receive},
    token::{Claims, Secret, sign},
};
use sha2::{Digest, Sha256};

use crate::{
    program::{KEY, SECRET},
    tasks::{Owner, Tasks},
    world::Webhook,
};

/// Time for which an event may wait in its queue, and the number of events in it.
const AGE_MAX: u64 = 30_000;
const DEPTH_MAX: usize = 200;
/// Waits between the attempts.
const WAITS: [u64; 4] = [1_000, 2_000, 4_000, 8_000];

/// Shares of 1,000 attempts.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkFaults {
    /// LiveKit drops the event before it is in a queue.
    pub lost: u32,
    pub refused: u32,
    pub answer_lost: u32,
    /// The same request arrives once more, later.
    pub repeated: u32,
    pub slow_ms: u64,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    attempt: usize,
    next_at: u64,
    busy: bool,
}

struct Item {
    since: u64,
    id: String,
    body: Bytes,
    token: String,
}

/// The end of one attempt.
#[derive(Clone, Debug)]
enum Outcome {
    /// The status, and the seconds of `Retry-After`.
    Answered(u16, Option<u64>),
    Broken,
}

/// Reports of the network's tasks.
#[derive(Default)]
pub struct Reports {
    outcomes: Vec<(u32, String, Outcome)>,
    /// Events that were answered with 200, and their positions.
    pub acknowledged: HashMap<String, Seq>,
    /// Those whose answer was not that they are duplicates.
    first: HashSet<String>,
    pub wrong: Vec<String>,
}

pub struct Network {
    queues: BTreeMap<String, Queue>,
    /// The number of deaths of LiveKit.
    life: u32,
    pub faults: NetworkFaults,
    rng: Rng,
    clock: Clock,
    pub reports: Rc<RefCell<Reports>>,
    pub given_up: usize,
    pub delivered: usize,
}

impl Network {
    pub fn new(clock: Clock, faults: NetworkFaults, rng: Rng) -> Network {
        Network {
            queues: BTreeMap::new(),
            life: 0,
            faults,
            rng,
            clock,
            reports: Rc::default(),
            given_up: 0,
            delivered: 0,
        }
    }

    /// The node has died with its queues.
    pub fn forget(&mut self) {
        // An attempt under way may still arrive; its outcome is ignored.
        self.queues.clear();
        self.life += 1;
    }

    pub fn push(&mut self, now: u64, livekit_ms: u64, webhook: Webhook) {
        if self.rng.u32(..1000) < self.faults.lost {
            self.given_up += 1;
            return;
        }
        let queue = self.queues.entry(webhook.key).or_default();
        if queue.items.len() >= DEPTH_MAX {
            self.given_up += 1;
            return;
        }
        let secs = i64::try_from(livekit_ms / 1000).expect("a time");
        let claims = Claims {
            iss: KEY.into(),
            exp: secs + 300,
            nbf: Some(secs),
            sha256: Some(STANDARD.encode(Sha256::digest(&webhook.body))),
            ..Claims::default()
        };
        let token = sign(&claims, &Secret::new(SECRET));
        queue.items.push_back(Item { since: now, id: webhook.id, body: webhook.body.into(), token });
    }

    pub fn is_empty(&self) -> bool {
        self.queues.values().all(|queue| queue.items.is_empty() && !queue.busy)
    }

    pub fn due(&self) -> Option<u64> {
        let waiting = self.queues.values().filter(|queue| !queue.busy && !queue.items.is_empty());
        waiting.map(|queue| queue.next_at).min()
    }

    /// Ends the attempts that have an outcome, and begins those that are due. `webhooks` is `None` while the program does
    /// not run.
    pub fn step(&mut self, now: u64, webhooks: Option<&Arc<Webhooks>>, tasks: &mut Tasks) {
        let outcomes = std::mem::take(&mut self.reports.borrow_mut().outcomes);
        for (life, key, outcome) in outcomes {
            let Some(queue) = self.queues.get_mut(&key).filter(|_| life == self.life) else { continue };
            queue.busy = false;
            // hashicorp/go-retryablehttp: every status below 500, except 429, is a success, and so is 501.
            let failed = match outcome {
                Outcome::Answered(status, after) if status == 429 || (status >= 500 && status != 501) => {
                    Some(after)
                }
                Outcome::Answered(..) => None,
                Outcome::Broken => Some(None),
            };
            match (failed, WAITS.get(queue.attempt)) {
                (Some(after), Some(wait)) => {
                    queue.attempt += 1;
                    queue.next_at = now + after.map_or(*wait, |secs| secs * 1000);
                }
                (failed, _) => {
                    self.given_up += usize::from(failed.is_some());
                    self.delivered += usize::from(failed.is_none());
                    queue.items.pop_front();
                    (queue.attempt, queue.next_at) = (0, now);
                }
            }
        }
        let due: Vec<String> = self
            .queues
            .iter()
            .filter(|(_, queue)| !queue.busy && !queue.items.is_empty() && queue.next_at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            self.attempt(now, &key, webhooks, tasks);
        }
    }

    fn attempt(&mut self, now: u64, key: &str, webhooks: Option<&Arc<Webhooks>>, tasks: &mut Tasks) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        while queue.attempt == 0 && queue.items.front().is_some_and(|item| item.since + AGE_MAX < now) {
            queue.items.pop_front();
            self.given_up += 1;
        }
        let Some(item) = queue.items.front() else { return };
        queue.busy = true;
        let roll = self.rng.u32(..1000);
        let NetworkFaults { refused, answer_lost, repeated, slow_ms, .. } = self.faults;
        let Some(webhooks) = webhooks.filter(|_| roll >= refused) else {
            return self.reports.borrow_mut().outcomes.push((self.life, key.to_owned(), Outcome::Broken));
        };
        let lost = roll < refused + answer_lost;
        let mut send = |wait: u64, key: Option<String>| {
            let sent = Sent {
                webhooks: webhooks.clone(),
                id: item.id.clone(),
                body: item.body.clone(),
                token: item.token.clone(),
                lost,
            };
            let end = End { life: self.life, key, reports: self.reports.clone(), outcome: Outcome::Broken };
            tasks.add(Owner::Program, "webhook", sent.deliver(self.clock.clone(), wait, end));
        };
        send(self.rng.u64(..=slow_ms), Some(key.to_owned()));
        if self.rng.u32(..1000) < repeated {
            send(self.rng.u64(..30_000), None);
        }
    }
}

struct Sent {
    webhooks: Arc<Webhooks>,
    id: String,
    body: Bytes,
    token: String,
    lost: bool,
}

/// Reports the outcome when the attempt ends, however it does.
struct End {
    life: u32,
    key: Option<String>,
    reports: Rc<RefCell<Reports>>,
    outcome: Outcome,
}

impl Drop for End {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.reports.borrow_mut().outcomes.push((self.life, key, self.outcome.clone()));
        }
    }
}

impl Sent {
    async fn deliver(self, clock: Clock, wait: u64, mut end: End) {
        clock.sleep(Duration::from_millis(wait)).await;
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, self.token.parse().expect("a token"))]);
        let answer = receive(State(self.webhooks.clone()), headers, Body::from(self.body.clone())).await;
        let status = answer.status().as_u16();
        let after = answer.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("it is in memory");
        if status == 200 {
            self.acknowledged(&body, &mut end.reports.borrow_mut());
        }
        if !self.lost {
            end.outcome = Outcome::Answered(status, after);
        }
    }

    fn acknowledged(&self, body: &[u8], reports: &mut Reports) {
        let answer: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        let cursor: Cursor = answer["cursor"].as_str().and_then(|text| text.parse().ok()).expect("a cursor");
        let before = reports.acknowledged.insert(self.id.clone(), cursor.seq);
        if before.is_some_and(|before| before != cursor.seq) {
            reports.wrong.push(format!("{} was acknowledged at {before:?} and at {}", self.id, cursor.seq));
        }
        // The answers of two requests may overtake each other, but only one of them can be the first.
        if answer["duplicate"] != true && !reports.first.insert(self.id.clone()) {
            reports.wrong.push(format!("{} was stored twice: {answer}", self.id));
        }
    }
}
