//! The handover of a stream from hyper to a shard.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    event::Seq,
    feed::Filter,
    server::stream::{message::Framing, open::OpenStream},
};

/// A reader whose answer has begun, for the shard that continues it.
pub struct NewReader {
    pub open: OpenStream,
    pub filter: Filter,
    /// The last event that the reader has.
    pub cursor: Seq,
    pub framing: Framing,
}

/// Holds the reader of a stream from the beginning of its answer until its connection takes it.
#[derive(Clone, Default)]
pub struct Handover(Arc<Mutex<Option<NewReader>>>);

impl Handover {
    pub fn put(&self, reader: NewReader) {
        *self.0.lock() = Some(reader);
    }

    pub fn take(&self) -> Option<NewReader> {
        self.0.lock().take()
    }
}
