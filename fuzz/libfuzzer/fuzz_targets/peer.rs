//! See `tidelog_fuzz::targets::peer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::peer(data));
