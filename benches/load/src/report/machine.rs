//! The machine that the load came from, as far as the system tells without asking for anything.

use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// System and its version.
    pub system: String,
    /// The processor's own name; empty where the system does not tell.
    pub processor: String,
    /// Cores that the program may use.
    pub cores: usize,
}

impl Machine {
    /// Describes this machine.
    pub fn here() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let name = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let system = format!("{} {} {}", std::env::consts::OS, release.trim(), std::env::consts::ARCH);
        Self {
            system: system.split_whitespace().collect::<Vec<_>>().join(" "),
            processor: name.map_or_else(String::new, |(_, name)| name.trim().to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
        }
    }
}
