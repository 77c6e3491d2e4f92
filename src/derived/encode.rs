//! The JSON of the changes of an event. It is encoded once, sent to readers, and stored for readers that resume.

use bytes::Bytes;

use super::{Joined, NO_CHANGES, Recorded};
use crate::{
    event::Event,
    state::{Applied, Change},
};

/// Initial capacity for the changes of an event as JSON. Most need less.
const CHANGES_BYTES: usize = 1024;

/// Returns the record of an event: its encoded changes and its facts.
pub fn encode(event: &Event, applied: Applied) -> Recorded {
    Recorded {
        seq: event.seq,
        project: event.project.clone(),
        received_at: event.received_at,
        json: json(&applied.changes),
        joined: applied
            .joined
            .map(|changes| Joined { json: json(&changes), restricted: applied.restricted })
            .or(applied.restricted.then_some(Joined::NOTHING)),
        facts: applied.facts,
    }
}

fn json(changes: &[Change]) -> Bytes {
    if changes.is_empty() {
        return NO_CHANGES;
    }
    let mut json = Vec::with_capacity(CHANGES_BYTES);
    serde_json::to_writer(&mut json, changes).map_or(NO_CHANGES, |()| json.into())
}
