//! Writes single values as CBOR, each in its shortest form.

use std::convert::Infallible;

use minicbor::encode::{Encoder, Error};

use super::TAG_TIMESTAMP;

/// Begins a structure of so many members; a name and a value follow for each.
pub fn write_map(out: &mut Vec<u8>, members: usize) {
    certain(Encoder::new(out).map(members as u64));
}

/// Begins a list of so many elements.
pub fn write_list(out: &mut Vec<u8>, elements: usize) {
    certain(Encoder::new(out).array(elements as u64));
}

/// Writes text.
pub fn write_text(out: &mut Vec<u8>, value: &str) {
    certain(Encoder::new(out).str(value));
}

/// Begins a text; the caller appends exactly so many bytes of UTF-8.
pub fn write_text_head(out: &mut Vec<u8>, bytes: usize) {
    certain(Encoder::new(out).str_len(bytes as u64));
}

/// Writes bytes.
pub fn write_blob(out: &mut Vec<u8>, value: &[u8]) {
    certain(Encoder::new(out).bytes(value));
}

/// Writes a whole number.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    certain(Encoder::new(out).i64(value));
}

/// Writes a number in 64 bits.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    certain(Encoder::new(out).f64(value));
}

/// Writes an instant, given in milliseconds.
pub fn write_timestamp(out: &mut Vec<u8>, value_ms: i64) {
    certain(Encoder::new(&mut *out).tag(TAG_TIMESTAMP));
    write_integer(out, value_ms);
}

/// Writes true or false.
pub fn write_bool(out: &mut Vec<u8>, value: bool) {
    certain(Encoder::new(out).bool(value));
}

/// Writes a member that is there without a value.
pub fn write_null(out: &mut Vec<u8>) {
    certain(Encoder::new(out).null());
}

fn certain<T>(written: Result<T, Error<Infallible>>) {
    drop(written.expect("writing to memory cannot fail"));
}
