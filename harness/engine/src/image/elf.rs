//! The parts of ELF that are needed: whether a program is static, which libraries it needs, whether a kernel is
//! bootable as it is, and where the loaded parts of a file end.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, PT_INTERP, PT_NOTE};
use elf::endian::AnyEndian;
use elf::note::Note;

/// Xen's note with the 32-bit entry point, at which QEMU boots a plain kernel.
const XEN_ELFNOTE_PHYS32_ENTRY: u64 = 18;

/// A file that is not ELF, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("not a usable ELF file: {0}")]
pub struct ElfError(#[from] elf::ParseError);

/// An ELF file in memory.
pub struct Elf<'a> {
    file: ElfBytes<'a, AnyEndian>,
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    /// Reads the header.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        Ok(Self {
            file: ElfBytes::minimal_parse(bytes)?,
            bytes,
        })
    }

    /// The loader that the program requests; `None` if it is static.
    pub fn interpreter(&self) -> Result<Option<String>, ElfError> {
        let Some(header) = self.segments().find(|s| s.p_type == PT_INTERP) else {
            return Ok(None);
        };
        let raw = self.file.segment_data(&header)?;
        Ok(Some(
            String::from_utf8_lossy(raw).trim_end_matches('\0').to_owned(),
        ))
    }

    /// The file names of the libraries that it needs.
    pub fn needed(&self) -> Result<Vec<String>, ElfError> {
        let common = self.file.find_common_data()?;
        let (Some(dynamic), Some(strings)) = (common.dynamic, common.dynsyms_strs) else {
            return Ok(Vec::new());
        };
        dynamic
            .iter()
            .filter(|entry| entry.d_tag == DT_NEEDED)
            .map(|entry| Ok(strings.get(entry.d_val() as usize)?.to_owned()))
            .collect()
    }

    /// Whether QEMU can enter the kernel without the kernel's own decompressor (PVH).
    pub fn has_pvh_entry(&self) -> Result<bool, ElfError> {
        for header in self.segments().filter(|s| s.p_type == PT_NOTE) {
            for note in self.file.segment_data_as_notes(&header)? {
                if let Note::Unknown(note) = note
                    && note.name.starts_with(b"Xen")
                    && note.n_type == XEN_ELFNOTE_PHYS32_ENTRY
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The file up to the end of its last segment, without section headers, symbols and debugging information.
    pub fn loaded_part(&self) -> &'a [u8] {
        let headers = self.file.ehdr.e_phoff
            + u64::from(self.file.ehdr.e_phnum) * u64::from(self.file.ehdr.e_phentsize);
        let end = self
            .segments()
            .map(|s| s.p_offset.saturating_add(s.p_filesz))
            .fold(headers, u64::max);
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(self.bytes.len());
        &self.bytes[..end]
    }

    fn segments(&self) -> impl Iterator<Item = elf::segment::ProgramHeader> + use<'a> {
        self.file.segments().into_iter().flat_map(|table| table.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn a_file_that_is_not_elf_is_refused() {
        assert!(Elf::parse(b"#!/bin/sh\n").is_err());
        assert!(Elf::parse(&own()).is_ok());
    }

    #[test]
    fn a_shared_program_names_loader_and_libraries() {
        let shell = std::fs::read("/bin/sh").unwrap();
        let elf = Elf::parse(&shell).unwrap();
        assert!(elf.interpreter().unwrap().unwrap().starts_with("/lib"));
        assert!(elf.needed().unwrap().iter().any(|lib| lib.starts_with("libc.so")));
        assert!(!elf.has_pvh_entry().unwrap());
    }

    #[test]
    fn the_loaded_part_still_runs() {
        use std::os::unix::fs::PermissionsExt;
        let shell = std::fs::read("/bin/true").unwrap();
        let elf = Elf::parse(&shell).unwrap();
        let part = elf.loaded_part();
        assert!(part.len() < shell.len());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("true");
        std::fs::write(&path, part).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(std::process::Command::new(&path).status().unwrap().success());
    }
}
