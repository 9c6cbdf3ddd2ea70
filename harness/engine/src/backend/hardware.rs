//! What every virtual machine has besides what it boots from: an IOMMU, and the PCI devices that fixtures select by their
//! features.
//!
//! One virtual machine serves every case. A boot takes as much processor time with these devices as without them: 4.6–4.9 s
//! for QEMU and virt-aa-conform together, without KVM. A second virtual machine for the PCI cases would cost one more boot.
//!
//! | PCI address | device | what cases can do with it |
//! |---|---|---|
//! | 08.0 | root port, behind it a network card of two functions | power reset, bus reset through the port; no function level reset (FLR) |
//! | 09.0 | root port, behind it an entropy source of two functions | FLR |
//! | 0a.0 | network card of one function, alone in its IOMMU group | assignment to vfio-pci |
//! | 0b.0 | root port, behind it a network card of one function | bus reset only, visible in its I/O space registers |

/// Arguments for the kernel's command line. Without them the kernel does not use the IOMMU.
pub const KERNEL_ARGUMENTS: &str = "intel_iommu=on";

/// Devices in QEMU's syntax. Interrupt remapping is off: it needs a split interrupt controller, with which a guest on
/// a busy host fails the timer test at boot and panics.
const DEVICES: [&str; 10] = [
    "intel-iommu,intremap=off",
    "pcie-root-port,id=port-network,bus=pcie.0,addr=08.0,chassis=1",
    "e1000e,bus=port-network,addr=00.0,multifunction=on,netdev=net0,romfile=",
    "e1000e,bus=port-network,addr=00.1,netdev=net1,romfile=",
    "pcie-root-port,id=port-entropy,bus=pcie.0,addr=09.0,chassis=2",
    "virtio-rng-pci,bus=port-entropy,addr=00.0,multifunction=on",
    "virtio-rng-pci,bus=port-entropy,addr=00.1",
    "e1000e,bus=pcie.0,addr=0a.0,netdev=net2,romfile=",
    "pcie-root-port,id=port-plain,bus=pcie.0,addr=0b.0,chassis=3",
    "rtl8139,bus=port-plain,addr=00.0,netdev=net3,mac=52:54:00:aa:00:03,romfile=",
];

/// Network backends of the network cards. They lead nowhere.
const NETWORKS: [&str; 4] = ["net0", "net1", "net2", "net3"];

/// The arguments of QEMU.
pub fn arguments() -> Vec<String> {
    let networks = NETWORKS
        .iter()
        .flat_map(|name| ["-netdev".to_owned(), format!("user,id={name},restrict=on")]);
    let devices = DEVICES
        .iter()
        .flat_map(|device| ["-device".to_owned(), (*device).to_owned()]);
    networks.chain(devices).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_is_there_before_the_card_that_is_on_it() {
        let line = arguments().join(" ");
        for name in NETWORKS {
            let network = line.find(&format!("user,id={name},"));
            let card = line.find(&format!("netdev={name},"));
            assert!(network.is_some() && network < card, "{name}: {line}");
        }
    }
}
