//! Before the store can be opened: open segments that the disk has damaged come from a peer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tidelog_storage::Disk;
use tidelog_storage::shard::{ShardCheckpoint, ShardError, ShardStore, UnopenedFiles};
use tidelog_storage::transfer::{FileNeed, Staging, Wanted};
use tokio::time::{Instant, sleep};

use crate::replication::catch_up::pull::Puller;
use crate::replication::catch_up::serve_at_start::SegmentsAtStart;

/// Pause before the peers are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long a start waits for copies that no peer gives. Longer than nodes that were started together need to find
/// each other; segments that have not come by then are repaired while the node runs.
const COPIES_DEADLINE: Duration = Duration::from_secs(60);

/// Stages a peer's copy of every open segment that is damaged here, so that the store finds it when it is opened.
/// Waits [`COPIES_DEADLINE`] for a peer that has it; meanwhile peers that wait for copies as well get the intact
/// ones of this node. A segment without a copy is opened as it is: its shard goes on behind the damage.
///
/// # Errors
/// [`ShardError`] when the checkpoint contradicts itself, or the operating system refuses.
pub async fn repair_open_segments(
    disk: &Arc<dyn Disk>,
    shards_dir: &Path,
    shards: &[ShardCheckpoint],
    puller: &Puller,
    segments_at_start: &SegmentsAtStart,
) -> Result<(), ShardError> {
    let (damaged, staging) = ShardStore::damaged_open(disk.clone(), shards_dir.to_owned(), shards)?;
    if damaged.is_empty() {
        return Ok(());
    }
    segments_at_start.begin(UnopenedFiles::new(disk.clone(), shards_dir.to_owned(), &damaged));
    let pulled = Arc::new(AtomicU64::new(0));
    let deadline = Instant::now() + COPIES_DEADLINE;
    for Wanted { need, .. } in damaged {
        tracing::error!(
            ?need,
            "an open segment is damaged; it has to come from a peer before this node starts"
        );
        segments_at_start
            .stage
            .enter("The node copies an open segment that is damaged here from another node.");
        while let Err(reasons) = fetch(puller, &need, &staging, &pulled).await {
            if Instant::now() >= deadline {
                tracing::error!(
                    ?need,
                    "no peer gives an intact copy of an open segment: {reasons}. This node starts without it and goes on \
                     asking; reads of the damaged records fail meanwhile"
                );
                break;
            }
            tracing::error!(
                ?need,
                "no peer gives an intact copy of an open segment: {reasons}. This node asks again in 1 s"
            );
            segments_at_start.stage.enter(format!(
                "The node waits for an intact copy of an open segment that is damaged here: {reasons}."
            ));
            sleep(ASK_AGAIN).await;
        }
    }
    segments_at_start.end();
    Ok(())
}

/// Stages the first intact copy of a file that a peer gives, or says why each peer gives none.
async fn fetch(
    puller: &Puller,
    need: &FileNeed,
    staging: &Arc<Staging>,
    pulled: &Arc<AtomicU64>,
) -> Result<(), String> {
    let mut reasons = Vec::new();
    for node in puller.others() {
        match puller.fetch(&[node], need, staging, pulled).await {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(reasons.join("; "))
}
