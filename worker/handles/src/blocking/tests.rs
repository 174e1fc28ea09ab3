use std::{
    sync::mpsc::{channel, sync_channel},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::BlockingPool;

#[tokio::test]
async fn jobs_run_on_named_threads() {
    let pool = BlockingPool::start("evonic-test", 2).expect("there are threads");
    let name = pool.run(|_| std::thread::current().name().map(str::to_owned)).await;
    assert!(name.is_some_and(|name| name.starts_with("evonic-test-")));
}

#[tokio::test]
async fn a_job_notices_that_nobody_waits() {
    let pool = BlockingPool::start("evonic-test", 1).expect("there are threads");
    let (begun, has_begun) = oneshot::channel();
    let (noticed, wait) = sync_channel(1);
    let job = pool.run(move |waiter| {
        begun.send(()).expect("the test waits");
        while waiter.is_waiting() {
            std::thread::yield_now();
        }
        noticed.send(()).expect("the test waits");
    });
    tokio::select! {
        () = job => panic!("it ended while it was waited for"),
        begun = has_begun => begun.expect("it begins"),
    }
    wait.recv_timeout(Duration::from_secs(10)).expect("it notices");
}

#[tokio::test]
async fn a_job_that_nobody_waits_for_is_not_begun() {
    let pool = BlockingPool::start("evonic-test", 1).expect("there are threads");
    let (go, wait) = sync_channel::<()>(0);
    let first = pool.run(move |_| wait.recv().is_ok());
    let (begun, never) = channel();
    let second = async {
        let job = pool.run(move |_| begun.send(()));
        timeout(Duration::from_millis(10), job).await.expect_err("the thread is busy");
        go.send(()).expect("the first job waits");
    };
    assert!(tokio::join!(first, second).0);
    assert_eq!(pool.run(|_| 7).await, 7);
    never.try_recv().expect_err("it was begun");
}

#[tokio::test]
async fn a_panic_is_the_callers_and_the_thread_lives() {
    let pool = BlockingPool::start("evonic-test", 1).expect("there are threads");
    let panicked = tokio::task::JoinSet::from_iter([async move {
        let job = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
            pool.run(|_| panic!("the job's own words")),
        ));
        let panic: Box<dyn std::any::Any + Send> = job.await.err()?;
        let message = panic.downcast_ref::<&str>().map(|message| (*message).to_owned());
        Some((message, pool.run(|_| 7).await))
    }]);
    let panics = panicked.join_all().await;
    assert_eq!(panics, [Some((Some("the job's own words".to_owned()), 7))]);
}

#[test]
fn threads_end_with_the_pool() {
    let pool = BlockingPool::start("evonic-test", 2).expect("there are threads");
    let (held, ended) = channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        pool.run(move |_| {
            thread_local!(static HELD: std::cell::RefCell<Option<std::sync::mpsc::Sender<()>>> =
                const { std::cell::RefCell::new(None) });
            HELD.set(Some(held));
        })
        .await;
    });
    drop(pool);
    // The thread's own variable is dropped when the thread ends.
    let disconnected = ended.recv_timeout(Duration::from_secs(10));
    assert_eq!(disconnected, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}
