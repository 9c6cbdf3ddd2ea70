//! A libvirt guest in few keys, and the XML that libvirt gets for it.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a guest's first serial port is a UNIX socket that libvirt makes: `vaac-GUEST.sock` in this folder.
const SOCKETS: &str = "/var/lib/libvirt/qemu";

/// A guest that libvirt starts or defines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Domain {
    /// The subject that is this guest, with a label `libvirt-UUID`. The guest is called `vaac-SUBJECT`, and its first
    /// serial port is the UNIX socket `/var/lib/libvirt/qemu/vaac-SUBJECT.sock`.
    pub guest: String,
    /// The guest's UUID; by default it comes from the subject's label.
    #[serde(default)]
    pub uuid: Option<String>,
    /// The guest's name; `vaac-SUBJECT` by default.
    #[serde(default)]
    pub name: Option<String>,
    /// MiB of memory; 32 by default.
    #[serde(default)]
    pub memory: Option<u32>,
    /// Machine type; `pc` by default.
    #[serde(default)]
    pub machine: Option<String>,
    /// The program; `/usr/bin/qemu-system-x86_64` by default.
    #[serde(default)]
    pub emulator: Option<String>,
    /// XML inside of `<os>`, behind `<type>`: loader, kernel, command line.
    #[serde(default)]
    pub os: Option<String>,
    /// Disks, in this order.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Other devices, each as XML.
    #[serde(default)]
    pub devices: Vec<String>,
    /// XML inside of `<domain>`, beside `<devices>`. The prefix `qemu:` is declared.
    #[serde(default)]
    pub extra: Vec<String>,
    /// Whether the first serial port is left out.
    #[serde(default)]
    pub no_serial: bool,
}

/// A disk of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Disk {
    /// An image file.
    #[serde(default)]
    pub file: Option<String>,
    /// A block device.
    #[serde(default)]
    pub block: Option<String>,
    /// A volume of a pool: `POOL/VOLUME`.
    #[serde(default)]
    pub volume: Option<String>,
    /// The image's format; `raw` by default.
    #[serde(default)]
    pub format: Option<String>,
    /// The device's name in libvirt, which also says its bus: `hda` (IDE), `vda` (virtio), `sda` (SCSI), `fda` (floppy).
    pub target: String,
    /// The bus, where the name says another one.
    #[serde(default)]
    pub bus: Option<String>,
    /// `disk`, `cdrom` or `floppy`; `disk` by default.
    #[serde(default)]
    pub device: Option<String>,
    /// XML inside of `<disk>`: `<readonly/>`, `<shareable/>`, `<encryption>`.
    #[serde(default)]
    pub extra: Option<String>,
}

impl Domain {
    /// The guest's name in libvirt.
    pub fn name(&self) -> String {
        let of_subject = || format!("vaac-{}", self.guest);
        self.name.clone().unwrap_or_else(of_subject)
    }

    /// The domain's XML. Texts are taken as they are, so that a case can also give XML that libvirt must refuse.
    pub fn xml(&self) -> String {
        let or = |text: &Option<String>, default: &str| text.clone().unwrap_or_else(|| default.into());
        let mut xml = format!(
            "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n  <name>{}</name>\n  \
             <uuid>{}</uuid>\n  <memory unit='MiB'>{}</memory>\n  <os><type arch='x86_64' machine='{}'>hvm</type>{}</os>\n  \
             <features><acpi/></features>\n",
            self.name(),
            or(&self.uuid, ""),
            self.memory.unwrap_or(32),
            or(&self.machine, "pc"),
            or(&self.os, ""),
        );
        let mut line = |text: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(xml, "  {text}");
        };
        self.extra.iter().for_each(|extra| line(extra));
        line("<devices>");
        line(&format!(
            "<emulator>{}</emulator>",
            or(&self.emulator, "/usr/bin/qemu-system-x86_64")
        ));
        self.disks.iter().for_each(|disk| line(&disk.xml()));
        if !self.no_serial {
            line(&format!(
                "<serial type='unix'><source mode='bind' path='{SOCKETS}/vaac-{}.sock'/></serial>",
                self.guest
            ));
        }
        self.devices.iter().for_each(|device| line(device));
        let has = |what: &str| self.devices.iter().any(|device| device.contains(what));
        if !has("<controller type='usb'") {
            line("<controller type='usb' model='none'/>");
        }
        if !has("<memballoon") {
            line("<memballoon model='none'/>");
        }
        line("</devices>");
        xml.push_str("</domain>\n");
        xml
    }
}

impl Disk {
    fn xml(&self) -> String {
        let (kind, source) = match (&self.file, &self.block, &self.volume) {
            (Some(file), _, _) => ("file", format!("<source file='{file}'/>")),
            (_, Some(block), _) => ("block", format!("<source dev='{block}'/>")),
            (_, _, Some(volume)) => {
                let (pool, volume) = volume.split_once('/').unwrap_or((volume, ""));
                ("volume", format!("<source pool='{pool}' volume='{volume}'/>"))
            }
            // A drive without a medium.
            _ => ("file", String::new()),
        };
        let device = self.device.as_deref().unwrap_or("disk");
        let bus = self.bus.as_deref().unwrap_or(match self.target.get(..2) {
            Some("hd") => "ide",
            Some("sd") => "scsi",
            Some("fd") => "fdc",
            _ => "virtio",
        });
        format!(
            "<disk type='{kind}' device='{device}'><driver name='qemu' type='{}'/>{source}<target dev='{}' bus='{bus}'/>{}</disk>",
            self.format.as_deref().unwrap_or("raw"),
            self.target,
            self.extra.as_deref().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_in_few_keys_becomes_xml() {
        let text = "{guest: vm, uuid: u, disks: [{file: /a, target: hda}, {volume: p/v, format: qcow2, target: vda, extra: <readonly/>}, \
                    {device: cdrom, target: sda, bus: sata}], devices: [<rng/>], extra: [<x/>], os: <loader/>}";
        let domain: Domain = serde_yaml::from_str(text).unwrap();
        let want = "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>vaac-vm</name>
  <uuid>u</uuid>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type><loader/></os>
  <features><acpi/></features>
  <x/>
  <devices>
  <emulator>/usr/bin/qemu-system-x86_64</emulator>
  <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/><target dev='hda' bus='ide'/></disk>
  <disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='p' volume='v'/><target dev='vda' bus='virtio'/><readonly/></disk>
  <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='sda' bus='sata'/></disk>
  <serial type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/vaac-vm.sock'/></serial>
  <rng/>
  <controller type='usb' model='none'/>
  <memballoon model='none'/>
  </devices>
</domain>
";
        assert_eq!(domain.xml(), want);
    }

    #[test]
    fn what_a_case_gives_replaces_the_defaults() {
        let text = "{guest: vm, name: other, no-serial: true, devices: [\"<controller type='usb' model='qemu-xhci'/>\", \
                    <memballoon model='virtio'/>]}";
        let xml = serde_yaml::from_str::<Domain>(text).unwrap().xml();
        assert!(xml.contains("<name>other</name>"), "{xml}");
        assert!(!xml.contains("<serial"), "{xml}");
        assert_eq!(xml.matches("type='usb'").count(), 1, "{xml}");
        assert_eq!(xml.matches("<memballoon").count(), 1, "{xml}");
    }
}
