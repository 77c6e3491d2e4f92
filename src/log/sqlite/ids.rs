//! The ids in the log and their seqs. They make an append idempotent.
//!
//! An id is a random key, so writing it into a B-tree costs one page for each event. Therefore each event has its key in
//! its own row, and the keys of the newest events are in memory. When there are many, they are merged into the table
//! `ids` in one pass, in the order of the keys. `meta` has the last merged event; a start reads the later ones.

use std::{collections::HashMap, vec};

use foldhash::fast::RandomState;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::{chunks, meta};
use crate::event::{NewEvent, Seq};

/// Minimum number of ids that one step merges. Each takes at most one page of the table, and the step a few
/// milliseconds.
const MERGE_STEP: usize = 1000;
/// A step merges at least one of this many ids in memory, so that they cannot pile up.
const MERGE_PART: usize = 64;

/// 128 bits of SHA-256 over project and id. Collisions cannot be found, and the table stays small whatever the ids are.
pub(in crate::log) type Key = [u8; 16];

pub(in crate::log) fn key(event: &NewEvent) -> Key {
    let hash = Sha256::new()
        .chain_update((event.project.len() as u64).to_le_bytes())
        .chain_update(event.project.as_bytes())
        .chain_update(event.id.as_bytes())
        .finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// The ids of the log: the ones in memory, and the state of the table.
pub(super) struct Ids {
    /// Ids of the events after `merged`; while a pass runs, also some earlier ones.
    fresh: HashMap<Key, Seq, RandomState>,
    /// The ids of all events up to this one are in the table.
    merged: Seq,
    pass: Option<Pass>,
}

/// One merge of the ids that were in memory when it began, in the order of the keys.
struct Pass {
    through: Seq,
    left: vec::IntoIter<(Key, Seq)>,
}

impl Ids {
    /// Reads the ids that are not in the table yet.
    pub fn load(connection: &Connection) -> rusqlite::Result<Ids> {
        let merged = meta::get(connection, "merged")?.and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let mut select = connection.prepare("SELECT id, seq FROM events WHERE seq > ?1")?;
        let mut fresh = select
            .query_map([merged as i64], |row| Ok((row.get(0)?, Seq(row.get::<_, i64>(1)? as u64))))?
            .collect::<rusqlite::Result<HashMap<_, _, _>>>()?;
        chunks::ids(connection, Seq(merged), |key, seq| {
            fresh.insert(key, seq);
        })?;
        Ok(Ids { fresh, merged: Seq(merged), pass: None })
    }

    /// Returns the last event up to which all ids are in the table. The rows of these events may be removed.
    pub fn merged(&self) -> Seq {
        self.merged
    }

    /// Prepares the statement of [`Ids::find`], once for a transaction.
    pub fn prepare_find(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached("SELECT seq FROM ids WHERE key = ?1")
    }

    /// Returns the seq of the id if it has been appended before.
    pub fn find(&self, from: &mut Statement, key: &Key) -> rusqlite::Result<Option<Seq>> {
        if let Some(seq) = self.fresh.get(key) {
            return Ok(Some(*seq));
        }
        // Nothing has been merged yet, so every id is in `fresh`.
        if self.merged == Seq::ZERO && self.pass.is_none() {
            return Ok(None);
        }
        from.query_row([key], |row| row.get::<_, i64>(0).map(|seq| Seq(seq as u64))).optional()
    }

    /// Adds the id of the event at `seq`. If its transaction fails, the ids must be loaded again.
    pub fn add(&mut self, key: Key, seq: Seq) {
        self.fresh.insert(key, seq);
    }

    /// Returns true if a pass is running, or if there are `max` ids in memory.
    pub fn merge_is_due(&self, max: usize) -> bool {
        self.pass.is_some() || self.fresh.len() >= max
    }

    /// Merges the next ids, and begins a pass if none is running. Returns the number of merged ids.
    pub fn merge(&mut self, connection: &mut Connection, last: Seq) -> rusqlite::Result<usize> {
        let size = MERGE_STEP.max(self.fresh.len() / MERGE_PART);
        let pass = self.pass.get_or_insert_with(|| {
            let mut keys: Vec<_> = self.fresh.iter().map(|(key, seq)| (*key, *seq)).collect();
            keys.sort_unstable();
            Pass { through: last, left: keys.into_iter() }
        });
        let step: Vec<_> = pass.left.by_ref().take(size).collect();
        let finished = pass.left.len() == 0;
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert =
                tx.prepare_cached("INSERT INTO ids (key, seq) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
            for (key, seq) in &step {
                insert.execute(params![key, seq.0 as i64])?;
            }
        }
        if finished {
            meta::set(&tx, "merged", &pass.through.to_string())?;
        }
        tx.commit()?;
        for (key, _) in &step {
            self.fresh.remove(key);
        }
        if finished {
            self.merged = pass.through;
            self.pass = None;
        }
        Ok(step.len())
    }
}
