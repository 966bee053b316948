//! The state of groups 1 to 6: shards, the memory of producers, deleted streams, and notifications of new records.
//!
//! A group's apply task alone changes its state ([`state::DataState`]), as a pure function of the group's log. Readers
//! take records from the shards' own logs, and wait for new ones by [`notifications`].

pub mod deleted_streams;
pub mod notifications;
pub mod producers;
pub mod state;
pub mod stored;
