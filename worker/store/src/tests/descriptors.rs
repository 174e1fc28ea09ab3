//! The account of descriptors against what the kernel says.

use super::*;

/// The writer's two, the shared memory, and one that is kept parked.
pub(super) const BASELINE: u32 = 4;

pub(super) fn settled(harness: &Harness) {
    until("baseline", || {
        let (links, usage) = (harness.links(), harness.usage());
        if links == BASELINE && usage.descriptors == BASELINE && usage.permits == 1 {
            Ok(())
        } else {
            Err(format!("{links} links, {usage:?}"))
        }
    });
}

#[test]
fn an_idle_store_has_the_baseline() {
    let harness = Harness::new();
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
    assert_eq!(harness.usage().permits, 1, "the writer's");
}

#[test]
fn the_account_is_exact_for_every_number_of_readers_and_falls_back() {
    let harness = Harness::new();
    let mut holds = Vec::new();
    for readers in 1..HANDLES {
        holds.push(harness.hold_a_reader());
        // Of the kept one the first reader made use.
        let wanted = 3 + 2 * readers;
        assert_eq!((harness.links(), harness.usage().descriptors), (wanted, wanted), "{readers}");
        assert_eq!(harness.usage().permits, 1 + readers);
    }
    while let Some(hold) = holds.pop() {
        harness.ends(hold).unwrap();
        let open = u32::try_from(holds.len()).unwrap();
        let wanted = 3 + 2 * open + (HANDLES - 1 - open);
        assert_eq!((harness.links(), harness.usage().descriptors), (wanted, wanted), "{open}");
    }
    settled(&harness);
    assert_eq!(harness.usage().peak, 3 + 2 * (HANDLES - 1));
}

/// Readers and writers come and go at random; whenever all stand still, account and kernel agree.
#[test]
fn the_account_is_exact_after_any_crowd() {
    let harness = Harness::new();
    let most = 3 + 2 * (HANDLES - 1);
    for round in 0..20 {
        harness.wait(async {
            let mut crowd = JoinSet::new();
            for _ in 0..fastrand::u32(1..64) {
                let store = harness.store.clone();
                crowd.spawn(async move {
                    for _ in 0..fastrand::u32(1..8) {
                        if fastrand::u8(..) < 25 {
                            let new = new_session("runbook");
                            let made =
                                store.change(Origin::inside(), |writer| writer.create_session(new));
                            made.await.unwrap();
                        } else {
                            store.read(|reader| reader.backlog()).await.unwrap();
                        }
                    }
                });
            }
            while let Some(done) = crowd.join_next().await {
                done.unwrap();
            }
        });
        let holds: Vec<_> =
            (0..fastrand::u32(0..HANDLES)).map(|_| harness.hold_a_reader()).collect();
        assert_eq!(harness.links(), harness.usage().descriptors, "round {round}");
        assert!(harness.usage().peak <= most, "round {round}: {:?}", harness.usage());
        holds.into_iter().for_each(|hold| harness.ends(hold).unwrap());
        assert_eq!(harness.links(), harness.usage().descriptors, "round {round}");
    }
    settled(&harness);
}

#[test]
fn reopening_loses_no_write() {
    let harness = Harness::new();
    let session = harness.session();
    for round in 1..=3 {
        let holds: Vec<_> = (1..HANDLES).map(|_| harness.hold_a_reader()).collect();
        holds.into_iter().for_each(|hold| harness.ends(hold).unwrap());
        harness.post(&session.id, "before");
        settled(&harness);
        harness.post(&session.id, "after");
        let events = harness.events(&session.id);
        assert!(events.iter().map(|event| event.sequence).eq(1..=2 * round), "{events:?}");
    }
}

#[test]
fn a_thousand_reads_leave_the_count_flat() {
    let harness = Harness::new();
    for _ in 0..1_000 {
        harness.read(|reader| reader.backlog());
        assert_eq!(harness.usage().descriptors, BASELINE);
    }
    assert_eq!(harness.links(), BASELINE);
}

/// SQLite starts its log anew only in a moment when nobody reads from it. Readers that always
/// overlap never leave one: the writer has to ask for it.
#[test]
fn the_log_stays_bounded_while_readers_overlap() {
    let harness = Harness::new();
    let session = harness.session().id;
    let log = harness.path.with_file_name("evonic.db-wal");
    let content = "x".repeat(100_000);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 1..HANDLES {
        let (store, stop) = (harness.store.clone(), Arc::clone(&stop));
        let linger = |reader: &Reader<'_>| {
            reader.backlog()?;
            let (_never, told) = mpsc::channel::<()>();
            let _ = told.recv_timeout(Duration::from_millis(fastrand::u64(5..15)));
            Ok(())
        };
        let read = async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                store.read(linger).await.unwrap();
            }
        };
        readers.spawn_on(read, harness.runtime.handle());
    }
    let (mut written, mut largest) = (0_u64, 0);
    while written < 96 << 20 {
        let (id, text) = (session.clone(), content.clone());
        harness.write(move |writer| writer.post_message(&id, &text, None, u32::MAX, None));
        // The message, its item and its event.
        written += 3 * content.len() as u64;
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    harness.wait(async { while readers.join_next().await.is_some() {} });
    println!("log: {largest} bytes at the most for {written} written");
    // It is asked for every 16 MiB. On a busy machine a reader may stay longer than that waits.
    assert!(largest < 64 << 20, "{largest} of {written}");
}

#[test]
fn reads_that_fail_or_panic_leave_nothing() {
    let harness = Harness::new();
    for _ in 0..2 * HANDLES {
        assert_missing(harness.try_read(|reader| reader.turn(&TurnId::new())), "turn");
        let panicked = harness.try_read(|_| -> Result<(), _> { panic!("on purpose") });
        assert!(matches!(panicked, Err(StoreError::Panicked)), "{panicked:?}");
    }
    assert_eq!((harness.links(), harness.usage().descriptors), (BASELINE, BASELINE));
    assert_eq!(harness.usage().permits, 1);
}

#[test]
fn a_read_whose_caller_left_closes_its_handle() {
    let harness = Harness::new();
    let (release, released) = mpsc::channel::<()>();
    let (here, arrived) = oneshot::channel();
    let store = harness.store.clone();
    let task = harness.runtime.spawn(async move {
        let read = move |_: &Reader<'_>| {
            here.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        };
        store.read(read).await
    });
    harness.wait(arrived).unwrap();
    task.abort();
    assert!(harness.wait(task).unwrap_err().is_cancelled());
    assert_eq!(harness.usage().permits, 2, "its closure still runs");
    drop(release);
    settled(&harness);
}

#[test]
fn without_a_permit_a_read_is_refused_in_time() {
    let acquire_timeout = Duration::from_millis(50);
    let harness = Harness::with(&config::Store { acquire_timeout, ..SETTINGS }, 2);
    let hold = harness.hold_a_reader();
    match harness.try_read(|reader| reader.backlog()) {
        Err(StoreError::Exhausted(exhausted)) => {
            assert_eq!((exhausted.kind, exhausted.limit), (Kind::Sqlite, 2));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(harness.links(), 5);
    harness.ends(hold).unwrap();
    harness.read(|reader| reader.backlog());
}
