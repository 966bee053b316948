//! Runs the target `tidelog_fuzz::targets::peer` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::peer(data));
