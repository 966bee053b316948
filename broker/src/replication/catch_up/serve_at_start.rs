//! Serves segments to peers before this node runs: while it waits for copies of its own damaged open segments,
//! its peers may wait for copies of theirs.
//!
//! Without it three nodes that each have a damaged segment would wait for each other. The peers' server asks it as long
//! as there are no groups to ask.

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::stream::BoxStream;
use tidelog_proto::peer;
use tidelog_storage::shard::UnopenedFiles;
use tonic::Status;

use super::serve::pieces;
use crate::shell::Shell;
use crate::stage::Stage;

/// Serves this node's open segments to peers before the node runs.
pub struct SegmentsAtStart {
    shell: Shell,
    /// Where the node's start is.
    pub(crate) stage: Stage,
    files: Mutex<Option<Arc<UnopenedFiles>>>,
}

impl SegmentsAtStart {
    /// Serves nothing yet. The node is in `stage` of its start; reads of files run in `shell`.
    pub fn new(shell: Shell, stage: Stage) -> Arc<Self> {
        Arc::new(Self { shell, stage, files: Mutex::default() })
    }

    /// Serves these files from now on.
    pub(crate) fn begin(&self, files: UnopenedFiles) {
        *self.files() = Some(Arc::new(files));
    }

    /// Stops serving files, because the node is about to write them.
    pub(crate) fn end(&self) {
        *self.files() = None;
    }

    fn files(&self) -> MutexGuard<'_, Option<Arc<UnopenedFiles>>> {
        self.files.lock().expect("no code panics while it holds this lock")
    }

    /// Returns a part of a segment file in pieces, as [`super::CatchUp::give_segment`] does on a running node.
    ///
    /// # Errors
    /// UNAVAILABLE while the files are not at rest.
    pub fn give_segment(
        &self,
        request: &peer::PullSegmentRequest,
    ) -> Result<BoxStream<'static, Result<peer::SegmentPiece, Status>>, Status> {
        let files = self.files().clone().ok_or_else(|| Status::unavailable("this node is starting"))?;
        let read = move |key, first, at, bytes_max| files.read_file(key, first, at, bytes_max);
        Ok(pieces(self.shell.clone(), request, read))
    }
}
