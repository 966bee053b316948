//! Shards: their segments and checkpoints, recovery, repair, and the copy that one node takes from another.

mod checkpoint_files;
mod damaged;
mod model;
mod reading;
mod recovery;
mod repair;
mod replica;
mod segment_damage;
mod segment_index;
mod set_aside;
mod skipped_ordinals;
mod transfer;
