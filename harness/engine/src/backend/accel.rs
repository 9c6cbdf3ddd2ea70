//! Whether this machine can run a virtual machine on its own processor.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, by KVM.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl Accelerator {
    /// The best accelerator of this machine.
    ///
    /// The existence of `/dev/kvm` is not enough. On some clouds it exists but cannot run a stock kernel; there the
    /// processor does not report the virtualization extension.
    pub fn detect() -> Self {
        let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        choose(&flags, || {
            File::options()
                .read(true)
                .write(true)
                .open(Path::new("/dev/kvm"))
                .is_ok()
        })
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        })
    }
}

fn choose(cpuinfo: &str, kvm_opens: impl FnOnce() -> bool) -> Accelerator {
    let virtualizes = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("flags")?.split_once(':'))
        .any(|(_, flags)| {
            flags
                .split_ascii_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        });
    if virtualizes && kvm_opens() {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("flags\t\t: fpu svm sse", true, Accelerator::Kvm)]
    #[case("flags\t\t: fpu vmx sse", true, Accelerator::Kvm)]
    #[case("flags\t\t: fpu svm sse", false, Accelerator::Tcg)]
    #[case("flags\t\t: fpu svm_lock sse", true, Accelerator::Tcg)]
    #[case("vmx flags\t: vnmi\nmodel name: svm", true, Accelerator::Tcg)]
    fn kvm_needs_the_flag_and_the_device(
        #[case] info: &str,
        #[case] opens: bool,
        #[case] expected: Accelerator,
    ) {
        assert_eq!(choose(info, || opens), expected);
    }
}
