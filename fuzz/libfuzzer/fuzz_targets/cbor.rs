//! See `tidelog_fuzz::targets::cbor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidelog_fuzz::targets::cbor(data));
