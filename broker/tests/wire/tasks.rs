//! The end of any lasting task ends the process, and a loop that does not come round is on `/livez`. Each case is a
//! process of its own: this test binary, asked for [`a_broker_whose_task_ends`] alone.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tidelog::clock::Clock;
use tidelog::config::{ClusterConfig, Config, DataLocation};
use tidelog::server::Server;
use tidelog::shell::{OwnerGone, Shell};
use tidelog::wire::Bounds;

use crate::broker::config;

/// Names the task to end.
const TASK: &str = "TIDELOG_TEST_TASK";
/// A loop that the case itself starts, and that comes round once.
const STUCK: &str = "stuck";
const SIGABRT: i32 = 6;
/// How long the end of a task may go unnoticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);

/// Every lasting task of a node of a cluster, where each of seven groups has one: that of group 3.
const TASKS: [&str; 24] = [
    "applications",
    "batcher of group 3",
    "certificates",
    "checkpoints",
    "client port",
    "clocks",
    "cluster port",
    "flush",
    "growth",
    "leadership of group 3",
    "leading",
    "leases",
    "life of the process",
    "metrics",
    "ownership",
    "peers' connections",
    "repair",
    "retention",
    "scrub",
    "spread of leaders",
    "wal",
    "wal-spare",
    "watch over group 3",
    "watch over space",
];

fn case(task: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["tasks::a_broker_whose_task_ends", "--exact", "--ignored", "--nocapture"]);
    command.env(TASK, task).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn the_end_of_any_lasting_task_ends_the_process() {
    // A few at a time.
    for tasks in TASKS.chunks(6) {
        let cases: Vec<_> = tasks.iter().map(|task| std::thread::spawn(move || (task, case(task)))).collect();
        for case in cases {
            let (task, output) = case.join().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(SIGABRT), "{task}: {words}");
            assert!(words.contains(&format!("the task `{task}` was killed by a test")), "{task}: {words}");
        }
    }
}

#[test]
fn a_loop_that_does_not_come_round_is_on_livez() {
    let output = case(STUCK);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a task, or its namesake of group 3, is killed by a test.
fn is_listed(name: &str) -> bool {
    // It ends by itself, soon: there are none.
    if name == "streams of the settings" {
        return true;
    }
    let (kind, group) = name.rsplit_once(' ').unwrap_or((name, ""));
    TASKS.contains(&name) || (group.parse::<u8>().is_ok() && TASKS.contains(&&*format!("{kind} 3")))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a case of the tests above, in a process of its own"]
async fn a_broker_whose_task_ends() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody else is a member, so that the port of the settings is never dialled.
    let cluster = ClusterConfig {
        node_id: 1,
        members: [(1, "127.0.0.1:1".into())].into(),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        tls: None,
        is_insecure: false,
    };
    let config =
        Config { cluster: Some(cluster), ..config(DataLocation::Directory(directory.path().join("data"))) };
    let server = Server::start(&config, Bounds::default(), Clock::System).await.unwrap();
    let task = std::env::var(TASK).unwrap();
    if task == STUCK {
        return a_stuck_loop(&server).await;
    }
    let unlisted: Vec<_> = Shell::Threads.task_names().into_iter().filter(|name| !is_listed(name)).collect();
    assert_eq!(unlisted, [""; 0], "tasks that no test kills");
    assert!(Shell::Threads.kill_task(&task), "{task} is one of {:?}", Shell::Threads.task_names());
    tokio::time::sleep(NOTICED_WITHIN).await;
    panic!("nobody noticed the end of {task}");
}

async fn a_stuck_loop(server: &Server) {
    let livez = || crate::broker::get(server.addresses()[0], "/livez");
    assert_eq!(livez().await.status, 200);
    let stuck = Shell::Threads.spawn_loop(STUCK, Duration::from_millis(10), |heartbeat| async move {
        heartbeat.beat();
        std::future::pending::<OwnerGone>().await
    });
    tokio::time::timeout(NOTICED_WITHIN, async {
        loop {
            let answer = livez().await;
            if answer.status == 503 {
                assert!(answer.body.contains("The task `stuck` has not come round for"), "{answer:?}");
                return;
            }
        }
    })
    .await
    .expect("the loop is noticed");
    stuck.stop().await;
    assert_eq!(livez().await.status, 200);
}
