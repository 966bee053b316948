//! The write-ahead log: what it keeps through crashes, lost writes and damage, and its bytes on the medium.

mod crash;
mod damage;
mod fixture;
mod golden;
mod log;
mod loss;
mod salvage;
mod space;
