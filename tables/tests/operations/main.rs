//! Every operation from its JSON to its JSON, as clients see it.

#![expect(clippy::needless_pass_by_value, reason = "calls read best with their JSON in place")]

mod applications;
mod batch_calls;
mod bounds;
mod endpoint;
mod expiry;
mod expressions;
mod item_calls;
mod legacy;
mod model;
mod queries;
mod scans;
mod snapshots;
mod table_calls;
mod table_settings;
mod transactions;
mod unknown;
mod values;
