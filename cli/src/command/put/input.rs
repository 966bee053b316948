//! Lines of files and of standard input, read on a thread of its own into a bounded queue.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::CommandError;
use super::cut::{Cut, Line};

/// How many lines wait to be taken, at most.
const LINES_MAX: usize = 1024;
/// Bytes by which a file is read.
const BUFFER: usize = 256 * 1024;

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The number of the input, from 0.
    pub(super) input: usize,
    /// The number of the line, from 1.
    pub(super) line: u64,
}

/// An item of the inputs.
#[derive(Debug)]
pub(super) enum Read {
    /// A line without its end, or a whole input.
    Line(Spot, Bytes),
    /// A line of more bytes than a record may have; they were passed over.
    TooLong(Spot),
    /// An input could not be read from that line on.
    Broken(Spot, io::Error),
}

/// The inputs, opened.
pub(super) struct Input {
    names: Arc<[String]>,
    lines: mpsc::Receiver<Read>,
    bytes: Option<u64>,
}

impl Input {
    /// Opens all files before anything is read, so that a wrong name is reported before anything is put.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub(super) fn open(files: &[PathBuf], cut: &Cut, line_max: usize) -> Result<Self, CommandError> {
        let stdin = [PathBuf::from("-")];
        let files = if files.is_empty() { &stdin } else { files };
        let mut sources: Vec<Box<dyn io::Read + Send>> = Vec::new();
        let mut bytes = Some(0);
        for path in files {
            let (source, size) =
                open(path).map_err(|error| CommandError::File { path: path.clone(), error })?;
            sources.push(source);
            bytes = bytes.zip(size).map(|(all, own)| all + own);
        }
        let names = files.iter().map(|path| path.display().to_string()).collect();
        let (sender, lines) = mpsc::channel(LINES_MAX);
        // A plain thread: it may wait for standard input for ever, and nothing waits for it.
        let cut = cut.clone();
        thread::spawn(move || read(sources, &cut, line_max, &sender));
        Ok(Self { names, lines, bytes })
    }

    /// Size of all inputs, if all are files.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Names of the inputs, as given.
    pub(super) fn names(&self) -> Arc<[String]> {
        self.names.clone()
    }

    /// The next; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.lines.recv().await
    }

    /// Returns the item that [`Self::next`] would, if there is one already.
    pub(super) fn next_at_hand(&mut self) -> Option<Read> {
        self.lines.try_recv().ok()
    }
}

fn open(path: &Path) -> io::Result<(Box<dyn io::Read + Send>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

fn read(sources: Vec<Box<dyn io::Read + Send>>, cut: &Cut, line_max: usize, sender: &mpsc::Sender<Read>) {
    for (input, source) in sources.into_iter().enumerate() {
        let mut source = BufReader::with_capacity(BUFFER, source);
        for line in 1.. {
            let spot = Spot { input, line };
            let read = match cut.next(&mut source, line_max, line) {
                Ok(None) => break,
                Ok(Some(Line::Whole(bytes))) if bytes.is_empty() && *cut != Cut::Whole => continue,
                Ok(Some(Line::Whole(bytes))) => Read::Line(spot, bytes.into()),
                Ok(Some(Line::TooLong)) => Read::TooLong(spot),
                Err(error) => Read::Broken(spot, error),
            };
            let is_broken = matches!(read, Read::Broken(..));
            if sender.blocking_send(read).is_err() {
                return;
            }
            if is_broken {
                break;
            }
        }
    }
}
