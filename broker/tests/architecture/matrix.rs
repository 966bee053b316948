//! The arrows between the modules of a crate, between the crates, and to the crates of others. [`super::tidy`] holds
//! the code to these tables.
//!
//! A row stands for a module at the crate's root, or, as `cluster::peers`, for one of the next level; the row `cluster`
//! would stand for the files of `cluster` that have no row of their own, and for the names that `cluster/mod.rs`
//! defines.
//!
//! A new module gets a row above everything it imports. A module that needs one more import gets its name in its row,
//! if that stands below. An import that runs back up needs an [`Exception`] with its reason; take an exception out as
//! soon as nothing needs it.

/// The arrows of one crate of the workspace.
pub struct Matrix {
    /// The crate's directory in the workspace.
    pub directory: &'static str,
    /// A module, and the modules and crates of the workspace that it may import, from the top to the bottom: a row
    /// names modules of the rows below it and no others.
    pub rows: &'static [(&'static str, &'static str)],
    /// Names at the root of the crate that stand for something in a module.
    pub at_root: &'static [(&'static str, &'static str)],
    /// Imports that run against the rows.
    pub exceptions: &'static [Exception],
}

/// One file's import that its module's row does not allow.
pub struct Exception {
    /// The file, below the crate's `src`.
    pub file: &'static str,
    /// The module that it imports.
    pub imports: &'static str,
    /// The reason for the exception, or the change that will remove it.
    pub reason: &'static str,
}

#[rustfmt::skip]
pub const BROKER: Matrix = Matrix {
    directory: "broker",
    rows: &[
        // The program: settings, commands, a node from its parts.
        ("embedded", "clock config limits node room server wire"),
        ("server", "certificates clock cluster::peers config data_directory model node observability ownership replication room service shell stage tls wire storage tables"),
        ("config", "data_directory limits replication service tls wire tables"),
        ("cluster::client", "clock cluster::peers tls proto"),
        ("offline", "clock cluster::forming cluster::identity cluster::peers data_directory replication stage proto storage"),
        ("node", "clock cluster::boot cluster::forming cluster::identity cluster::lives cluster::lost_log cluster::peers cluster::port limits replication service shell stage proto storage tables"),
        ("certificates", "clock observability shell tls"),
        ("ownership", "cluster::identity cluster::peers data_directory observability replication shell storage"),

        // The modules that a request passes through.
        ("wire", "cluster::administration limits model observability ops replication room service shell stage tls proto tables"),
        ("cluster::port", "cluster::administration cluster::forming cluster::peers observability ops replication room service shell proto"),
        ("ops", "limits model observability replication room service proto"),
        ("cluster::administration", "clock cluster::forming cluster::peers replication service proto storage"),
        ("service", "clock cluster::peers limits model observability replication room shell proto storage tables"),

        // Replication: the groups and their handles, and the rooms below.
        ("replication", "clock cluster::forming cluster::identity cluster::lives cluster::peers model observability replication::appends replication::catch_up replication::checkpoints replication::config replication::data replication::error replication::leadership replication::metadata replication::proposals replication::raft replication::recovery replication::sizes replication::types replication::workers shell proto storage"),
        ("replication::recovery", "cluster::identity replication::catch_up replication::checkpoints replication::config replication::error replication::workers storage"),
        ("replication::config", "clock cluster::peers replication::catch_up replication::sizes replication::workers shell proto storage"),
        ("replication::catch_up", "cluster::peers observability replication::raft replication::sizes replication::types replication::workers shell stage proto storage"),
        ("replication::checkpoints", "cluster::peers model replication::error replication::raft replication::workers shell storage"),
        ("replication::proposals", "cluster::peers model observability replication::data replication::error replication::leadership replication::metadata replication::raft replication::types proto storage tables"),
        ("replication::leadership", "cluster::peers replication::appends replication::metadata replication::raft replication::types replication::workers shell proto storage"),
        ("replication::appends", "replication::error replication::metadata replication::raft replication::types replication::workers shell"),
        ("replication::raft", "clock cluster::forming cluster::lost_log cluster::peers model replication::data replication::error replication::metadata replication::types replication::workers shell proto storage"),
        ("replication::workers", "clock cluster::peers observability replication::sizes replication::types shell storage"),
        ("replication::data", "model replication::types proto storage tables"),
        ("replication::error", "replication::types storage"),
        ("replication::types", "cluster::peers model replication::metadata shell proto storage"),
        ("replication::metadata", "limits model proto"),
        ("replication::sizes", "room storage"),

        // A node and its peers.
        ("cluster::forming", "cluster::identity cluster::peers stage proto storage"),
        ("cluster::lost_log", "cluster::identity cluster::peers storage"),
        ("cluster::identity", "cluster::peers storage"),
        ("cluster::lives", "model storage"),
        ("cluster::peers", "model observability room shell tls proto"),
        ("cluster::boot", "storage"),
        ("cluster", ""),
        ("tls", "clock data_directory storage"),
        ("data_directory", ""),
        ("stage", ""),

        // Modules that everything else stands on.
        ("clock", "model observability"),
        ("model", "limits"),
        ("limits", ""),
        ("room", "proto"),
        ("shell", "observability"),
        ("observability", ""),
    ],
    at_root: &[("log_at_most_once_a_second", "observability")],
    exceptions: &[],
};

#[rustfmt::skip]
pub const STORAGE: Matrix = Matrix {
    directory: "storage",
    rows: &[
        ("flusher", "blocks disk recent segment shard transfer"),
        ("shard", "blocks checkpoint disk recent record segment transfer"),
        ("transfer", "checkpoint disk segment"),
        ("checkpoint", "disk segment"),
        ("segment", "disk"),
        ("recent", ""),
        ("record", ""),
        ("wal", "blocks disk"),
        ("disk", "blocks"),
        ("blocks", ""),
    ],
    at_root: &[
        ("Blocks", "blocks"), ("Disk", "disk"), ("DiskFile", "disk"), ("RealDisk", "disk"), ("SimDisk", "disk"),
        ("Wal", "wal"), ("WalError", "wal"), ("WalReader", "wal"),
    ],
    exceptions: &[],
};

/// The crates of the workspace by the names that code has for them, and the crates of the workspace that they may
/// depend on, tests and build scripts included, from the top to the bottom. Tests of every crate may use
/// tidelog-testkit besides, wherever its row stands: Cargo builds it with the crate that it is to test.
#[rustfmt::skip]
pub const CRATES: &[(&str, &str)] = &[
    ("tidelog-fuzz", "tidelog tidelog-client tidelog-proto tidelog-tables"),
    ("tidelog-benches", "tidelog tidelog-proto tidelog-storage tidelog-testkit"),
    ("tidelog-cli", "tidelog tidelog-client tidelog-kinesis tidelog-load tidelog-proto"),
    ("tidelog-testkit", "tidelog tidelog-proto tidelog-storage tidelog-tables"),
    ("tidelog", "tidelog-client tidelog-proto tidelog-storage tidelog-tables"),
    ("tidelog-load", "tidelog-kinesis tidelog-proto"),
    ("tidelog-kinesis", ""),
    ("tidelog-client", "tidelog-proto"),
    ("tidelog-storage", ""),
    ("tidelog-tables", ""),
    ("tidelog-proto", ""),
    ("tidelog-client-tests-rust", ""),
];

/// Crates of others, and the modules of the broker that alone name them.
#[rustfmt::skip]
pub const HOMES: &[(&str, &str)] = &[
    ("aes_gcm", "service"),
    ("flate2", "wire"),
    ("form_urlencoded", "wire"),
    ("hyper", "wire cluster"),
    ("openraft", "replication"),
    ("rcgen", "tls"),
    ("ring", "tls"),
    ("rustls", "tls"),
    // The fields of faults, which nodes tell each other.
    ("serde", "ops service replication model"),
    // A line of the log may be a JSON document.
    ("serde_json", "wire ops observability"),
    ("socket2", "wire"),
    ("sonic_rs", "ops"),
    ("tokio_rustls", "tls"),
    ("x509_parser", "tls"),
];

/// Modules of the broker, and the crates and parts of std that they never name.
#[rustfmt::skip]
pub const ABSENT: &[(&str, &str)] = &[
    ("clock", "tonic hyper prost std::fs std::net"),
    ("limits", "tokio tonic hyper prost std::fs std::net std::thread"),
    ("model", "tokio tonic hyper prost serde_json std::fs std::io std::net std::thread"),
];

/// Crates of others that storage does not depend on.
pub const STORAGE_IS_WITHOUT: [&str; 6] = ["tokio", "openraft", "hyper", "prost", "tonic", "rand"];
