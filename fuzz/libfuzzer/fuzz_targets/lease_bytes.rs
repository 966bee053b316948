//! See `tidelog_fuzz::targets::lease_bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::lease_bytes(data));
