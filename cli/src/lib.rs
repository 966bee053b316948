//! The command line of Tidelog, of which the binary `tidelog` is made.
//!
//! [`settings::load`] reads arguments, environment and the file of settings; [`command`] has the commands beside
//! `serve`.

mod arguments;
pub mod command;
pub mod settings;
