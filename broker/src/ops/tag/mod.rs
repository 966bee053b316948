//! Operations on the tags of streams and consumers.

pub mod rules;
