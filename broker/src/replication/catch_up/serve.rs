//! Giving peers bytes of segments.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog_proto::peer;
use tidelog_storage::shard::{ShardError, ShardKey};
use tokio::time::timeout;
use tonic::Status;

use super::CatchUp;
use super::PIECE_BYTES;
use crate::observability::logs::LogSite;
use crate::shell::Shell;

/// How long the records in memory may take to be written before the peer gets the bytes that the file has: less
/// than the peer waits.
const WRITE_OUT_MAX: Duration = Duration::from_secs(5);

static UNREADABLE: LogSite = LogSite::new();

impl CatchUp {
    /// A part of a segment's file in pieces, until the file's end if it is shorter. The bytes are as they stand on
    /// the disk: the receiver verifies them. The file is found anew for each piece, by its name. Records that are
    /// only in memory are written first: a peer that repairs a segment may have written more of it than this node
    /// has.
    pub fn give_segment(
        &self,
        request: &peer::PullSegmentRequest,
    ) -> BoxStream<'static, Result<peer::SegmentPiece, Status>> {
        let (store, flush) = (self.store.clone(), self.flush.clone());
        let key = ShardKey { stream_uid: request.stream_uid, shard: request.shard };
        let (first_ordinal, end) = (request.first_ordinal, request.offset.saturating_add(request.bytes));
        let is_behind = store.is_file_behind(key, first_ordinal, end);
        let read = move |key, first, at, bytes_max| store.read_file(key, first, at, bytes_max);
        let pieces = pieces(self.shell.clone(), request, read);
        let written = async move {
            if is_behind {
                // A flusher that is busy for long has it later; the peer asks again.
                drop(timeout(WRITE_OUT_MAX, flush.write_out(key)).await);
            }
            pieces
        };
        stream::once(written).flatten().boxed()
    }
}

/// The pieces of the requested file, as `read` gives them for a shard, a segment's first ordinal, an offset and a
/// number of bytes.
pub(super) fn pieces(
    shell: Shell,
    request: &peer::PullSegmentRequest,
    read: impl Fn(ShardKey, u64, u64, u64) -> Result<Bytes, ShardError> + Send + Sync + 'static,
) -> BoxStream<'static, Result<peer::SegmentPiece, Status>> {
    let key = ShardKey { stream_uid: request.stream_uid, shard: request.shard };
    let (first_ordinal, end) = (request.first_ordinal, request.offset.saturating_add(request.bytes));
    let read = Arc::new(read);
    let piece = move |at: Option<u64>| {
        let (read, shell) = (read.clone(), shell.clone());
        async move {
            let at = at.filter(|at| *at < end)?;
            let bytes_max = PIECE_BYTES.min(end - at);
            let bytes = match shell.run_blocking(move || read(key, first_ordinal, at, bytes_max)).await {
                Ok(Ok(bytes)) => bytes,
                // The file's place is nothing that a peer needs.
                Ok(Err(error)) => {
                    if let Some(more) = UNREADABLE.admit() {
                        tracing::warn!(more, %error, "cannot read a segment that a peer asks for");
                    }
                    let refusal = "this node cannot read the segment; its log says why";
                    return Some((Err(Status::not_found(refusal)), None));
                }
                Err(panic) => return Some((Err(Status::internal(panic.to_string())), None)),
            };
            if bytes.is_empty() {
                return None;
            }
            let next = at + bytes.len() as u64;
            let crc = crc32fast::hash(&bytes);
            Some((Ok(peer::SegmentPiece { offset: at, bytes, crc }), Some(next)))
        }
    };
    stream::unfold(Some(request.offset), piece).boxed()
}
