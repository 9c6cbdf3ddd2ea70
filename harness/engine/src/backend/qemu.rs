//! The command line of QEMU and of the guest's kernel.

use std::os::fd::RawFd;
use std::path::Path;

use virt_aa_probe::init::{AGENT_PORT, ROOT_DISK_SERIAL};

use super::accel::Accelerator;

/// Arguments of every guest's kernel, besides its console.
const KERNEL_ARGUMENTS: &[&str] = &[
    "quiet",
    // After an oops a kernel proves nothing: panic, and end at once.
    "oops=panic",
    "panic=-1",
    // On a busy host an emulated timer may tick too late for the kernel's timer check, which then panics.
    "no_timer_check",
    "apparmor=1",
    "lsm=apparmor",
    // Log denials of `deny` rules too.
    "apparmor.audit=noquiet",
    "mitigations=off",
    "random.trust_cpu=on",
    // The kernel tests its own cryptography at each boot, which takes most of a second under emulation.
    "cryptomgr.notests",
    "initcall_blacklist=jent_mod_init",
];

/// The name of the root disk's drive.
pub const ROOT_DISK: &str = "root";

/// Memory for Xen and for the guests that cases start. The rest is dom0's.
const OUTSIDE_DOM0_MIB: u32 = 512;

/// What a machine boots.
#[derive(Debug, Clone, Copy)]
pub enum Boots<'a> {
    /// A kernel.
    Kernel(&'a Path),
    /// A hypervisor with the kernel as its dom0. The kernel is passed by descriptor, because QEMU takes what follows
    /// a space in its name as arguments.
    Xen { hypervisor: &'a Path, kernel_fd: RawFd },
}

/// How a machine's memory and disk begin.
#[derive(Debug, Clone, Copy)]
pub enum Begins {
    /// With empty memory and the image's disk.
    Empty,
    /// Likewise, with the memory in a file, so that the machine can be saved.
    EmptyInFile { memory_fd: RawFd, monitor_fd: RawFd },
    /// As they were saved. The files are written to only if the machine is to be saved again.
    Saved {
        memory_fd: RawFd,
        disk_fd: RawFd,
        monitor_fd: RawFd,
        to_be_saved: bool,
    },
}

/// What a machine is started from.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    pub begins: Begins,
    pub accelerator: Accelerator,
    pub memory_mib: u32,
    pub cpus: u32,
    pub boots: Boots<'a>,
    pub disk: &'a Path,
    pub initrd_fd: RawFd,
    pub agent_fd: RawFd,
    /// `None` if the console is the terminal.
    pub console_fd: Option<RawFd>,
    pub extra_devices: &'a [String],
    pub extra_cmdline: &'a str,
}

/// The arguments of QEMU.
pub fn arguments(machine: &Machine<'_>) -> Vec<String> {
    let mut arguments: Vec<String> = Vec::new();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("-accel", accelerator(machine.accelerator).into());
    add("-cpu", cpu(machine.accelerator, machine.boots).into());
    add("-smp", machine.cpus.to_string());
    add("-m", machine.memory_mib.to_string());
    add("-display", "none".into());
    let initrd = descriptor(machine.initrd_fd);
    match machine.boots {
        Boots::Kernel(kernel) => {
            add("-kernel", kernel.display().to_string());
            add("-initrd", initrd);
            add("-append", kernel_command_line("ttyS0", machine.extra_cmdline));
        }
        Boots::Xen {
            hypervisor,
            kernel_fd,
        } => {
            let arguments = quoted(&kernel_command_line("hvc0", machine.extra_cmdline));
            add("-kernel", hypervisor.display().to_string());
            // Multiboot modules: the first is dom0's kernel with its arguments.
            add(
                "-initrd",
                format!("{} {arguments},{initrd}", descriptor(kernel_fd)),
            );
            add("-append", xen_command_line(machine.memory_mib));
        }
    }
    // Where it is on, writes go to a file that is unlinked right after it is opened, so nothing is left of it.
    let (disk, format, snapshot) = match machine.begins {
        Begins::Saved {
            disk_fd, to_be_saved, ..
        } => (
            descriptor(disk_fd),
            "qcow2",
            if to_be_saved { "off" } else { "on" },
        ),
        _ => (quoted(&machine.disk.display().to_string()), "raw", "on"),
    };
    add(
        "-drive",
        format!("file={disk},format={format},if=none,id={ROOT_DISK},snapshot={snapshot},cache=unsafe"),
    );
    add(
        "-device",
        format!("virtio-blk-pci,drive={ROOT_DISK},serial={ROOT_DISK_SERIAL}"),
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
    let in_file = match machine.begins {
        Begins::Empty => None,
        Begins::EmptyInFile {
            memory_fd,
            monitor_fd,
        } => Some((memory_fd, "on", monitor_fd)),
        Begins::Saved {
            memory_fd,
            monitor_fd,
            to_be_saved,
            ..
        } => Some((memory_fd, if to_be_saved { "on" } else { "off" }, monitor_fd)),
    };
    if let Some((memory, share, monitor)) = in_file {
        add(
            "-object",
            format!(
                "memory-backend-file,id=ram,mem-path={},size={}M,share={share}",
                descriptor(memory),
                machine.memory_mib
            ),
        );
        add("-machine", "memory-backend=ram".into());
        add("-chardev", format!("socket,id=monitor,fd={monitor}"));
        add("-mon", "chardev=monitor,mode=control".into());
    }
    if matches!(machine.begins, Begins::Saved { .. }) {
        add("-incoming", "defer".into());
    }
    arguments.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    arguments.extend_from_slice(machine.extra_devices);
    arguments
}

fn kernel_command_line(console: &str, extra: &str) -> String {
    let console = format!("console={console}");
    let mut words = vec![console.as_str()];
    words.extend_from_slice(KERNEL_ARGUMENTS);
    words.extend(extra.split_ascii_whitespace());
    words.join(" ")
}

fn xen_command_line(memory_mib: u32) -> String {
    let dom0 = memory_mib.saturating_sub(OUTSIDE_DOM0_MIB);
    format!("console=com1 com1=115200 loglvl=warning dom0_mem={dom0}M,max:{dom0}M")
}

fn accelerator(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg,thread=multi",
    }
}

fn cpu(accelerator: Accelerator, boots: Boots<'_>) -> &'static str {
    match (accelerator, boots) {
        (Accelerator::Kvm, _) => "host",
        (Accelerator::Tcg, Boots::Kernel(_)) => "max",
        // On an emulated `max` model dom0 dies at once (SMAP), and libvirt's driver needs a model that libvirt knows.
        (Accelerator::Tcg, Boots::Xen { .. }) => "Nehalem",
    }
}

/// The path of a descriptor that QEMU inherits.
fn descriptor(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

/// Doubles each comma, as QEMU's syntax requires.
fn quoted(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<'a>(devices: &'a [String], cmdline: &'a str) -> Machine<'a> {
        Machine {
            begins: Begins::Empty,
            accelerator: Accelerator::Tcg,
            memory_mib: 512,
            cpus: 1,
            boots: Boots::Kernel(Path::new("/i/kernel")),
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
    fn a_machine_to_be_saved_shares_its_memory_with_the_file_and_a_restored_one_does_not() {
        let line = |begins: Begins| {
            let machine = Machine {
                begins,
                ..machine(&[], "")
            };
            arguments(&machine).join(" ")
        };
        let saving = line(Begins::EmptyInFile {
            memory_fd: 20,
            monitor_fd: 21,
        });
        assert!(
            saving.contains("mem-path=/proc/self/fd/20,size=512M,share=on"),
            "{saving}"
        );
        assert!(saving.contains("file=/i,,j/root.ext4,format=raw") && !saving.contains("-incoming"));
        let restored = |to_be_saved| {
            line(Begins::Saved {
                memory_fd: 20,
                disk_fd: 22,
                monitor_fd: 21,
                to_be_saved,
            })
        };
        let saved = restored(false);
        assert!(
            saved.contains("share=off") && saved.contains("-incoming defer"),
            "{saved}"
        );
        assert!(saved.contains("file=/proc/self/fd/22,format=qcow2") && saved.contains("snapshot=on"));
        let again = restored(true);
        assert!(
            again.contains("share=on") && again.contains("-incoming defer"),
            "{again}"
        );
        assert!(
            again.contains("format=qcow2") && again.contains("snapshot=off"),
            "{again}"
        );
        assert!(!line(Begins::Empty).contains("memory-backend"));
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
        assert!(kernel_command_line("ttyS0", "").contains("apparmor.audit=noquiet"));
    }

    #[test]
    fn the_hypervisor_takes_the_kernel_with_its_arguments_as_a_module() {
        let xen = Machine {
            boots: Boots::Xen {
                hypervisor: Path::new("/i/xen"),
                kernel_fd: 11,
            },
            memory_mib: 1536,
            ..machine(&[], "a=b,c")
        };
        let arguments = arguments(&xen);
        let after = |option: &str| {
            let at = arguments.iter().position(|argument| argument == option).unwrap();
            arguments[at + 1].as_str()
        };
        assert_eq!(after("-kernel"), "/i/xen");
        assert!(after("-initrd").starts_with("/proc/self/fd/11 console=hvc0 quiet "));
        // A comma within the arguments does not begin the next module.
        assert!(after("-initrd").ends_with(" a=b,,c,/proc/self/fd/7"));
        assert!(after("-append").contains("dom0_mem=1024M,max:1024M"));
        assert_eq!(after("-cpu"), "Nehalem");
    }
}
