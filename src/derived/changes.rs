//! The changes of each event, stored in chunks: one row for each event would cost more than its content.
//!
//! A chunk is compressed text, with one line for each event, ascending. A line has the seq, the changes for all readers and, if
//! `roomJoin` callers get others, those too, separated by tabs. One more tab says that they get the event itself. JSON has tabs and line breaks only as escapes.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use rusqlite::{Connection, Statement, params};

use super::{Changes, DerivedError, Joined, NO_CHANGES, Recorded};
use crate::event::Seq;

/// Size of the text at which a chunk is written. A reader that resumes must read a whole chunk for its first event.
const CHUNK_BYTES: usize = 32 << 10;

#[derive(Default)]
pub(super) struct Chunk {
    first: Seq,
    last: Seq,
    lines: Vec<u8>,
}

impl Chunk {
    /// Adds the changes of an event, if it has any. Returns true if the chunk is full.
    pub fn add(&mut self, recorded: &Recorded) -> bool {
        let Recorded { seq, json, joined, .. } = recorded;
        if joined.is_some() || json.len() > NO_CHANGES.len() {
            if self.lines.is_empty() {
                self.first = *seq;
            }
            self.last = *seq;
            // Writing to memory cannot fail.
            let _ = write!(self.lines, "{}\t", seq.0);
            self.lines.extend_from_slice(json);
            if let Some(joined) = joined {
                self.lines.push(b'\t');
                self.lines.extend_from_slice(&joined.json);
                if !joined.restricted {
                    self.lines.push(b'\t');
                }
            }
            self.lines.push(b'\n');
        }
        self.lines.len() >= CHUNK_BYTES
    }

    /// Writes the chunk if it is not empty, and begins the next one.
    pub fn write(&mut self, put: &mut Statement) -> rusqlite::Result<()> {
        if !self.lines.is_empty() {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            // Writing to memory cannot fail.
            let compressed =
                encoder.write_all(&self.lines).and_then(|()| encoder.finish()).unwrap_or_default();
            put.execute(params![self.last.0 as i64, self.first.0 as i64, compressed])?;
            self.lines.clear();
        }
        Ok(())
    }
}

/// Returns the text of a chunk. Its checksum shows damage that SQLite cannot see.
fn text(chunk: &[u8]) -> Result<Bytes, DerivedError> {
    // Up to version 4 of the file, chunks were not compressed.
    if chunk.first().is_some_and(u8::is_ascii_digit) {
        return Ok(Bytes::copy_from_slice(chunk));
    }
    let mut text = Vec::with_capacity(2 * CHUNK_BYTES);
    ZlibDecoder::new(chunk)
        .read_to_end(&mut text)
        .map_err(|error| DerivedError::Found(format!("the changes of some events are damaged: {error}")))?;
    Ok(text.into())
}

/// Returns the changes of the events after `after` up to `through`, one entry for each event.
pub(super) fn stored(
    connection: &Connection,
    after: Seq,
    through: Seq,
) -> Result<Vec<Changes>, DerivedError> {
    let mut select =
        connection.prepare_cached("SELECT first, lines FROM changes WHERE last > ?1 ORDER BY last")?;
    let mut rows = select.query([after.0 as i64])?;
    let mut all = Vec::new();
    let mut next = after.next();
    let nothing = |seq| Changes { seq, json: NO_CHANGES, joined: None };
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)? as u64 > through.0 {
            break;
        }
        let chunk = text(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        for line in chunk.split(|byte| *byte == b'\n') {
            let mut fields = line.split(|byte| *byte == b'\t');
            let seq = fields.next().and_then(|seq| std::str::from_utf8(seq).ok()?.parse().ok().map(Seq));
            let Some(seq) = seq.filter(|seq| (next..=through).contains(seq)) else { continue };
            all.extend((next.0..seq.0).map(Seq).map(nothing));
            let json = fields.next().map_or(NO_CHANGES, |json| chunk.slice_ref(json));
            let joined = fields.next().map(|json| chunk.slice_ref(json));
            let joined = joined.map(|json| Joined { json, restricted: fields.next().is_none() });
            all.push(Changes { seq, json, joined });
            next = seq.next();
        }
    }
    all.extend((next.0..=through.0).map(Seq).map(nothing));
    Ok(all)
}
