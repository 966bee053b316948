//! A stream, encrypted or not, that first gives back the bytes that were read to tell its protocol, and that fails once
//! its client has taken none of the bytes written for too long. Connections hand it to TLS or to hyper.
//!
//! One whose client was answered before it had sent its whole request lingers at its end: bytes that still come are
//! read and dropped. Closed over bytes that nobody has read, it would be reset, and the client would never see its
//! answer.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::client::Client;

/// The stream of a connection, which fails once its client takes nothing for too long.
#[derive(Debug)]
pub(super) struct Transport<S> {
    stream: S,
    first: Bytes,
    stall: Duration,
    /// Runs while a write waits for the client.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The client whose connection may linger at its end.
    client: Option<Arc<Client>>,
    lingering: Option<Lingering>,
}

/// Bytes that are dropped at most while a connection lingers.
const LINGER_BYTES_MAX: usize = 20 << 20;
/// How long it lingers without a byte, and at most.
const LINGER_PAUSE: Duration = Duration::from_secs(2);
const LINGER_MAX: Duration = Duration::from_secs(10);

/// The end of a connection that lingers.
#[derive(Debug)]
struct Lingering {
    left: usize,
    ends: Instant,
    pause: Pin<Box<Sleep>>,
}

impl<S> Transport<S> {
    pub(super) fn new(stream: S, first: Bytes, stall: Duration) -> Self {
        Self { stream, first, stall, stalled: None, client: None, lingering: None }
    }

    /// Lingers at its end if this client needs it.
    pub(super) fn lingering(mut self, client: Arc<Client>) -> Self {
        self.client = Some(client);
        self
    }

    /// Passes on the result of a write, and fails one that has waited for too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if !self.client.as_ref().is_some_and(|client| client.lingers()) {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(context).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> Transport<S> {
    /// Reads and drops bytes, until the client closes, pauses or has sent more than any request has.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let lingering = self.lingering.get_or_insert_with(|| Lingering {
            left: LINGER_BYTES_MAX,
            ends: now + LINGER_MAX,
            pause: Box::pin(sleep(LINGER_PAUSE)),
        });
        loop {
            let mut bytes = [MaybeUninit::uninit(); 16 << 10];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    lingering.left = lingering.left.saturating_sub(buffer.filled().len());
                    let until = (Instant::now() + LINGER_PAUSE).min(lingering.ends);
                    lingering.pause.as_mut().reset(until);
                    if lingering.left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return lingering.pause.as_mut().poll(context),
            }
        }
    }
}
