use std::task::Poll;

use super::*;
use evonic_domain::SessionId;

fn event(session: &SessionId, sequence: u64) -> Event {
    let (name, data) = ("text.delta".to_owned(), String::new());
    Event { session_id: session.clone(), sequence, name, data }
}

async fn next(subscription: &mut Subscription) -> Poll<Option<Notice>> {
    futures_util::poll!(std::pin::pin!(subscription.next()))
}

#[tokio::test]
async fn a_session_that_nobody_follows_has_no_entry() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let (one, two) = (event_bus.subscribe(&session), event_bus.subscribe(&session));
    assert_eq!(event_bus.followed.lock().sessions.len(), 1);
    drop(one);
    assert_eq!(event_bus.followed.lock().sessions.len(), 1);
    drop(two);
    assert_eq!(event_bus.followed.lock().sessions.len(), 0);
    event_bus.publish(vec![event(&session, 1)]);
}

#[tokio::test]
async fn each_session_gets_its_own_in_order() {
    let (event_bus, one, two) = (EventBus::default(), SessionId::new(), SessionId::new());
    let (mut of_one, mut of_two) = (event_bus.subscribe(&one), event_bus.subscribe(&two));
    event_bus.publish(vec![event(&two, 1), event(&one, 1), event(&two, 2), event(&one, 2)]);
    for (follower, session) in [(&mut of_one, &one), (&mut of_two, &two)] {
        match next(follower).await {
            Poll::Ready(Some(Notice::Events(events))) => {
                assert_eq!(*events, [event(session, 1), event(session, 2)]);
            }
            other => panic!("{other:?}"),
        }
        assert!(next(follower).await.is_pending());
    }
}

/// Everything that waits for a follower: the numbers of events, and where it must read instead.
async fn waiting(follower: &mut Subscription) -> Vec<Option<u64>> {
    let mut found = Vec::new();
    loop {
        match next(follower).await {
            Poll::Ready(Some(Notice::Events(events))) => {
                found.extend(events.iter().map(|event| Some(event.sequence)));
            }
            Poll::Ready(Some(Notice::Foreign)) => found.push(None),
            Poll::Ready(None) | Poll::Pending => return found,
        }
    }
}

#[tokio::test]
async fn who_is_too_far_behind_is_sent_to_the_database() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let (mut slow, mut fast) = (event_bus.subscribe(&session), event_bus.subscribe(&session));
    for sequence in 1..=MAX_NOTICES as u64 + 2 {
        event_bus.publish(vec![event(&session, sequence)]);
        assert_eq!(waiting(&mut fast).await, [Some(sequence)]);
    }
    assert!(slow.follower.queue.lock().notices.is_empty(), "nothing is kept for it");
    assert_eq!(waiting(&mut slow).await, [None]);
    event_bus.publish(vec![event(&session, 1000)]);
    assert_eq!(waiting(&mut slow).await, [Some(1000)]);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_and_shared() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let mut followers: Vec<_> = (0..4).map(|_| event_bus.subscribe(&session)).collect();
    let of = |sequence, bytes| Event { data: "x".repeat(bytes), ..event(&session, sequence) };
    event_bus.publish(vec![of(1, 20_000)]);
    event_bus.publish(vec![of(2, 20_000)]);
    {
        let first = followers[0].follower.queue.lock();
        assert_eq!(Arc::strong_count(&first.notices[0]), followers.len(), "one for all");
    }
    event_bus.publish(vec![of(3, 30_000)]);
    event_bus.publish(vec![of(4, 10)]);
    for follower in &mut followers {
        let bytes = follower.follower.queue.lock().bytes;
        assert_eq!(bytes, 0);
        assert_eq!(waiting(follower).await, [None]);
    }
    // A long one waits for nobody, not even for who has read all.
    event_bus.publish(vec![of(5, MAX_BYTES)]);
    event_bus.publish(vec![of(6, 10)]);
    assert_eq!(waiting(&mut followers[0]).await, [None]);
    event_bus.publish(vec![of(7, 10)]);
    assert_eq!(waiting(&mut followers[0]).await, [Some(7)]);
    assert_eq!(followers[0].follower.queue.lock().bytes, 0);
}

#[tokio::test]
async fn the_end_is_told_to_old_and_new_followers() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let (mut old, mut foreign) = (event_bus.subscribe(&session), event_bus.subscribe(&session));
    event_bus.tell_foreign();
    assert_eq!(waiting(&mut old).await, [None]);
    event_bus.publish(vec![event(&session, 1)]);
    event_bus.close();
    assert_eq!(waiting(&mut old).await, [Some(1)]);
    assert_eq!(waiting(&mut foreign).await, [None]);
    for _ in 0..2 {
        assert!(matches!(next(&mut old).await, Poll::Ready(None)));
        assert!(matches!(next(&mut foreign).await, Poll::Ready(None)));
    }
    assert!(matches!(next(&mut event_bus.subscribe(&session)).await, Poll::Ready(None)));
}
