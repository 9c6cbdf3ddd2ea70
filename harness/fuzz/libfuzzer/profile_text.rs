#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| virt_aa_fuzz::profile_text(input));
