//! Accesses the WAL as a file, below SQLite.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use rusqlite::{Connection, ffi};

/// Size of one write. SQLite's VFS writes at most 128 KiB at once, and reports a longer write as a full disk.
const CHUNK_BYTES: usize = 64 << 10;

/// Writes the WAL over itself and syncs it: then the disk has the content of the kernel's cache.
///
/// It uses SQLite's own handle and VFS: closing a second handle of the same file would release SQLite's locks. Call it
/// only while no other connection is open.
pub(super) fn rewrite(connection: &Connection) -> rusqlite::Result<()> {
    // A read opens the WAL, if there is one.
    connection.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is open as long as `connection` lives, and SQLite stores the pointer to its WAL's file in
    // `file`. That pointer stays valid until the connection is closed. All calls use this file's own methods, on this
    // thread, and buffers of the given length.
    unsafe {
        let out: *mut c_void = (&raw mut file).cast();
        done(ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_JOURNAL_POINTER,
            out,
        ))?;
        if file.is_null() || (*file).pMethods.is_null() {
            return Ok(());
        }
        let methods = &*(*file).pMethods;
        let (Some(read), Some(write), Some(sync), Some(size)) =
            (methods.xRead, methods.xWrite, methods.xSync, methods.xFileSize)
        else {
            return Ok(());
        };
        let (mut bytes, mut at) = (0, 0);
        done(size(file, &mut bytes))?;
        let mut chunk = vec![0u8; CHUNK_BYTES];
        while at < bytes {
            let length = (bytes - at).min(CHUNK_BYTES as i64) as c_int;
            done(read(file, chunk.as_mut_ptr().cast(), length, at))?;
            done(write(file, chunk.as_ptr().cast(), length, at))?;
            at += i64::from(length);
        }
        done(sync(file, ffi::SQLITE_SYNC_NORMAL))
    }
}

fn done(code: c_int) -> rusqlite::Result<()> {
    match code {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}
