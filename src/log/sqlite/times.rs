//! Finds the position of a time, without an index by time: every append would have to write such an index.
//!
//! Seqs are divided into blocks of [`BLOCK`] events. When a block is complete, upkeep notes the earliest `received_at`
//! in it, as one row of `times`. A seek first reads the events after the last noted block, from the end. Then it goes
//! back through the notes, and reads only blocks that can have the answer. A log of an older version gets its notes
//! step by step, from its oldest event on. Packed events have no notes: a chunk has the earliest time in it.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::chunks;
use crate::event::Seq;

/// Number of events in a block. A seek or a step of upkeep reads them in about a millisecond.
const BLOCK: u64 = 1024;

/// Approximate number of bytes that a note writes to the WAL.
const NOTE_BYTES: usize = super::file::PAGE_BYTES;

/// Notes the next block if it is complete, and removes the notes of blocks that are packed or removed. Returns the
/// approximate number of bytes that it wrote to the WAL.
pub(super) fn note_next(connection: &mut Connection, last: Seq) -> rusqlite::Result<usize> {
    let first: Option<i64> =
        connection.prepare_cached("SELECT min(seq) FROM events")?.query_row([], |row| row.get(0))?;
    let kept_from = first.map_or(last.next().0, |first| first as u64) / BLOCK;
    let block = noted(connection)?.max(kept_from);
    let (low, high) = ends(block);
    if last < high {
        return Ok(0);
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.prepare_cached("DELETE FROM times WHERE block < ?1")?.execute([kept_from as i64])?;
    tx.prepare_cached(
        "INSERT INTO times (block, earliest)
            SELECT ?1, min(received_at) FROM events WHERE seq BETWEEN ?2 AND ?3",
    )?
    .execute(params![block as i64, low.0 as i64, high.0 as i64])?;
    tx.commit()?;
    Ok(NOTE_BYTES)
}

/// Returns the last of the events from `first` to `last` that was received at `unix_ms` or before.
pub(super) fn seek(
    connection: &Connection,
    first: Seq,
    last: Seq,
    unix_ms: u64,
) -> rusqlite::Result<Option<Seq>> {
    let unix_ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    // One transaction, so that notes and rows are of the same moment.
    let tx = connection.unchecked_transaction()?;
    let mut newest = tx.prepare_cached(
        "SELECT seq FROM events WHERE seq BETWEEN ?1 AND ?2 AND received_at <= ?3 ORDER BY seq DESC LIMIT 1",
    )?;
    let mut newest = |low: Seq, high: Seq| {
        let bounds = params![low.max(first).0 as i64, high.min(last).0 as i64, unix_ms];
        newest.query_row(bounds, |row| row.get::<_, i64>(0).map(|seq| Seq(seq as u64))).optional()
    };
    if let Some(seq) = newest(ends(noted(&tx)?).0, last)? {
        return Ok(Some(seq));
    }
    let mut blocks = tx
        .prepare_cached("SELECT block FROM times WHERE earliest <= ?1 AND block >= ?2 ORDER BY block DESC")?;
    let mut blocks = blocks.query(params![unix_ms, (first.0 / BLOCK) as i64])?;
    while let Some(row) = blocks.next()? {
        let (low, high) = ends(row.get::<_, i64>(0)? as u64);
        // Finds nothing if retention has just removed the event of the note.
        if let Some(seq) = newest(low, high)? {
            return Ok(Some(seq));
        }
    }
    chunks::seek(&tx, first, last, unix_ms)
}

/// Returns the block after the last noted one.
fn noted(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT coalesce(max(block) + 1, 0) FROM times")?
        .query_row([], |row| row.get::<_, i64>(0).map(|block| block as u64))
}

fn ends(block: u64) -> (Seq, Seq) {
    (Seq(block * BLOCK), Seq(block * BLOCK + BLOCK - 1))
}
