//! LiveKit's API in the process of the simulation: answers that are late, lie, break, or do not come.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use fastrand::Rng;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use roomwatch::{
    clock::Clock,
    http::{Answer, Error, Post},
};
use serde_json::Value;

use crate::world::World;

/// Time between two lies, in milliseconds. A list that lies now and then must change nothing.
const LIE_EVERY: u64 = 15_000;

/// Shares of 1,000 calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiFaults {
    pub unreachable: u32,
    pub times_out: u32,
    pub fails: u32,
    /// A list without some or all of its entries.
    pub lies: u32,
    pub slow_ms: u64,
}

pub struct Api {
    pub world: Arc<Mutex<World>>,
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: Rng,
    faults: ApiFaults,
    lied_at: u64,
}

enum Fate {
    Fine,
    Unreachable,
    TimesOut,
    Fails(u16, &'static str),
    Lies(u64),
}

const FAILURES: &[(u16, &str)] = &[
    (500, r#"{"code":"internal","msg":"something failed"}"#),
    (503, r#"{"code":"unavailable","msg":"try again"}"#),
    (502, "<html>Bad Gateway</html>"),
    (200, r#"{"rooms":[{"sid":"RM_1","#),
    (200, "{}"),
    (401, "invalid API key"),
    (429, r#"{"code":"resource_exhausted","msg":"slow down"}"#),
];

impl Api {
    pub fn new(world: Arc<Mutex<World>>, clock: Clock, faults: ApiFaults, rng: Rng) -> Api {
        Api { world, clock, inner: Mutex::new(Inner { rng, faults, lied_at: 0 }) }
    }

    pub fn heal(&self) {
        let mut inner = self.inner.lock();
        inner.faults = ApiFaults { slow_ms: 40, ..ApiFaults::default() };
    }
}

impl Inner {
    fn fate(&mut self, method: &str, now: u64) -> Fate {
        let ApiFaults { unreachable, times_out, fails, lies, .. } = self.faults;
        let mut roll = self.rng.u32(..1000);
        let mut below = |share: u32| {
            let is = roll < share;
            roll = roll.saturating_sub(share);
            is
        };
        if below(unreachable) {
            Fate::Unreachable
        } else if below(times_out) {
            Fate::TimesOut
        } else if below(fails) {
            let (status, text) = FAILURES[self.rng.usize(..FAILURES.len())];
            Fate::Fails(status, text)
        } else if below(lies) && method.starts_with("List") && self.lied_at + LIE_EVERY < now {
            self.lied_at = now;
            Fate::Lies(self.rng.u64(..))
        } else {
            Fate::Fine
        }
    }
}

/// Removes all or some of a list.
fn lie(answer: &mut Value, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let all = rng.bool();
    for member in ["rooms", "participants", "items"] {
        if let Some(list) = answer.get_mut(member).and_then(Value::as_array_mut) {
            list.retain(|_| !all && rng.bool());
        }
    }
}

impl Post for Api {
    fn post_json(
        &self,
        url: &str,
        _: String,
        request: &Value,
        time_max: Duration,
    ) -> BoxFuture<'_, Result<Answer, Error>> {
        let method = url.rsplit('/').next().unwrap_or_default().to_owned();
        let request = request.clone();
        async move {
            let (fate, there, back, lag) = {
                let now = self.world.lock().now;
                let mut inner = self.inner.lock();
                let fate = inner.fate(&method, now);
                let slow = inner.faults.slow_ms;
                let mut time = || Duration::from_millis(inner.rng.u64(..=slow / 2));
                let (there, back) = (time(), time());
                (fate, there, back, inner.rng.u64(..5_000))
            };
            self.clock.sleep(there).await;
            match fate {
                Fate::Unreachable => return Err(Error::Unreachable("connection refused".into())),
                Fate::TimesOut => {
                    self.clock.sleep(time_max).await;
                    return Err(Error::Timeout(time_max));
                }
                Fate::Fails(status, text) => {
                    let status = StatusCode::from_u16(status).expect("a status");
                    return Ok(Answer { status, body: text.as_bytes().to_vec() });
                }
                Fate::Fine | Fate::Lies(_) => {}
            }
            let answer = {
                let mut world = self.world.lock();
                let mut answer = world.answer(&method, &request, lag);
                world.story.push(format!("asked {method} {request}"));
                if let (Fate::Lies(seed), Ok(answer)) = (&fate, &mut answer) {
                    lie(answer, *seed);
                    world.story.push(format!("{method} lies: {answer}"));
                }
                answer
            };
            self.clock.sleep(back).await;
            let (status, body) = match answer {
                Ok(body) => (200, body),
                Err((status, body)) => (status, body),
            };
            let status = StatusCode::from_u16(status).expect("a status");
            Ok(Answer { status, body: body.to_string().into_bytes() })
        }
        .boxed()
    }
}
