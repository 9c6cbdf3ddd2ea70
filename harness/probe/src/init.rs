//! The program as PID 1 of a VM: it goes from the initramfs to a root disk with everything mounted, and opens the port
//! to the host.
//!
//! The initramfs holds this program as `/init`, and a folder `/modules` with kernel modules and their load order. It
//! holds no other program, and none is run here.

mod modules;
mod mounts;
mod net;
mod reaper;
mod uevent;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot};

pub(crate) use mounts::running_system as mount_running_system;
pub(crate) use net::loopback_up;
pub use reaper::reap_around;

/// The name of the virtio-serial port between host and agent.
pub const AGENT_PORT: &str = "org.virt-aa-conform.agent";
/// The serial number of the virtio disk that holds the root file system.
pub const ROOT_DISK_SERIAL: &str = "virt-aa-root";
/// The folder of the initramfs with the kernel modules. Its file `order` lists them, one name per line.
pub const MODULES_DIR: &str = "/modules";
/// What the agent writes to its port once it is open, before any protocol message.
pub const READY_LINE: &str = "virt-aa-conform agent ready\n";
/// Prefix of each line that this module prints on the console. The host looks for it.
pub const CONSOLE_PREFIX: &str = "virt-aa-conform: init: ";

/// How long a device may take to appear. Under emulation on a busy machine, probing a virtio device may take several
/// seconds.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the machine could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A system call or a file operation failed.
    #[error("{action}: {source}")]
    Io {
        /// The operation that failed.
        action: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A device did not appear in time.
    #[error("no {what} within {} s; does the machine have the device, and the initramfs its module?", .after.as_secs())]
    DeviceMissing {
        /// The missing device.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
}

impl InitError {
    fn io(action: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io {
            action: action.into(),
            source: source.into(),
        }
    }
}

/// Whether this process is the init of its machine (or pid namespace).
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Brings the machine up and returns the port to the host, on which [`READY_LINE`] has been written.
///
/// Call it first in `main` if [`is_init`] is true. From then on a panic of this process is printed on the console and
/// powers the machine off. The caller hands an error to [`give_up`].
pub fn boot() -> Result<File, InitError> {
    install_panic_hook();
    mounts::early()?;
    let mut events = uevent::Events::subscribe()?;
    modules::load_listed(Path::new(MODULES_DIR))?;
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let disk = events
        .wait_for(deadline, || find_root_disk(Path::new("/sys/block")))?
        .ok_or_else(|| missing("root disk"))?;
    mounts::enter_root(&disk)?;
    mounts::late()?;
    net::loopback_up()?;
    nix::unistd::sethostname("virt-aa-conform").map_err(|e| InitError::io("set the host name", e))?;
    let port = events
        .wait_for(deadline, || {
            find_port(Path::new("/sys/class/virtio-ports"), AGENT_PORT)
        })?
        .ok_or_else(|| missing(format!("virtio-serial port {AGENT_PORT}")))?;
    open_port(&port)
}

/// Prints the error on the console and powers the machine off.
pub fn give_up(error: &InitError) -> ! {
    console_line(&error.to_string());
    power_off()
}

/// Powers the machine off.
pub fn power_off() -> ! {
    // The disk is thrown away, so nothing needs to be synced.
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    console_line(&format!("power off: {error}"));
    // If power-off fails, the end of PID 1 is a kernel panic, which also ends the machine.
    std::process::exit(1)
}

fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        // A forked child inherits the hook. Only PID 1 powers the machine off.
        console_line(&format!("panic in process {}: {info}", std::process::id()));
        if is_init() {
            power_off();
        }
    }));
}

fn console_line(text: &str) {
    let line = format!("{CONSOLE_PREFIX}{}\n", text.replace('\n', " "));
    // Standard error may not be open yet or may be redirected, so the console is tried first.
    let written = File::options()
        .write(true)
        .open("/dev/console")
        .and_then(|mut f| f.write_all(line.as_bytes()));
    if written.is_err() {
        eprint!("{line}");
    }
}

fn missing(what: impl Into<String>) -> InitError {
    InitError::DeviceMissing {
        what: what.into(),
        after: DEVICE_TIMEOUT,
    }
}

/// The device node of the block device whose serial number is [`ROOT_DISK_SERIAL`].
fn find_root_disk(class: &Path) -> Option<PathBuf> {
    entries(class).find_map(|name| {
        let serial = fs::read_to_string(class.join(&name).join("serial")).ok()?;
        let node = Path::new("/dev").join(&name);
        (serial.trim() == ROOT_DISK_SERIAL && node.exists()).then_some(node)
    })
}

/// The device node of the virtio-serial port with the given name.
fn find_port(class: &Path, name: &str) -> Option<PathBuf> {
    entries(class).find_map(|port| {
        let found = fs::read_to_string(class.join(&port).join("name")).ok()?;
        let node = Path::new("/dev").join(&port);
        (found.trim() == name && node.exists()).then_some(node)
    })
}

fn entries(dir: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().into_string().ok())
}

fn open_port(path: &Path) -> Result<File, InitError> {
    let action = || format!("open {}", path.display());
    let mut port = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|e| InitError::io(action(), e))?;
    port.write_all(READY_LINE.as_bytes())
        .map_err(|e| InitError::io("greet the host", e))?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name_only() {
        let class = std::env::temp_dir().join(format!("virtio-ports-{}", std::process::id()));
        // `/dev/null` stands in for the port's node, since the node must exist.
        fs::create_dir_all(class.join("null")).unwrap();
        fs::write(class.join("null/name"), "some.port\n").unwrap();
        let found = find_port(&class, "some.port");
        let other = find_port(&class, "some.other");
        fs::remove_dir_all(&class).unwrap();
        assert_eq!(found, Some(PathBuf::from("/dev/null")));
        assert_eq!(other, None);
    }
}
