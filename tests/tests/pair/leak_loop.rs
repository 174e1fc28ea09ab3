//! Workers that leak from their first moment are replaced with pauses, and no client notices.

use std::time::Duration;

use evonic_shared::{reason::Reason, status::State};
use evonic_tests::{
    fault::{Fault, Leaked},
    load::Load,
    pair::{Options, Pair},
};

const CONFIG: &str = "[fd]\nthreshold = 4000\nceiling = 14000\nunexplained = 64\n\
                      [supervisor]\nbackoff_base = \"100ms\"\nbackoff_cap = \"400ms\"\n\
                      stable_after = \"3s\"\n";

#[test]
fn a_leak_loop_is_reported_and_refuses_nobody() {
    let fault = Fault::Leak { leaked: Leaked::Pipes, per_second: 400, after_ms: 0 };
    let pair = Pair::start(&Options::config(CONFIG).fault(8, fault));
    let load = Load::mixed(pair.address(), 8);
    let looping = pair.wait_within("a leak loop", Duration::from_secs(60), |status| {
        status.state == State::LeakLoop
    });
    assert!(looping.worker.is_some(), "somebody serves: {looping:#?}");
    // The ninth does not leak, and ends it.
    let status = pair.wait_within("an end of it", Duration::from_secs(60), |status| {
        status.state == State::Running
    });
    let seen = load.finish();
    assert_eq!((seen.refused, seen.faults()), (0, 0), "{seen}\nlog:\n{}", pair.log());
    assert_eq!(status.worker.map(|worker| worker.generation), Some(9));
    let history = pair.history();
    assert_eq!(history.len(), 8, "{history:#?}");
    assert!(history.iter().all(|entry| entry.reason == Reason::FdUnexplained), "{history:#?}");
}
