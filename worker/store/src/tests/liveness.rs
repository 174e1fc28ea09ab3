//! The proof of life.

use super::*;

#[test]
fn an_idle_store_answers_and_opens_nothing_for_it() {
    let harness = Harness::new();
    let before = harness.usage();
    for _ in 0..100 {
        harness.wait(harness.store.ping()).unwrap();
    }
    let after = harness.usage();
    assert_eq!((after.descriptors, after.peak), (before.descriptors, before.peak));
}

#[test]
fn a_busy_writer_is_waited_for() {
    let harness = Harness::new();
    let hold = harness.hold_the_writer();
    let store = harness.store.clone();
    let ping = harness.runtime.spawn(async move { store.ping().await });
    harness.wait(harness.store.read(|reader| reader.backlog())).unwrap();
    assert!(!ping.is_finished());
    harness.ends(hold).unwrap();
    harness.wait(ping).unwrap().unwrap();
}

#[test]
fn readers_that_all_hang_are_no_proof() {
    let acquire_timeout = Duration::from_millis(50);
    let harness = Harness::with(&config::Store { acquire_timeout, ..SETTINGS }, 4);
    let mut holds: Vec<_> = (0..2).map(|_| harness.hold_a_reader()).collect();
    harness.wait(harness.store.ping()).unwrap();
    holds.push(harness.hold_a_reader());
    let refusal = harness.wait(harness.store.ping()).unwrap_err();
    assert!(matches!(refusal, StoreError::Exhausted(_)), "{refusal:?}");
    holds.into_iter().for_each(|hold| harness.ends(hold).unwrap());
    harness.wait(harness.store.ping()).unwrap();
}

/// More reads wait than could be done within the ping's acquire_timeout; every end of one proves life.
#[test]
fn busy_readers_are_proof_enough() {
    let harness = Harness::with(&SETTINGS, 2);
    let hold = harness.hold_a_reader();
    let store = harness.store.clone();
    // Before the ping in the line of those who want a permit, and it stays on the only thread.
    let (release, released) = mpsc::channel::<()>();
    let second = async move {
        let read = move |_: &Reader<'_>| {
            let _ = released.recv();
            Ok(())
        };
        store.read(read).await
    };
    let mut second = std::pin::pin!(second);
    let mut ping = std::pin::pin!(harness.store.ping());
    harness.wait(async {
        assert!(futures_util::poll!(&mut second).is_pending());
        // To the readers' queue, where it waits.
        let pause = tokio::time::timeout(Duration::from_millis(50), &mut ping).await;
        assert!(pause.is_err(), "{pause:?}");
    });
    harness.ends(hold).unwrap();
    harness.wait(&mut ping).unwrap();
    drop(release);
    harness.wait(&mut second).unwrap();
}
