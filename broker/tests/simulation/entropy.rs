//! The operating system's randomness, replaced in this one program by a stream that follows from a seed.
//!
//! Hash maps, the runtime's choices among ready branches, election timeouts, ids and nonces all come from
//! `getrandom`. The symbol defined here takes the place of the C library's, so that all code in this process that
//! draws from it draws the same with the same seed, without a line for that in the broker.

#![allow(
    unsafe_code,
    reason = "a function of the C library is replaced, and its caller hands over a raw buffer"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::dice::mix;

static DRAWN: AtomicU64 = AtomicU64::new(0);

/// Begins the stream of `seed`. To be called before anything is drawn, and by a process that has one thread.
pub fn begin(seed: u64) {
    DRAWN.store(mix(seed), Ordering::Relaxed);
}

/// Whether the process draws from here: false where the C library's own function was called instead.
pub fn is_replaced() -> bool {
    let before = DRAWN.load(Ordering::Relaxed);
    let _: [u8; 16] = *uuid::Uuid::new_v4().as_bytes();
    let _ = std::hash::RandomState::new();
    std::thread::spawn(std::hash::RandomState::new).join().expect("a thread without work");
    DRAWN.load(Ordering::Relaxed) != before
}

/// Works like `getrandom(2)`, never failing and never short.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes, as the C library asks of its callers.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for offset in 0..length {
        let drawn = mix(DRAWN.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed));
        // SAFETY: `offset` is below `length`, for which the caller vouches.
        unsafe { buffer.add(offset).write((drawn >> 32) as u8) };
    }
    length.cast_signed()
}
