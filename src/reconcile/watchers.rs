//! Removes our own watchers from rooms that all other participants have left.
//!
//! No other participant sees a hidden one, but LiveKit counts it: a room with a watcher in it never becomes
//! empty, so it never ends (livekit pkg/rtc/room.go). A browser tab that is suspended would not leave by itself.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::RwLock;

use super::Reconcile;
use crate::{
    event::Seq,
    follow::{Folded, Follower},
    state::{RoomEntry, State},
};

/// Time until the next try to remove a watcher.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Project and name of a room.
type RoomKey = (Arc<str>, Arc<str>);

/// The follower that removes watchers. Removing one twice is harmless: LiveKit answers "not found".
pub struct Watchers {
    reconcile: Arc<Reconcile>,
    state: Arc<RwLock<State>>,
    /// Rooms to check.
    due: BTreeSet<RoomKey>,
    /// False until every room has been made due: participants may have left while this node was down.
    has_begun: bool,
}

impl Watchers {
    pub fn new(reconcile: Arc<Reconcile>, state: Arc<RwLock<State>>) -> Watchers {
        Watchers { reconcile, state, due: BTreeSet::new(), has_begun: false }
    }

    fn make_all_due(&mut self) {
        let rooms = self.state.read().rooms(|_, _| true);
        self.due.extend(rooms.iter().map(|entry| (entry.room.project.clone(), entry.room.name.clone())));
    }

    /// Removes watchers that are alone in a due room. A room where that fails stays due.
    async fn remove(&mut self) {
        for (project, room) in std::mem::take(&mut self.due) {
            let identities = alone(&self.state.read(), &project, &room);
            let Some(livekit) = self.reconcile.livekit(&project) else { continue };
            for identity in identities {
                match livekit.remove_participant(&room, &identity).await {
                    Ok(()) => {
                        tracing::info!(room.name = ?room, "removed a watcher that was alone in its room")
                    }
                    // It has already left; its `participant_left` will follow.
                    Err(error) if error.is("not_found") => {}
                    Err(error) => {
                        tracing::warn!(
                            room.name = ?room,
                            "a watcher cannot be removed and keeps its room open, trying again: {error}"
                        );
                        self.due.insert((project.clone(), room.clone()));
                    }
                }
            }
        }
    }
}

impl Follower for Watchers {
    fn apply<'a>(&'a mut self, events: &'a [Folded]) -> BoxFuture<'a, anyhow::Result<()>> {
        async move {
            if !self.has_begun {
                self.has_begun = true;
                self.make_all_due();
            }
            let people = events.iter().map(|folded| &folded.event);
            let people = people.filter(|event| event.kind.as_str().starts_with("participant_"));
            self.due.extend(people.filter_map(|event| Some((event.project.clone(), event.room.clone()?))));
            self.remove().await;
            Ok(())
        }
        .boxed()
    }

    fn gap(&mut self, _from: Seq, _to: Seq) -> BoxFuture<'_, anyhow::Result<()>> {
        self.has_begun = false;
        async { Ok(()) }.boxed()
    }

    fn wakes_in(&self) -> Option<Duration> {
        match (self.has_begun, self.due.is_empty()) {
            (false, _) => Some(Duration::ZERO),
            (true, false) => Some(RETRY_AFTER),
            (true, true) => None,
        }
    }
}

/// Returns true if the room has a participant, other than a watcher, for which LiveKit keeps it open. LiveKit
/// disconnects agents and recorders after the last participant, so they do not count.
pub fn is_occupied(entry: &RoomEntry) -> bool {
    entry.participants().any(|p| !p.watcher() && !p.agent() && !p.egress())
}

/// Returns the identities of the watchers in sessions of a room that have no other participants.
fn alone(state: &State, project: &str, room: &str) -> Vec<Box<str>> {
    let empty = state.sessions(project, room).filter(|entry| !is_occupied(entry));
    let watchers = empty.flat_map(|entry| entry.participants().filter(|p| p.watcher()));
    watchers.map(|watcher| (*watcher.identity).into()).collect()
}
