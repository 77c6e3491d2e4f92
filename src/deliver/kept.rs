//! The durable position of an endpoint, in `Map::Deliveries`, and its dead letters, in `Map::DeadLetters`.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lanes::{Parked, Room};
use crate::{
    cluster::{Cluster, ClusterError, Expected, Map},
    event::Seq,
};

/// The position of an endpoint, and its health. Times are in unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kept {
    /// The log that `cursor` and `rooms` belong to.
    pub epoch: u32,
    /// Everything up to this event is delivered, except in `rooms`.
    pub cursor: Seq,
    pub rooms: Vec<KeptRoom>,
    /// Time of the oldest event that is not delivered, or of the last one that was read. It finds the position in another
    /// log.
    pub at: u64,
    /// Changes with the URL and the kind. A disabled endpoint starts again then.
    pub target: u64,
    /// Why the endpoint is disabled.
    pub disabled: Option<Box<str>>,
    pub paused: bool,
    /// Attempts that failed since the last success, and when the first of them began.
    pub failures: u64,
    pub failing_since: Option<u64>,
    pub delivered_at: Option<u64>,
    pub last_error: Option<Box<str>>,
    pub last_error_at: Option<u64>,
    /// Events that retention removed before they were delivered: at least this number.
    pub missed: u64,
    pub missed_at: Option<u64>,
}

/// A room that waits for a retry, or is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptRoom {
    pub project: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<Arc<str>>,
    pub first: Seq,
    pub failures: u32,
    pub due: u64,
    pub at: u64,
}

impl Kept {
    /// Returns the event before the oldest one that may still be delivered.
    pub fn oldest(&self) -> Seq {
        let rooms = self.rooms.iter().map(|room| Seq(room.first.0.saturating_sub(1)));
        rooms.min().unwrap_or(self.cursor).min(self.cursor)
    }
}

impl From<Parked> for KeptRoom {
    fn from(parked: Parked) -> KeptRoom {
        let Parked { room: Room { project, name }, first, failures, due, at } = parked;
        KeptRoom { project, room: name, first, failures, due, at }
    }
}

impl From<KeptRoom> for Parked {
    fn from(kept: KeptRoom) -> Parked {
        let KeptRoom { project, room, first, failures, due, at } = kept;
        Parked { room: Room { project, name: room }, first, failures, due, at }
    }
}

/// An event that an endpoint did not take: its position, not a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    pub epoch: u32,
    pub seq: Seq,
    pub at: u64,
    pub attempts: u32,
    /// The last answer or error.
    pub error: Box<str>,
}

/// The entry of one endpoint. A write fails if another node has written since.
pub struct Entry {
    cluster: Arc<dyn Cluster>,
    name: Arc<str>,
    expected: Expected,
}

impl Entry {
    /// Reads the entry.
    pub async fn open(cluster: Arc<dyn Cluster>, name: Arc<str>) -> anyhow::Result<(Entry, Option<Kept>)> {
        let found = cluster.get(Map::Deliveries, &name).await.context("its position cannot be read")?;
        let expected = found.as_ref().map_or(Expected::Nothing, |found| Expected::Revision(found.revision));
        let kept = found.map(|found| serde_json::from_slice(&found.value)).transpose();
        let kept = kept.with_context(|| format!("the position of endpoint {name:?} is not valid"))?;
        Ok((Entry { cluster, name, expected }, kept))
    }

    /// Stores the position. It is durable when this returns.
    pub async fn store(&mut self, kept: &Kept) -> Result<(), ClusterError> {
        let value = Bytes::from(serde_json::to_vec(kept).expect("a position is JSON"));
        let revision = self.cluster.put(Map::Deliveries, &self.name, value, self.expected).await?;
        self.expected = Expected::Revision(revision);
        Ok(())
    }
}

/// Stores a dead letter. It is durable when this returns.
pub async fn bury(cluster: &dyn Cluster, endpoint: &str, letter: &DeadLetter) -> Result<(), ClusterError> {
    let value = Bytes::from(serde_json::to_vec(letter).expect("a dead letter is JSON"));
    let key = format!("{endpoint}/{:08x}-{:020}", letter.epoch, letter.seq.0);
    cluster.put(Map::DeadLetters, &key, value, Expected::Anything).await.map(drop)
}

/// Returns the name of the endpoint of a dead letter, from its key.
pub fn endpoint_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_undelivered_event_is_that_of_a_room_or_the_next() {
        let room = |first| KeptRoom {
            project: "p".into(),
            room: Some("r".into()),
            first: Seq(first),
            failures: 1,
            due: 0,
            at: 0,
        };
        let kept = |rooms| Kept { cursor: Seq(10), rooms, ..Kept::default() };
        assert_eq!(kept(vec![]).oldest(), Seq(10));
        assert_eq!(kept(vec![room(7), room(4)]).oldest(), Seq(3));
        assert_eq!(kept(vec![room(14)]).oldest(), Seq(10));
    }

    /// A node of this version reads what an older one stored.
    #[test]
    fn a_position_is_stored_in_this_form() {
        let kept = Kept {
            epoch: 7,
            cursor: Seq(10),
            rooms: vec![KeptRoom {
                project: "p".into(),
                room: None,
                first: Seq(4),
                failures: 2,
                due: 5,
                at: 6,
            }],
            failures: 2,
            failing_since: Some(3),
            ..Kept::default()
        };
        let text = serde_json::to_string(&kept).expect("JSON");
        assert_eq!(
            text,
            r#"{"epoch":7,"cursor":10,"rooms":[{"project":"p","first":4,"failures":2,"due":5,"at":6}],"at":0,"target":0,"disabled":null,"paused":false,"failures":2,"failingSince":3,"deliveredAt":null,"lastError":null,"lastErrorAt":null,"missed":0,"missedAt":null}"#
        );
        assert_eq!(serde_json::from_str::<Kept>(&text).expect("a position"), kept);
        assert_eq!(serde_json::from_str::<Kept>("{\"cursor\":3,\"new\":1}").expect("read").cursor, Seq(3));
    }
}
