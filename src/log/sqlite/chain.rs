//! A hash over the ids of all events up to a seq. Two copies of one log have equal hashes; after a difference, all later
//! ones differ too.
//!
//! The table has the hash at every 256th seq. The one at another seq is computed from the ids after the row before it.

use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::{chunks, ids::Key};
use crate::event::Seq;

/// Number of events between two rows.
const EVERY: u64 = 256;

pub(super) const TABLE: &str = "CREATE TABLE chain (seq INTEGER PRIMARY KEY, hash BLOB NOT NULL);";

/// The hash at a seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub seq: Seq,
    pub hash: [u8; 16],
}

impl Link {
    /// The hash before the first event.
    pub const START: Link = Link { seq: Seq::ZERO, hash: [0; 16] };

    fn then(self, key: &Key) -> Link {
        let seq = self.seq.next();
        let digest = Sha256::new()
            .chain_update(self.hash)
            .chain_update(seq.0.to_le_bytes())
            .chain_update(key)
            .finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Link { seq, hash }
    }
}

/// Writes the first row of a copy that begins after `from`.
pub(super) fn begin(connection: &Connection, from: Link) -> rusqlite::Result<()> {
    put(connection, from)
}

/// Adds the event after `last`, in the transaction that stores it. Returns the new hash.
pub(super) fn add(connection: &Connection, last: Link, key: &Key) -> rusqlite::Result<Link> {
    let link = last.then(key);
    if link.seq.0.is_multiple_of(EVERY) {
        put(connection, link)?;
    }
    Ok(link)
}

fn put(connection: &Connection, link: Link) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO chain VALUES (?1, ?2)")?;
    insert.execute(params![link.seq.0 as i64, link.hash]).map(drop)
}

/// Returns the hash at `seq`. `None` if the ids between the last row and `seq` have been removed, or are not there yet.
pub(super) fn at(connection: &Connection, seq: Seq) -> rusqlite::Result<Option<Link>> {
    let mut select =
        connection.prepare_cached("SELECT seq, hash FROM chain WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1")?;
    let row =
        |row: &rusqlite::Row<'_>| Ok(Link { seq: Seq(row.get::<_, i64>(0)? as u64), hash: row.get(1)? });
    let Some(mut link) = select.query_row([seq.0 as i64], row).optional()? else { return Ok(None) };
    if link.seq == seq {
        return Ok(Some(link));
    }
    let row = link.seq;
    let mut take = |key: Key, at: Seq| {
        if at == link.seq.next() && at <= seq {
            link = link.then(&key);
        }
    };
    chunks::ids(connection, row, &mut take)?;
    let mut events =
        connection.prepare_cached("SELECT seq, id FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")?;
    let mut events = events.query(params![seq.0.saturating_sub(EVERY) as i64, seq.0 as i64])?;
    while let Some(row) = events.next()? {
        take(row.get(1)?, Seq(row.get::<_, i64>(0)? as u64));
    }
    Ok((link.seq == seq).then_some(link))
}
