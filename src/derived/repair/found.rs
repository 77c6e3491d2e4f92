//! The pages of a damaged file that have rows of our tables.

use std::{collections::HashMap, path::Path};

use rusqlite::{Connection, params, types::Value};

use super::{TABLES, Table, value};
use crate::derived::{
    DerivedError,
    pages::{Pages, Row},
};

/// The pages of the damaged file that have rows of our tables, and can be read.
pub(super) struct Found {
    pages: Option<Pages>,
    pub of: HashMap<&'static str, Vec<Page>>,
    /// The columns of each table, in the order in which a row has them.
    stored: HashMap<&'static str, Stored>,
}

/// The key of a row, and its columns that are copied.
type Keyed = (i64, Vec<Value>);

/// A page with rows of a table, and the least and the greatest key in it.
pub(super) struct Page {
    pub number: u32,
    pub min: i64,
    pub max: i64,
}

struct Stored {
    columns: Vec<String>,
    /// True if the first column is the rowid.
    rowid: bool,
}

impl Found {
    /// Lists the pages of the damaged file. The new file knows how the rows are stored.
    pub fn of(from: &Connection, to: &Connection, old: &Path) -> Result<Found, DerivedError> {
        let mut stored = HashMap::new();
        for table in TABLES {
            let rowid =
                to.query_row("SELECT wr = 0 FROM pragma_table_list(?1)", [table.name], |row| row.get(0))?;
            // A table without rowids begins with its primary key. Columns that are computed are not stored.
            let sql = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 2 ORDER BY iif(?2 OR pk = 0, cid + 1000, pk)";
            let mut select = to.prepare(sql)?;
            let columns = select.query_map(params![table.name, rowid], |row| row.get(0))?;
            stored.insert(table.name, Stored { columns: columns.collect::<Result<_, _>>()?, rowid });
        }
        let mut found = Found { pages: open_pages(from, old), of: HashMap::new(), stored };
        let numbers: Vec<u32> = found.pages.iter().flat_map(Pages::numbers).collect();
        for number in numbers {
            let mut of = TABLES.iter().filter_map(|table| Some((table.name, found.rows(table, number)?.0)));
            // The rows of two tables may look the same. A row in the wrong table would be worse than a gap.
            let (Some((name, rows)), None) = (of.next(), of.next()) else { continue };
            let keys = || rows.iter().map(|(key, _)| *key);
            let (min, max) = (keys().min().unwrap_or_default(), keys().max().unwrap_or_default());
            found.of.entry(name).or_default().push(Page { number, min, max });
        }
        Ok(found)
    }

    /// Returns the rows of a page with their keys, and true if it is a leaf. `None` unless each of them fits the table.
    pub fn rows(&self, table: &Table, number: u32) -> Option<(Vec<Keyed>, bool)> {
        let page = self.pages.as_ref()?.rows(number)?;
        let rows = page.rows.into_iter().map(|row| self.stored[table.name].fit(table, row));
        Some((rows.collect::<Option<_>>()?, page.leaf))
    }
}

impl Stored {
    /// Returns the columns of a row that are copied, and its key, if the row fits the table.
    fn fit(&self, table: &Table, mut row: Row) -> Option<Keyed> {
        if row.id.is_some() != self.rowid || row.values.len() > self.columns.len() {
            return None;
        }
        if let Some(id) = row.id {
            let first = row.values.first_mut().filter(|first| **first == Value::Null)?;
            *first = Value::Integer(id);
        }
        let value = |(name, kind): &(&str, char)| {
            let at = self.columns.iter().position(|column| column == name)?;
            // A row from before a column was added does not have it.
            value(Ok(row.values.get(at).cloned().unwrap_or(Value::Null)), *kind)
        };
        let values = table.columns.iter().map(value).collect::<Option<Vec<_>>>()?;
        let at = table.columns.iter().position(|(column, _)| *column == table.key)?;
        match values[at] {
            Value::Integer(key) => Some((key, values)),
            _ => None,
        }
    }
}

/// Opens the pages of the damaged file, if all of it can be read there: its WAL is written back first.
fn open_pages(from: &Connection, old: &Path) -> Option<Pages> {
    let written = from.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    let mut wal = old.as_os_str().to_owned();
    wal.push("-wal");
    let empty = std::fs::metadata(wal).map_or(true, |wal| wal.len() == 0);
    if !matches!(written, Ok(0)) && !empty {
        return None;
    }
    Pages::open(old).ok().flatten()
}
