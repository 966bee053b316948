//! News of records: who waits for a shard hears that its group has applied some.
//!
//! Apply tells, and pays a load of one counter while nobody waits. A listener that reads the shard after it began to
//! listen misses nothing: what was applied before is there, what comes later is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

use tidelog_storage::shard::ShardKey;
use tokio::sync::watch;

/// The shards that someone waits for.
#[derive(Default)]
pub struct News {
    awaited: AtomicUsize,
    by_shard: Mutex<HashMap<ShardKey, watch::Sender<()>>>,
}

impl News {
    /// Begins to listen to a shard.
    pub fn listen(self: &Arc<Self>, shard: ShardKey) -> Listener {
        let mut by_shard = self.by_shard();
        let heard = by_shard.entry(shard).or_insert_with(|| watch::channel(()).0).subscribe();
        self.awaited.store(by_shard.len(), Ordering::SeqCst);
        drop(by_shard);
        // The listener's next look at the shard comes after the store above.
        fence(Ordering::SeqCst);
        Listener { shard, heard: Some(heard), news: self.clone() }
    }

    /// Tells the listeners of a shard that it has changed.
    pub fn tell(&self, shard: ShardKey) {
        // The load below comes after the change.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(listeners) = self.by_shard().get(&shard) {
            listeners.send_replace(());
        }
    }

    fn by_shard(&self) -> MutexGuard<'_, HashMap<ShardKey, watch::Sender<()>>> {
        self.by_shard.lock().expect("no code panics while it holds this lock")
    }
}

/// Hears of one shard until it is dropped.
pub struct Listener {
    shard: ShardKey,
    /// There until it is dropped.
    heard: Option<watch::Receiver<()>>,
    news: Arc<News>,
}

impl Listener {
    /// Returns when the shard has changed since the last call, or since the listening began.
    pub async fn changed(&mut self) {
        let heard = self.heard.as_mut().expect("a listener that is not being dropped");
        heard.changed().await.expect("a sender that has a receiver is kept");
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut by_shard = self.news.by_shard();
        // Under the lock: of two that leave together the second finds itself alone.
        self.heard = None;
        if by_shard.get(&self.shard).is_some_and(|listeners| listeners.receiver_count() == 0) {
            by_shard.remove(&self.shard);
        }
        self.news.awaited.store(by_shard.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_hears_of_its_shard_and_leaves_nothing_behind() {
        let news = Arc::new(News::default());
        let shard = |shard| ShardKey { stream_uid: 1, shard };
        news.tell(shard(0));
        let (mut first, second) = (news.listen(shard(0)), news.listen(shard(0)));
        news.tell(shard(1));
        assert!(!first.heard.as_ref().unwrap().has_changed().unwrap());
        news.tell(shard(0));
        first.changed().await;
        assert!(!first.heard.as_ref().unwrap().has_changed().unwrap());
        drop(first);
        news.tell(shard(0));
        assert!(second.heard.as_ref().unwrap().has_changed().unwrap());
        drop(second);
        assert!(news.by_shard().is_empty());
        assert_eq!(news.awaited.load(Ordering::SeqCst), 0);
    }
}
