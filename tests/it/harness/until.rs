//! Waiting for a condition: no test sleeps for a fixed time.

use std::time::{Duration, Instant};

/// Longer than anything takes in these tests, even on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `condition` is true. Panics with `what` after [`PATIENCE`].
///
/// Blocks the thread. Use [`until_async`] for a condition that has to ask a server.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        still_patient(what, began);
        std::thread::sleep(PAUSE);
    }
}

/// [`until`] for a condition that awaits something.
pub async fn until_async(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        still_patient(what, began);
        tokio::time::sleep(PAUSE).await;
    }
}

fn still_patient(what: &str, began: Instant) {
    assert!(began.elapsed() < PATIENCE, "not true after {PATIENCE:?}: {what}");
}
