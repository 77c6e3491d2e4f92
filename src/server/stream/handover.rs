//! The door by which a stream leaves hyper for its shard.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    event::Seq,
    feed::Filter,
    server::stream::{open::OpenStream, say::Framing},
};

/// A reader whose answer has begun: what its socket is handed over with.
pub struct Begun {
    pub open: OpenStream,
    pub filter: Filter,
    /// It has seen everything up to here.
    pub cursor: Seq,
    pub framing: Framing,
}

/// Where a stream leaves what its connection is handed over with, once its answer has begun.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<Begun>>>);

impl Handover {
    pub fn leave(&self, begun: Begun) {
        *self.0.lock() = Some(begun);
    }

    pub fn take(&self) -> Option<Begun> {
        self.0.lock().take()
    }
}
