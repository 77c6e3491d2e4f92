//! The durable cursor of each follower, in `followers.db`.

use std::{collections::HashMap, path::Path};

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use crate::{
    event::{Cursor, Epoch, Seq},
    store::{Repair, Store, StoreError},
};

/// A lost cursor is replaced by the end of the log. A damaged file is kept only for analysis.
const STORE: Store = Store {
    file: "followers.db",
    application_id: 0x526d_466f,
    first_version: 1,
    steps: &[
        "CREATE TABLE cursors (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID",
    ],
    unversioned: |_| Ok(None),
    repair: Repair::PutAside,
    private: false,
    pragmas: "",
};

/// The durable cursors.
pub(super) struct Cursors {
    epoch: Epoch,
    inner: Mutex<Inner>,
}

struct Inner {
    connection: Connection,
    /// The cursors on the disk. Some may belong to another log.
    cursors: HashMap<String, Cursor>,
}

impl Cursors {
    /// Opens the file in `dir`, for the log with this epoch.
    pub fn open(dir: &Path, epoch: Epoch) -> Result<Cursors, StoreError> {
        let connection = STORE.open(dir)?;
        let cursors =
            read(&connection).map_err(|cause| StoreError::Sqlite { path: dir.join(STORE.file), cause })?;
        Ok(Cursors { epoch, inner: Mutex::new(Inner { connection, cursors }) })
    }

    /// Returns the cursors that belong to this log.
    pub fn all(&self) -> HashMap<String, Seq> {
        let inner = self.inner.lock();
        let of_this_log = inner.cursors.iter().filter(|(_, cursor)| cursor.epoch == self.epoch);
        of_this_log.map(|(name, cursor)| (name.clone(), cursor.seq)).collect()
    }

    /// Returns the cursor of a follower. It may belong to another log.
    pub fn of(&self, name: &str) -> Option<Cursor> {
        self.inner.lock().cursors.get(name).copied()
    }

    /// Stores a cursor. It is on the disk when this returns.
    pub fn store(&self, name: &str, seq: Seq) -> rusqlite::Result<()> {
        let mut inner = self.inner.lock();
        inner
            .connection
            .prepare_cached("INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3)")?
            .execute(params![name, self.epoch.0, seq.0 as i64])?;
        inner.cursors.insert(name.to_owned(), Cursor { epoch: self.epoch, seq });
        Ok(())
    }
}

fn read(connection: &Connection) -> rusqlite::Result<HashMap<String, Cursor>> {
    let mut select = connection.prepare("SELECT name, epoch, seq FROM cursors")?;
    let rows = select.query_map([], |row| {
        let cursor = Cursor { epoch: Epoch(row.get(1)?), seq: Seq(row.get::<_, i64>(2)? as u64) };
        Ok((row.get(0)?, cursor))
    })?;
    rows.collect()
}
