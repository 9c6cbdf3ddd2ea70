//! Checksums of large files with holes. They find damage, not malice.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use flate2::Crc;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// What is read at once, in bytes.
const BLOCK: usize = 1 << 18;

/// A file's size in bytes, and the checksum of what is in it.
pub fn of(file: &mut File) -> io::Result<(u64, u32)> {
    let size = file.metadata()?.len();
    let mut crc = Crc::new();
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    while let Some((from, to)) = data_after(file, at, size)? {
        file.seek(SeekFrom::Start(from))?;
        let mut left = file.take(to - from);
        let mut position = from;
        loop {
            let count = read_block(&mut left, &mut buffer)?;
            if count == 0 {
                break;
            }
            // A block of zeros counts as little as a hole, wherever the file system has put holes.
            if buffer[..count].iter().any(|byte| *byte != 0) {
                crc.update(&position.to_le_bytes());
                crc.update(&buffer[..count]);
            }
            position += count as u64;
        }
        at = to;
    }
    Ok((size, crc.sum()))
}

/// The next part that is not a hole, in whole blocks.
fn data_after(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let seek = |at: u64, whence| {
        let at = i64::try_from(at).map_err(io::Error::other)?;
        match lseek(file, at, whence) {
            Ok(found) => Ok(Some(found.cast_unsigned())),
            Err(Errno::ENXIO) => Ok(None),
            Err(error) => Err(io::Error::from(error)),
        }
    };
    if at >= size {
        return Ok(None);
    }
    let Some(from) = seek(at, Whence::SeekData)? else {
        return Ok(None);
    };
    let to = seek(from, Whence::SeekHole)?.unwrap_or(size);
    let block = BLOCK as u64;
    Ok(Some((
        (from / block * block).max(at),
        to.next_multiple_of(block).min(size),
    )))
}

/// Fills the buffer as far as there is something to read.
fn read_block(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match from.read(&mut buffer[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(parts: &[(u64, &[u8])], size: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for (at, bytes) in parts {
            file.seek(SeekFrom::Start(*at)).unwrap();
            file.write_all(bytes).unwrap();
        }
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn a_changed_a_moved_and_a_missing_byte_are_noticed() {
        const SIZE: u64 = 5 << 20;
        let sum =
            |at: u64, byte: u8, size: u64| of(&mut file(&[(3, b"begin"), (at, &[byte])], size)).unwrap();
        let whole = sum(3 << 20, 7, SIZE);
        assert_eq!(whole, sum(3 << 20, 7, SIZE));
        assert_ne!(whole, sum(3 << 20, 8, SIZE));
        assert_ne!(whole, sum((3 << 20) + BLOCK as u64, 7, SIZE));
        assert_ne!(whole, sum(3 << 20, 0, SIZE));
        assert_ne!(whole, sum(3 << 20, 7, SIZE - 1));
    }

    #[test]
    fn zeros_count_as_holes() {
        let zeros = vec![0; 1 << 20];
        let dense = of(&mut file(&[(0, &zeros), (2 << 20, b"x")], 4 << 20)).unwrap();
        let sparse = of(&mut file(&[(2 << 20, b"x")], 4 << 20)).unwrap();
        assert_eq!(dense, sparse);
        assert_eq!(of(&mut file(&[], 0)).unwrap().0, 0);
    }
}
