//! A machine in files: saved by the QEMU that runs it, and restored by another one.
//!
//! The memory is a file that QEMU maps, shared while the machine is made and private in each machine that is restored, so
//! that all of them share what they do not change. The devices are in QEMU's migration format. The disk is an overlay of
//! the image's disk.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::json;

use super::qemu::ROOT_DISK;
use super::qmp::{Qmp, QmpError};
use crate::sparse;

/// The file of the memory, in a saved machine's folder.
pub const MEMORY: &str = "memory";
/// The file of the devices.
pub const DEVICES: &str = "devices";
/// The file of the disk's changes.
pub const DISK: &str = "disk.qcow2";

/// The open files of a saved machine. Nobody writes to them, and they stay usable after they were removed.
#[derive(Debug)]
pub struct SavedMachine {
    /// The memory.
    pub memory: File,
    /// The devices.
    pub devices: File,
    /// The disk's changes.
    pub disk: File,
}

impl SavedMachine {
    /// Opens the files in a folder.
    pub fn open(dir: &Path) -> io::Result<SavedMachine> {
        Ok(SavedMachine {
            memory: File::open(dir.join(MEMORY))?,
            devices: File::open(dir.join(DEVICES))?,
            disk: File::open(dir.join(DISK))?,
        })
    }

    /// Copies memory and disk into a folder. A machine then runs on the copies until it is saved there.
    pub fn copy_into(&self, dir: &Path) -> io::Result<SavedMachine> {
        let copy = |from: &File, name: &str| {
            let to = File::create_new(dir.join(name))?;
            sparse::copy(from, &to)?;
            Ok::<File, io::Error>(to)
        };
        Ok(SavedMachine {
            memory: copy(&self.memory, MEMORY)?,
            devices: self.devices.try_clone()?,
            disk: copy(&self.disk, DISK)?,
        })
    }
}

/// Why a machine was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A file cannot be made.
    #[error("cannot write the machine's files: {0}")]
    Io(#[from] io::Error),
    /// QEMU does not do it.
    #[error(transparent)]
    Qemu(#[from] QmpError),
}

/// Where a machine's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskPlace {
    /// In an overlay that QEMU throws away.
    Temporary,
    /// In the file where it is to be saved.
    InPlace,
}

/// Stops the machine and saves its devices and its disk into the folder. The memory is there already. The machine does not
/// go on, because its memory would change.
pub(super) fn save(qmp: &mut Qmp, dir: &Path, image_disk: &Path, place: DiskPlace) -> Result<(), SaveError> {
    qmp.execute("stop", &json!({}))?;
    if place == DiskPlace::Temporary {
        save_disk(qmp, dir, image_disk)?;
    }
    let devices = File::create_new(dir.join(DEVICES))?;
    qmp.pass("devices", &devices)?;
    // In the end QEMU writes out what it has not yet written of a disk.
    qmp.migrate("migrate", "devices")?;
    Ok(())
}

fn save_disk(qmp: &mut Qmp, dir: &Path, image_disk: &Path) -> Result<(), SaveError> {
    let disk = dir.join(DISK);
    let size = image_disk.metadata()?.len();
    qmp.job(
        "blockdev-create",
        json!({"options": {"driver": "file", "filename": disk, "size": 0}}),
    )?;
    qmp.execute(
        "blockdev-add",
        &json!({"driver": "file", "node-name": "saved-file", "filename": disk}),
    )?;
    qmp.job(
        "blockdev-create",
        json!({"options": {"driver": "qcow2", "file": "saved-file", "size": size,
            "backing-file": image_disk, "backing-fmt": "raw"}}),
    )?;
    // What is copied lies above the image's disk, which need not be opened for it.
    qmp.execute(
        "blockdev-add",
        &json!({"driver": "qcow2", "node-name": "saved-disk", "file": "saved-file", "backing": null}),
    )?;
    qmp.job(
        "blockdev-mirror",
        json!({"device": ROOT_DISK, "target": "saved-disk", "sync": "top"}),
    )?;
    qmp.execute("blockdev-del", &json!({"node-name": "saved-disk"}))?;
    qmp.execute("blockdev-del", &json!({"node-name": "saved-file"}))?;
    Ok(())
}

/// Takes a saved machine's devices and lets the machine go on.
pub(super) fn resume(qmp: &mut Qmp, saved: &SavedMachine) -> Result<(), QmpError> {
    // Machines that are restored side by side would share one position in the file.
    let devices = File::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&saved.devices)
    ))?;
    qmp.pass("devices", &devices)?;
    qmp.migrate("migrate-incoming", "devices")?;
    qmp.execute("cont", &json!({}))?;
    Ok(())
}
