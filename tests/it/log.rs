//! The log's promises, tested through the trait.

use std::path::Path;

use roomwatch::log::{LogOptions, sqlite::SqliteLog};

mod kill;
mod packed;
mod power;
mod restored;
mod served;
mod sqlite;
mod story;

fn open(dir: &Path) -> SqliteLog {
    SqliteLog::open(dir, LogOptions::default()).expect("the log opens")
}
