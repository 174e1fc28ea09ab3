use std::time::Duration;

use proptest::prelude::*;

use super::{ConnectionTimers, Phase, TimeoutAction, Timeouts};

const LIMITS: Timeouts = Timeouts {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    linger: Duration::from_secs(1),
};

/// What may happen to a connection, in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    RequestBody,
    HalfClosed,
    Called { whole: bool },
    BodyEnded,
    ResponseBody,
    Stalled,
    Wrote,
    Drain,
    Leave,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::RequestBody),
        1 => Just(Step::HalfClosed),
        4 => any::<bool>().prop_map(|whole| Step::Called { whole }),
        2 => Just(Step::BodyEnded),
        4 => Just(Step::ResponseBody),
        1 => Just(Step::Stalled),
        1 => Just(Step::Wrote),
        1 => Just(Step::Drain),
        1 => Just(Step::Leave),
        1 => Just(Step::Close),
    ]
}

fn take(timers: &ConnectionTimers, step: Step) {
    match step {
        Step::RequestBody => timers.received(),
        Step::HalfClosed => {
            timers.half_closed();
        }
        Step::Called { whole } => timers.called(whole),
        Step::BodyEnded => timers.body_ended(),
        Step::ResponseBody => timers.answered(),
        Step::Stalled => timers.stalled(),
        Step::Wrote => timers.wrote(),
        Step::Drain => timers.drain(),
        Step::Leave => timers.leave(),
        Step::Close => timers.close(),
    }
}

proptest! {
    /// Whatever happened before, a connection that is not being answered has an end, and while
    /// it drains an idle one has it soon.
    #[test]
    fn no_connection_waits_for_ever(steps in prop::collection::vec(step(), 0..40)) {
        let timers = ConnectionTimers::new(None);
        for step in steps {
            take(&timers, step);
            let state = timers.0.lock();
            let next = state.next_timeout(&LIMITS);
            let within = |limit: Duration| next.is_some_and(|(at, _)| at <= state.since + limit);
            match state.phase {
                Phase::Fresh | Phase::Head => prop_assert!(within(LIMITS.head)),
                Phase::Idle => prop_assert!(within(LIMITS.idle)),
                Phase::Busy | Phase::Leaving | Phase::Closing => {}
            }
            if state.stalled.is_some() {
                prop_assert!(next.is_some(), "a client that takes nothing is given up");
            }
            if let (Phase::Fresh | Phase::Idle, Some(at)) = (state.phase, state.draining) {
                let soon = at.max(state.since) + LIMITS.linger;
                prop_assert!(next.is_some_and(|(at, _)| at <= soon));
            }
        }
    }

    /// A request that came whole and is being answered never sees that its client closed its
    /// sending side; anything else is.
    #[test]
    fn an_answer_survives_half_a_close(steps in prop::collection::vec(step(), 0..40)) {
        let timers = ConnectionTimers::new(None);
        for step in steps {
            take(&timers, step);
            let answering = {
                let state = timers.0.lock();
                state.phase == Phase::Busy && state.body_ended
            };
            prop_assert_eq!(timers.half_closed(), !answering);
        }
    }
}

#[test]
fn headers_that_do_not_end_are_told_so() {
    let timers = ConnectionTimers::new(None);
    timers.received();
    let next =
        |timers: &ConnectionTimers| timers.0.lock().next_timeout(&LIMITS).map(|(_, action)| action);
    assert_eq!(next(&timers), Some(TimeoutAction::Timeout));
    timers.called(true);
    assert_eq!(next(&timers), None);
    // The next request's first byte came before the answer was written.
    timers.received();
    timers.answered();
    assert_eq!(next(&timers), Some(TimeoutAction::Timeout));
}
