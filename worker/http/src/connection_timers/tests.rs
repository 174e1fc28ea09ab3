use std::time::Duration;

use proptest::prelude::*;

use super::{ConnectionTimers, HALF_CLOSED_LIMIT, LEFT_LIMIT, Phase, TimeoutAction, Timeouts};
use crate::request_framing::BodyLength;

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
    Waits,
    Flushed,
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
        1 => Just(Step::Waits),
        1 => Just(Step::Flushed),
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
        Step::HalfClosed => timers.half_closed(),
        Step::Called { whole } => {
            timers.called(if whole { BodyLength::Exact(0) } else { BodyLength::Chunked })
        }
        Step::Waits => timers.waits(),
        Step::Flushed => timers.flushed(),
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

    /// An answer to a client that looks gone ends soon, sooner where it waits for something.
    #[test]
    fn half_a_close_bounds_the_answer(steps in prop::collection::vec(step(), 0..40)) {
        let timers = ConnectionTimers::new(None);
        for step in steps {
            take(&timers, step);
        }
        timers.half_closed();
        let state = timers.0.lock();
        if state.phase == Phase::Busy {
            let limit = if state.waits { LEFT_LIMIT } else { HALF_CLOSED_LIMIT };
            let soon = tokio::time::Instant::now() + limit;
            let next = state.next_timeout(&LIMITS);
            prop_assert!(next.is_some_and(|(at, _)| at <= soon));
        }
    }

    /// What hyper writes before the answer has gone out is the answer's.
    #[test]
    fn an_answer_is_open_until_it_has_gone_out(steps in prop::collection::vec(step(), 0..40)) {
        let timers = ConnectionTimers::new(None);
        let mut is_open = false;
        for step in steps {
            take(&timers, step);
            is_open = match step {
                Step::Called { .. } => true,
                Step::Flushed => is_open && timers.is_busy(),
                _ => is_open,
            };
            prop_assert_eq!(timers.is_answering(), is_open);
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
    timers.called(BodyLength::Exact(0));
    assert_eq!(next(&timers), None);
    // The next request's first byte came before the answer was written.
    timers.received();
    timers.answered();
    assert_eq!(next(&timers), Some(TimeoutAction::Timeout));
}
