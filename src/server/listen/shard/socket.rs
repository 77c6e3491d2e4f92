//! Writes pieces to a non-blocking socket.

use std::io::{self, ErrorKind, IoSlice, Write};

use bytes::Bytes;
use mio::net::TcpStream;

/// Maximum number of pieces in one `writev(2)`. A frame is one piece, or three if its changes are left out.
pub(super) const PIECES_MAX: usize = 64;

/// Result of a write.
pub(super) enum Written {
    All,
    /// Number of bytes that the socket accepted. It is full now.
    Part(usize),
}

/// Writes pieces with one system call.
pub(super) fn write<'a>(
    socket: &mut TcpStream,
    pieces: impl Iterator<Item = &'a Bytes>,
) -> io::Result<Written> {
    let mut slices = [IoSlice::new(&[]); PIECES_MAX];
    let (mut count, mut bytes) = (0, 0);
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
        bytes += piece.len();
    }
    loop {
        let written = match &slices[..count] {
            [] => return Ok(Written::All),
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        };
        return match written {
            Ok(written) if written == bytes => Ok(Written::All),
            Ok(written) => Ok(Written::Part(written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Written::Part(0)),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
    }
}

/// Writes the rest of a reader. Bytes that the socket does not accept stay in `rest`.
pub(super) fn write_rest(socket: &mut TcpStream, rest: &mut Vec<Bytes>) -> io::Result<()> {
    while !rest.is_empty() {
        let count = rest.len().min(PIECES_MAX);
        match write(socket, rest[..count].iter())? {
            Written::All => drop(rest.drain(..count)),
            Written::Part(mut written) => {
                let whole = rest.iter().take_while(|piece| {
                    let whole = written >= piece.len();
                    written -= if whole { piece.len() } else { 0 };
                    whole
                });
                let whole = whole.count();
                rest.drain(..whole);
                // A piece is left: otherwise the result would be `All`.
                let _ = rest[0].split_to(written);
                return Ok(());
            }
        }
    }
    rest.shrink_to_fit();
    Ok(())
}
