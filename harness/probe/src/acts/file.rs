//! Files and devices.

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::perform::{Called, Done, Failure, unknown};
use crate::protocol::{Effect, FileSpec, IoctlSpec};

/// How many bytes of a file are mapped.
const MAPPED: NonZeroUsize = NonZeroUsize::new(4096).expect("a page is not nothing");

fn options(open: &str) -> Result<OpenOptions, Failure> {
    let mut options = OpenOptions::new();
    match open {
        "r" => options.read(true),
        "w" => options.write(true),
        "rw" => options.read(true).write(true),
        "a" => options.append(true),
        _ => return Err(unknown("open")),
    };
    options.mode(0o600);
    Ok(options)
}

/// Open a file and use the descriptor as the plan says: lock, map, write, read.
pub fn file(spec: &FileSpec) -> Done {
    if spec.open == "list" {
        return list(&spec.path);
    }
    let opened = options(&spec.open)?
        .create(spec.create)
        .open(&spec.path)
        .called("open")?;
    let mut effect = Effect {
        value: opened.metadata().called("fstat")?.rdev().cast_signed(),
        ..Effect::default()
    };
    let opened = if spec.lock {
        Flock::lock(opened, FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| errno)
            .called("flock")?
            .unlock()
            .map_err(|(_, errno)| errno)
            .called("flock")?
    } else {
        opened
    };
    if let Some(text) = &spec.write {
        if spec.open == "a" {
            std::io::Write::write_all(&mut &opened, text.as_bytes()).called("write")?;
        } else {
            opened.write_all_at(text.as_bytes(), spec.at).called("write")?;
        }
        effect.written = text.len() as u64;
    }
    if spec.map {
        map(&opened)?;
    }
    if let Some(most) = spec.read {
        effect.data = read(&opened, spec.at, most)?;
    }
    Ok(effect)
}

fn list(path: &str) -> Done {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for entry in std::fs::read_dir(path).called("open")? {
        names.push(entry.called("getdents")?.file_name().into_encoded_bytes());
    }
    names.sort();
    Ok(Effect {
        value: i64::try_from(names.len()).unwrap_or(i64::MAX),
        data: names.join(&b'\n'),
        ..Effect::default()
    })
}

fn read(file: &File, at: u64, most: u64) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let mut buffer = [0; 4096];
    while (data.len() as u64) < most {
        let want = usize::try_from(most - data.len() as u64)
            .unwrap_or(buffer.len())
            .min(buffer.len());
        // Pipes and character devices have no offset.
        let got = match file.read_at(&mut buffer[..want], at + data.len() as u64) {
            Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => {
                std::io::Read::read(&mut &*file, &mut buffer[..want])
            }
            other => other,
        }
        .called("read")?;
        if got == 0 {
            break;
        }
        data.extend_from_slice(&buffer[..got]);
    }
    Ok(data)
}

fn map(file: &File) -> Result<(), Failure> {
    if file.metadata().called("fstat")?.len() < MAPPED.get() as u64 {
        file.set_len(MAPPED.get() as u64).called("ftruncate")?;
    }
    // SAFETY: a fresh shared mapping of one page that the file has. Nothing else refers to it.
    unsafe {
        let at = mmap(
            None,
            MAPPED,
            ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
            MapFlags::MAP_SHARED,
            file,
            0,
        )
        .called("mmap")?;
        let first = at.cast::<u8>();
        first.write_volatile(first.as_ptr().read_volatile());
        munmap(at, MAPPED.get()).called("munmap")
    }
}

/// The most that the kernel may write: the size in a request number has 14 bits. Old request numbers have no size.
const LARGEST_ARGUMENT: usize = 1 << 14;

/// An ioctl's argument, with room for the kernel's answer.
fn room_for(spec: &IoctlSpec) -> Vec<u8> {
    let mut argument = spec.argument.clone();
    argument.resize(argument.len().max(LARGEST_ARGUMENT), 0);
    argument
}

/// Open a device and send it one ioctl. Returns the argument's bytes as the kernel left them.
pub fn ioctl(spec: &IoctlSpec) -> Done {
    let device = options(&spec.open)?.open(&spec.path).called("open")?;
    let mut argument = room_for(spec);
    // SAFETY: the argument points to at least as many bytes as a request number can make the kernel write.
    let result = unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            spec.request as libc::Ioctl,
            argument.as_mut_ptr(),
        )
    };
    let result = nix::errno::Errno::result(result).called("ioctl")?;
    argument.truncate(spec.argument.len());
    Ok(Effect {
        data: argument,
        value: result.into(),
        ..Effect::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ioctl_has_room_for_as_much_as_its_number_can_say() {
        // SNDRV_CTL_IOCTL_CARD_INFO: 376 bytes are written.
        let spec = |argument: Vec<u8>| IoctlSpec {
            path: "/dev/null".into(),
            open: "r".into(),
            request: 0x8178_5501,
            argument,
        };
        let size = |request: u64| usize::try_from(request >> 16 & 0x3fff).unwrap();
        assert!(room_for(&spec(vec![0; 4])).len() >= size(0x8178_5501));
        assert!(room_for(&spec(Vec::new())).len() >= size(0xffff_ffff));
        assert_eq!(room_for(&spec(vec![7; 20_000])), vec![7; 20_000]);
    }
}
