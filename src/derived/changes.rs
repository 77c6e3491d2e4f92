//! The changes of each event, stored in chunks: one row for each event would cost more than its content.
//!
//! A chunk is compressed text, with one line for each event, ascending. A line has the seq, the changes for all readers
//! and, if `roomJoin` callers get others, those too, separated by tabs. One more tab says that they get the event itself.
//! JSON has tabs and line breaks only as escapes.

use std::io::Write;

use bytes::Bytes;
use memchr::memchr_iter;
use rusqlite::{Connection, params};

use super::{
    Changes, DerivedError, Joined, NO_CHANGES, Recorded,
    packed::{pack, unpack},
    statements::Statements,
};
use crate::event::Seq;

/// Size of the text at which a chunk is complete. A reader that resumes must unpack a whole chunk for its first event,
/// and with less text the names of members would take more of it.
const CHUNK_BYTES: usize = 128 << 10;

/// Maximum difference between the times of the first and the last event of a chunk. Changes are removed as whole chunks,
/// so they are removed at most this much later than their events.
const CHUNK_TIME_MS: u64 = 24 * 3600 * 1000;

/// The newest chunk. Each transaction writes its part of it as a row. When the chunk is complete, one row replaces the
/// parts: a transaction a second with a few events would otherwise take several times the space.
///
/// The parts of a process that has ended stay as they are.
#[derive(Default)]
pub(super) struct Chunk {
    first: Seq,
    last: Seq,
    /// Time of the first event.
    began_at: u64,
    lines: Vec<u8>,
    /// The beginning of `lines` that rows have.
    written_bytes: usize,
    /// First event after the last part.
    part_first: Option<Seq>,
    /// Last events of the parts: the keys of their rows.
    parts: Vec<Seq>,
}

impl Chunk {
    /// Adds the changes of an event, if it has any. Writes the chunk before it if that is complete.
    pub fn add(&mut self, to: &mut Statements, recorded: &Recorded) -> rusqlite::Result<()> {
        let Recorded { seq, json, joined, received_at, .. } = recorded;
        if joined.is_none() && json.len() <= NO_CHANGES.len() {
            return Ok(());
        }
        let is_late = received_at.saturating_sub(self.began_at) > CHUNK_TIME_MS;
        if !self.lines.is_empty() && (self.lines.len() >= CHUNK_BYTES || is_late) {
            self.complete(to)?;
        }
        if self.lines.is_empty() {
            (self.first, self.began_at) = (*seq, *received_at);
        }
        self.last = *seq;
        self.part_first.get_or_insert(*seq);
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
        Ok(())
    }

    /// Writes the part that no row has yet. The chunk continues with the next transaction.
    pub fn write(&mut self, to: &mut Statements) -> rusqlite::Result<()> {
        let Some(first) = self.part_first.take() else { return Ok(()) };
        put(to, first, self.last, &self.lines[self.written_bytes..])?;
        self.written_bytes = self.lines.len();
        self.parts.push(self.last);
        Ok(())
    }

    /// Replaces the parts by one row, and begins the next chunk.
    fn complete(&mut self, to: &mut Statements) -> rusqlite::Result<()> {
        for part in self.parts.drain(..) {
            to.remove_changes.execute([part.0 as i64])?;
        }
        put(to, self.first, self.last, &self.lines)?;
        *self = Chunk::default();
        Ok(())
    }

    /// Begins the next chunk if no event of this one is kept: its rows are removed.
    pub fn begins(&mut self, log_first: Seq) {
        if self.last < log_first {
            *self = Chunk::default();
        }
    }
}

fn put(to: &mut Statements, first: Seq, last: Seq, lines: &[u8]) -> rusqlite::Result<()> {
    to.put_changes.execute(params![last.0 as i64, first.0 as i64, pack(lines)?])?;
    Ok(())
}

/// Returns the text of a chunk.
fn text(chunk: &[u8]) -> Result<Bytes, DerivedError> {
    // Up to version 4 of the file, chunks were not compressed.
    if chunk.first().is_some_and(u8::is_ascii_digit) {
        return Ok(Bytes::copy_from_slice(chunk));
    }
    let text = unpack(chunk)
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
        let mut begin = 0;
        for end in memchr_iter(b'\n', &chunk) {
            let line = &chunk[std::mem::replace(&mut begin, end + 1)..end];
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
