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

#[tokio::test]
async fn who_is_too_far_behind_is_sent_to_the_database() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let mut follower = event_bus.subscribe(&session);
    for sequence in 1..=BEHIND as u64 + 1 {
        event_bus.publish(vec![event(&session, sequence)]);
    }
    assert!(matches!(next(&mut follower).await, Poll::Ready(Some(Notice::Foreign))));
    assert!(matches!(next(&mut follower).await, Poll::Ready(Some(Notice::Events(_)))));
}

#[tokio::test]
async fn the_end_is_told_to_old_and_new_followers() {
    let (event_bus, session) = (EventBus::default(), SessionId::new());
    let mut old = event_bus.subscribe(&session);
    event_bus.publish(vec![event(&session, 1)]);
    event_bus.tell_foreign();
    event_bus.close();
    assert!(matches!(next(&mut old).await, Poll::Ready(Some(Notice::Events(_)))));
    assert!(matches!(next(&mut old).await, Poll::Ready(Some(Notice::Foreign))));
    for _ in 0..2 {
        assert!(matches!(next(&mut old).await, Poll::Ready(None)));
    }
    assert!(matches!(next(&mut event_bus.subscribe(&session)).await, Poll::Ready(None)));
}
