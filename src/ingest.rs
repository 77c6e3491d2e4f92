//! Input from LiveKit: the webhook receiver, and the last receipt of each project.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

mod receipts;
pub mod webhook;

pub use receipts::{Receipt, Receipts, Rejected};

/// Minimum time between two log lines about one reason: any client can cause rejections at any rate.
const REJECTIONS_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// For each reason, the time of its last log line and the number of rejections since.
#[derive(Default)]
pub struct Rejections(Mutex<HashMap<&'static str, (Instant, u64)>>);

impl Rejections {
    pub(crate) fn log(&self, reason: &'static str, message: &str) {
        let now = Instant::now();
        let suppressed = {
            let mut logged = self.0.lock();
            match logged.get_mut(reason) {
                Some((at, suppressed)) if now - *at < REJECTIONS_LOGGED_EVERY => {
                    *suppressed += 1;
                    return;
                }
                _ => logged.insert(reason, (now, 0)).map_or(0, |(_, suppressed)| suppressed),
            }
        };
        tracing::warn!(
            webhook.reject = reason,
            webhook.suppressed = suppressed,
            "a webhook was rejected: {message}"
        );
    }
}
