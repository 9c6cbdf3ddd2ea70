//! The initramfs in two parts, which the kernel unpacks one after the other: the modules, stored with the image, and
//! this program as `/init`, added at each boot. So a new program needs no new image.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cpio::newc::{Builder, ModeFileType, trailer};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::elf::Elf;
use super::modules::Module;

/// The kernel expects the next archive at a multiple of four bytes.
const ALIGNMENT: usize = 4;

const DIRECTORY: u32 = 0o755;
const PROGRAM: u32 = 0o755;
const DATA: u32 = 0o644;
const NODE: u32 = 0o600;

/// The major and minor number of `/dev/console`.
const CONSOLE: (u32, u32) = (5, 1);

/// Why this program cannot be a machine's init.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The program cannot be read, or the initramfs cannot be put together.
    #[error("cannot pack {} for the machine: {source}", .program.display())]
    Io {
        /// The program.
        program: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The program needs a loader and libraries, which the initramfs does not have.
    #[error(
        "{} is not static, so it cannot be the machine's init; build it with \
         RUSTFLAGS=\"-C target-feature=+crt-static\" and an explicit --target", .program.display()
    )]
    NotStatic {
        /// The program.
        program: PathBuf,
    },
    /// The file is not a program.
    #[error("{}: {problem}", .program.display())]
    NotElf {
        /// The file.
        program: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// The archive with the modules, their order, and what the kernel needs before `/init` runs.
pub fn modules_archive(modules: &[Module]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    for dir in ["dev", "proc", "sys", "newroot", "modules"] {
        out = entry(out, dir, ModeFileType::Directory, DIRECTORY, &[])?;
    }
    // Without it, init would start without standard streams.
    let console = Builder::new("dev/console")
        .mode(NODE)
        .set_mode_file_type(ModeFileType::Char)
        .rdev_major(CONSOLE.0)
        .rdev_minor(CONSOLE.1);
    out = console.write(out, 0).finish()?;
    let mut order = String::new();
    for module in modules {
        let file = format!("{}.ko", module.name);
        out = entry(
            out,
            &format!("modules/{file}"),
            ModeFileType::Regular,
            DATA,
            &module.content,
        )?;
        order.push_str(&file);
        order.push('\n');
    }
    out = entry(
        out,
        "modules/order",
        ModeFileType::Regular,
        DATA,
        order.as_bytes(),
    )?;
    finish(out)
}

/// The whole initramfs in memory: the image's archive, then the program as `/init`.
pub fn boot_initrd(modules: &Path, program: &Path) -> Result<File, AgentError> {
    let failed = |source| AgentError::Io {
        program: program.to_owned(),
        source,
    };
    let not_elf = |e: super::elf::ElfError| AgentError::NotElf {
        program: program.to_owned(),
        problem: e.to_string(),
    };
    let bytes = fs::read(program).map_err(failed)?;
    let elf = Elf::parse(&bytes).map_err(not_elf)?;
    if elf.interpreter().map_err(not_elf)?.is_some() {
        return Err(AgentError::NotStatic {
            program: program.to_owned(),
        });
    }
    let archive = program_archive(elf.loaded_part()).map_err(failed)?;
    let memory = memfd_create("initrd", MFdFlags::MFD_CLOEXEC).map_err(|e| failed(e.into()))?;
    let mut initrd = File::from(memory);
    io::copy(&mut File::open(modules).map_err(failed)?, &mut initrd).map_err(failed)?;
    initrd.write_all(&archive).map_err(failed)?;
    initrd.seek(SeekFrom::Start(0)).map_err(failed)?;
    Ok(initrd)
}

fn program_archive(program: &[u8]) -> io::Result<Vec<u8>> {
    finish(entry(
        Vec::new(),
        "init",
        ModeFileType::Regular,
        PROGRAM,
        program,
    )?)
}

fn entry(out: Vec<u8>, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> io::Result<Vec<u8>> {
    let size = u32::try_from(content.len()).map_err(|_| io::Error::other(format!("{name} is over 4 GiB")))?;
    let mut writer = Builder::new(name)
        .mode(mode)
        .set_mode_file_type(kind)
        .write(out, size);
    writer.write_all(content)?;
    writer.finish()
}

fn finish(out: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut out = trailer(out)?;
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn read_back(mut archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            let mut reader = cpio::newc::Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            archive = reader.finish().unwrap();
            found.push((name, mode, content));
        }
    }

    #[test]
    fn modules_and_their_order_are_in_the_archive() {
        let module = |name: &str| Module {
            name: name.into(),
            content: format!("<{name}>").into_bytes(),
        };
        let archive = modules_archive(&[module("b"), module("a")]).unwrap();
        assert_eq!(archive.len() % ALIGNMENT, 0);
        let entries = read_back(&archive);
        let content = |name: &str| entries.iter().find(|e| e.0 == name).map(|e| e.2.as_slice());
        assert_eq!(content("modules/order"), Some(b"b.ko\na.ko\n".as_slice()));
        assert_eq!(content("modules/a.ko"), Some(b"<a>".as_slice()));
        let console = entries.iter().find(|e| e.0 == "dev/console").unwrap();
        assert_eq!(console.1, 0o020600);
    }

    #[test]
    fn a_program_that_is_not_static_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let modules = dir.path().join("initrd");
        fs::write(&modules, modules_archive(&[]).unwrap()).unwrap();
        let refused = boot_initrd(&modules, Path::new("/bin/sh"));
        assert!(
            matches!(refused, Err(AgentError::NotStatic { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn the_program_stands_behind_the_modules() {
        let archive = program_archive(b"program").unwrap();
        assert_eq!(
            read_back(&archive),
            [("init".to_owned(), 0o100755, b"program".to_vec())]
        );
    }
}
