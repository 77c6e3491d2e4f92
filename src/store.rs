//! SQLite files: opened, versioned, migrated, checked and repaired in one way.
//!
//! `PRAGMA application_id` says which of Roomwatch's files it is, `PRAGMA user_version` which version its tables have.
//! An older version is migrated in place, one transaction a step, so a crash leaves one version or the next. A newer
//! version is an error: this program would not understand it. A file that cannot be read is put aside under another
//! name and a new one begins; nothing is deleted unless the owner of the file says so ([`Repair::Recreate`]).
//!
//! The log is not opened here: its file has an epoch, recovers by its own rules and is never replaced.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Maximum time that a statement waits for another connection to the same file.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// Prepared statements kept by a connection.
const STATEMENTS_KEPT: usize = 64;
/// Connections that [`Readers`] keeps open between queries.
const READERS_KEPT: usize = 4;
/// Files up to this size are checked in full when they are opened, which takes milliseconds. A damaged page of a larger
/// file is found when it is read.
const CHECK_BYTES_MAX: u64 = 8 << 20;

/// One kind of file in the data directory.
pub struct Store {
    /// Name of the file.
    pub file: &'static str,
    /// `PRAGMA application_id`. Four letters in ASCII, different for each kind of file.
    pub application_id: i32,
    /// Version of the tables that the first step makes.
    pub first_version: i64,
    /// SQL that makes the tables, and then SQL that brings them from each version to the next. A new file takes every
    /// step too, so it cannot differ from one that was migrated.
    pub steps: &'static [&'static str],
    /// Returns the version of a file from before `user_version` was set, by its tables. `None`: not a file of this kind.
    pub unversioned: fn(&Connection) -> rusqlite::Result<Option<i64>>,
    pub repair: Repair,
    /// Only the user of this process may read the file.
    pub private: bool,
    /// Pragmas of the writing connection, beyond those of every store.
    pub pragmas: &'static str,
}

/// Treatment of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is renamed and kept: an operator may need its content.
    PutAside,
    /// It is deleted: its content can be rebuilt, and is not worth the space on the disk.
    Recreate,
}

/// Reason why a file cannot be opened. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "{path} was written by a newer Roomwatch (version {found}, this one knows {known}). Start that version, or move the file away to begin without it"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("cannot use {path}: {cause}. Check that it is writable and that the disk has space")]
    Sqlite { path: PathBuf, cause: rusqlite::Error },
    #[error("cannot use {path}: {cause}. Check the permissions of the data directory")]
    Io { path: PathBuf, cause: io::Error },
}

/// Reason why a file was not opened, before it is repaired.
enum Failure {
    /// Its content is damaged.
    Damaged(String),
    /// It is another kind of file, or its version is too old.
    Foreign(String),
    Error(StoreError),
}

impl Store {
    /// Opens the file in `dir` for writing. Makes it, migrates it or replaces it if necessary.
    ///
    /// A commit is on the disk when it returns.
    pub fn open(&self, dir: &Path) -> Result<Connection, StoreError> {
        Ok(self.open_or_replace(dir)?.0)
    }

    /// As [`Store::open`]. Returns the path of the old file too, if it was damaged and has been put aside: its owner may
    /// be able to read some of it.
    pub fn open_or_replace(&self, dir: &Path) -> Result<(Connection, Option<PathBuf>), StoreError> {
        let path = dir.join(self.file);
        let again = |path: &Path| match self.try_open(path) {
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Damaged(why) | Failure::Foreign(why)) => {
                Err(StoreError::Io { path: path.to_owned(), cause: io::Error::other(why) })
            }
            Ok(connection) => Ok(connection),
        };
        match self.try_open(&path) {
            Ok(connection) => Ok((connection, None)),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Damaged(why)) => {
                let aside = self.put_aside(dir, &why)?;
                Ok((again(&path)?, aside))
            }
            Err(Failure::Foreign(why)) => {
                keep_aside(&path, &why)?;
                Ok((again(&path)?, None))
            }
        }
    }

    /// Treats the file as [`Store::repair`] says, because it is damaged. The next [`Store::open`] makes a new one. Returns
    /// the new path of the old file, if that is kept.
    pub fn put_aside(&self, dir: &Path, why: &str) -> Result<Option<PathBuf>, StoreError> {
        let path = dir.join(self.file);
        if self.repair == Repair::PutAside {
            return keep_aside(&path, why).map(Some);
        }
        tracing::error!(
            "{} is damaged and is created again without its content: {why}. Check the disk",
            path.display()
        );
        remove(&path).map_err(|cause| StoreError::Io { path: path.clone(), cause })?;
        Ok(None)
    }

    /// Returns the pool of connections that read the file in `dir`.
    pub fn readers(&self, dir: &Path) -> Readers {
        Readers { path: dir.join(self.file), idle: Mutex::default() }
    }

    /// Returns the version of the tables of an open file.
    pub fn version(&self) -> i64 {
        self.first_version + self.steps.len() as i64 - 1
    }

    fn try_open(&self, path: &Path) -> Result<Connection, Failure> {
        let io = |cause| Failure::Error(StoreError::Io { path: path.to_owned(), cause });
        let sqlite = |cause: rusqlite::Error| match is_damage(&cause) {
            true => Failure::Damaged(cause.to_string()),
            false => Failure::Error(StoreError::Sqlite { path: path.to_owned(), cause }),
        };
        let new = !path.exists();
        if self.private {
            // Before SQLite creates the WAL, which gets the permissions of the file.
            keep_private(path).map_err(io)?;
        }
        let mut connection = Connection::open(path).map_err(sqlite)?;
        connection.busy_timeout(BUSY_MAX).map_err(sqlite)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // Nothing is written until the file is known to be ours.
        let found = match self.found(&connection).map_err(sqlite)? {
            Found::Empty => self.first_version - 1,
            Found::Version(found) if found > self.version() => {
                let known = self.version();
                return Err(Failure::Error(StoreError::Newer { path: path.to_owned(), found, known }));
            }
            Found::Version(found) if found < self.first_version => {
                return Err(Failure::Foreign(format!("its version {found} is too old to be migrated")));
            }
            Found::Version(found) => found,
            Found::Foreign => return Err(Failure::Foreign("it is not a file of this kind".to_owned())),
        };
        if fs::metadata(path).is_ok_and(|file| file.len() <= CHECK_BYTES_MAX) {
            let check: String =
                connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sqlite)?;
            if check != "ok" {
                return Err(Failure::Damaged(check));
            }
        }
        connection
            .execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {}", self.pragmas))
            .map_err(sqlite)?;
        for version in found + 1..=self.version() {
            self.step(&mut connection, version).map_err(sqlite)?;
        }
        if (self.first_version..self.version()).contains(&found) {
            tracing::info!("{} has been migrated from version {found} to {}", self.file, self.version());
        }
        if let Some(dir) = path.parent().filter(|_| new) {
            // The name of a new file is durable only after its directory is synced.
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
        }
        Ok(connection)
    }

    fn found(&self, connection: &Connection) -> rusqlite::Result<Found> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let version = pragma("user_version")?;
        let application = pragma("application_id")?;
        Ok(if application == i64::from(self.application_id) {
            Found::Version(version)
        } else if application != 0 || version != 0 {
            Found::Foreign
        } else if connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?
            == 0
        {
            Found::Empty
        } else {
            (self.unversioned)(connection)?.map_or(Found::Foreign, Found::Version)
        })
    }

    /// Brings the tables to `version` from the one before.
    fn step(&self, connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
        let step = usize::try_from(version - self.first_version).ok().and_then(|n| self.steps.get(n));
        let transaction = connection.transaction()?;
        transaction.execute_batch(step.copied().unwrap_or_default())?;
        transaction.pragma_update(None, "application_id", self.application_id)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()
    }
}

/// Kind and version in the header of a file.
enum Found {
    /// There are no tables yet.
    Empty,
    Version(i64),
    Foreign,
}

/// Returns true if the file has this table. Files without a version are recognised by their tables.
pub fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// Returns true if the error says that the content of a file is damaged: its pages, or a value that no program has
/// written.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::Utf8Error(..) => true,
        error => {
            matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
        }
    }
}

/// Reads every page of the tables and indexes of a file, on its own connection. Returns the first damage.
pub fn check(path: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    let checked: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match checked {
        Ok(answer) => Ok((answer != "ok").then_some(answer)),
        Err(error) if is_damage(&error) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Returns the bytes of a file's used pages. Later rows use the others again.
pub fn used_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")? - pragma("freelist_count")?;
    Ok((pages * pragma("page_size")?) as u64)
}

/// Connections that read one file. Each query has one to itself.
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// Counts how often the file was replaced. A connection to an earlier file is not kept.
    replaced: u64,
}

impl Readers {
    /// Runs `query` on a connection. Blocks the thread.
    pub fn read<T, E: From<rusqlite::Error>>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let (idle, replaced) = {
            let mut idle = self.idle.lock();
            (idle.connections.pop(), idle.replaced)
        };
        let connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = query(&connection);
        let mut idle = self.idle.lock();
        if idle.connections.len() < READERS_KEPT && idle.replaced == replaced {
            idle.connections.push(connection);
        }
        answer
    }

    /// Closes the idle connections, because there is a new file under this name.
    pub fn replaced(&self) {
        let mut idle = self.idle.lock();
        idle.connections.clear();
        idle.replaced += 1;
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_MAX)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    }
}

/// Creates the file if it does not exist, and makes it readable for its user only.
fn keep_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        tracing::warn!("other users of the system may read {}: {error}", path.display());
    }
    Ok(())
}

/// Returns the path of a file that SQLite keeps beside another one.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Puts a file aside, and says so.
fn keep_aside(path: &Path, why: &str) -> Result<PathBuf, StoreError> {
    let aside = put_aside(path).map_err(|cause| StoreError::Io { path: path.to_owned(), cause })?;
    tracing::error!(
        "{} is created again, and the old file is kept as {}: {why}. Check the disk; delete the old file when it is not needed",
        path.display(),
        aside.display()
    );
    Ok(aside)
}

/// Renames a file and its WAL to the first free name, and returns that name.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = (1_u64..).map(|n| beside(path, &format!(".old{n}"))).find(|aside| !aside.exists());
    let aside = aside.ok_or(io::ErrorKind::AlreadyExists)?;
    fs::rename(path, &aside)?;
    absent_is_fine(fs::rename(beside(path, "-wal"), beside(&aside, "-wal")))?;
    absent_is_fine(fs::remove_file(beside(path, "-shm")))?;
    Ok(aside)
}

fn remove(path: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        absent_is_fine(fs::remove_file(beside(path, ending)))?;
    }
    Ok(())
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE note (text TEXT NOT NULL)";

    fn store(steps: &'static [&'static str], repair: Repair) -> Store {
        Store {
            file: "notes.db",
            application_id: 0x526d_4e6f,
            first_version: 1,
            steps,
            unversioned: |connection| Ok(has_table(connection, "note")?.then_some(1)),
            repair,
            private: true,
            pragmas: "",
        }
    }

    fn notes(connection: &Connection) -> Vec<String> {
        let mut select = connection.prepare("SELECT text FROM note").expect("a statement");
        let rows = select.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("texts")
    }

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number")
    }

    #[test]
    fn an_older_file_is_migrated_and_keeps_its_rows() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = store(&[FIRST], Repair::PutAside).open(dir.path()).expect("it opens");
        first.execute("INSERT INTO note VALUES ('hello')", []).expect("inserted");
        drop(first);
        let newer: &[&str] =
            &[FIRST, "ALTER TABLE note ADD COLUMN at INTEGER", "UPDATE note SET text = text || '!'"];
        let migrated = store(newer, Repair::PutAside).open(dir.path()).expect("it opens");
        assert_eq!((notes(&migrated), version(&migrated)), (vec!["hello!".to_owned()], 3));
        drop(migrated);
        let again = store(newer, Repair::PutAside).open(dir.path()).expect("it opens");
        assert_eq!(notes(&again), ["hello!"], "no step is taken twice");
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = store(&[FIRST], Repair::PutAside).open(dir.path()).expect("it opens");
        first.execute("INSERT INTO note VALUES ('hello')", []).expect("inserted");
        drop(first);
        let broken: &[&str] = &[FIRST, "DELETE FROM note; INSERT INTO nowhere VALUES (1)"];
        let error = store(broken, Repair::PutAside).open(dir.path()).expect_err("there is no such table");
        assert!(error.to_string().contains("nowhere"), "{error}");
        let first = store(&[FIRST], Repair::PutAside).open(dir.path()).expect("it opens");
        assert_eq!((notes(&first), version(&first)), (vec!["hello".to_owned()], 1));
    }

    #[test]
    fn a_file_from_before_versions_is_recognised_by_its_tables() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.db");
        let old = Connection::open(&path).expect("it opens");
        old.execute_batch("CREATE TABLE note (text TEXT NOT NULL); INSERT INTO note VALUES ('old')")
            .expect("made");
        drop(old);
        let steps: &[&str] = &[FIRST, "UPDATE note SET text = text || ' and migrated'"];
        let migrated = store(steps, Repair::PutAside).open(dir.path()).expect("it opens");
        assert_eq!((notes(&migrated), version(&migrated)), (vec!["old and migrated".to_owned()], 2));
    }

    #[test]
    fn a_newer_file_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(store(&[FIRST, "SELECT 1"], Repair::Recreate).open(dir.path()).expect("it opens"));
        let before = fs::read(dir.path().join("notes.db")).expect("a file");
        let error = store(&[FIRST], Repair::Recreate).open(dir.path()).expect_err("newer");
        let said = error.to_string();
        assert!(
            said.contains("version 2, this one knows 1") && said.contains("Start that version"),
            "{said}"
        );
        assert_eq!(fs::read(dir.path().join("notes.db")).expect("a file"), before);
    }

    #[test]
    fn a_damaged_file_is_put_aside_or_created_again_as_its_owner_says() {
        for (repair, aside) in [(Repair::PutAside, true), (Repair::Recreate, false)] {
            for (what, offset) in [("the header", 0), ("a page", 4096 + 8)] {
                let dir = tempfile::tempdir().expect("a directory");
                let path = dir.path().join("notes.db");
                let connection = store(&[FIRST], repair).open(dir.path()).expect("it opens");
                let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                            INSERT INTO note SELECT i FROM n";
                connection.execute(many, []).expect("inserted");
                drop(connection);
                let mut bytes = fs::read(&path).expect("a file");
                bytes[offset..offset + 512].fill(0x55);
                fs::write(&path, &bytes).expect("written");
                let connection = store(&[FIRST], repair).open(dir.path()).expect("it opens");
                assert_eq!(notes(&connection).len(), 0, "{what}");
                let kept = fs::read(dir.path().join("notes.db.old1")).ok();
                assert_eq!(kept, aside.then_some(bytes), "{what}");
            }
        }
    }

    #[test]
    fn a_foreign_file_is_never_deleted() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.db");
        Connection::open(&path).expect("it opens").execute_batch("CREATE TABLE other (a)").expect("made");
        drop(store(&[FIRST], Repair::Recreate).open(dir.path()).expect("it opens"));
        assert!(dir.path().join("notes.db.old1").exists());
    }

    #[test]
    fn a_private_file_is_readable_for_its_user_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let connection = store(&[FIRST], Repair::PutAside).open(dir.path()).expect("it opens");
        connection.execute("INSERT INTO note VALUES ('secret')", []).expect("inserted");
        for file in ["notes.db", "notes.db-wal"] {
            let rights = fs::metadata(dir.path().join(file)).expect("a file").permissions().mode();
            assert_eq!(rights & 0o777, 0o600, "{file}");
        }
    }
}
