//! Kernel modules for fixtures: loads them on the host, and unloads those that were not loaded before.

use std::fs;
use std::io;
use std::time::Duration;

use nix::kmod::{DeleteModuleFlags, delete_module};

use super::tool;

const LIMIT: Duration = Duration::from_secs(30);

/// The modules that `modprobe NAME` would load now, in its order; empty if the kernel has no such module.
pub fn missing(name: &str) -> Vec<String> {
    let Ok(listed) = tool::run("modprobe", &["--show-depends", name], LIMIT) else {
        return Vec::new();
    };
    let loaded = fs::read_to_string("/proc/modules").unwrap_or_default();
    not_loaded(&listed, &loaded)
}

fn not_loaded(listed: &str, loaded: &str) -> Vec<String> {
    let loaded: Vec<&str> = loaded
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    listed
        .lines()
        .filter_map(|line| line.strip_prefix("insmod "))
        .filter_map(|rest| rest.split_whitespace().next()?.rsplit('/').next())
        .filter_map(|file| file.split('.').next())
        .map(|module| module.replace('-', "_"))
        .filter(|module| !loaded.contains(&module.as_str()))
        .collect()
}

/// Load a module and its dependencies. The fixture notices a module that does not exist.
pub fn load(name: &str) {
    // On an error the fixture reports what is missing.
    let _ = tool::run("modprobe", &[name], LIMIT);
}

/// Unload a module. Does nothing if it is not loaded or in use.
pub fn unload(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name).map_err(io::Error::other)?;
    match delete_module(&name, DeleteModuleFlags::O_NONBLOCK) {
        Ok(()) | Err(nix::errno::Errno::ENOENT | nix::errno::Errno::EWOULDBLOCK) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_yet_would_be_loaded() {
        let listed = "insmod /lib/modules/6.1/kernel/sound/soundcore.ko.xz \n\
                      builtin snd\n\
                      insmod /lib/modules/6.1/kernel/sound/drivers/snd-dummy.ko index=1\n";
        assert_eq!(not_loaded(listed, ""), ["soundcore", "snd_dummy"]);
        assert_eq!(
            not_loaded(listed, "soundcore 16384 1 snd, Live 0x0\n"),
            ["snd_dummy"]
        );
    }
}
