//! Resets of a PCI function through configuration space, in the three ways that libvirt and the kernel have
//! (PCI Express Base Specification, PCI Power Management, PCI-to-PCI Bridge Architecture).
//!
//! That a reset took place is seen in the cache line size register: it is set to a mark, which a reset clears.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::perform::{Called, Done, Failure, unknown};
use crate::protocol::{Effect, PciReset};

const CACHE_LINE_SIZE: u64 = 0x0c;
const CAPABILITIES: u64 = 0x34;
const BRIDGE_CONTROL: u64 = 0x3e;
const BRIDGE_BUS_RESET: u16 = 0x40;
const CAP_POWER: u8 = 0x01;
const CAP_EXPRESS: u8 = 0x10;
const MARK: u8 = 0x10;
/// Times of the specifications: hold of a bus reset and recovery after it, and the state changes of power management.
const BUS_RESET: Duration = Duration::from_millis(200);
const POWER_STATE: Duration = Duration::from_millis(10);
const FUNCTION_RESET: Duration = Duration::from_millis(100);

/// Configuration space of one function.
struct Config(File);

impl Config {
    fn open(path: &str) -> Result<Config, Failure> {
        Ok(Config(
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .called("open")?,
        ))
    }

    fn read<const N: usize>(&self, at: u64) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        self.0.read_exact_at(&mut bytes, at).called("read")?;
        Ok(bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all_at(bytes, at).called("write")
    }

    fn word(&self, at: u64) -> Result<u16, Failure> {
        Ok(u16::from_le_bytes(self.read(at)?))
    }

    fn set(&self, at: u64, bits: u16, to: u16) -> Result<(), Failure> {
        let now = self.word(at)?;
        self.write(at, &(now & !bits | to).to_le_bytes())
    }

    /// Offset of a capability; the list is followed no further than it can be long.
    fn capability(&self, wanted: u8) -> Result<u64, Failure> {
        let [mut at] = self.read::<1>(CAPABILITIES)?;
        for _ in 0..48 {
            at &= !3;
            if at == 0 {
                break;
            }
            let [id, next] = self.read(at.into())?;
            if id == wanted {
                return Ok(at.into());
            }
            at = next;
        }
        Err(Errno::ENOENT).called("find capability")
    }
}

/// Reset a function; fails with `EIO` if the mark is still there afterwards.
pub fn reset(spec: &PciReset) -> Done {
    let function = Config::open(&spec.config)?;
    // Standard registers and what lies beyond them, as libvirt saves and restores it.
    let saved: [u8; 64] = function.read(0)?;
    function.write(CACHE_LINE_SIZE, &[MARK])?;
    if function.read::<1>(CACHE_LINE_SIZE)? != [MARK] {
        return Err(Errno::ENOTSUP).called("mark");
    }
    match spec.how.as_str() {
        "flr" => {
            let express = function.capability(CAP_EXPRESS)?;
            function.set(express + 8, 1 << 15, 1 << 15)?;
            thread::sleep(FUNCTION_RESET);
        }
        "power" => {
            let power = function.capability(CAP_POWER)?;
            function.set(power + 4, 3, 3)?;
            thread::sleep(POWER_STATE);
            function.set(power + 4, 3, 0)?;
            thread::sleep(POWER_STATE);
        }
        "bus" => {
            let bridge = Config::open(spec.bridge.as_deref().ok_or_else(|| unknown("open"))?)?;
            bridge.set(BRIDGE_CONTROL, BRIDGE_BUS_RESET, BRIDGE_BUS_RESET)?;
            thread::sleep(BUS_RESET);
            bridge.set(BRIDGE_CONTROL, BRIDGE_BUS_RESET, 0)?;
            thread::sleep(BUS_RESET);
        }
        _ => return Err(unknown("reset")),
    }
    let [mark] = function.read::<1>(CACHE_LINE_SIZE)?;
    function.write(0, &saved)?;
    if mark == MARK {
        Err(Errno::EIO).called("reset")
    } else {
        Ok(Effect {
            value: mark.into(),
            ..Effect::default()
        })
    }
}
