//! Leaders and members of the groups: the leader and its lease, the nodes that may get a group, and the members.
//!
//! [`leaders::Leadership`] is the handle of leading, [`membership::Membership`] that of the members; [`balance`] keeps
//! the leaders spread.

pub mod balance;
pub mod eligibility;
mod handover;
pub mod leaders;
pub mod lease;
pub mod membership;
