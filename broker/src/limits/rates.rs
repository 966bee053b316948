//! Rates of operations of the control plane: calls per second, and the calls that are counted together. The
//! rates themselves are a column of the table of operations.

/// The calls that one rate counts together, always within one account and one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All calls of the caller's account.
    Account,
    /// Calls that name the same stream.
    Stream,
    /// Calls by one consumer to one shard; the operation counts them itself.
    ConsumerAndShard,
}

/// The rate of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second; as many may come at once.
    pub per_second: u64,
    /// The calls that are counted together.
    pub scope: Scope,
}

/// A rate of that many calls per second.
#[must_use]
pub const fn rate(per_second: u64, scope: Scope) -> Rate {
    Rate { per_second, scope }
}
