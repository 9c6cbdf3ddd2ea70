//! Resets of a PCI function through configuration space, in the three ways of libvirt and the kernel (PCI Express Base
//! Specification, PCI Power Management, PCI-to-PCI Bridge Architecture).
//!
//! | reset method | how we see that the reset happened |
//! |---|---|
//! | `flr` (function level reset), `bus` | we write a mark into the cache line size register first; a reset clears it |
//! | `power` | we read the power state back after each change: D3hot, then D0 |
//!
//! Whether a function loses its registers in D3hot depends on the device. Emulated ones keep them, so the mark is no
//! evidence there.

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
/// In the power management capability: the control and status register, its state bits, and the bit that says that a
/// change of state resets nothing.
const POWER_CONTROL: u64 = 4;
const POWER_STATE: u16 = 3;
const D3_HOT: u16 = 3;
const D0: u16 = 0;
const NO_SOFT_RESET: u16 = 1 << 3;
const CAP_EXPRESS: u8 = 0x10;
/// In the PCI Express capability: the upper half of the device capabilities, and the device control register.
const EXPRESS_ABILITIES: u64 = 6;
const ABLE_TO_FLR: u16 = 1 << 12;
const EXPRESS_CONTROL: u64 = 8;
const START_FLR: u16 = 1 << 15;
const MARK: u8 = 0x10;
/// Times from the specifications: how long a bus reset is held and how long recovery takes, and the state changes of
/// power management.
const BUS_RESET: Duration = Duration::from_millis(200);
const POWER_CHANGE: Duration = Duration::from_millis(10);
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

    /// Offset of a capability. The walk stops at the longest possible list.
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

/// Reset a function. Fails with `ENOTSUP` if it cannot be reset this way, with `EIO` if it ignores the reset.
/// Afterwards the standard registers have their old values, as after a reset by libvirt.
pub fn reset(spec: &PciReset) -> Done {
    let function = Config::open(&spec.config)?;
    let saved: [u8; 64] = function.read(0)?;
    let done = match spec.how.as_str() {
        "flr" => marked(&function, || function_level(&function)),
        "power" => power(&function),
        "bus" => {
            let bridge = Config::open(spec.bridge.as_deref().ok_or_else(|| unknown("open"))?)?;
            marked(&function, || bus(&bridge))
        }
        _ => Err(unknown("reset")),
    };
    let restored = function.write(0, &saved);
    done.and(restored).map(|()| Effect::default())
}

/// Set the mark, reset, and check that the mark is gone.
fn marked(function: &Config, reset: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    function.write(CACHE_LINE_SIZE, &[MARK])?;
    if function.read(CACHE_LINE_SIZE)? != [MARK] {
        return Err(Errno::ENOTSUP).called("mark");
    }
    reset()?;
    match function.read(CACHE_LINE_SIZE)? {
        [0] => Ok(()),
        _ => Err(Errno::EIO).called("reset"),
    }
}

fn function_level(function: &Config) -> Result<(), Failure> {
    let express = function.capability(CAP_EXPRESS)?;
    if function.word(express + EXPRESS_ABILITIES)? & ABLE_TO_FLR == 0 {
        return Err(Errno::ENOTSUP).called("function level reset");
    }
    function.set(express + EXPRESS_CONTROL, START_FLR, START_FLR)?;
    thread::sleep(FUNCTION_RESET);
    Ok(())
}

fn power(function: &Config) -> Result<(), Failure> {
    let control = function.capability(CAP_POWER)? + POWER_CONTROL;
    if function.word(control)? & NO_SOFT_RESET != 0 {
        return Err(Errno::ENOTSUP).called("power reset");
    }
    for state in [D3_HOT, D0] {
        function.set(control, POWER_STATE, state)?;
        thread::sleep(POWER_CHANGE);
        if function.word(control)? & POWER_STATE != state {
            return Err(Errno::EIO).called("power reset");
        }
    }
    Ok(())
}

fn bus(bridge: &Config) -> Result<(), Failure> {
    bridge.set(BRIDGE_CONTROL, BRIDGE_BUS_RESET, BRIDGE_BUS_RESET)?;
    thread::sleep(BUS_RESET);
    bridge.set(BRIDGE_CONTROL, BRIDGE_BUS_RESET, 0)?;
    thread::sleep(BUS_RESET);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const POWER_AT: u8 = 0x40;
    const EXPRESS_AT: u8 = 0x50;

    /// Plain registers: a function that ignores every reset.
    fn registers(dir: &Path, change: impl FnOnce(&mut [u8])) -> String {
        let mut bytes = [0; 256];
        bytes[CAPABILITIES as usize] = POWER_AT;
        bytes[usize::from(POWER_AT)..][..2].copy_from_slice(&[CAP_POWER, EXPRESS_AT]);
        bytes[usize::from(EXPRESS_AT)..][..2].copy_from_slice(&[CAP_EXPRESS, 0]);
        bytes[usize::from(EXPRESS_AT) + 7] = (ABLE_TO_FLR >> 8) as u8;
        change(&mut bytes);
        let path = dir.join("config");
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    fn reset_of(config: &str, how: &str) -> Result<Effect, String> {
        reset(&PciReset {
            config: config.into(),
            how: how.into(),
            bridge: Some(config.into()),
        })
        .map_err(|failure| failure.to_string())
    }

    fn refusal(how: &str, change: impl FnOnce(&mut [u8])) -> String {
        let dir = tempfile::tempdir().unwrap();
        reset_of(&registers(dir.path(), change), how).unwrap_err()
    }

    #[test]
    fn a_function_that_ignores_its_reset_is_found_out() {
        for how in ["flr", "bus"] {
            let said = refusal(how, |_| {});
            assert!(said.starts_with("reset: Input/output error"), "{how}: {said}");
        }
    }

    #[test]
    fn a_function_that_cannot_is_told_from_one_that_does_not() {
        let said = refusal("flr", |bytes| bytes[usize::from(EXPRESS_AT) + 7] = 0);
        assert!(said.contains("not supported"), "{said}");
        let said = refusal("power", |bytes| {
            bytes[usize::from(POWER_AT) + 4] = NO_SOFT_RESET as u8
        });
        assert!(said.contains("not supported"), "{said}");
        let said = refusal("power", |bytes| bytes[CAPABILITIES as usize] = 0);
        assert!(said.starts_with("find capability"), "{said}");
    }

    #[test]
    fn a_circle_of_capabilities_ends() {
        let circle = |bytes: &mut [u8]| bytes[usize::from(EXPRESS_AT)..][..2].copy_from_slice(&[9, POWER_AT]);
        assert!(refusal("flr", circle).starts_with("find capability"));
    }

    #[test]
    fn the_power_state_goes_there_and_back_and_the_registers_stay() {
        let dir = tempfile::tempdir().unwrap();
        let config = registers(dir.path(), |bytes| bytes[CACHE_LINE_SIZE as usize] = 8);
        let before = std::fs::read(&config).unwrap();
        reset_of(&config, "power").unwrap();
        assert_eq!(std::fs::read(&config).unwrap(), before);
    }

    #[test]
    fn configuration_space_cut_short_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let config = registers(dir.path(), |_| {});
        std::fs::OpenOptions::new()
            .write(true)
            .open(&config)
            .unwrap()
            .set_len(64)
            .unwrap();
        assert!(reset_of(&config, "flr").unwrap_err().starts_with("read"));
    }
}
