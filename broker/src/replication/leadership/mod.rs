//! Leaders and members of the groups: who leads, for how long, who may be handed a group, and who belongs to it.
//!
//! [`leaders::Leadership`] is the handle of leading, [`membership::Membership`] that of the members; [`balance`] keeps the
//! leaders spread.

pub mod balance;
pub mod eligibility;
mod handover;
pub mod leaders;
pub mod lease;
pub mod membership;
