//! Which ids stand in the log, and where: what makes an append idempotent.
//!
//! An id is a random key, so writing it into its B-tree costs a page of its own for each event. Each
//! event therefore carries its key in its own row, those of the newest events are found in memory,
//! and when there are many they are merged into the table `ids` in one pass, in the order of their
//! keys. `meta` says up to which event that has been done; what came later is read back at a start.

use std::{collections::HashMap, vec};

use foldhash::fast::RandomState;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::meta;
use crate::event::{NewEvent, Seq};

/// How many ids one step merges at least: a page of the table each at most, a millisecond or a few. Where so many
/// come that they would pile up, a step takes this part of them.
const MERGE_STEP: usize = 1000;
const MERGE_PART: usize = 64;

/// 128 bits of SHA-256 over project and id, which nobody finds two of, and which keep the table small
/// whatever ids are like.
pub(super) type Key = [u8; 16];

pub(super) fn key(event: &NewEvent) -> Key {
    let hash = Sha256::new()
        .chain_update((event.project.len() as u64).to_le_bytes())
        .chain_update(event.project.as_bytes())
        .chain_update(event.id.as_bytes())
        .finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    key
}

/// The ids of the log: those in memory, and what is known of those in the table.
pub(super) struct Ids {
    /// Of the events after `merged`, and of some before while a pass runs.
    fresh: HashMap<Key, Seq, RandomState>,
    /// The ids of all events up to this one stand in the table.
    merged: Seq,
    pass: Option<Pass>,
}

/// One merge of what was fresh when it began, in the order of the keys.
struct Pass {
    through: Seq,
    left: vec::IntoIter<(Key, Seq)>,
}

impl Ids {
    /// Reads back the ids that no finished pass has merged.
    pub fn load(connection: &Connection) -> rusqlite::Result<Ids> {
        let merged = meta::get(connection, "merged")?.and_then(|seq| seq.parse().ok()).unwrap_or(0);
        let mut select = connection.prepare("SELECT id, seq FROM events WHERE seq > ?1")?;
        let fresh = select
            .query_map([merged as i64], |row| Ok((row.get(0)?, Seq(row.get::<_, i64>(1)? as u64))))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Ids { fresh, merged: Seq(merged), pass: None })
    }

    /// The ids of all events up to this one are in the table, and their rows are not needed for them.
    pub fn merged(&self) -> Seq {
        self.merged
    }

    /// The statement that [`Ids::find`] runs, for as many events as a transaction has.
    pub fn prepare_find(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
        connection.prepare_cached("SELECT seq FROM ids WHERE key = ?1")
    }

    /// Where the id stands, if it has been appended before.
    pub fn find(&self, from: &mut Statement, key: &Key) -> rusqlite::Result<Option<Seq>> {
        if let Some(seq) = self.fresh.get(key) {
            return Ok(Some(*seq));
        }
        // Nothing has been taken out of `fresh` yet.
        if self.merged == Seq::ZERO && self.pass.is_none() {
            return Ok(None);
        }
        from.query_row([key], |row| row.get::<_, i64>(0).map(|seq| Seq(seq as u64))).optional()
    }

    /// The event at `seq` has this id. If its transaction fails, everything must be loaded again.
    pub fn add(&mut self, key: Key, seq: Seq) {
        self.fresh.insert(key, seq);
    }

    /// Are there as many as `max`?
    pub fn merge_is_due(&self, max: usize) -> bool {
        self.pass.is_some() || self.fresh.len() >= max
    }

    /// Merges the next ids; begins a pass if none runs. Returns how many it merged.
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
