//! Before the store can be opened: open segments that the disk has damaged come from a peer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::shard::{ShardCheckpoint, ShardError, ShardStore};
use tidelog_storage::transfer::Wanted;
use tokio::time::sleep;

use super::Puller;

/// Pause before the peers are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Stages a peer's copy of every open segment that is damaged here, so that the store finds it when it is opened. Waits
/// until there is a peer that has it.
///
/// # Errors
/// [`ShardError`] when the checkpoint contradicts itself, or the operating system refuses.
pub async fn repair_open_segments(
    disk: &Arc<dyn Disk>,
    shards_dir: &Path,
    shards: &[ShardCheckpoint],
    puller: &Puller,
) -> Result<(), ShardError> {
    let (damaged, staging) = ShardStore::damaged_open(disk.clone(), shards_dir.to_owned(), shards)?;
    let pulled = Arc::new(AtomicU64::new(0));
    for Wanted { need, .. } in damaged {
        tracing::error!(
            ?need,
            "an open segment is damaged; it has to come from a peer before this node starts"
        );
        while let Err(error) = puller.fetch(&puller.others(), &need, &staging, &pulled).await {
            tracing::error!(%error, "no peer has a whole copy; asking again");
            sleep(ASK_AGAIN).await;
        }
    }
    Ok(())
}
