//! Events: in the database first, then to whoever follows, in order and without gaps.

use super::*;

fn events(notice: Option<Notice>) -> Arc<[Event]> {
    match notice {
        Some(Notice::Events(events)) => events,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_follower_gets_what_is_committed_in_order() {
    let house = House::new();
    let (session, other) = (house.session(), house.session());
    let mut follower = house.store.subscribe(&session.id);
    let turn = house.post(&session.id, "one");
    house.post(&other.id, "not his");
    let claimed = house.claim(1).unwrap();
    assert_eq!(claimed.turn.id, turn);
    let lease = claimed.lease;
    house.write(move |writer| writer.append(&lease, vec![delta("a"), delta("b")]));

    let mut seen = Vec::new();
    house.wait(async {
        while seen.len() < 4 {
            seen.extend(events(follower.next().await).iter().cloned());
        }
    });
    assert_eq!(seen, house.events(&session.id), "byte for byte what is stored");
    let sequences: Vec<_> = seen.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
}

#[test]
fn nobody_hears_of_what_is_undone_or_not_committed_yet() {
    let house = House::new();
    let session = house.session();
    let mut follower = house.store.subscribe(&session.id);
    let id = session.id.clone();
    let undone = house.try_write(move |writer| {
        writer.post_message(&id, "undone", None, 10, None)?;
        Err::<(), _>(StoreError::Fenced)
    });
    assert!(matches!(undone, Err(StoreError::Fenced)), "{undone:?}");

    let (release, released) = mpsc::channel::<()>();
    let (here, arrived) = oneshot::channel();
    let (id, store) = (session.id.clone(), house.store.clone());
    let write = house.runtime.spawn(async move {
        let post = move |writer: &mut AuditedWriter<'_, '_>| {
            writer.post_message(&id, "stands", None, 10, None)?;
            here.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        };
        store.change(Origin::inside(), post).await
    });
    house.wait(arrived).unwrap();
    let early = house.wait(async { futures_util::poll!(std::pin::pin!(follower.next())) });
    assert!(early.is_pending(), "published before the commit: {early:?}");
    drop(release);
    let told = events(house.wait(follower.next()));
    house.wait(write).unwrap().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].sequence, 1, "what is undone leaves no gap");
    assert!(told[0].data.contains("stands"), "{told:?}");
}

/// When a follower is told, a reader already sees it.
#[test]
fn what_is_told_is_in_the_database() {
    let house = House::new();
    let session = house.session();
    let mut follower = house.store.subscribe(&session.id);
    let (id, store) = (session.id.clone(), house.store.clone());
    let writes = house.runtime.spawn(async move {
        for number in 0..50 {
            let (id, content) = (id.clone(), number.to_string());
            let post = move |writer: &mut AuditedWriter<'_, '_>| {
                writer.post_message(&id, &content, None, 100, None)
            };
            store.change(Origin::inside(), post).await.unwrap();
        }
    });
    let mut last = 0;
    while last < 50 {
        for event in events(house.wait(follower.next())).iter() {
            last += 1;
            assert_eq!(event.sequence, last);
        }
        let id = session.id.clone();
        assert!(house.read(move |reader| reader.session(&id)).last_event >= last);
    }
    house.wait(writes).unwrap();
}

#[test]
fn events_are_read_from_any_place() {
    let house = House::new();
    let session = house.session();
    for content in ["a", "b", "c"] {
        house.post(&session.id, content);
    }
    let from = |after, limit| {
        let id = session.id.clone();
        let (events, more) = house.read(move |reader| reader.events(&id, after, limit));
        (events.into_iter().map(|event| event.sequence).collect::<Vec<_>>(), more)
    };
    assert_eq!(from(0, 10), (vec![1, 2, 3], false));
    assert_eq!(from(0, 3), (vec![1, 2, 3], false));
    assert_eq!(from(1, 1), (vec![2], true));
    assert_eq!(from(3, 10), (vec![], false));
    assert_eq!(from(u64::MAX, 10), (vec![], false));
    let long = "x".repeat(700 << 10);
    for _ in 0..3 {
        house.post(&session.id, &long);
    }
    // Two of them are more than a page holds.
    assert_eq!(from(0, 10), (vec![1, 2, 3, 4, 5], true));
    assert_eq!(from(5, 10), (vec![6], false));
    let unknown = SessionId::new();
    assert_missing(house.try_read(move |reader| reader.events(&unknown, 0, 10)), "session");
}
