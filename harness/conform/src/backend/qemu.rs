//! The command line of QEMU and of the guest's kernel.

use std::os::fd::RawFd;
use std::path::Path;

use virt_aa_probe::init::{AGENT_PORT, ROOT_DISK_SERIAL};

use super::accel::Accelerator;

/// What every guest's kernel is told.
const KERNEL_ARGUMENTS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    // A kernel that stumbles proves nothing any more: panic, and end at once.
    "oops=panic",
    "panic=-1",
    // On a busy host an emulated timer may tick too late for the kernel's look at it, which then panics.
    "no_timer_check",
    "apparmor=1",
    "lsm=apparmor",
    // So that `deny` rules hide no denial.
    "apparmor.audit=noquiet",
    "mitigations=off",
    "random.trust_cpu=on",
];

/// What a machine is started from.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    pub accelerator: Accelerator,
    pub memory_mib: u32,
    pub cpus: u32,
    pub kernel: &'a Path,
    pub disk: &'a Path,
    pub initrd_fd: RawFd,
    pub agent_fd: RawFd,
    /// `None`: the console is the terminal.
    pub console_fd: Option<RawFd>,
    pub extra_devices: &'a [String],
    pub extra_cmdline: &'a str,
}

/// The arguments of QEMU.
pub fn arguments(machine: &Machine<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-accel", accelerator(machine.accelerator).into());
    add("-cpu", cpu(machine.accelerator).into());
    add("-smp", machine.cpus.to_string());
    add("-m", machine.memory_mib.to_string());
    add("-display", "none".into());
    add("-kernel", machine.kernel.display().to_string());
    add("-initrd", format!("/proc/self/fd/{}", machine.initrd_fd));
    add("-append", kernel_command_line(machine.extra_cmdline));
    // snapshot=on: writes go to a file that is unlinked as soon as it is open, so nothing is left of it.
    let disk = quoted(&machine.disk.display().to_string());
    add(
        "-drive",
        format!("file={disk},format=raw,if=none,id=root,snapshot=on,cache=unsafe"),
    );
    add(
        "-device",
        format!("virtio-blk-pci,drive=root,serial={ROOT_DISK_SERIAL}"),
    );
    add("-device", "virtio-serial-pci,max_ports=2".into());
    add("-chardev", format!("socket,id=agent,fd={}", machine.agent_fd));
    add(
        "-device",
        format!("virtserialport,chardev=agent,name={AGENT_PORT}"),
    );
    let console = machine
        .console_fd
        .map_or("stdio,id=console,signal=off".into(), |fd| {
            format!("socket,id=console,fd={fd}")
        });
    add("-chardev", console);
    add("-serial", "chardev:console".into());
    if !machine
        .extra_devices
        .iter()
        .any(|argument| argument == "-M" || argument == "-machine")
    {
        add("-machine", "q35".into());
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments.extend_from_slice(machine.extra_devices);
    arguments
}

fn kernel_command_line(extra: &str) -> String {
    let mut words: Vec<&str> = KERNEL_ARGUMENTS.to_vec();
    words.extend(extra.split_ascii_whitespace());
    words.join(" ")
}

fn accelerator(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg,thread=multi",
    }
}

fn cpu(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => "max",
    }
}

/// A comma in a value is written twice.
fn quoted(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<'a>(devices: &'a [String], cmdline: &'a str) -> Machine<'a> {
        Machine {
            accelerator: Accelerator::Tcg,
            memory_mib: 512,
            cpus: 1,
            kernel: Path::new("/i/kernel"),
            disk: Path::new("/i,j/root.ext4"),
            initrd_fd: 7,
            agent_fd: 8,
            console_fd: Some(9),
            extra_devices: devices,
            extra_cmdline: cmdline,
        }
    }

    #[test]
    fn the_disk_is_never_written_and_commas_are_kept() {
        let line = arguments(&machine(&[], "")).join(" ");
        assert!(
            line.contains("file=/i,,j/root.ext4,format=raw") && line.contains("snapshot=on"),
            "{line}"
        );
        assert!(
            line.contains("-nodefaults") && line.contains("-no-reboot"),
            "{line}"
        );
        assert!(
            line.contains("fd=8") && line.contains("socket,id=console,fd=9"),
            "{line}"
        );
    }

    #[test]
    fn what_the_caller_adds_comes_in() {
        let devices = ["-M".to_owned(), "q35,kernel-irqchip=split".to_owned()];
        let line = arguments(&machine(&devices, "intel_iommu=on  x=y")).join(" ");
        assert!(line.contains(" intel_iommu=on x=y "), "{line}");
        assert!(
            line.ends_with("-M q35,kernel-irqchip=split") && !line.contains("-machine q35"),
            "{line}"
        );
    }

    #[test]
    fn the_terminal_can_be_the_console() {
        let machine = Machine {
            console_fd: None,
            ..machine(&[], "")
        };
        assert!(arguments(&machine).contains(&"stdio,id=console,signal=off".to_owned()));
    }

    #[test]
    fn denials_are_not_quieted() {
        assert!(kernel_command_line("").contains("apparmor.audit=noquiet"));
    }
}
