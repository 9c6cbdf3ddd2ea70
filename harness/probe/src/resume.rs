//! What differs between machines that were restored from one saved state: the time, and the kernel's random numbers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

/// The most that the kernel takes at once.
const LARGEST_SEED: usize = 512;

/// `struct rand_pool_info` of linux/random.h.
#[repr(C)]
struct Seed {
    entropy_bits: libc::c_int,
    bytes: libc::c_int,
    data: [u8; LARGEST_SEED],
}

// The number of RNDADDENTROPY has the size of its first two fields.
nix::ioctl_write_ptr_bad!(
    add_entropy,
    nix::request_code_write!(b'R', 3, 2 * size_of::<libc::c_int>()),
    Seed
);
// RNDRESEEDCRNG
nix::ioctl_none!(reseed, b'R', 7);

/// Sets the machine's clock, as time since the epoch.
pub fn set_clock(now: Duration) -> io::Result<()> {
    Ok(clock_settime(
        ClockId::CLOCK_REALTIME,
        TimeSpec::from_duration(now),
    )?)
}

/// Adds random bytes to the kernel's pool, and has the generator take them at once.
pub fn seed_random(bytes: &[u8]) -> io::Result<()> {
    let mut seed = Seed {
        entropy_bits: 0,
        bytes: 0,
        data: [0; LARGEST_SEED],
    };
    let room = seed.data.get_mut(..bytes.len());
    room.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
    seed.bytes = libc::c_int::try_from(bytes.len()).map_err(io::Error::other)?;
    seed.entropy_bits = seed.bytes.saturating_mul(8);
    let random = File::open("/dev/urandom")?;
    // SAFETY: the structure is the one of these requests, and lives longer than the calls.
    unsafe {
        add_entropy(random.as_raw_fd(), &raw const seed)?;
        reseed(random.as_raw_fd())?;
    }
    Ok(())
}
