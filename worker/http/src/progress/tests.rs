use std::time::Duration;

use proptest::prelude::*;

use super::{Due, Limits, Phase, Progress};

const LIMITS: Limits = Limits {
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    linger: Duration::from_secs(1),
};

/// What may happen to a connection, in any order.
#[derive(Clone, Copy, Debug)]
enum Step {
    Received,
    HalfClosed,
    Called { whole: bool },
    BodyEnded,
    Answered,
    Stalled,
    Wrote,
    Drain,
    Leave,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Received),
        1 => Just(Step::HalfClosed),
        4 => any::<bool>().prop_map(|whole| Step::Called { whole }),
        2 => Just(Step::BodyEnded),
        4 => Just(Step::Answered),
        1 => Just(Step::Stalled),
        1 => Just(Step::Wrote),
        1 => Just(Step::Drain),
        1 => Just(Step::Leave),
        1 => Just(Step::Close),
    ]
}

fn take(progress: &Progress, step: Step) {
    match step {
        Step::Received => progress.received(),
        Step::HalfClosed => {
            progress.half_closed();
        }
        Step::Called { whole } => progress.called(whole),
        Step::BodyEnded => progress.body_ended(),
        Step::Answered => progress.answered(),
        Step::Stalled => progress.stalled(),
        Step::Wrote => progress.wrote(),
        Step::Drain => progress.drain(),
        Step::Leave => progress.leave(),
        Step::Close => progress.close(),
    }
}

proptest! {
    /// Whatever happened before, a connection that is not being answered has an end, and while
    /// it drains an idle one has it soon.
    #[test]
    fn no_connection_waits_for_ever(steps in prop::collection::vec(step(), 0..40)) {
        let progress = Progress::new();
        for step in steps {
            take(&progress, step);
            let state = progress.state();
            let due = state.due(&LIMITS);
            let within = |limit: Duration| due.is_some_and(|(at, _)| at <= state.since + limit);
            match state.phase {
                Phase::Fresh | Phase::Head => prop_assert!(within(LIMITS.head)),
                Phase::Idle => prop_assert!(within(LIMITS.idle)),
                Phase::Busy | Phase::Leaving | Phase::Closing => {}
            }
            if state.stalled.is_some() {
                prop_assert!(due.is_some(), "a client that takes nothing is given up");
            }
            if let (Phase::Fresh | Phase::Idle, Some(at)) = (state.phase, state.draining) {
                let soon = at.max(state.since) + LIMITS.linger;
                prop_assert!(due.is_some_and(|(at, _)| at <= soon));
            }
        }
    }

    /// A request that came whole and is being answered is never told that its client closed its
    /// sending side; anything else is.
    #[test]
    fn an_answer_survives_half_a_close(steps in prop::collection::vec(step(), 0..40)) {
        let progress = Progress::new();
        for step in steps {
            take(&progress, step);
            let answering = {
                let state = progress.state();
                state.phase == Phase::Busy && state.body_ended
            };
            prop_assert_eq!(progress.half_closed(), !answering);
        }
    }
}

#[test]
fn headers_that_do_not_end_are_told_so() {
    let progress = Progress::new();
    progress.received();
    let due = |progress: &Progress| progress.state().due(&LIMITS).map(|(_, due)| due);
    assert_eq!(due(&progress), Some(Due::Timeout));
    progress.called(true);
    assert_eq!(due(&progress), None);
    // The next request's first byte came before the answer was written.
    progress.received();
    progress.answered();
    assert_eq!(due(&progress), Some(Due::Timeout));
}
