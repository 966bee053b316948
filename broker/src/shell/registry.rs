//! The lasting tasks that run, by name, and when each has last come round.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// How often work that may be excused is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The lasting tasks of a process, and whether each of them makes progress.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last_id: u64,
    by_id: BTreeMap<u64, Arc<RegisteredTask>>,
}

/// A lasting task.
#[derive(Debug)]
pub(super) struct RegisteredTask {
    id: u64,
    name: String,
    within: Duration,
    began: Instant,
    /// Milliseconds after `began` of the last turn, plus one; 0 while the task rests.
    beat_ms: AtomicU64,
    is_killed: AtomicBool,
    waker: OnceLock<Waker>,
}

impl RegisteredTask {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn heartbeat(self: &Arc<Self>) -> Heartbeat {
        Heartbeat(self.clone())
    }

    /// Whether a test has killed the task that is being polled.
    pub(super) fn is_killed(&self, context: &Context<'_>) -> bool {
        // A task keeps its waker for life.
        self.waker.get_or_init(|| context.waker().clone());
        self.is_killed.load(Ordering::Relaxed)
    }

    /// How long the task has not come round, when that is too long.
    fn late_for(&self) -> Option<Duration> {
        let beat_ms = self.beat_ms.load(Ordering::Relaxed).checked_sub(1)?;
        let since = self.began.elapsed().saturating_sub(Duration::from_millis(beat_ms));
        (since > self.within).then_some(since)
    }
}

/// The heartbeat of a loop. The loop is not judged before its first beat.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<RegisteredTask>);

impl Heartbeat {
    /// The loop has come round, or has begun a piece of work: the next beat, or a pause, has to follow in its time.
    pub fn beat(&self) {
        let elapsed_ms = self.0.began.elapsed().as_millis() as u64;
        self.0.beat_ms.store(elapsed_ms + 1, Ordering::Relaxed);
    }

    /// Does a piece of work that may take any time while `is_excused` says so, as while a disk is full: only the
    /// time without an excuse counts.
    pub async fn excused<T>(&self, is_excused: impl Fn() -> bool, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        self.beat();
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if is_excused() {
                self.beat();
            }
        }
    }

    /// The loop waits for something that may take any time, such as work to do.
    pub fn pause(&self) {
        self.0.beat_ms.store(0, Ordering::Relaxed);
    }
}

impl Registry {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Entries { last_id: 0, by_id: BTreeMap::new() }))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    pub(super) fn enter(&self, name: &str, within: Duration) -> Arc<RegisteredTask> {
        let mut entries = self.entries();
        entries.last_id += 1;
        let entry = Arc::new(RegisteredTask {
            id: entries.last_id,
            name: name.to_owned(),
            within,
            began: Instant::now(),
            beat_ms: AtomicU64::new(0),
            is_killed: AtomicBool::new(false),
            waker: OnceLock::new(),
        });
        entries.by_id.insert(entry.id, entry.clone());
        entry
    }

    pub(super) fn leave(&self, entry: &RegisteredTask) {
        self.entries().by_id.remove(&entry.id);
    }

    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.entries().by_id.values().map(|entry| entry.name.clone()).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn late(&self) -> Vec<(String, Duration)> {
        let entries = self.entries();
        let late = entries.by_id.values().filter_map(|entry| Some((entry.name.clone(), entry.late_for()?)));
        late.collect()
    }

    pub(super) fn kill(&self, name: &str) -> bool {
        let entries = self.entries();
        let named = entries.by_id.values().find(|entry| entry.name == name);
        if let Some(entry) = named {
            entry.is_killed.store(true, Ordering::Relaxed);
            if let Some(waker) = entry.waker.get() {
                waker.wake_by_ref();
            }
        }
        named.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::shell::{OwnerGone, Shell, Tasks};

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_late_when_its_turn_takes_too_long_and_only_then() {
        let shell = Shell::Tasks(Arc::new(Tasks::default()));
        let (go, mut steps) = tokio::sync::mpsc::channel(1);
        let task = shell.spawn_loop("loop", Duration::from_secs(1), |heartbeat| async move {
            while let Some(stamps) = steps.recv().await {
                if stamps { heartbeat.beat() } else { heartbeat.pause() }
            }
            OwnerGone
        });
        let wait = || tokio::time::sleep(Duration::from_secs(2));
        wait().await;
        assert_eq!(shell.late_tasks(), [], "it has not begun");
        go.send(true).await.unwrap();
        wait().await;
        assert_eq!(shell.late_tasks(), [("loop".to_owned(), Duration::from_secs(2))]);
        go.send(false).await.unwrap();
        wait().await;
        assert_eq!(shell.late_tasks(), [], "it rests");
        assert_eq!(shell.task_names(), ["loop"]);
        drop(go);
        task.join().await.unwrap();
        assert_eq!(shell.task_names(), [""; 0]);
    }

    #[tokio::test]
    async fn a_panic_ends_the_node_with_the_name_of_the_task() {
        let tasks = Arc::new(Tasks::default());
        let shell = Shell::Tasks(tasks.clone());
        let task = shell.spawn_owned("loop", async { panic!("planted") });
        assert!(task.join().await.unwrap_err().is_panic());
        assert_eq!(tasks.aborted(), Some("the task `loop` has panicked: planted"));
    }

    #[tokio::test]
    async fn a_panic_of_a_library_s_task_ends_the_node() {
        let tasks = Arc::new(Tasks::default());
        let library = async {
            crate::shell::spawn_inherited(async {
                crate::shell::spawn_inherited(async { panic!("planted") }).await
            })
            .await
        };
        let ended = crate::shell::inherited(Shell::Tasks(tasks.clone()), library).await;
        assert!(ended.unwrap().unwrap_err().is_panic());
        assert_eq!(tasks.aborted(), Some("replication has panicked: planted"));
    }
}
