//! systemd's notify protocol: ready, reloading, stopping, and the watchdog (sd_notify(3)). Nothing is sent unless
//! systemd, or a program that acts like it, names its socket in NOTIFY_SOCKET.

use std::convert::Infallible;
use std::future::pending;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tidelog::server::WritePath;
use tidelog::shell::Shell;
use tokio::time::{MissedTickBehavior, interval};

/// Parts of the watchdog's time between two notifications: two may be lost or late.
const PARTS: u32 = 3;

/// Notifies the service manager of states. A failed notification is logged, and the node goes on.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "service manager: cannot be notified; serving on");
    }
}

/// Carries out a reload between the two notifications that systemd expects of it.
pub(crate) fn telling_reload(reload: impl FnOnce()) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "service manager: not notified of the reload"),
    }
    reload();
    tell(&[NotifyState::Ready]);
}

/// Feeds the watchdog as long as a sync of the write-ahead log comes back and every loop of the process comes round
/// in its time. A node without quorum feeds it too, because a restart would bring none.
pub(crate) async fn keep_watchdog(write_path: WritePath) -> Infallible {
    let Some(within) = watchdog_enabled() else { return pending().await };
    let mut ticks = interval(within / PARTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = write_path.round_trip().await {
            tracing::error!(%error, "watchdog: not fed, because the log cannot be synced");
            continue;
        }
        match Shell::Threads.late_tasks().first() {
            None => tell(&[NotifyState::Watchdog]),
            Some((name, since)) => tracing::error!(
                task = name,
                "watchdog: not fed, because a task has not come round for {} s",
                since.as_secs()
            ),
        }
    }
}
