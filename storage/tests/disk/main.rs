//! The disks: one suite for the real and the simulated one, and the damage that the simulated one makes.

mod conformance;
mod sim_damage;
