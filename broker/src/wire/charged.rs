//! Bytes of an answer that are charged to the class answers until the transport has taken the last of them.
//!
//! The bytes are handed over in frames, and each frame reports when the transport drops it. The answer does not end
//! before that, so the task that sends it, which bounds how long a frame may wait (`stall.rs`), lives as long as the
//! charge: HTTP/2 would otherwise keep the last frame for a client that gives no window, with nobody watching.
//!
//! While the class is more than half taken, a client that takes less than [`Pace`] asks for is disconnected. A
//! frame is counted once all of it is taken, so one frame more than is counted may have passed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::{Instant, sleep_until};

use super::answer_body::FRAME_BYTES_MAX;
use super::pace::Pace;
use super::stall::{self, End};
use crate::room::Charge;

/// Bytes of an answer that are charged until the transport has taken the last of them.
pub(super) struct ChargedBytes {
    rest: Bytes,
    progress: Arc<Progress>,
    /// Bytes that the transport had not dropped when the answer was last asked for its next frame.
    waiting: usize,
    /// Until it is handed to the task.
    end: Option<End>,
}

/// How far a client has come with an answer.
struct Progress {
    charge: Charge,
    /// Bytes that were handed over and that the transport has not dropped.
    waiting: AtomicUsize,
    /// Bytes that the transport has dropped.
    taken: AtomicUsize,
    /// The task that waits for the last of them.
    waker: AtomicWaker,
}

/// A run of bytes that the transport has until the client takes it.
struct Frame {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let bytes = self.bytes.len();
        self.progress.taken.fetch_add(bytes, Ordering::Relaxed);
        self.progress.waiting.fetch_sub(bytes, Ordering::Release);
        self.progress.waker.wake();
    }
}

impl ChargedBytes {
    /// These bytes under that charge. The client's pace counts over `window`.
    pub(super) fn new(bytes: Bytes, charge: Charge, window: Duration) -> Self {
        let progress = Arc::new(Progress {
            charge,
            waiting: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            waker: AtomicWaker::new(),
        });
        let end = Box::pin(too_slow(Arc::downgrade(&progress), window));
        Self { rest: bytes, progress, waiting: 0, end: Some(end) }
    }

    /// Bytes that are not handed over.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether the transport has taken all of them.
    pub(super) fn is_taken(&self) -> bool {
        self.rest.is_empty() && self.progress.waiting.load(Ordering::Acquire) == 0
    }

    /// The next frame; `None` once the transport has taken all of them.
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(end) = self.end.take() {
            stall::end_by(end);
        }
        if !self.rest.is_empty() {
            let bytes = self.rest.split_to(self.rest.len().min(FRAME_BYTES_MAX));
            self.progress.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
            self.waiting = self.progress.waiting.load(Ordering::Relaxed);
            stall::note(true);
            return Poll::Ready(Some(Bytes::from_owner(Frame { bytes, progress: self.progress.clone() })));
        }
        self.progress.waker.register(context.waker());
        let waiting = self.progress.waiting.load(Ordering::Acquire);
        if waiting == 0 {
            stall::note(false);
            return Poll::Ready(None);
        }
        if waiting < self.waiting {
            self.waiting = waiting;
            stall::note(true);
        }
        Poll::Pending
    }
}

/// Ends when the client of an answer has taken too little of it in one window. The answer's end ends nothing.
async fn too_slow(progress: Weak<Progress>, window: Duration) {
    let mut taken_before = 0;
    let mut pace = match progress.upgrade() {
        Some(progress) => {
            let mut pace = Pace::begin(Instant::now(), window);
            pace.begin_anew(&progress.charge);
            pace
        }
        None => return std::future::pending().await,
    };
    loop {
        sleep_until(pace.ends).await;
        let Some(progress) = progress.upgrade() else { return std::future::pending().await };
        let taken = progress.taken.load(Ordering::Relaxed);
        if !pace.goes_on_after(taken - taken_before + FRAME_BYTES_MAX, &progress.charge) {
            return;
        }
        taken_before = taken;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;
    use tokio::time::sleep;

    use super::super::stall::watched;
    use super::*;
    use crate::room::{Account, AnswerRoom, Class, Room, Shares};

    const MIB: usize = 1 << 20;
    const WINDOW: Duration = Duration::from_secs(10);

    /// A room with that many MiB for answers and for file reads.
    fn room(mib: usize) -> Arc<Room> {
        Room::new(Shares::default().with(Class::Answers, mib * MIB))
    }

    /// Takes an answer of that many bytes, with a pause after each frame; the bytes taken, and whether the client
    /// was disconnected.
    async fn taken(room: &Room, bytes: usize, pause: Duration) -> (usize, bool) {
        let charge = AnswerRoom::new(&room.answers, &Account::detached()).take(bytes).unwrap().unwrap();
        let mut answer = ChargedBytes::new(Bytes::from(vec![b'x'; bytes]), charge, WINDOW);
        let mut taken = 0;
        let task = async {
            while let Some(frame) = poll_fn(|context| answer.poll_frame(context)).await {
                sleep(pause).await;
                taken += frame.len();
            }
        };
        let is_cut = watched(None, task).await.is_none();
        (taken, is_cut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_cut_only_where_its_class_is_short() {
        // 16 KiB/s are four seconds for a frame.
        let (slow, steady) = (Duration::from_secs(29), Duration::from_secs(3));
        for (mib, pause, is_cut) in [(78, slow, true), (78, steady, false), (560, slow, false)] {
            let room = room(mib);
            // In the smaller one, more than half of the general part.
            let _others = room.answers.try_charge(&Account::detached(), 15 * MIB).unwrap();
            let began = Instant::now();
            let (taken, was_cut) = taken(&room, 5 * MIB, pause).await;
            assert_eq!((was_cut, taken < 5 * MIB), (is_cut, is_cut), "{mib} {pause:?}");
            assert!(!was_cut || began.elapsed() <= WINDOW * 2, "{:?}", began.elapsed());
            assert!(room.answers.used() < 16 * MIB, "the charge went with the answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_out_of_the_reserve_is_taken_fast_or_cut() {
        for (pause, is_cut) in [(Duration::from_millis(50), false), (Duration::from_millis(100), true)] {
            // 24 MiB beside the reads: 7 for the general part.
            let room = room(44);
            let (_, was_cut) = taken(&room, 13 * MIB, pause).await;
            assert_eq!(was_cut, is_cut, "{pause:?}");
            assert_eq!(room.answers.used(), 0);
        }
    }

    #[tokio::test]
    async fn an_answer_ends_once_its_last_frame_is_dropped() {
        let room = room(78);
        let charge = AnswerRoom::new(&room.answers, &Account::detached()).take(100_000).unwrap().unwrap();
        let mut answer = ChargedBytes::new(Bytes::from(vec![b'x'; 100_000]), charge, WINDOW);
        let mut next = async || poll_fn(|context| answer.poll_frame(context)).await;
        let (first, second) = (next().await.unwrap(), next().await.unwrap());
        assert_eq!((first.len(), second.len()), (FRAME_BYTES_MAX, 100_000 - FRAME_BYTES_MAX));
        drop(first);
        assert!(next().now_or_never().is_none());
        assert_eq!(room.answers.used(), 100_000);
        let dropping = async {
            tokio::task::yield_now().await;
            drop(second);
        };
        assert_eq!(futures_util::future::join(next(), dropping).await.0, None);
        drop(answer);
        assert_eq!(room.answers.used(), 0);
    }
}
