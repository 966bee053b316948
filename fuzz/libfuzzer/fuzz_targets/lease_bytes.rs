//! Runs the target `tidelog_fuzz::targets::lease_bytes` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::lease_bytes(data));
