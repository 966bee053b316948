//! Giving peers bytes of segments.

use futures_util::stream::{self, BoxStream, StreamExt};
use tidelog_proto::peer;
use tidelog_storage::shard::ShardKey;
use tonic::Status;

use super::PIECE_BYTES;
use crate::replication::groups::Groups;

impl Groups {
    /// A part of a segment's file in pieces, until the file's end if it is shorter. The bytes are as they stand on the
    /// disk: whoever takes them verifies them. The file is found anew for each piece, by its name.
    pub fn give_segment(
        &self,
        request: peer::PullSegmentRequest,
    ) -> BoxStream<'static, Result<peer::SegmentPiece, Status>> {
        let key = ShardKey { stream_uid: request.stream_uid, shard: request.shard };
        let end = request.offset.saturating_add(request.bytes);
        let (store, shell) = (self.store.clone(), self.config.shell.clone());
        let piece = move |at: Option<u64>| {
            let (store, shell) = (store.clone(), shell.clone());
            async move {
                let at = at.filter(|at| *at < end)?;
                let bytes_max = PIECE_BYTES.min(end - at);
                let read = move || store.read_file(key, request.first_ordinal, at, bytes_max);
                let bytes = match shell.run_blocking(read).await {
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
}
