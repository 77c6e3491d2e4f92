//! The month before the start: its webhooks are appended to the log with their times, as if Roomwatch had received them
//! then. From there everything is as always: the fold, the history, the charts.
//!
//! Only the demo does this, before its node serves requests. A server stamps events with its own clock.

use std::{sync::Arc, time::Duration};

use anyhow::Context;

use super::meetings::{Meetings, Webhook};
use crate::{
    event::{
        Kind, NewEvent, Source,
        body::{Body, Redaction},
    },
    node::Node,
};

/// Number of events in one append.
const APPEND_EVENTS: usize = 2_000;
const DAY_MS: u64 = 86_400_000;
/// Time that the network took, in milliseconds.
const ON_THE_WAY_MS: u64 = 3;

/// Interval at which the history is looked at until it has every event.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Appends the webhooks of the meetings up to `until`, and waits until the state and the history have them.
pub async fn append(
    node: &Node,
    project: &Arc<str>,
    meetings: &mut Meetings,
    until: u64,
) -> anyhow::Result<()> {
    let app = node.app();
    // Each day is folded while the next one is made.
    while meetings.now < until {
        meetings.advance((meetings.now + DAY_MS).min(until));
        for webhooks in meetings.webhooks().chunks(APPEND_EVENTS) {
            let events =
                webhooks.iter().map(|webhook| event(project, webhook)).collect::<anyhow::Result<_>>()?;
            app.log.append(events).await.context("the history of the demo cannot be stored")?;
        }
    }
    let last = app.log.bounds().last;
    app.feed.reached(last).await;
    while app.derived.written() < last {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::info!("the demo begins with a month of {last} events");
    Ok(())
}

fn event(project: &Arc<str>, webhook: &Webhook) -> anyhow::Result<NewEvent> {
    let body = Body::read(webhook.body.as_bytes(), &Redaction::default())?;
    Ok(NewEvent {
        id: body.id,
        project: project.clone(),
        source: Source::Webhook,
        received_at: webhook.at + ON_THE_WAY_MS,
        kind: Kind::from(&*body.event),
        room: body.room,
        room_sid: body.room_sid,
        body: body.json,
    })
}
