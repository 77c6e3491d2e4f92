//! Reads the rows on the pages of a SQLite file, one page at a time, without the pages above them.
//!
//! SQLite finds a row from the root of its table. If a page on this way is damaged, the rows below it are lost for SQLite,
//! although their own pages are sound. The format is that of <https://www.sqlite.org/fileformat2.html>.
//!
//! Pages on the list of free pages are not read, because they have rows that were removed. So a file whose list cannot be
//! read has no rows here.

use std::{collections::HashSet, fs::File, io, os::unix::fs::FileExt, path::Path};

use rusqlite::types::Value;

/// Maximum length of a row. A longer one is damage.
const ROW_BYTES_MAX: usize = 64 << 20;

/// First byte of the pages that have rows.
const INDEX_INTERIOR: u8 = 2;
const INDEX_LEAF: u8 = 10;
const TABLE_LEAF: u8 = 13;

/// A file whose list of free pages can be read.
pub(super) struct Pages {
    file: File,
    size: usize,
    /// Bytes of a page without those that are reserved at its end.
    usable: usize,
    count: u32,
    free: HashSet<u32>,
}

/// A row of a table with rowids, or of an index or a `WITHOUT ROWID` table.
pub(super) struct Row {
    pub id: Option<i64>,
    pub values: Vec<Value>,
}

/// The rows of one page, in the order of the page.
pub(super) struct Rows {
    pub rows: Vec<Row>,
    /// True if no other page is between two of the rows.
    pub leaf: bool,
}

impl Pages {
    /// Opens a file into which its WAL has been written back. `None` if it is not a SQLite file, or if it is unknown which of
    /// its pages are free.
    pub fn open(path: &Path) -> io::Result<Option<Pages>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut header = [0; 100];
        if length < header.len() as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0)?;
        let size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        if !header.starts_with(b"SQLite format 3\0") || size < 512 || !size.is_power_of_two() {
            return Ok(None);
        }
        let usable = size - usize::from(header[20]);
        let count = u32::try_from(length / size as u64).unwrap_or(u32::MAX);
        let mut pages = Pages { file, size, usable, count, free: HashSet::new() };
        let (first, free) = (number(&header, 32), number(&header, 36));
        Ok((pages.list_free(first)? == free).then_some(pages))
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> + use<'_> {
        (1..=self.count).filter(|page| !self.free.contains(page))
    }

    /// Returns the rows of a page. `None` if it has none, or if any of it is damaged.
    pub fn rows(&self, page: u32) -> Option<Rows> {
        let bytes = self.page(page).ok()?;
        // The first page begins with the header of the file.
        let start = if page == 1 { 100 } else { 0 };
        let kind = bytes[start];
        let header = match kind {
            INDEX_INTERIOR => 12,
            INDEX_LEAF | TABLE_LEAF => 8,
            _ => return None,
        };
        let count = usize::from(short(&bytes, start + 3)?);
        let pointers = start + header;
        let mut rows = Vec::with_capacity(count);
        for n in 0..count {
            let cell = usize::from(short(&bytes, pointers + 2 * n)?);
            if cell < pointers + 2 * count {
                return None;
            }
            rows.push(self.cell(kind, bytes.get(..self.usable)?.get(cell..)?)?);
        }
        let ascending = rows.windows(2).all(|pair| pair[0].id.is_none() || pair[0].id < pair[1].id);
        (ascending && count > 0).then_some(Rows { rows, leaf: kind != INDEX_INTERIOR })
    }

    fn cell(&self, kind: u8, mut cell: &[u8]) -> Option<Row> {
        if kind == INDEX_INTERIOR {
            // The number of the page before this row.
            cell = cell.get(4..)?;
        }
        let length = usize::try_from(varint(&mut cell)?).ok().filter(|length| *length <= ROW_BYTES_MAX)?;
        let id = if kind == TABLE_LEAF { Some(varint(&mut cell)?.cast_signed()) } else { None };
        let here = self.local(kind, length);
        let mut payload = cell.get(..here)?.to_vec();
        let mut next = if here < length { number(cell.get(here..here + 4)?, 0) } else { 0 };
        while payload.len() < length {
            if next < 2 || next > self.count || self.free.contains(&next) {
                return None;
            }
            let page = self.page(next).ok()?;
            let rest = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(&page[4..][..rest]);
            next = number(&page, 0);
        }
        (next == 0).then_some(())?;
        Some(Row { id, values: record(&payload)? })
    }

    /// Returns the bytes of a row that are on its own page.
    fn local(&self, kind: u8, length: usize) -> usize {
        let max = match kind {
            TABLE_LEAF => self.usable - 35,
            _ => (self.usable - 12) * 64 / 255 - 23,
        };
        if length <= max {
            return length;
        }
        let min = (self.usable - 12) * 32 / 255 - 23;
        let fitting = min + (length - min) % (self.usable - 4);
        if fitting <= max { fitting } else { min }
    }

    /// Notes the free pages from this trunk on, and returns their number. A list that cannot be read has another number than
    /// the header says.
    fn list_free(&mut self, first: u32) -> io::Result<u32> {
        let mut trunk = first;
        while (2..=self.count).contains(&trunk) && self.free.insert(trunk) {
            let page = self.page(trunk)?;
            let leaves = (number(&page, 4) as usize).min(self.usable / 4 - 2);
            self.free.extend((0..leaves).map(|n| number(&page, 8 + 4 * n)));
            trunk = number(&page, 0);
        }
        Ok(u32::try_from(self.free.len()).unwrap_or(u32::MAX))
    }

    fn page(&self, page: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.size];
        self.file.read_exact_at(&mut bytes, u64::from(page - 1) * self.size as u64)?;
        Ok(bytes)
    }
}

/// Reads the values of a row.
fn record(payload: &[u8]) -> Option<Vec<Value>> {
    let mut rest = payload;
    let header = usize::try_from(varint(&mut rest)?).ok()?;
    let mut types = payload.get(payload.len() - rest.len()..header)?;
    let mut content = payload.get(header..)?;
    let mut values = Vec::new();
    while !types.is_empty() {
        let kind = varint(&mut types)?;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let bytes = content.split_off(..length)?;
        values.push(match kind {
            0 => Value::Null,
            1..=6 => Value::Integer(integer(bytes)),
            7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            8 | 9 => Value::Integer(i64::from(kind == 9)),
            _ if kind.is_multiple_of(2) => Value::Blob(bytes.to_vec()),
            _ => Value::Text(str::from_utf8(bytes).ok()?.to_owned()),
        });
    }
    content.is_empty().then_some(values)
}

/// Takes a variable-length integer from the beginning of `bytes`.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for n in 0..9 {
        let byte = *bytes.split_off_first()?;
        if n == 8 {
            return Some(value << 8 | u64::from(byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            break;
        }
    }
    Some(value)
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |value, byte| value << 8 | i64::from(*byte))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}
