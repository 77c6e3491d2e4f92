//! The rows of a file, in one of its formats.

use std::{borrow::Cow, collections::HashMap};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::Format;
use crate::server::csv;

/// Writes rows one after another.
pub struct Rows {
    format: Format,
    columns: &'static [&'static str],
    begun: bool,
    ended: bool,
}

impl Rows {
    pub fn new(format: Format, columns: &'static [&'static str]) -> Rows {
        Rows { format, columns, begun: false, ended: false }
    }

    /// Writes one row, which is a JSON object.
    pub fn write(&mut self, to: &mut Vec<u8>, row: &[u8]) -> Result<(), serde_json::Error> {
        let is_first = self.begin(to);
        match self.format {
            Format::Json => {
                to.extend_from_slice(if is_first { b"\n" } else { b",\n" });
                to.extend_from_slice(row);
            }
            Format::Csv => {
                let members: HashMap<&str, &RawValue, RandomState> = serde_json::from_slice(row)?;
                for (n, column) in self.columns.iter().enumerate() {
                    if n > 0 {
                        to.push(b',');
                    }
                    if let Some(value) = members.get(column) {
                        cell(to, column, value.get())?;
                    }
                }
                to.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    /// Writes the end of the file. A file without rows has a head too.
    pub fn end(&mut self, to: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        self.begin(to);
        self.ended = true;
        if self.format == Format::Json {
            to.extend_from_slice(b"\n]\n");
        }
    }

    /// Writes the beginning of the file, once. Returns true if it was not written yet.
    fn begin(&mut self, to: &mut Vec<u8>) -> bool {
        let is_first = !self.begun;
        self.begun = true;
        match self.format {
            _ if !is_first => {}
            Format::Json => to.push(b'['),
            Format::Csv => csv::line(to, self.columns),
        }
        is_first
    }
}

/// Writes a JSON value as a cell: null is empty, a time is RFC 3339 in UTC, and an array or object is its JSON.
fn cell(to: &mut Vec<u8>, column: &str, json: &str) -> Result<(), serde_json::Error> {
    match json.as_bytes().first() {
        Some(b'"') => match json.strip_prefix('"').and_then(|json| json.strip_suffix('"')) {
            Some(text) if !text.contains('\\') => csv::cell(to, text),
            _ => csv::cell(to, &serde_json::from_str::<String>(json)?),
        },
        Some(b'[' | b'{') => csv::cell(to, &escaped(json)),
        Some(b'n') => {}
        _ => match json.parse().ok().filter(|_| is_time(column)).map(Timestamp::from_millisecond) {
            Some(Ok(at)) => to.extend_from_slice(format!("{at:.3}").as_bytes()),
            // Not a text: no number is a formula.
            _ => to.extend_from_slice(json.as_bytes()),
        },
    }
    Ok(())
}

/// Writes invisible characters as JSON does, so the cell is still JSON with the same value.
fn escaped(json: &str) -> Cow<'_, str> {
    if !json.contains(csv::is_invisible) {
        return json.into();
    }
    let mut text = String::new();
    for c in json.chars() {
        match c {
            c if csv::is_invisible(c) => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.into()
}

/// Returns true if the numbers of the column are unix milliseconds.
fn is_time(column: &str) -> bool {
    matches!(column, "at" | "since" | "timestamp")
        || ["At", "Since", "NotBefore"].iter().any(|end| column.ends_with(end))
}
