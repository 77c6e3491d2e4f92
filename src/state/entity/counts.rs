//! Sums over the participants of a room.

use serde::{Deserialize, Serialize};

/// Sums over a room's participants. One participant's change shifts them, so nothing is counted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Participants that are neither hidden, nor agents, nor egress.
    pub participants: u32,
    pub agents: u32,
    /// Those of `participants` that are phones. A checkpoint does not need it.
    #[serde(skip)]
    pub calls: u32,
    /// Those of `participants` that publish at least one track.
    pub publishers: u32,
    /// Audio tracks of all participants that are neither hidden nor egress.
    pub audio: u32,
    pub video: u32,
    /// Video of shared screens. Their sound counts as audio.
    pub screen: u32,
    /// Egress participants, hidden or not. One of them, or one active egress, means that the room is recorded.
    pub recorders: u32,
    /// Egress of this room that has not ended.
    pub egress: u32,
}

impl Counts {
    pub fn is_recording(&self) -> bool {
        self.recorders + self.egress > 0
    }

    /// Replaces one participant's share of the sums.
    pub(in crate::state) fn shift(&mut self, from: Counts, to: Counts) {
        // Every `from` has been added before, so no sum goes below zero.
        let step = |sum: &mut u32, from: u32, to: u32| *sum = (*sum + to).saturating_sub(from);
        step(&mut self.participants, from.participants, to.participants);
        step(&mut self.agents, from.agents, to.agents);
        step(&mut self.calls, from.calls, to.calls);
        step(&mut self.publishers, from.publishers, to.publishers);
        step(&mut self.audio, from.audio, to.audio);
        step(&mut self.video, from.video, to.video);
        step(&mut self.screen, from.screen, to.screen);
        step(&mut self.recorders, from.recorders, to.recorders);
    }
}
