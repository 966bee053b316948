//! Giving peers bytes of segments.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog_proto::peer;
use tidelog_storage::shard::{ShardError, ShardKey};
use tonic::Status;

use super::PIECE_BYTES;
use crate::replication::groups::Groups;
use crate::replication::shell::Shell;

impl Groups {
    /// A part of a segment's file in pieces, until the file's end if it is shorter. The bytes are as they stand on the
    /// disk: whoever takes them verifies them. The file is found anew for each piece, by its name.
    pub fn give_segment(
        &self,
        request: &peer::PullSegmentRequest,
    ) -> BoxStream<'static, Result<peer::SegmentPiece, Status>> {
        let store = self.store.clone();
        let read = move |key, first, at, bytes_max| store.read_file(key, first, at, bytes_max);
        pieces(self.config.shell.clone(), request, read)
    }
}

/// What was asked for, as `read` gives it for a shard, a segment's first ordinal, an offset and a number of bytes.
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
                Ok(Err(error)) => return Some((Err(Status::not_found(error.to_string())), None)),
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
