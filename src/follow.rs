//! The one loop: log → state → feed.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{
    feed::{Feed, Frame},
    log::EventLog,
    state::State,
};

/// How many events one round reads.
const ROUND_EVENTS: usize = 512;

/// Follows the log for ever.
pub async fn follow(log: Arc<dyn EventLog>, state: Arc<RwLock<State>>, feed: Arc<Feed>) {
    let mut head = state.read().head();
    loop {
        log.wait(head).await;
        let events = match log.read(head, ROUND_EVENTS).await {
            Ok(events) => events,
            Err(error) => {
                tracing::error!("the log cannot be read: {error}");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        let mut frames = Vec::with_capacity(events.len());
        for event in &events {
            let applied = state.write().apply(event);
            frames.push(Arc::new(Frame::encode(feed.epoch(), event, applied.restricted, b"[]")));
            head = event.seq;
        }
        feed.publish(frames);
    }
}
