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
    let harness = Harness::new();
    let (session, other) = (harness.session(), harness.session());
    let mut follower = harness.store.subscribe(&session.id);
    let turn = harness.post(&session.id, "one");
    harness.post(&other.id, "not his");
    let claimed = harness.claim(1).unwrap();
    assert_eq!(claimed.turn.id, turn);
    let lease = claimed.lease;
    harness.write(move |writer| writer.append(&lease, vec![delta("a"), delta("b")]));

    let mut seen = Vec::new();
    harness.wait(async {
        while seen.len() < 4 {
            seen.extend(events(follower.next().await).iter().cloned());
        }
    });
    assert_eq!(seen, harness.events(&session.id), "byte for byte what is stored");
    let sequences: Vec<_> = seen.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
}

#[test]
fn nobody_hears_of_what_is_undone_or_not_committed_yet() {
    let harness = Harness::new();
    let session = harness.session();
    let mut follower = harness.store.subscribe(&session.id);
    let id = session.id.clone();
    let undone = harness.try_write(move |writer| {
        writer.post_message(&id, "undone", None, 10, None)?;
        Err::<(), _>(StoreError::Fenced)
    });
    assert!(matches!(undone, Err(StoreError::Fenced)), "{undone:?}");

    let (release, released) = mpsc::channel::<()>();
    let (here, arrived) = oneshot::channel();
    let (id, store) = (session.id.clone(), harness.store.clone());
    let write = harness.runtime.spawn(async move {
        let post = move |writer: &mut AuditedWriter<'_, '_>| {
            writer.post_message(&id, "stands", None, 10, None)?;
            here.send(()).unwrap();
            let _ = released.recv();
            Ok(())
        };
        store.change(Origin::inside(), post).await
    });
    harness.wait(arrived).unwrap();
    let early = harness.wait(async { futures_util::poll!(std::pin::pin!(follower.next())) });
    assert!(early.is_pending(), "published before the commit: {early:?}");
    drop(release);
    let told = events(harness.wait(follower.next()));
    harness.wait(write).unwrap().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].sequence, 1, "what is undone leaves no gap");
    assert!(told[0].data.contains("stands"), "{told:?}");
}

/// When a follower is told, a reader already sees it.
#[test]
fn what_is_told_is_in_the_database() {
    let harness = Harness::new();
    let session = harness.session();
    let mut follower = harness.store.subscribe(&session.id);
    let (id, store) = (session.id.clone(), harness.store.clone());
    let writes = harness.runtime.spawn(async move {
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
        for event in events(harness.wait(follower.next())).iter() {
            last += 1;
            assert_eq!(event.sequence, last);
        }
        let id = session.id.clone();
        assert!(harness.read(move |reader| reader.session(&id)).last_event >= last);
    }
    harness.wait(writes).unwrap();
}

#[test]
fn pages_of_events_are_bounded_and_a_long_one_comes_in_pieces() {
    let harness = Harness::new();
    let session = harness.session();
    harness.post(&session.id, "a");
    harness.post(&session.id, "b");
    harness.post(&session.id, &"\u{e9}".repeat(3000));
    harness.post(&session.id, "c");
    let all = harness.events(&session.id);
    let page = |after, limit, bytes| {
        let id = session.id.clone();
        let page = harness.read(move |reader| reader.event_page(&id, after, limit, bytes));
        (page.events.iter().map(|event| event.sequence).collect::<Vec<_>>(), page.next)
    };
    assert_eq!(page(0, 10, 1 << 20), (vec![1, 2, 3, 4], AfterPage::End));
    assert_eq!(page(0, 1, 1 << 20), (vec![1], AfterPage::More));
    assert_eq!(page(0, 2, 1 << 20), (vec![1, 2], AfterPage::More));
    assert_eq!(page(0, 10, all[0].data.len()), (vec![1], AfterPage::More));
    assert_eq!(page(2, 10, 1 << 20), (vec![3, 4], AfterPage::End));
    assert_eq!(page(4, 10, 1), (vec![], AfterPage::End));
    assert_eq!(page(u64::MAX, 10, 1), (vec![], AfterPage::End));
    let (before, AfterPage::Long(long)) = page(0, 10, 4000) else { panic!("not long") };
    assert_eq!(before, [1, 2]);
    let whole = all[2].data.as_bytes();
    let (name, bytes) = (all[2].name.clone(), whole.len() as u64);
    assert_eq!(long, LongEvent { sequence: 3, name, turn_id: None, bytes });
    let piece = |session: &SessionId, from| {
        let id = session.clone();
        harness.try_read(move |reader| reader.event_piece(&id, 3, from, 1000))
    };
    let mut joined = Vec::new();
    while joined.len() < whole.len() {
        let piece = piece(&session.id, joined.len() as u64).unwrap();
        assert!((1..=1000).contains(&piece.len()));
        joined.extend(piece);
    }
    assert!(joined == whole, "byte for byte what is stored");
    assert_missing(piece(&SessionId::new(), 0), "session");
    // Only what is said of a turn itself says of which, for it may be its end.
    let message = "x".repeat(5000);
    let lease = harness.claim(1).unwrap().lease;
    let (error, turn) =
        (TurnError { code: TurnErrorCode::Internal, message }, lease.turn_id.clone());
    harness.write(move |writer| writer.end_turn(&lease, TurnEnd::Failed(error)));
    let last = harness.events(&session.id).last().unwrap().sequence;
    let (_, AfterPage::Long(end)) = page(last - 1, 10, 4000) else { panic!("not long") };
    assert_eq!((end.name.as_str(), end.turn_id), ("turn.failed", Some(turn.to_string())));
    let unknown = SessionId::new();
    assert_missing(harness.try_read(move |reader| reader.event_page(&unknown, 0, 9, 9)), "session");
}
