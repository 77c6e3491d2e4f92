//! Older events, compressed: many events of one row of `chunks`, with zstd.
//!
//! An event begins as a row of `events`. Upkeep packs the oldest rows into a chunk and removes them, in one transaction.
//! So chunks come before rows, both without gaps, and a reader looks at both in one transaction. The ids of a chunk are
//! not compressed, because a start reads the newest of them and they do not become smaller.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    file::{self, damaged},
    ids::Key,
};
use crate::event::{Event, Kind, Seq};

/// Maximum number of events and bytes in a chunk. A read of one event decompresses all of them, and a step of upkeep
/// compresses them.
const CHUNK_EVENTS: usize = 256;
const CHUNK_BYTES: usize = 1 << 20;

/// Maximum difference between the times of the events in a chunk. Retention removes a whole chunk, so it removes an event
/// at most this much later than it should.
const CHUNK_TIME_MS: u64 = 24 * 3600 * 1000;

/// Number of the newest events that stay rows. A start reads them back.
pub(super) const ROWS_MIN: u64 = 64;

/// Level of zstd: higher ones take several times as long for some percent.
const LEVEL: i32 = 3;

/// The length that stands for `None`.
const NONE: u32 = u32::MAX;

pub(super) const TABLE: &str = "
    CREATE TABLE chunks (
        last        INTEGER PRIMARY KEY,
        first       INTEGER NOT NULL,
        earliest    INTEGER NOT NULL,
        latest      INTEGER NOT NULL,
        ids         BLOB NOT NULL,
        raw_bytes   INTEGER NOT NULL,
        packed      BLOB NOT NULL
    );
";

/// First and last event of a chunk, and the latest time in it.
pub(super) struct Span {
    pub first: Seq,
    pub last: Seq,
    pub latest: u64,
}

/// Packs the oldest rows up to `through` into one chunk, if there are enough of them. Returns the approximate number of
/// bytes that it wrote to the WAL.
pub(super) fn pack_next(connection: &mut Connection, through: Seq) -> rusqlite::Result<usize> {
    let tx = connection.transaction()?;
    let mut chunk = Chunk::default();
    {
        let mut select = tx.prepare_cached("SELECT * FROM events WHERE seq <= ?1 ORDER BY seq LIMIT ?2")?;
        let mut rows = select.query(params![through.0 as i64, CHUNK_EVENTS as i64])?;
        while let Some(row) = rows.next()? {
            let event = file::event(row, &mut None)?;
            if !chunk.take(&event, row.get(1)?) {
                chunk.is_full = true;
                break;
            }
        }
    }
    let Some(Span { first, last, latest }) = chunk.span.take_if(|_| chunk.is_full) else { return Ok(0) };
    let packed = zstd::bulk::compress(&chunk.raw, LEVEL).map_err(unpackable)?;
    tx.prepare_cached("INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
        last.0 as i64,
        first.0 as i64,
        chunk.earliest as i64,
        latest as i64,
        chunk.ids,
        chunk.raw.len() as i64,
        packed,
    ])?;
    tx.prepare_cached("DELETE FROM events WHERE seq <= ?1")?.execute([last.0 as i64])?;
    tx.commit()?;
    Ok(packed.len() + 4 * file::PAGE_BYTES)
}

/// A chunk that is being filled.
#[derive(Default)]
struct Chunk {
    span: Option<Span>,
    earliest: u64,
    ids: Vec<u8>,
    raw: Vec<u8>,
    count: usize,
    is_full: bool,
}

impl Chunk {
    /// Adds the next event. Returns false if the chunk is full without it.
    fn take(&mut self, event: &Event, key: Key) -> bool {
        let at = event.received_at;
        let span = self.span.get_or_insert(Span { first: event.seq, last: event.seq, latest: at });
        let (earliest, latest) = match self.count {
            0 => (at, at),
            _ => (self.earliest.min(at), span.latest.max(at)),
        };
        let fits = self.raw.len() + event.body.len() <= CHUNK_BYTES && latest - earliest <= CHUNK_TIME_MS;
        if self.count > 0 && !fits {
            return false;
        }
        (self.earliest, span.latest, span.last) = (earliest, latest, event.seq);
        self.ids.extend_from_slice(&key);
        encode(event, &mut self.raw);
        self.count += 1;
        self.is_full = self.count == CHUNK_EVENTS;
        true
    }
}

/// Calls `take` with the packed events after `after` up to `last`, in order, until it returns false.
pub(super) fn read(
    connection: &Connection,
    after: Seq,
    last: Seq,
    mut take: impl FnMut(Event) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    let mut select = connection.prepare_cached(
        "SELECT first, raw_bytes, packed FROM chunks WHERE last > ?1 AND first <= ?2 ORDER BY last",
    )?;
    let mut rows = select.query(params![after.0 as i64, last.0 as i64])?;
    let mut project = None;
    while let Some(row) = rows.next()? {
        let mut seq = Seq(row.get::<_, i64>(0)? as u64);
        let raw = zstd::bulk::decompress(row.get_ref(2)?.as_blob()?, row.get::<_, i64>(1)? as usize)
            .map_err(unpackable)?;
        let mut raw = &raw[..];
        while !raw.is_empty() && seq <= last {
            let event = decode(seq, &mut raw, seq > after, &mut project)?;
            seq = seq.next();
            if let Some(event) = event
                && !take(event)?
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns the last packed event from `first` to `last` that was received at `unix_ms` or before.
pub(super) fn seek(
    connection: &Connection,
    first: Seq,
    last: Seq,
    unix_ms: i64,
) -> rusqlite::Result<Option<Seq>> {
    let mut select = connection.prepare_cached(
        "SELECT first, last FROM chunks WHERE earliest <= ?1 AND last >= ?2 AND first <= ?3 ORDER BY last DESC",
    )?;
    let mut rows = select.query(params![unix_ms, first.0 as i64, last.0 as i64])?;
    while let Some(row) = rows.next()? {
        let (low, high) = (row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64);
        let mut found = None;
        read(connection, Seq(low.max(first.0) - 1), Seq(high.min(last.0)), |event| {
            if event.received_at as i64 <= unix_ms {
                found = Some(event.seq);
            }
            Ok(true)
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Returns the oldest chunk.
pub(super) fn oldest(connection: &Connection) -> rusqlite::Result<Option<Span>> {
    let mut select =
        connection.prepare_cached("SELECT first, last, latest FROM chunks ORDER BY last LIMIT 1")?;
    let span = |row: &rusqlite::Row<'_>| {
        Ok(Span {
            first: Seq(row.get::<_, i64>(0)? as u64),
            last: Seq(row.get::<_, i64>(1)? as u64),
            latest: row.get::<_, i64>(2)? as u64,
        })
    };
    select.query_row([], span).optional()
}

/// Returns the last packed event.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<Option<Seq>> {
    connection.query_row("SELECT max(last) FROM chunks", [], |row| {
        Ok(row.get::<_, Option<i64>>(0)?.map(|last| Seq(last as u64)))
    })
}

/// Calls `take` with the id of each packed event after `after`.
pub(super) fn ids(
    connection: &Connection,
    after: Seq,
    mut take: impl FnMut(Key, Seq),
) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare_cached("SELECT first, ids FROM chunks WHERE last > ?1 ORDER BY last")?;
    let mut rows = select.query([after.0 as i64])?;
    while let Some(row) = rows.next()? {
        let first = row.get::<_, i64>(0)? as u64;
        let (keys, _) = row.get_ref(1)?.as_blob()?.as_chunks();
        for (seq, key) in (first..).map(Seq).zip(keys) {
            if seq > after {
                take(*key, seq);
            }
        }
    }
    Ok(())
}

fn encode(event: &Event, to: &mut Vec<u8>) {
    to.extend_from_slice(&event.received_at.to_le_bytes());
    to.push(file::stored(event.source));
    let mut put = |bytes: Option<&[u8]>| {
        to.extend_from_slice(&bytes.map_or(NONE, |bytes| bytes.len() as u32).to_le_bytes());
        to.extend_from_slice(bytes.unwrap_or_default());
    };
    put(Some(event.project.as_bytes()));
    put(Some(event.kind.as_str().as_bytes()));
    put(event.room.as_deref().map(str::as_bytes));
    put(event.room_sid.as_deref().map(str::as_bytes));
    put(Some(&event.body));
}

/// Reads the event at the beginning of `from`, and moves on. Returns `None` if the event is not `wanted`.
fn decode(
    seq: Seq,
    from: &mut &[u8],
    wanted: bool,
    project: &mut Option<Arc<str>>,
) -> rusqlite::Result<Option<Event>> {
    let cut = || damaged(0, &format!("event {seq} is cut off"));
    let mut bytes = |count: usize| from.split_off(..count).ok_or_else(cut);
    let received_at = bytes(8)?;
    let source = bytes(1)?[0];
    let mut field = || {
        let length = u32::from_le_bytes(bytes(4)?.try_into().map_err(|_| cut())?);
        Ok::<_, rusqlite::Error>(if length == NONE { None } else { Some(bytes(length as usize)?) })
    };
    let (name, kind, room, room_sid, body) = (field()?, field()?, field()?, field()?, field()?);
    if !wanted {
        return Ok(None);
    }
    let text = |bytes: Option<&[u8]>| -> rusqlite::Result<Option<Arc<str>>> {
        let text = bytes.map(str::from_utf8).transpose();
        Ok(text.map_err(|_| damaged(0, &format!("event {seq} is not text")))?.map(Arc::from))
    };
    let name = name.unwrap_or_default();
    let project = match project {
        Some(known) if known.as_bytes() == name => known.clone(),
        _ => project.insert(text(Some(name))?.unwrap_or_default()).clone(),
    };
    Ok(Some(Event {
        seq,
        project,
        source: file::source(source.into())?,
        received_at: u64::from_le_bytes(received_at.try_into().map_err(|_| cut())?),
        kind: Kind::from(&*text(kind)?.unwrap_or_default()),
        room: text(room)?,
        room_sid: text(room_sid)?,
        body: Bytes::copy_from_slice(body.unwrap_or_default()),
    }))
}

fn unpackable(cause: std::io::Error) -> rusqlite::Error {
    damaged(0, &format!("a chunk cannot be packed or unpacked: {cause}"))
}
