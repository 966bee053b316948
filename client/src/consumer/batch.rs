//! A batch of a consumer: records of one shard, with the means to record that they are processed.

use std::sync::Arc;

use tidelog_proto::v1::progress;
use tokio::time::sleep;

use super::group::Group;
use super::lease::InHand;
use super::record::Record;
use crate::backoff;
use crate::error::{Error, Reason};

/// Some records of a shard, in order. While it is there the shard is not given to another member of its own will: drop
/// it when it is processed.
#[derive(Debug)]
pub struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) millis_behind_latest: u64,
    pub(super) reached: progress::Reached,
    pub(super) in_hand: InHand,
    pub(super) group: Arc<Group>,
}

impl Batch {
    /// Such as `shardId-000000000000`.
    pub fn shard_id(&self) -> &str {
        &self.in_hand.lease().shard_id
    }

    /// At least one, but for the [end](Self::is_end) of a shard.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Milliseconds since the arrival of the last record that was read; 0 at the tip.
    pub fn millis_behind_latest(&self) -> u64 {
        self.millis_behind_latest
    }

    /// The shard is closed and this is its end, without records. Its checkpoint lets the children begin. Only with
    /// [manual checkpoints](super::Checkpoints::Manual); otherwise the end is recorded by itself.
    pub fn is_end(&self) -> bool {
        matches!(self.reached, progress::Reached::Finished(_))
    }

    /// Whether the shard still is this member's, as far as it knows. Otherwise another one may be processing the same.
    pub fn is_leased(&self) -> bool {
        self.in_hand.lease().counts()
    }

    /// Records that everything in the shard up to the end of this batch is processed. Tries again while the lease
    /// lasts; may be cancelled and called again.
    ///
    /// # Errors
    /// [`Reason::LeaseLost`]: nothing was recorded, and another member processes the records since the last
    /// checkpoint. Any other: it may be recorded or not.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        let lease = self.in_hand.lease();
        let lost = || {
            let message = format!("the lease of {} is lost", lease.shard_id);
            Err(Error::new(Reason::LeaseLost, message))
        };
        let mut failures = 0;
        loop {
            if lease.is_lost() {
                return lost();
            }
            let progress = vec![lease.progress(self.reached.clone())];
            match self.group.checkpoint(&lease.member_id, progress).await {
                Ok(shards) if shards.is_empty() => break,
                Ok(_) => return if self.group.lose(lease) { lost() } else { Ok(()) },
                Err(error) if error.is_transient() => {
                    failures += 1;
                    sleep(backoff::delay(failures, error.retry_after())).await;
                }
                Err(error) if matches!(error.reason(), Reason::LeaseLost | Reason::MemberUnknown) => {
                    self.group.lose(lease);
                    return lost();
                }
                Err(error) => return Err(error),
            }
        }
        if self.is_end() {
            lease.finish();
        }
        Ok(())
    }
}
