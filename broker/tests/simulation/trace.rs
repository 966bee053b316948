//! The events of a run, in their order, as one hash: two runs of one seed are equal if their hashes are.
//!
//! Every call and answer of a client, every fault and every byte written to a disk is part of it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// FNV-1a, 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The trace of a run.
pub struct Trace {
    state: Mutex<State>,
}

struct State {
    now: Duration,
    hash: u64,
    lines: u64,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// An empty trace; its lines go to the file at `path` too, if there is one.
    pub fn new(path: Option<&str>) -> Self {
        let open = |path| BufWriter::new(File::create(path).expect("the trace's file can be written"));
        Self {
            state: Mutex::new(State { now: Duration::ZERO, hash: OFFSET, lines: 0, file: path.map(open) }),
        }
    }

    /// Sets the present time of the simulation.
    pub fn tick(&self, now: Duration) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).now = now;
    }

    /// Adds a line, with the time of the simulation.
    pub fn note(&self, what: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let line = format!("{:?} {what}\n", state.now);
        state.hash = line.bytes().fold(state.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        state.lines += 1;
        if let Some(file) = &mut state.file {
            // The run goes on without a trace that cannot be written.
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Hash and number of lines so far.
    pub fn sum(&self) -> (u64, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.hash, state.lines)
    }
}
