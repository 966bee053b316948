//! systemd's notify protocol, the time between SIGTERM and the stop, and `tidelog health`.

use std::collections::VecDeque;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use tidelog_testkit::process::{Ran, Running, asked};

use crate::tidelog;

/// How long a notification may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket of a service manager, with the assignments that have come and were not yet asked for.
struct Manager {
    socket: UnixDatagram,
    come: VecDeque<String>,
}

impl Manager {
    fn listen(directory: &std::path::Path) -> Self {
        let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, come: VecDeque::new() }
    }

    /// Waits for an assignment that begins so; those before it are dropped.
    fn expect(&mut self, beginning: &str) {
        loop {
            while let Some(next) = self.come.pop_front() {
                if next.starts_with(beginning) {
                    return;
                }
            }
            let mut message = [0; 1_024];
            let count = self.socket.recv(&mut message).unwrap_or_else(|error| panic!("{beginning}: {error}"));
            self.come.extend(String::from_utf8_lossy(&message[..count]).lines().map(String::from));
        }
    }
}

#[test]
fn a_service_manager_hears_of_start_reload_and_stop_and_its_watchdog_is_fed() {
    let directory = tempfile::tempdir().unwrap();
    let mut manager = Manager::listen(directory.path());
    let data = directory.path().join("data");
    let broker = Running::start(
        tidelog()
            .env("NOTIFY_SOCKET", directory.path().join("notify"))
            .env("WATCHDOG_USEC", "600000")
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data),
    );
    manager.expect("READY=1");
    // Each one follows a sync of the log.
    for _ in 0..3 {
        manager.expect("WATCHDOG=1");
    }
    broker.signal(Signal::HUP);
    for expected in ["RELOADING=1", "MONOTONIC_USEC=", "READY=1", "WATCHDOG=1"] {
        manager.expect(expected);
    }
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(0), "{errors}");
    manager.expect("STOPPING=1");
}

#[test]
fn a_draining_broker_serves_on_and_is_not_ready() {
    let broker =
        Running::start(tidelog().args(["--ephemeral", "--listen", "127.0.0.1:0", "--drain", "3600"]));
    let endpoint = format!("http://{}", broker.address());
    let health = |page: &[&str]| {
        let Ran { code, stdout, stderr } =
            Ran::to_end(tidelog().arg("health").args(page).args(["--endpoint", &endpoint]));
        (code, stdout, stderr)
    };
    let well = (Some(0), "ok\n".to_owned(), String::new());
    for page in [&[][..], &["--ready"], &["--live"]] {
        assert_eq!(health(page), well, "{page:?}");
    }
    broker.signal(Signal::TERM);
    let leaving = (Some(3), "stopping\n  The node is stopping.\n".to_owned(), String::new());
    let began = std::time::Instant::now();
    while health(&["--ready"]) != leaving {
        assert!(began.elapsed() < PATIENCE, "{:?}", health(&["--ready"]));
    }
    assert_eq!(health(&["--live"]), well);
    let answer = asked(broker.address(), "any", "us-east-1", "ListStreams", "{}");
    assert!(answer.contains("StreamNames"), "{answer}");
    // The second signal does not wait for the rest of the hour.
    let (code, errors) = broker.terminate();
    assert_eq!(code, Some(130), "{errors}");
    assert!(errors.contains("draining: serving for 3600 s more"), "{errors}");
}

#[test]
fn the_health_of_a_broker_that_is_not_there_names_the_endpoint() {
    let Ran { code, stdout, stderr } =
        Ran::to_end(tidelog().args(["health", "--endpoint", "http://127.0.0.1:1"]));
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("127.0.0.1:1") && stderr.contains("tidelog serve"), "{stderr}");
}
