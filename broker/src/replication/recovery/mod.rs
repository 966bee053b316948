//! The start over what a data directory holds: read, judged, and only then opened.

pub mod open_segments;
pub mod recovered;
