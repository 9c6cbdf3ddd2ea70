//! How many machines this host bears side by side.

use std::fs;
use std::num::NonZero;
use std::thread;

/// Memory that the harness and QEMU need for a machine besides the guest's, in MiB.
pub const BESIDE_MIB: u64 = 256;

/// The most machines that are started unless somebody asks for more.
const MOST: u8 = 16;

/// The host's memory that programs can still get, in MiB; `None` if the kernel does not say.
pub fn available_mib() -> Option<u64> {
    available_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

/// One machine for each processor, as far as the memory that is available bears them, and at least one.
pub fn machines(memory_mib: u32) -> u8 {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    fitting(processors, available_mib(), memory_mib)
}

fn fitting(processors: usize, available_mib: Option<u64>, memory_mib: u32) -> u8 {
    let by_processors = u8::try_from(processors).unwrap_or(MOST);
    let each = u64::from(memory_mib) + BESIDE_MIB;
    let by_memory = available_mib.map_or(1, |available| u8::try_from(available / each).unwrap_or(MOST));
    by_processors.min(by_memory).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_for_each_processor(2, Some(20_000), 2)]
    #[case::as_far_as_the_memory_goes(8, Some(3_100), 3)]
    #[case::at_least_one(8, Some(100), 1)]
    #[case::not_too_many(1000, Some(1_000_000), MOST)]
    #[case::nobody_knows(8, None, 1)]
    fn as_many_as_the_host_bears(
        #[case] processors: usize,
        #[case] available: Option<u64>,
        #[case] machines: u8,
    ) {
        assert_eq!(fitting(processors, available, 768), machines);
    }

    #[rstest]
    #[case("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n", Some(2048))]
    #[case("MemAvailable: much\n", None)]
    #[case("", None)]
    fn the_kernel_says_what_is_available(#[case] meminfo: &str, #[case] mib: Option<u64>) {
        assert_eq!(available_of(meminfo), mib);
    }
}
