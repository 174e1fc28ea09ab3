//! The end of a store.

use super::*;

#[test]
fn closing_leaves_one_file_and_no_descriptor() {
    let harness = Harness::new();
    harness.session();
    harness.store.clone().close();
    assert_eq!(harness.links(), 0);
    let usage = harness.usage();
    assert_eq!((usage.permits, usage.descriptors), (0, 0), "although a clone is left");
    let names: Vec<_> = std::fs::read_dir(harness.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["evonic.db"], "the log is checkpointed and removed");
}

#[test]
fn what_was_accepted_is_finished() {
    let mut harness = Harness::with(&config::Store { batch: 2, ..SETTINGS }, HANDLES);
    let session = harness.session();
    let (writer, reader) = (harness.hold_the_writer(), harness.hold_a_reader());
    let mut posts: Vec<_> = (0..7)
        .map(|number: i32| {
            let (id, content) = (session.id.clone(), number.to_string());
            Box::pin(harness.store.change(Origin::inside(), move |writer| {
                writer.post_message(&id, &content, None, 100, None)
            }))
        })
        .collect();
    harness.wait(async {
        for post in &mut posts {
            assert!(futures_util::poll!(post).is_pending());
        }
    });
    thread::scope(|scope| {
        let closing = scope.spawn(|| harness.store.clone().close());
        assert!(!closing.is_finished(), "what it waits for has not ended");
        harness.ends(reader).unwrap();
        harness.ends(writer).unwrap();
        closing.join().unwrap();
    });
    let results = harness.wait(futures_util::future::join_all(posts));
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    harness.reopen();
    assert_eq!(harness.names(&session.id), ["message.created"; 7]);
}

#[test]
fn a_closed_store_says_so() {
    let harness = Harness::new();
    let session = harness.session();
    let mut follower = harness.store.subscribe(&session.id);
    harness.store.clone().close();
    harness.store.clone().close();
    let refusals = [
        harness.try_read(|reader| reader.backlog()).err(),
        harness.try_write(|writer| claim_oldest(writer, 1)).err(),
        harness.wait(harness.store.ping()).err(),
        harness.wait(harness.store.poll_foreign_commits()).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(StoreError::Closed)), "{refusal:?}");
    }
    assert!(harness.wait(follower.next()).is_none());
}

/// The last clone may go within a closure, on a thread of the store itself.
#[test]
fn the_last_clone_closes_it_wherever_it_goes() {
    for within_a_write in [false, true] {
        let Harness { store, budget, runtime, folder, .. } = Harness::new();
        let (release, released) = mpsc::channel::<()>();
        let (here, arrived) = oneshot::channel();
        let last = store.clone();
        let wait = move || {
            here.send(()).unwrap();
            let _ = released.recv();
            drop(last);
            Ok(())
        };
        let caller = runtime.spawn(async move {
            if within_a_write {
                store.write(move |_| wait()).await
            } else {
                store.read(move |_| wait()).await
            }
        });
        runtime.block_on(arrived).unwrap();
        caller.abort();
        assert!(runtime.block_on(caller).unwrap_err().is_cancelled());
        drop(release);
        until("closed", || {
            let usage = budget.usage().swap_remove(Kind::Sqlite.slot());
            let log = folder.path().join("evonic.db-wal").exists();
            match (usage.permits, usage.descriptors, log) {
                (0, 0, false) => Ok(()),
                _ => Err(format!("{usage:?}, log {log}, within a write: {within_a_write}")),
            }
        });
    }
}
