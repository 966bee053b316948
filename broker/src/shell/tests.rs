use std::time::Duration;

use super::Shell;

/// Longer than a runtime takes to drop a task on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Without the rule this test ends its whole program.
#[test]
fn a_task_that_fails_while_its_runtime_shuts_down_does_not_end_the_process() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (sender, receiver) = tokio::sync::mpsc::channel::<()>(1);
    let (begun, begins) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        std::future::pending::<()>().await;
        drop(sender);
    });
    let watch = async move {
        begun.send(()).expect("the test waits");
        // It occupies its thread, so that the runtime drops the other task first.
        while !receiver.is_closed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Shell::Threads.abort("the channel is closed");
    };
    let ended = runtime.block_on(async { Shell::Threads.spawn_owned("watch", watch) });
    begins.recv().expect("the task runs");
    runtime.shutdown_timeout(PATIENCE);
    drop(ended);
}

#[tokio::test]
async fn a_runtime_that_serves_is_not_taken_for_one_that_shuts_down() {
    assert!(!super::runtime_shuts_down());
    let worker = tokio::task::spawn_blocking(super::runtime_shuts_down);
    assert!(!worker.await.expect("no panic"));
}
