//! Extracts the plain kernel from a distribution's `bzImage`.
//!
//! Under emulation the kernel takes one to three seconds to decompress itself. The host decompresses it once, and
//! QEMU enters the plain kernel at its PVH entry.

use std::io::Read;

use super::elf::Elf;

/// Offsets of the boot protocol's header (Documentation/arch/x86/boot.rst).
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;

const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The plain kernel, if the image has one in a known format that QEMU can enter.
pub fn plain(image: &[u8]) -> Option<Vec<u8>> {
    let payload = payload(image)?;
    let mut kernel = Vec::new();
    // The size of the plain kernel follows the compressed data; a decoder that reads one stream stops before it.
    let unpacked = if payload.starts_with(XZ) {
        liblzma::read::XzDecoder::new(payload).read_to_end(&mut kernel)
    } else if payload.starts_with(ZSTD) {
        ruzstd::decoding::StreamingDecoder::new(payload)
            .ok()?
            .read_to_end(&mut kernel)
    } else {
        return None;
    };
    unpacked.ok()?;
    Elf::parse(&kernel).ok()?.has_pvh_entry().ok()?.then_some(kernel)
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    if image.get(MAGIC..MAGIC + 4)? != b"HdrS" {
        return None;
    }
    let setup = usize::from(*image.get(SETUP_SECTORS)?) + 1;
    let start = (setup * SECTOR).checked_add(word(PAYLOAD_OFFSET)?)?;
    image.get(start..start.checked_add(word(PAYLOAD_LENGTH)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR + 16];
        image[SETUP_SECTORS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_payload_is_where_the_header_says() {
        assert_eq!(super::payload(&image(b"packed")), Some(b"packed".as_slice()));
    }

    #[test]
    fn what_is_not_a_known_kernel_is_left_alone() {
        assert_eq!(plain(b"short"), None);
        assert_eq!(plain(&image(b"packed in an unknown way")), None);
        let mut cut = image(b"packed");
        cut.pop();
        assert_eq!(super::payload(&cut), None);
    }
}
