//! Catches panics, and paces retries.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use anyhow::anyhow;
use futures_util::FutureExt;

/// Pause after a failure. It doubles with each failure until a success.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Runs `work`, and returns a panic as an error. The hook has already printed it.
pub async fn caught<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // The caller discards what `work` has changed, or makes it consistent.
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.unwrap_or_else(|panic| Err(anyhow!("panicked: {}", message(&*panic))))
}

pub(super) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// The pauses between attempts.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure, and returns the pause after it. It has jitter, so that followers that failed together do not
    /// retry together.
    pub fn pause(&mut self) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures += 1;
        pause.mul_f64(0.75 + fastrand::f64() / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_begin_again_after_a_success() {
        let mut backoff = Backoff::default();
        let mut near = |secs: f64| {
            let pause = backoff.pause().as_secs_f64();
            assert!((secs * 0.75..=secs).contains(&pause), "{pause} is not about {secs}");
        };
        for secs in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            near(secs);
        }
        backoff.succeeded();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }
}
