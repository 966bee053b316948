//! What the rate of an operation of the control plane is. The rates themselves are a column of the table of operations.

/// Whose calls are counted together; always those of one account in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of the caller's account.
    Account,
    /// Those to one stream.
    Stream,
    /// Those by one consumer to one shard; the operation counts them itself.
    ConsumerAndShard,
}

/// The rate of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls per second; as many may come at once.
    pub per_second: u64,
    /// Whose calls are counted together.
    pub scope: Scope,
}

/// A rate of that many calls per second.
#[must_use]
pub const fn rate(per_second: u64, scope: Scope) -> Rate {
    Rate { per_second, scope }
}
