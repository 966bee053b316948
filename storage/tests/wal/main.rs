//! The write-ahead log: its contents through crashes, lost writes and damage, and its bytes on the medium.

mod crash;
mod damage;
mod fixture;
mod golden;
mod log;
mod loss;
mod salvage;
mod space;
