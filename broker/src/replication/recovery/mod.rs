//! The start over the contents of a data directory: read, judged, and only then opened.

pub mod open_segments;
pub mod recovered;
