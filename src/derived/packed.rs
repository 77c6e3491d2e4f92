//! Compressed content of a row.

use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use zstd::bulk::Compressor;

/// Level of zstd: higher ones take several times as long for some percent.
const LEVEL: i32 = 3;

/// The first bytes of what zstd has packed.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Packs a content, with a checksum: it shows damage that SQLite cannot see.
pub(super) fn pack(raw: &[u8]) -> rusqlite::Result<Vec<u8>> {
    let pack = || {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(raw)
    };
    pack().map_err(|error: io::Error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// Returns the content. Up to version 5 of the file, it was packed with zlib.
pub(super) fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
    if packed.starts_with(&ZSTD) {
        return zstd::stream::decode_all(packed);
    }
    let mut raw = Vec::with_capacity(packed.len() * 8);
    ZlibDecoder::new(packed).read_to_end(&mut raw)?;
    Ok(raw)
}
