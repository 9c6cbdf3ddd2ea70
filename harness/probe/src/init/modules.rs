//! Loads the kernel modules of the initramfs.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};

use super::InitError;

const NO_PARAMETERS: &CStr = c"";

/// Loads the modules that the file `order` of the folder lists, in that order.
pub fn load_listed(dir: &Path) -> Result<(), InitError> {
    let order = dir.join("order");
    let listed =
        fs::read_to_string(&order).map_err(|e| InitError::io(format!("read {}", order.display()), e))?;
    for name in listed.lines() {
        let path = dir.join(name);
        let file =
            File::open(&path).map_err(|e| InitError::io(format!("open module {}", path.display()), e))?;
        match finit_module(&file, NO_PARAMETERS, ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(InitError::io(format!("load module {name}"), errno)),
        }
    }
    // The initramfs stays in memory for good, so files that are no longer needed are removed.
    fs::remove_dir_all(dir).map_err(|e| InitError::io(format!("remove {}", dir.display()), e))
}
