//! When requests are due, which does not depend on how fast they are answered (open loop).
//!
//! A thread of its own hands out one permit for each request that has become due; whichever producer is free takes the
//! next one. A request's latency counts from the moment it was due: where an endpoint stalls, the requests that it kept
//! from being sent show the stall as well, not only the one that was under way ("coordinated omission"). The thread
//! sleeps with the precision of the system's clock, far below the millisecond of the runtime's timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The thread wakes up no more often: above 10,000 requests a second several become due at once.
const NAP_LEAST: Duration = Duration::from_micros(100);
/// The longest sleep, so that an interrupted run ends at once.
const NAP_MOST: Duration = Duration::from_millis(20);

/// How long after its end a schedule waits for producers to take the requests that became due before. A hiccup at
/// the very end is no reason to call an endpoint too slow.
const GRACE: Duration = Duration::from_secs(2);

/// Requests to come.
#[derive(Debug)]
pub struct Schedule {
    began: Instant,
    end: Instant,
    /// Requests a second; `None` in a closed loop: the next one is due when a producer is free.
    rate: Option<f64>,
    due: Semaphore,
    taken: AtomicU64,
    /// Permits given out, when the schedule is over.
    given: AtomicU64,
}

impl Schedule {
    /// From `began` on, for so long. With a rate in requests a second, or without one as fast as producers go.
    pub fn start(began: Instant, length: Duration, rate: Option<f64>) -> Arc<Self> {
        let schedule = Arc::new(Self {
            began,
            end: began + length,
            rate,
            due: Semaphore::new(0),
            taken: AtomicU64::new(0),
            given: AtomicU64::new(0),
        });
        if let Some(rate) = rate {
            let paced = schedule.clone();
            thread::spawn(move || paced.pace(rate));
        }
        schedule
    }

    /// Waits for the next request to be due, and says when that was. `None` when there are no more.
    pub async fn next(&self) -> Option<Instant> {
        let Some(rate) = self.rate else {
            let now = Instant::now();
            return (now < self.end && !self.due.is_closed()).then_some(now);
        };
        self.due.acquire().await.ok()?.forget();
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        Some(self.began + Duration::from_secs_f64(number as f64 / rate))
    }

    /// No more requests: the run is interrupted.
    pub fn stop(&self) {
        self.due.close();
    }

    /// Moments at which requests were due that nobody has sent, once the schedule is over.
    pub fn unsent(&self) -> impl Iterator<Item = Instant> {
        let range = self.taken.load(Ordering::Relaxed)..self.given.load(Ordering::Relaxed);
        let rate = self.rate.unwrap_or(1.0);
        range.map(move |number| self.began + Duration::from_secs_f64(number as f64 / rate))
    }

    fn pace(&self, rate: f64) {
        let mut given = 0;
        while !self.due.is_closed() {
            let now = Instant::now();
            let due =
                due_until(now.min(self.end).saturating_duration_since(self.began), rate, now >= self.end);
            if due > given {
                self.due.add_permits(usize::try_from(due - given).unwrap_or(Semaphore::MAX_PERMITS / 2));
                given = due;
                self.given.store(given, Ordering::Relaxed);
            }
            if now >= self.end {
                // Requests that became due last are still sent, unless all producers are busy. Closing would
                // lose a permit that a producer has been given and has not seen yet.
                if self.taken.load(Ordering::Relaxed) == given || now >= self.end + GRACE {
                    break;
                }
                thread::sleep(NAP_LEAST);
                continue;
            }
            let next = self.began + Duration::from_secs_f64(given as f64 / rate);
            let nap = next.saturating_duration_since(now);
            thread::sleep(nap.clamp(NAP_LEAST, NAP_MOST));
        }
        self.due.close();
    }
}

/// Requests that are due within that time of the beginning: the first one is at once, and none at the very end.
fn due_until(passed: Duration, rate: f64, is_over: bool) -> u64 {
    let due = passed.as_secs_f64() * rate;
    if is_over { due.ceil() as u64 } else { due as u64 + 1 }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_last_requests_are_taken_however_late_their_producer_wakes_up() {
        let schedule = Schedule::start(Instant::now(), Duration::from_millis(50), Some(40.0));
        assert!(schedule.next().await.is_some());
        let mut last = std::pin::pin!(schedule.next());
        assert!(last.as_mut().now_or_never().is_none(), "it is due after 25 ms");
        thread::sleep(Duration::from_millis(150));
        assert!(last.await.is_some());
        assert!(schedule.next().await.is_none());
        assert_eq!(schedule.unsent().count(), 0);
    }

    #[tokio::test]
    async fn requests_are_due_evenly_for_all_producers() {
        let began = Instant::now();
        let schedule = Schedule::start(began, Duration::from_millis(200), Some(1_000.0));
        let mut due = Vec::new();
        while let Some(moment) = schedule.next().await {
            assert!(moment <= Instant::now() + Duration::from_micros(10), "never ahead of its time");
            due.push(moment.duration_since(began).as_secs_f64());
        }
        let unsent = schedule.unsent().count();
        assert_eq!(due.len() + unsent, 200);
        for (number, moment) in due.iter().enumerate() {
            assert!((moment - number as f64 / 1_000.0).abs() < 1e-6, "{number}: {moment}");
        }
    }

    #[tokio::test]
    async fn requests_that_no_producer_takes_are_unsent() {
        let began = Instant::now();
        let schedule = Schedule::start(began, Duration::from_millis(50), Some(1_000.0));
        assert_eq!(schedule.next().await, Some(began));
        tokio::time::sleep(GRACE + Duration::from_millis(250)).await;
        assert_eq!(schedule.next().await, None);
        assert_eq!(schedule.unsent().count(), 49);
    }

    #[tokio::test]
    async fn a_closed_loop_is_due_whenever_it_asks() {
        let schedule = Schedule::start(Instant::now(), Duration::from_millis(20), None);
        assert!(schedule.next().await.is_some());
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(schedule.next().await, None);
        let stopped = Schedule::start(Instant::now(), Duration::from_secs(60), None);
        stopped.stop();
        assert_eq!(stopped.next().await, None);
    }
}
