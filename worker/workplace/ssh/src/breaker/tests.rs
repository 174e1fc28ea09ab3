use proptest::prelude::*;

use super::*;
use evonic_backend::{Stage, error::Cause};

fn transient() -> WorkplaceError {
    WorkplaceError::Unreachable {
        host: "h".into(),
        stage: Stage::Connect,
        source: Cause("connection refused".into()),
    }
}

fn permanent() -> WorkplaceError {
    WorkplaceError::Refused {
        host: "h".into(),
        stage: Stage::Authenticate,
        source: Cause("no".into()),
    }
}

const PAUSE: Duration = Duration::from_secs(30);

#[test]
fn it_opens_at_the_limit_and_admits_one_after_the_pause() {
    let start = Instant::now();
    let mut breaker = Breaker::new(3, PAUSE);
    for _ in 0..3 {
        breaker.admit("h", start).unwrap();
        breaker.failed(&transient(), start);
    }
    let error = breaker.admit("h", start + Duration::from_millis(500)).unwrap_err();
    assert!(matches!(error, WorkplaceError::LeftAlone { failures: 3, seconds: 30, .. }), "{error}");
    let state = breaker.state("h".into(), 0, start);
    assert_eq!((state.failures, state.left_alone_seconds), (3, Some(30)));
    assert_eq!(state.last_error.as_deref(), Some("h: connect failed: connection refused"));

    let later = start + PAUSE;
    breaker.admit("h", later).unwrap();
    breaker.admit("h", later).unwrap_err();
    breaker.failed(&transient(), later);
    breaker.admit("h", later + PAUSE / 2).unwrap_err();
    breaker.admit("h", later + PAUSE).unwrap();
    breaker.succeeded();
    breaker.admit("h", later + PAUSE).unwrap();
    assert_eq!(breaker.state("h".into(), 1, later).failures, 0);
}

#[test]
fn a_permanent_error_never_opens_it() {
    let now = Instant::now();
    let mut breaker = Breaker::new(2, PAUSE);
    for _ in 0..10 {
        breaker.failed(&transient(), now);
        breaker.failed(&permanent(), now);
        breaker.admit("h", now).unwrap();
    }
    assert!(breaker.state("h".into(), 0, now).last_error.unwrap().contains("authenticate"));
}

proptest! {
    /// Whatever happens: at most `limit` tries of a host that fails, then one a pause.
    #[test]
    fn a_dead_host_is_tried_once_a_pause(limit in 1_u32..10, steps in prop::collection::vec(0_u64..20, 1..200)) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(limit, PAUSE);
        let mut tries = Vec::new();
        for seconds in steps {
            now += Duration::from_secs(seconds);
            if breaker.admit("h", now).is_ok() {
                tries.push(now);
                breaker.failed(&transient(), now);
            }
        }
        for pair in tries[(limit as usize - 1).min(tries.len())..].windows(2) {
            prop_assert!(pair[1] - pair[0] >= PAUSE);
        }
    }
}
