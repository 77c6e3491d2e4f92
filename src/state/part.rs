//! A part of the state, to try events on.

use std::sync::Arc;

use super::{State, project::Project};

impl State {
    /// Returns the live sessions `rooms` of one project, its egress and ingress, and the tombstones of `rooms` and `sids`:
    /// enough to find out whether an event about them would change anything. It is small, however many rooms there are,
    /// and shares everything until an event changes it.
    pub fn part<'a>(
        &self,
        project: &str,
        rooms: impl IntoIterator<Item = &'a str>,
        sids: impl IntoIterator<Item = &'a str>,
    ) -> State {
        let mut state = State { head: self.head, now: self.now, ..State::default() };
        let Some((name, whole)) = self.projects.get_key_value(project) else { return state };
        let mut part = Project {
            egress: whole.egress.clone(),
            ingress: whole.ingress.clone(),
            skew: whole.skew,
            ..Project::default()
        };
        let bury = |part: &mut Project, sid: &str| {
            if let Some(tombstone) = whole.tombstones.get(sid) {
                part.tombstones.bury(&Arc::from(sid), tombstone.clone());
            }
        };
        for sid in rooms {
            if let Some(entry) = whole.rooms.get(sid) {
                part.sessions.entry(entry.room.name.clone()).or_default().push(entry.room.sid.clone());
                part.rooms.insert(entry.room.sid.clone(), entry.clone());
            }
            bury(&mut part, sid);
        }
        sids.into_iter().for_each(|sid| bury(&mut part, sid));
        state.projects.insert(name.clone(), part);
        state
    }
}
