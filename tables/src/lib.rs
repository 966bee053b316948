//! Lease tables: the part of the DynamoDB protocol that KCL, KPL and their relatives need, as pure functions.
//!
//! Three layers, each on those before it:
//!
//! 1. [`value`]: attribute values in one canonical encoding.
//! 2. [`expression`]: conditions, updates, projections and key conditions, from expressions and from their legacy
//!    forms.
//! 3. [`request`] reads JSON into typed reads and writes, [`command`] carries writes through the log of a group,
//!    [`state`] applies commands and answers reads.
//!
//! [`lease`] knows the items that the Kinesis Client Library keeps in its tables.
//!
//! Nothing here knows a network, a runtime, a clock or the broker. The time and the bounds come with each command, so
//! that all nodes of a group come to the same state.
//!
//! ```
//! use tidelog_tables::{Bounds, Command, Owner, Request, Stamp, Tables};
//!
//! let owner = Owner::new("000000000000", "us-east-1");
//! let stamp = Stamp { now_ms: 1_700_000_000_000, bounds: Bounds::default(), tables_elsewhere: 0 };
//! let mut tables = Tables::new();
//! let mut call = |operation: &str, body: &str| match Request::parse(operation, body.as_bytes(), &owner)? {
//!     Request::Write(write) => {
//!         // A command travels as bytes, and is applied on every node.
//!         let bytes = Command { stamp, owner: owner.clone(), write }.encode();
//!         let command = Command::decode(&bytes).expect("just encoded");
//!         tables.apply(&command).map(|outcome| outcome.into_body())
//!     }
//!     Request::Read(read) => tables.read(&owner, &read, stamp.now_ms),
//!     _ => unreachable!("requests over several groups"),
//! };
//! call(
//!     "CreateTable",
//!     r#"{"TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
//!         "KeySchema": [{"AttributeName": "leaseKey", "KeyType": "HASH"}],
//!         "AttributeDefinitions": [{"AttributeName": "leaseKey", "AttributeType": "S"}]}"#,
//! )?;
//! let lease = r#"{"TableName": "orders",
//!                 "Item": {"leaseKey": {"S": "shardId-000000000000"}, "leaseCounter": {"N": "0"}},
//!                 "Expected": {"leaseKey": {"Exists": false}}}"#;
//! call("PutItem", lease)?;
//! let second = call("PutItem", lease).unwrap_err();
//! assert_eq!(second.exception(), "ConditionalCheckFailedException");
//! # Ok::<(), tidelog_tables::Fault>(())
//! ```

pub mod answer;
mod codec;
pub mod command;
pub mod expression;
pub mod fault;
mod json;
pub mod lease;
mod owner;
pub mod request;
mod schema;
pub mod state;
pub mod value;

pub use codec::Damaged;
pub use command::{Bounds, Command, Shares, Stamp};
pub use fault::{Fault, Invalid};
pub use owner::{Owner, application_of};
pub use request::{Operation, Read, Request, Write};
pub use schema::{KeyAttribute, KeySchema};
pub use state::{BatchPage, Outcome, Table, Tables};
pub use value::Item;
