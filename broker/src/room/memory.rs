//! How much memory the process may take: as it is set, or found in the limits that the system puts on it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

const MIB: u64 = 1 << 20;

/// Bytes below which a broker does not start: its largest request and its largest answer would not fit.
pub const BYTES_MIN: usize = 192 << 20;
/// Percent of a limit that is taken: the rest is the page cache's, and the allocator's that gives back late.
const PERCENT_OF_LIMIT: u64 = 75;
/// Percent of a machine without a limit that is taken: others run there too.
const PERCENT_OF_MACHINE: u64 = 25;
/// Bytes that are taken of a machine without a limit at most.
const OF_MACHINE_MAX: u64 = 6_144 * MIB;
/// Bytes where nothing says how much there is.
const UNKNOWN_BYTES: u64 = 512 * MIB;
/// Figures from here on stand for "no limit": version 1 of cgroups shows the largest multiple of a page.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes the process may take, and why it is that many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes.
    pub bytes: usize,
    /// Where the figure comes from.
    pub source: Source,
}

/// Where a figure of memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--memory`.
    Setting,
    /// The smallest limit of the process's control groups, of that many bytes.
    ControlGroup(u64),
    /// The limit of the process's address space, of that many bytes.
    AddressSpace(u64),
    /// The machine's memory, of that many bytes.
    Machine(u64),
    /// Neither a limit nor the machine's memory can be read here.
    Unknown,
}

/// There is too little memory to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is too little memory: a broker needs 192 MiB at least, for which --memory or the limit has to be raised"
)]
pub struct MemoryError(Memory);

impl Memory {
    /// The figure that is set, or else the system's limit.
    ///
    /// # Errors
    /// [`MemoryError`] below 192 MiB.
    pub fn resolve(set: Option<u64>) -> Result<Self, MemoryError> {
        let address_space = getrlimit(Resource::As).current;
        Self::found(set, address_space, |path| std::fs::read_to_string(path).ok())
    }

    fn found(
        set: Option<u64>,
        address_space: Option<u64>,
        read: impl Fn(&Path) -> Option<String>,
    ) -> Result<Self, MemoryError> {
        let machine = machine(&read);
        let below_machine = |limit: &u64| *limit < machine.unwrap_or(NO_LIMIT).min(NO_LIMIT);
        let group = control_group(&read).filter(below_machine);
        let address_space = address_space.filter(below_machine);
        let of = |bytes: u64, percent: u64| bytes / 100 * percent + bytes % 100 * percent / 100;
        let (bytes, source) = match (set, group, address_space, machine) {
            (Some(set), ..) => (set, Source::Setting),
            (_, Some(group), space, _) if space.is_none_or(|space| group <= space) => {
                (of(group, PERCENT_OF_LIMIT), Source::ControlGroup(group))
            }
            (_, _, Some(space), _) => (of(space, PERCENT_OF_LIMIT), Source::AddressSpace(space)),
            (_, _, _, Some(machine)) => (
                of(machine, PERCENT_OF_MACHINE).min(OF_MACHINE_MAX).max(BYTES_MIN as u64),
                Source::Machine(machine),
            ),
            _ => (UNKNOWN_BYTES, Source::Unknown),
        };
        let memory = Self { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), source };
        if memory.bytes < BYTES_MIN { Err(MemoryError(memory)) } else { Ok(memory) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} MiB (", self.bytes as u64 / MIB)?;
        match self.source {
            Source::Setting => write!(out, "as set"),
            Source::ControlGroup(limit) => {
                write!(out, "{PERCENT_OF_LIMIT} % of the control group's {} MiB", limit / MIB)
            }
            Source::AddressSpace(limit) => {
                write!(out, "{PERCENT_OF_LIMIT} % of the address space's {} MiB", limit / MIB)
            }
            Source::Machine(all) => write!(out, "of the machine's {} MiB", all / MIB),
            Source::Unknown => write!(out, "nothing says how much there is"),
        }?;
        write!(out, ")")
    }
}

/// The machine's memory, bytes.
fn machine(read: &impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let text = read(Path::new("/proc/meminfo"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// The smallest limit of the process's control groups and those above them, bytes.
fn control_group(read: &impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let limits = mounts.lines().filter_map(Mount::read).flat_map(|mount| {
        let names: &[&str] =
            if mount.is_v2 { &["memory.max", "memory.high"] } else { &["memory.limit_in_bytes"] };
        let mut limits = Vec::new();
        for directory in mount.directories(&groups) {
            limits.extend(names.iter().filter_map(|name| figure(&read(&directory.join(name))?)));
            // Version 1 names the least of the groups above as well, where those cannot be seen.
            let stat = read(&directory.join("memory.stat")).unwrap_or_default();
            let above = stat.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "));
            limits.extend(above.and_then(figure));
        }
        limits
    });
    limits.min()
}

fn figure(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// A mounted hierarchy of control groups that may limit memory.
struct Mount<'a> {
    is_v2: bool,
    /// The group that is mounted.
    root: &'a str,
    at: &'a Path,
}

impl<'a> Mount<'a> {
    /// Reads a line of mountinfo; `None` for another file system.
    fn read(line: &'a str) -> Option<Self> {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, at) = (fields.next()?, Path::new(fields.next()?));
        let mut kind = kind.split(' ');
        let is_v2 = match kind.next()? {
            "cgroup2" => true,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => false,
            _ => return None,
        };
        Some(Self { is_v2, root, at })
    }

    /// The directories of the process's group and of all above it that can be seen.
    fn directories(&self, groups: &str) -> Vec<PathBuf> {
        let own = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_it = if self.is_v2 {
                controllers.is_empty()
            } else {
                controllers.split(',').any(|controller| controller == "memory")
            };
            is_it.then_some(path)
        });
        // In a container the path may be one that only the machine knows; the limit stands in the mounted
        // directory.
        let below = own.and_then(|own| own.strip_prefix(self.root.trim_end_matches('/'))).unwrap_or_default();
        let own = self.at.join(below.trim_start_matches('/'));
        own.ancestors()
            .take_while(|directory| directory.starts_with(self.at))
            .map(Path::to_path_buf)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
    const V1: &str = "33 32 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      34 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    fn found(set: Option<u64>, space: Option<u64>, files: &[(&str, String)]) -> Result<Memory, MemoryError> {
        Memory::found(set, space, |path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| text.clone())
        })
    }

    fn machine(mib: u64) -> (&'static str, String) {
        (MACHINE.0, format!("MemTotal:       {} kB\nMemFree: 1 kB\n", mib * 1_024))
    }

    fn files<'a>(groups: &str, mounts: &str, limits: &[(&'a str, &str)]) -> Vec<(&'a str, String)> {
        let mut files = vec![machine(16_384)];
        files.push(("/proc/self/cgroup", groups.to_owned()));
        files.push(("/proc/self/mountinfo", mounts.to_owned()));
        files.extend(limits.iter().map(|(name, text)| (*name, (*text).to_owned())));
        files
    }

    #[test]
    fn the_smallest_limit_up_the_tree_counts() {
        let mib = |mib: u64| (mib * MIB).to_string();
        let (own, above) = (mib(2_048), mib(512));
        let v2 = files(
            "0::/system.slice/a.service\n",
            V2,
            &[
                ("/sys/fs/cgroup/system.slice/a.service/memory.max", &own),
                ("/sys/fs/cgroup/system.slice/a.service/memory.high", "max\n"),
                ("/sys/fs/cgroup/system.slice/memory.high", &above),
            ],
        );
        let memory = found(None, None, &v2).unwrap();
        assert_eq!((memory.bytes, memory.source), (384 << 20, Source::ControlGroup(512 * MIB)));
        assert_eq!(memory.to_string(), "384 MiB (75 % of the control group's 512 MiB)");
        // In a container the limit stands in the root of the mounted directory.
        let inside = files("0::/\n", V2, &[("/sys/fs/cgroup/memory.max", &above)]);
        assert_eq!(found(None, None, &inside), Ok(memory));
        let v1 = files(
            "5:cpu:/x\n4:memory:/a/b\n",
            V1,
            &[
                ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
                ("/sys/fs/cgroup/memory/a/b/memory.stat", "cache 0\nhierarchical_memory_limit 536870912\n"),
            ],
        );
        assert_eq!(found(None, None, &v1), Ok(memory));
        let docker = V1.replace("0:31 / ", "0:31 /docker/c1 ");
        let mounted = files(
            "4:memory:/docker/c1\n",
            &docker,
            &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", &above)],
        );
        assert_eq!(found(None, None, &mounted), Ok(memory));
    }

    #[test]
    fn without_a_limit_the_machine_counts_and_a_setting_always_does() {
        let figure = |memory: Result<Memory, MemoryError>| memory.unwrap().bytes as u64 / MIB;
        let unlimited = files("0::/\n", V2, &[("/sys/fs/cgroup/memory.max", "max\n")]);
        assert_eq!(figure(found(None, None, &unlimited)), 4_096);
        assert_eq!(figure(found(None, None, &[machine(65_536)])), 6_144);
        assert_eq!(figure(found(None, None, &[machine(400)])), 192);
        assert_eq!(figure(found(None, Some(1_024 * MIB), &unlimited)), 768);
        assert_eq!(figure(found(Some(256 * MIB), None, &unlimited)), 256);
        let unknown = found(None, None, &[]).unwrap();
        assert_eq!((unknown.bytes, unknown.source), (512 << 20, Source::Unknown));
        // A limit above the machine's memory limits nothing.
        let larger = files("0::/\n", V2, &[("/sys/fs/cgroup/memory.max", "99999999999\n")]);
        assert_eq!(found(None, None, &larger).unwrap().source, Source::Machine(16_384 * MIB));
    }

    #[test]
    fn too_little_is_refused_with_its_reason() {
        let refused = found(Some(100 * MIB), None, &[]).unwrap_err().to_string();
        assert!(refused.starts_with("100 MiB (as set) is too little memory"), "{refused}");
        let small = (200 * MIB).to_string();
        let limited = files("0::/\n", V2, &[("/sys/fs/cgroup/memory.max", &small)]);
        let refused = found(None, None, &limited).unwrap_err().to_string();
        assert!(refused.starts_with("150 MiB (75 % of the control group's 200 MiB)"), "{refused}");
    }
}
