//! The certificates that a running broker presents: reloaded on SIGHUP, and watched for their end.
//!
//! The server owns one [`Certificates`].

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::machine_time;
use crate::observability::CERTIFICATE_EXPIRY;
use crate::shell::{Heartbeat, OwnerGone};
use crate::tls::peer::PeerTls;
use crate::tls::{Tls, TlsError};

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * DAY_SECONDS);
/// How often the certificates are looked at, and how often one that is about to expire is warned of.
const LOOK_EVERY: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 86_400;

/// The certificates for clients and for other nodes. Clones share the same certificates, also after a reload.
#[derive(Clone, Debug)]
pub struct Certificates {
    clients: Tls,
    peers: Option<PeerTls>,
}

impl Certificates {
    /// Takes the certificates for clients, and those for other nodes where the node has any.
    pub fn new(clients: Tls, peers: Option<PeerTls>) -> Self {
        Self { clients, peers }
    }

    /// Presents the certificates that the files hold now. A certificate that is refused leaves its predecessor in
    /// use; the log says which is which.
    pub fn reload(&self, now: SystemTime) {
        log_reload("clients", self.clients.trust(), self.clients.reload(now));
        if let Some(peers) = &self.peers {
            log_reload("other nodes", peers.certificate(), peers.reload(now));
        }
        self.look(now);
    }

    /// Warns of certificates that are about to expire, once a day, until `stopping` is true.
    pub async fn keep_looking(self, heartbeat: Heartbeat, mut stopping: watch::Receiver<bool>) -> OwnerGone {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = stopping.wait_for(|stop| *stop) => return OwnerGone,
            }
            heartbeat.beat();
            let now = machine_time();
            if self.clients.is_of_authority() && is_soon(self.clients.expires(), now) {
                log_reload("clients", self.clients.trust(), self.clients.reload(now));
            }
            self.look(now);
            heartbeat.pause();
        }
    }

    fn look(&self, now: SystemTime) {
        judge("clients", self.clients.trust(), self.clients.expires(), now);
        if let Some(peers) = &self.peers {
            judge("peers", peers.certificate(), peers.expires(), now);
        }
    }
}

fn log_reload(whom: &str, path: &Path, reloaded: Result<(), TlsError>) {
    match reloaded {
        Ok(()) => tracing::info!(path = %path.display(), "the certificate for {whom} is reloaded"),
        Err(error) => {
            tracing::error!(%error, "the certificate for {whom} is refused; the one before stays in use");
        }
    }
}

fn is_soon(expires: SystemTime, now: SystemTime) -> bool {
    expires.duration_since(now).unwrap_or_default() <= EXPIRES_SOON
}

fn judge(whom: &'static str, path: &Path, expires: SystemTime, now: SystemTime) {
    let at = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!(CERTIFICATE_EXPIRY, "certificate" => whom).set(at.as_secs_f64());
    if !is_soon(expires, now) {
        return;
    }
    match expires.duration_since(now) {
        Ok(left) => tracing::warn!(
            path = %path.display(),
            days = left.as_secs() / DAY_SECONDS,
            "the certificate for {whom} expires soon: renew its files and send SIGHUP"
        ),
        Err(_) => tracing::error!(
            path = %path.display(),
            "the certificate for {whom} has expired: renew its files and send SIGHUP"
        ),
    }
}
