//! See `tidelog_fuzz::targets::aggregate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::aggregate(data));
