//! The door by which a stream leaves hyper for its shard.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    event::Seq,
    feed::Filter,
    server::stream::{open::OpenStream, say::Framing},
};

/// A reader whose answer has begun: what its shard needs to go on.
pub struct NewReader {
    pub open: OpenStream,
    pub filter: Filter,
    /// It has seen everything up to here.
    pub cursor: Seq,
    pub framing: Framing,
}

/// Holds the reader of a stream from the begin of its answer until its connection takes it.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<NewReader>>>);

impl Handover {
    pub fn leave(&self, reader: NewReader) {
        *self.0.lock() = Some(reader);
    }

    pub fn take(&self) -> Option<NewReader> {
        self.0.lock().take()
    }
}
