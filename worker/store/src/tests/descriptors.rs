//! The account of descriptors against what the kernel says.

use super::*;

/// The writer's two, the shared memory, and one that is kept parked.
pub(super) const BASELINE: u32 = 4;

pub(super) fn settled(house: &House) {
    until("baseline", || {
        let (links, usage) = (house.links(), house.usage());
        if links == BASELINE && usage.descriptors == BASELINE && usage.permits == 1 {
            Ok(())
        } else {
            Err(format!("{links} links, {usage:?}"))
        }
    });
}

#[test]
fn an_idle_store_has_the_baseline() {
    let house = House::new();
    assert_eq!((house.links(), house.usage().descriptors), (BASELINE, BASELINE));
    assert_eq!(house.usage().permits, 1, "the writer's");
}

#[test]
fn the_account_is_exact_for_every_number_of_readers_and_falls_back() {
    let house = House::new();
    let mut holds = Vec::new();
    for readers in 1..HANDLES {
        holds.push(house.hold_a_reader());
        // Of the kept one the first reader made use.
        let wanted = 3 + 2 * readers;
        assert_eq!((house.links(), house.usage().descriptors), (wanted, wanted), "{readers}");
        assert_eq!(house.usage().permits, 1 + readers);
    }
    while let Some(hold) = holds.pop() {
        house.ends(hold).unwrap();
        let open = u32::try_from(holds.len()).unwrap();
        let wanted = 3 + 2 * open + (HANDLES - 1 - open);
        assert_eq!((house.links(), house.usage().descriptors), (wanted, wanted), "{open}");
    }
    settled(&house);
    assert_eq!(house.usage().peak, 3 + 2 * (HANDLES - 1));
}

/// Readers and writers come and go at random; whenever all stand still, account and kernel agree.
#[test]
fn the_account_is_exact_after_any_crowd() {
    let house = House::new();
    let most = 3 + 2 * (HANDLES - 1);
    for round in 0..20 {
        house.wait(async {
            let mut crowd = JoinSet::new();
            for _ in 0..fastrand::u32(1..64) {
                let store = house.store.clone();
                crowd.spawn(async move {
                    for _ in 0..fastrand::u32(1..8) {
                        if fastrand::u8(..) < 25 {
                            let new = new_session("runbook");
                            let made = store
                                .change(Origin::inside(), |changer| changer.create_session(new));
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
        let holds: Vec<_> = (0..fastrand::u32(0..HANDLES)).map(|_| house.hold_a_reader()).collect();
        assert_eq!(house.links(), house.usage().descriptors, "round {round}");
        assert!(house.usage().peak <= most, "round {round}: {:?}", house.usage());
        holds.into_iter().for_each(|hold| house.ends(hold).unwrap());
        assert_eq!(house.links(), house.usage().descriptors, "round {round}");
    }
    settled(&house);
}

#[test]
fn reopening_loses_no_write() {
    let house = House::new();
    let session = house.session();
    for round in 1..=3 {
        let holds: Vec<_> = (1..HANDLES).map(|_| house.hold_a_reader()).collect();
        holds.into_iter().for_each(|hold| house.ends(hold).unwrap());
        house.post(&session.id, "before");
        settled(&house);
        house.post(&session.id, "after");
        let events = house.events(&session.id);
        assert!(events.iter().map(|event| event.sequence).eq(1..=2 * round), "{events:?}");
    }
}

#[test]
fn a_thousand_reads_leave_the_count_flat() {
    let house = House::new();
    for _ in 0..1_000 {
        house.read(|reader| reader.backlog());
        assert_eq!(house.usage().descriptors, BASELINE);
    }
    assert_eq!(house.links(), BASELINE);
}

/// SQLite starts its log anew only in a moment when nobody reads from it. Readers that always
/// overlap never leave one: the writer has to ask for it.
#[test]
fn the_log_stays_bounded_while_readers_overlap() {
    let house = House::new();
    let session = house.session().id;
    let log = house.path.with_file_name("evonic.db-wal");
    let content = "x".repeat(100_000);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for _ in 1..HANDLES {
        let (store, stop) = (house.store.clone(), Arc::clone(&stop));
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
        readers.spawn_on(read, house.runtime.handle());
    }
    let (mut written, mut largest) = (0_u64, 0);
    while written < 96 << 20 {
        let (id, text) = (session.clone(), content.clone());
        house.write(move |writer| writer.post_message(&id, &text, None, u32::MAX, None));
        // The message, its item and its event.
        written += 3 * content.len() as u64;
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    house.wait(async { while readers.join_next().await.is_some() {} });
    println!("log: {largest} bytes at the most for {written} written");
    // It is asked for every 16 MiB. On a busy machine a reader may stay longer than that waits.
    assert!(largest < 64 << 20, "{largest} of {written}");
}

#[test]
fn reads_that_fail_or_panic_leave_nothing() {
    let house = House::new();
    for _ in 0..2 * HANDLES {
        assert_missing(house.try_read(|reader| reader.turn(&TurnId::new())), "turn");
        let panicked = house.try_read(|_| -> Result<(), _> { panic!("on purpose") });
        assert!(matches!(panicked, Err(StoreError::Panicked)), "{panicked:?}");
    }
    assert_eq!((house.links(), house.usage().descriptors), (BASELINE, BASELINE));
    assert_eq!(house.usage().permits, 1);
}

#[test]
fn a_read_whose_caller_left_closes_its_handle() {
    let house = House::new();
    let (release, released) = mpsc::channel::<()>();
    let (here, arrived) = oneshot::channel();
    let store = house.store.clone();
    let task = house.runtime.spawn(async move {
        let read = move |_: &Reader<'_>| {
            here.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        };
        store.read(read).await
    });
    house.wait(arrived).unwrap();
    task.abort();
    assert!(house.wait(task).unwrap_err().is_cancelled());
    assert_eq!(house.usage().permits, 2, "its closure still runs");
    drop(release);
    settled(&house);
}

#[test]
fn without_a_permit_a_read_is_refused_in_time() {
    let acquire_timeout = Duration::from_millis(50);
    let house = House::with(&config::Store { acquire_timeout, ..SETTINGS }, 2);
    let hold = house.hold_a_reader();
    match house.try_read(|reader| reader.backlog()) {
        Err(StoreError::Exhausted(exhausted)) => {
            assert_eq!((exhausted.kind, exhausted.limit), (Kind::Sqlite, 2));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(house.links(), 5);
    house.ends(hold).unwrap();
    house.read(|reader| reader.backlog());
}
