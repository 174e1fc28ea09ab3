use rustix::thread::CpuSet;

use super::*;

const SERVING: Workers = Workers { is_serving: true, has_failed: false };
const NOFILE: u64 = 16_384;

fn processors(count: usize) -> CpuSet {
    let mut set = CpuSet::new();
    (0..count).for_each(|cpu| set.set(cpu));
    set
}

/// A supervisor as systemd starts it.
fn sound() -> Observed {
    let unlimited = Rlimit { current: None, maximum: None };
    let mut limits = [unlimited; NEEDS.len()];
    limits[0] = Rlimit { current: Some(65_536), maximum: Some(65_536) };
    limits[4] = Rlimit { current: Some(8 << 20), maximum: None };
    let scheduling = Scheduling { class: 0, nice: 0, io: 0, processors: processors(4) };
    Observed { limits, scheduling, state: Condition::Sound, runtime: Condition::Sound }
}

fn changed(change: impl FnOnce(&mut Observed)) -> Observed {
    let mut observed = sound();
    change(&mut observed);
    observed
}

/// What is decided where nothing can be put back.
fn decide(integrity: &mut Integrity, observed: &Observed, workers: Workers) -> Decision {
    let found = integrity.deviations(observed, NOFILE);
    integrity.decide(found.clone(), &found, workers)
}

fn only(decision: &Decision) -> (&str, Measure) {
    let [(deviation, measure)] = decision.report.as_slice() else { panic!("{decision:?}") };
    (&deviation.detail, *measure)
}

#[test]
fn a_sound_supervisor_says_nothing() {
    let mut integrity = Integrity::new(sound(), Restarter::Systemd);
    assert_eq!(decide(&mut integrity, &sound(), SERVING), Decision::default());
}

#[test]
fn every_change_is_found_with_its_words() {
    let integrity = Integrity::new(sound(), Restarter::Systemd);
    let limit = |at: usize, current, maximum| {
        changed(|observed| observed.limits[at] = Rlimit { current, maximum })
    };
    let scheduled =
        |change: fn(&mut Scheduling)| changed(|observed| change(&mut observed.scheduling));
    for (observed, detail, severity) in [
        (
            limit(0, Some(3), Some(3)),
            "the hard limit of open files is 3; it was 65536",
            Severity::Fatal,
        ),
        (
            limit(0, Some(20_000), Some(30_000)),
            "the hard limit of open files is 30000; it was 65536",
            Severity::Bearable,
        ),
        (
            limit(0, Some(64), Some(65_536)),
            "the soft limit of open files is 64; it was 65536",
            Severity::Fatal,
        ),
        (
            limit(1, Some(1), Some(1)),
            "the hard limit of processes is 1; it was none",
            Severity::Fatal,
        ),
        (
            limit(6, None, Some(1_000_000)),
            "the hard limit of seconds of processor is 1000000; it was none",
            Severity::Fatal,
        ),
        (
            scheduled(|scheduling| scheduling.class = 5),
            "the scheduling class is 5; it was 0",
            Severity::Harmful,
        ),
        (
            scheduled(|scheduling| scheduling.nice = 19),
            "the nice value is 19; it was 0",
            Severity::Harmful,
        ),
        (
            scheduled(|scheduling| scheduling.processors = processors(1)),
            "the set of processors is of 1; it was of 4",
            Severity::Bearable,
        ),
        (
            changed(|observed| observed.state = Condition::Mode(0)),
            "the mode of state_dir is 0000",
            Severity::Fatal,
        ),
        (
            changed(|observed| observed.runtime = Condition::Owner(7)),
            "runtime_dir belongs to uid 7",
            Severity::Fatal,
        ),
        (
            changed(|observed| observed.state = Condition::Replaced),
            "another folder, or none, is at state_dir",
            Severity::Fatal,
        ),
    ] {
        let found = integrity.deviations(&observed, NOFILE);
        let [found] = found.as_slice() else { panic!("{detail}: {found:?}") };
        assert_eq!((found.detail.as_str(), found.severity), (detail, severity));
    }
    // What an operator gave more of is no harm.
    let more = scheduled(|scheduling| scheduling.nice = -5);
    assert_eq!(integrity.deviations(&more, NOFILE), []);
}

#[test]
fn a_limit_that_the_operator_set_is_no_tampering() {
    let began = changed(|observed| {
        observed.limits[5] = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
    });
    let integrity = Integrity::new(began.clone(), Restarter::Systemd);
    assert_eq!(integrity.deviations(&began, NOFILE), []);
}

#[test]
fn what_is_put_back_is_told_each_time_and_what_stays_once() {
    let mut integrity = Integrity::new(sound(), Restarter::Nobody);
    let closed = changed(|observed| observed.state = Condition::Mode(0));
    for _ in 0..2 {
        let found = integrity.deviations(&closed, NOFILE);
        let decision = integrity.decide(found, &[], SERVING);
        assert_eq!(only(&decision), ("the mode of state_dir is 0000", Measure::PutBack));
        assert!(!decision.exits);
    }
    let nice = changed(|observed| observed.scheduling.nice = 19);
    let told = decide(&mut integrity, &nice, SERVING);
    assert_eq!(only(&told), ("the nice value is 19; it was 0", Measure::Reported));
    assert_eq!(decide(&mut integrity, &nice, SERVING), Decision::default());
    let nicer = changed(|observed| observed.scheduling.nice = 10);
    assert_eq!(only(&decide(&mut integrity, &nicer, SERVING)).1, Measure::Reported);
    assert_eq!(decide(&mut integrity, &sound(), SERVING), Decision::default());
    assert_eq!(only(&decide(&mut integrity, &nicer, SERVING)).1, Measure::Reported);
}

#[test]
fn under_systemd_only_a_clean_one_goes_on() {
    for (observed, exits) in [
        (changed(|o| o.limits[0] = Rlimit { current: Some(3), maximum: Some(3) }), true),
        (changed(|o| o.scheduling.class = 5), true),
        (changed(|o| o.scheduling.nice = 1), true),
        (changed(|o| o.state = Condition::Replaced), true),
        (changed(|o| o.scheduling.processors = processors(1)), false),
        (changed(|o| o.limits[0].maximum = Some(60_000)), false),
    ] {
        let mut integrity = Integrity::new(sound(), Restarter::Systemd);
        let decision = decide(&mut integrity, &observed, SERVING);
        assert_eq!(decision.exits, exits, "{decision:?}");
        let measure = if exits { Measure::Exit } else { Measure::Reported };
        assert_eq!(only(&decision).1, measure);
        // Whatever is lower than it was, a start that fails is reason enough.
        let failed = Workers { has_failed: true, ..SERVING };
        assert!(decide(&mut integrity, &observed, failed).exits);
    }
}

#[test]
fn by_hand_it_serves_on_until_it_has_no_worker() {
    let mut integrity = Integrity::new(sound(), Restarter::Nobody);
    let observed = changed(|o| o.limits[0] = Rlimit { current: Some(3), maximum: Some(3) });
    assert!(!decide(&mut integrity, &observed, SERVING).exits);
    let nobody = Workers { is_serving: false, has_failed: false };
    let decision = decide(&mut integrity, &observed, nobody);
    assert!(decision.exits);
    assert_eq!(only(&decision).1, Measure::Exit);
    let nice = changed(|o| o.scheduling.nice = 19);
    assert!(!decide(&mut integrity, &nice, nobody).exits);
    assert!(decide(&mut integrity, &nice, Workers { has_failed: true, ..nobody }).exits);
}

#[test]
fn checks_are_a_second_apart_but_for_one_that_is_wanted_now() {
    let mut integrity = Integrity::new(sound(), Restarter::Systemd);
    let ms = Duration::from_millis;
    let due = [0, 400, 999, 1000, 1500, 2000].map(|now| integrity.is_due(ms(now)));
    assert_eq!(due, [true, false, false, true, false, true]);
    integrity.check_now();
    assert!(integrity.is_due(ms(2001)));
}
