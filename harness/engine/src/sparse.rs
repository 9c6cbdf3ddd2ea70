//! Large files with holes: their checksums, and copies with the same holes.
//!
//! Files are read in blocks, and a block of zeros counts as a hole, so that it does not matter where the file system has
//! put holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use flate2::Crc;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// What is read at once, in bytes.
const BLOCK: usize = 1 << 18;

/// A file's size in bytes, and the CRC-32 of its blocks and their positions. It finds damage, not malice.
pub fn sum(file: &File) -> io::Result<(u64, u32)> {
    let mut crc = Crc::new();
    let size = each_block(file, &mut |at, block| {
        crc.update(&at.to_le_bytes());
        crc.update(block);
        Ok(())
    })?;
    Ok((size, crc.sum()))
}

/// Copies a file into an empty one.
pub fn copy(from: &File, to: &File) -> io::Result<()> {
    let size = each_block(from, &mut |at, block| to.write_all_at(block, at))?;
    to.set_len(size)
}

/// Calls `with` for each block that is not all zeros, with its position, and returns the file's size.
fn each_block(file: &File, with: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; BLOCK];
    let mut at = 0;
    while at < size {
        at = next_data(file, at)?.map_or(size, |found| found / BLOCK as u64 * BLOCK as u64);
        let length = usize::try_from(size - at).map_or(BLOCK, |left| left.min(BLOCK));
        let block = &mut buffer[..length];
        file.read_exact_at(block, at)?;
        if block.iter().any(|byte| *byte != 0) {
            with(at, block)?;
        }
        at += length as u64;
    }
    Ok(size)
}

/// The position of the next byte that is not in a hole.
fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    // It moves the position of the descriptor, which nothing here uses.
    match lseek(
        file,
        i64::try_from(at).map_err(io::Error::other)?,
        Whence::SeekData,
    ) {
        Ok(found) => Ok(Some(found.cast_unsigned())),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn file(parts: &[(u64, &[u8])], size: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file.set_len(size).unwrap();
        file
    }

    #[test]
    fn a_changed_a_moved_and_a_missing_byte_are_noticed() {
        const SIZE: u64 = (5 << 20) + 100;
        let of = |at: u64, byte: u8, size: u64| sum(&file(&[(3, b"begin"), (at, &[byte])], size)).unwrap();
        let whole = of(3 << 20, 7, SIZE);
        assert_eq!(whole, of(3 << 20, 7, SIZE));
        assert_ne!(whole, of(3 << 20, 8, SIZE));
        assert_ne!(whole, of((3 << 20) + BLOCK as u64, 7, SIZE));
        assert_ne!(whole, of(3 << 20, 0, SIZE));
        assert_ne!(whole, of(3 << 20, 7, SIZE - 1));
        assert_ne!(of(SIZE - 1, 1, SIZE), of(SIZE - 1, 2, SIZE));
    }

    #[test]
    fn zeros_count_as_holes() {
        let zeros = vec![0; 1 << 20];
        let dense = sum(&file(&[(0, &zeros), (2 << 20, b"x")], 4 << 20)).unwrap();
        let holes = sum(&file(&[(2 << 20, b"x")], 4 << 20)).unwrap();
        assert_eq!(dense, holes);
        assert_eq!(sum(&file(&[], 0)).unwrap().0, 0);
    }

    #[test]
    fn a_copy_has_the_same_bytes_and_its_holes() {
        let from = file(&[(0, b"first"), (9 << 20, b"last")], (9 << 20) + 4);
        let to = tempfile::tempfile().unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(sum(&from).unwrap(), sum(&to).unwrap());
        let mut last = [0; 4];
        to.read_exact_at(&mut last, 9 << 20).unwrap();
        assert_eq!(&last, b"last");
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
