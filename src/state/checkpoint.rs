//! A `State` as bytes, so that a start need not fold the log from its beginning.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    State,
    project::{Project, RoomEntry},
    words::Words,
};

/// Version of the encoding. A checkpoint of another version is not read: the log is folded again.
pub const CHECKPOINT_VERSION: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("the checkpoint has version {0}, this program writes {CHECKPOINT_VERSION}")]
    Version(u32),
    #[error("the checkpoint cannot be read: {0}")]
    Broken(#[from] serde_json::Error),
    #[error("the checkpoint cannot be decompressed: {0}")]
    Cut(#[from] std::io::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read {
    state: State,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl State {
    pub fn checkpoint(&self) -> Vec<u8> {
        serde_json::to_vec(&Written { version: CHECKPOINT_VERSION, state: self })
            .expect("a state has string keys only, and a vector takes every byte")
    }

    pub fn restore(bytes: &[u8]) -> Result<State, CheckpointError> {
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != CHECKPOINT_VERSION {
            return Err(CheckpointError::Version(version));
        }
        let Read { mut state } = serde_json::from_slice(bytes)?;
        for project in state.projects.values_mut() {
            project.relink(&mut state.words);
        }
        Ok(state)
    }
}

impl Project {
    /// Gives the entities the memory back that they shared, and rebuilds the index of names.
    fn relink(&mut self, words: &mut Words) {
        for entry in self.rooms.values_mut() {
            let RoomEntry { room, participants } = Arc::make_mut(entry);
            let room = Arc::make_mut(room);
            room.share(words);
            // Earlier versions did not count them.
            room.counts.calls = participants.values().map(|participant| participant.counts().calls).sum();
            for participant in participants.values_mut() {
                let p = Arc::make_mut(participant);
                p.project = room.project.clone();
                p.room = room.name.clone();
                p.room_sid = room.sid.clone();
                p.share(words);
            }
            // A map's key and its value's sid are one allocation again.
            *participants = participants.drain().map(|(_, p)| (p.sid.clone(), p)).collect();
            self.sessions.entry(room.name.clone()).or_default().push(room.sid.clone());
        }
        self.rooms = self.rooms.drain().map(|(_, entry)| (entry.room.sid.clone(), entry)).collect();
    }
}
