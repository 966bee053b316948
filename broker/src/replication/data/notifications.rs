//! Notifications of new records: a reader that waits for a shard hears that its group has applied some.
//!
//! Applying an entry notifies, and costs a load of one counter while nobody waits. A listener that reads the shard
//! after it began to listen misses nothing: records that were applied before are there, and later ones notify it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

use tidelog_storage::shard::ShardKey;
use tokio::sync::{Notify, watch};

/// The shards that someone waits for.
#[derive(Default)]
pub struct Notifications {
    awaited: AtomicUsize,
    by_shard: Mutex<HashMap<ShardKey, Row>>,
}

/// The listeners to one shard.
#[derive(Default)]
struct Row {
    /// Listeners to this shard alone, as long as there are any.
    alone: Option<watch::Sender<()>>,
    /// Listeners to many shards.
    many: Vec<Arc<Heard>>,
}

impl Row {
    fn is_empty(&self) -> bool {
        self.many.is_empty() && self.alone.as_ref().is_none_or(|alone| alone.receiver_count() == 0)
    }
}

impl Notifications {
    /// Begins to listen to a shard.
    pub fn listen(self: &Arc<Self>, shard: ShardKey) -> Listener {
        let mut by_shard = self.by_shard();
        let row = by_shard.entry(shard).or_default();
        let heard = row.alone.get_or_insert_with(|| watch::channel(()).0).subscribe();
        self.awaited.store(by_shard.len(), Ordering::SeqCst);
        drop(by_shard);
        // The listener's next look at the shard comes after the store above.
        fence(Ordering::SeqCst);
        Listener { shard, heard: Some(heard), notifications: self.clone() }
    }

    /// Notifies the listeners of a shard that it has changed.
    pub fn notify(&self, shard: ShardKey) {
        // The load below comes after the change.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(row) = self.by_shard().get(&shard) {
            if let Some(alone) = &row.alone {
                alone.send_replace(());
            }
            for heard in &row.many {
                heard.note(shard);
            }
        }
    }

    /// Begins to listen to shards that are still to be named.
    pub fn listen_to_many(self: &Arc<Self>) -> ManyListener {
        ManyListener { shards: BTreeSet::new(), heard: Arc::default(), notifications: self.clone() }
    }

    fn by_shard(&self) -> MutexGuard<'_, HashMap<ShardKey, Row>> {
        self.by_shard.lock().expect("no code panics while it holds this lock")
    }
}

/// Hears of one shard until it is dropped.
pub struct Listener {
    shard: ShardKey,
    /// There until it is dropped.
    heard: Option<watch::Receiver<()>>,
    notifications: Arc<Notifications>,
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
        let mut by_shard = self.notifications.by_shard();
        // Under the lock: of two that leave together the second finds itself alone.
        self.heard = None;
        if by_shard.get(&self.shard).is_some_and(Row::is_empty) {
            by_shard.remove(&self.shard);
        }
        self.notifications.awaited.store(by_shard.len(), Ordering::SeqCst);
    }
}

/// Shards that have changed since somebody looked.
#[derive(Default)]
struct Heard {
    shards: Mutex<BTreeSet<ShardKey>>,
    notify: Notify,
}

impl Heard {
    fn note(&self, shard: ShardKey) {
        self.shards.lock().expect("no code panics while it holds this lock").insert(shard);
        self.notify.notify_one();
    }
}

/// Hears of many shards until it is dropped, at the cost of some tens of bytes for each.
pub struct ManyListener {
    shards: BTreeSet<ShardKey>,
    heard: Arc<Heard>,
    notifications: Arc<Notifications>,
}

impl ManyListener {
    /// Begins to listen to another shard.
    pub fn add(&mut self, shard: ShardKey) {
        if !self.shards.insert(shard) {
            return;
        }
        let mut by_shard = self.notifications.by_shard();
        by_shard.entry(shard).or_default().many.push(self.heard.clone());
        self.notifications.awaited.store(by_shard.len(), Ordering::SeqCst);
        drop(by_shard);
        fence(Ordering::SeqCst);
    }

    /// Stops listening to a shard.
    pub fn remove(&mut self, shard: ShardKey) {
        if self.shards.remove(&shard) {
            self.forget(&mut self.notifications.by_shard(), shard);
        }
    }

    /// The shards that have changed since the last call, or since the listening to them began; waits for one.
    pub async fn changed(&self) -> BTreeSet<ShardKey> {
        loop {
            let notified = self.heard.notify.notified();
            let heard = std::mem::take(
                &mut *self.heard.shards.lock().expect("no code panics while it holds this lock"),
            );
            if !heard.is_empty() {
                return heard;
            }
            notified.await;
        }
    }

    fn forget(&self, by_shard: &mut HashMap<ShardKey, Row>, shard: ShardKey) {
        if let Some(row) = by_shard.get_mut(&shard) {
            row.many.retain(|heard| !Arc::ptr_eq(heard, &self.heard));
            if row.is_empty() {
                by_shard.remove(&shard);
            }
        }
        self.notifications.awaited.store(by_shard.len(), Ordering::SeqCst);
    }
}

impl Drop for ManyListener {
    fn drop(&mut self) {
        for shard in std::mem::take(&mut self.shards) {
            // One lock for each: other listeners may be notified in between.
            self.forget(&mut self.notifications.by_shard(), shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_of_its_shard_and_leaves_nothing_behind() {
        let notifications = Arc::new(Notifications::default());
        let shard = |shard| ShardKey { stream_uid: 1, shard };
        notifications.notify(shard(0));
        let (mut first, second) = (notifications.listen(shard(0)), notifications.listen(shard(0)));
        notifications.notify(shard(1));
        assert!(!first.heard.as_ref().unwrap().has_changed().unwrap());
        notifications.notify(shard(0));
        first.changed().await;
        assert!(!first.heard.as_ref().unwrap().has_changed().unwrap());
        drop(first);
        notifications.notify(shard(0));
        assert!(second.heard.as_ref().unwrap().has_changed().unwrap());
        drop(second);
        assert!(notifications.by_shard().is_empty());
        assert_eq!(notifications.awaited.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_listener_to_many_hears_which_have_changed_and_leaves_nothing_behind() {
        let notifications = Arc::new(Notifications::default());
        let shard = |shard| ShardKey { stream_uid: 1, shard };
        let (mut many, mut other) = (notifications.listen_to_many(), notifications.listen_to_many());
        for index in 0..5 {
            many.add(shard(index));
        }
        many.add(shard(4));
        other.add(shard(4));
        let alone = notifications.listen(shard(4));
        for index in [4, 2, 4, 7] {
            notifications.notify(shard(index));
        }
        assert_eq!(many.changed().await, BTreeSet::from([shard(2), shard(4)]));
        assert!(many.changed().now_or_never().is_none(), "it was told once");
        assert!(alone.heard.as_ref().unwrap().has_changed().unwrap());
        many.remove(shard(3));
        notifications.notify(shard(3));
        notifications.notify(shard(1));
        assert_eq!(many.changed().await, BTreeSet::from([shard(1)]));
        drop((many, alone));
        assert_eq!(notifications.by_shard().len(), 1);
        assert_eq!(other.changed().await, BTreeSet::from([shard(4)]));
        drop(other);
        assert_eq!((notifications.by_shard().len(), notifications.awaited.load(Ordering::SeqCst)), (0, 0));
    }
}
