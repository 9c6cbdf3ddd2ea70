//! Loop devices. They outlive the process that set them up. Ours are recognized by the file system of their files.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const LOOP_CLR_FD: libc::Ioctl = 0x4C01;
const LOOP_GET_STATUS64: libc::Ioctl = 0x4C05;
/// Size of `struct loop_info64`, whose first eight bytes are the device of the file's file system.
const INFO: usize = 232;

/// Where fixtures may put a disk's file.
const PLACES: [&str; 5] = ["/var/lib", "/root", "/home", "/tmp", "/run"];

/// The file systems, as `st_dev`, that new files are on here. A layer may report different ones for folders and files,
/// so a file is made in each place.
pub fn devices() -> io::Result<Vec<u64>> {
    let mut devices = Vec::new();
    for place in PLACES.iter().filter(|place| Path::new(place).is_dir()) {
        let path = Path::new(place).join(".virt-aa-conform");
        devices.push(File::create(&path)?.metadata()?.dev());
        fs::remove_file(&path)?;
    }
    devices.dedup();
    Ok(devices)
}

/// Detach every loop device whose file is on one of these file systems (`st_dev`); returns how many.
pub fn detach(devices: &[u64]) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/sys/block")? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else {
            continue;
        };
        // The device may go away meanwhile.
        let Ok(device) = File::open(format!("/dev/{name}")) else {
            continue;
        };
        if file_system(&device).is_some_and(|of| devices.contains(&of)) {
            // SAFETY: the request takes no argument.
            if unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
            count += 1;
        }
    }
    Ok(count)
}

/// The file system of the file behind a loop device; `None` if there is no file.
fn file_system(device: &File) -> Option<u64> {
    let mut info = [0u8; INFO];
    // SAFETY: the kernel fills in exactly the size of the structure.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_GET_STATUS64, info.as_mut_ptr()) };
    (done == 0).then(|| u64::from_ne_bytes(info[..8].try_into().unwrap_or_default()))
}
