//! Nodes in this process, below HTTP: their settings, and calls of operations.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidelog::clock::Clock;
use tidelog::limits::{ControlLimits, ShardLimits};
use tidelog::node::NodeConfig;
use tidelog::ops::{Call, Codec, Reply};
use tidelog::replication::{Durability, Shell, Sizes};
use tidelog::room::AnswerRoom;
use tidelog::service::{Pace, Transitions};
use tidelog_storage::disk::RealDisk;

/// Settings of a node on its own in that directory: nothing is limited, nothing is delayed, and everything is synced.
#[must_use]
pub fn unlimited(directory: &Path) -> NodeConfig {
    NodeConfig {
        cluster: None,
        data_dir: directory.to_owned(),
        limits: ShardLimits::off(),
        control_limits: ControlLimits::off(),
        transitions: Transitions::default(),
        lease_tables: Some(tidelog_tables::Bounds::default()),
        application_quiet: tidelog::service::APPLICATION_QUIET,
        pace: Pace::default(),
        durability: Durability::Fsync,
        clock: Clock::System,
        disk: Arc::new(RealDisk),
        shell: Shell::Threads,
        sizes: Sizes::default(),
    }
}

/// A call in JSON by the account 000000000000 in us-east-1.
pub fn call(body: impl Into<Bytes>) -> Call {
    Call {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        codec: Codec::Json,
        body: body.into(),
        answers: AnswerRoom::default(),
    }
}

/// The body of a reply in JSON; `None` for an event stream.
pub fn body(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::Answer(answer) => Some(answer.encode(Codec::Json)),
        Reply::Complete(body) | Reply::Charged(body, _) => Some(body),
        Reply::Events(_) => None,
    }
}
