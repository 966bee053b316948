//! Runs the target `tidelog_fuzz::targets::token` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::token(data));
