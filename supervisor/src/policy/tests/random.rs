//! Anything in any order: whatever happens, [`super::observer`]'s invariants hold; and when the
//! world behaves again, a worker serves, or after a stop the supervisor ends. More of it with
//! `PROPTEST_CASES=10000`.

use std::collections::BTreeMap;

use evonic_shared::{
    config::{Fd, Supervisor},
    control::Part,
    status::{Exit, State},
};
use proptest::prelude::*;

use super::{super::*, Script, ms, s, settings_with};

/// Whom an event names.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// One of those that live, by place.
    Alive(usize),
    /// Any generation, dead, alive or never seen.
    Any(u64),
}

/// Something that may happen.
#[derive(Clone, Debug)]
enum Happening {
    Spawned(Who),
    SpawnFailed(Who),
    Hello(Who, u64),
    Ready(Who),
    Heartbeat(Who, [u64; 3]),
    Draining(Who),
    Counted(Who, u32, u32),
    High(Who),
    Queue(u32),
    Probe(Who, bool),
    Failed(Who),
    Exited(Who, i32),
    Restart,
    Reload(Settings),
    Stop,
    ShortenStop,
    /// The worker that was asked to start does, and is ready.
    Up,
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![6 => (0..2_usize).prop_map(Who::Alive), 1 => (0..30_u64).prop_map(Who::Any)]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let times = (1..3000_u64, 1..3000_u64, 100..3000_u64, 0..2000_u64, 0..500_u64, 0..3000_u64);
    (times, 5..200_u64, 1..400_u32, 0..2000_u32, 0..100_u32).prop_map(
        |((grace, start, heartbeat, stall, base, cap), interval, threshold, above, unexplained)| {
            settings_with(|settings| {
                settings.fd = Fd {
                    threshold,
                    ceiling: threshold + above,
                    unexplained,
                    min_interval: ms(interval),
                    max_interval: ms(interval * 10),
                    ..settings.fd
                };
                settings.supervisor = Supervisor {
                    grace: ms(grace),
                    start_timeout: ms(start),
                    heartbeat_timeout: ms(heartbeat),
                    accept_stall: ms(stall),
                    backoff_base: ms(base),
                    backoff_cap: ms(cap),
                    stable_after: ms(start * 2),
                    crash_loop_after: base as u32 % 6,
                    ..settings.supervisor.clone()
                };
            })
        },
    )
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        3 => who().prop_map(H::Spawned),
        1 => who().prop_map(H::SpawnFailed),
        3 => (who(), prop_oneof![9 => Just(0), 1 => 0..20_u64, 1 => Just(u64::MAX / 2)])
            .prop_map(|(who, above)| H::Hello(who, above)),
        3 => who().prop_map(H::Ready),
        4 => (who(), prop::array::uniform3(0..5000_u64)).prop_map(|(who, age)| H::Heartbeat(who, age)),
        1 => who().prop_map(H::Draining),
        6 => (who(), 0..2500_u32, 0..300_u32).prop_map(|(who, open, owned)| H::Counted(who, open, owned)),
        1 => who().prop_map(H::High),
        2 => (0..4_u32).prop_map(H::Queue),
        2 => (who(), any::<bool>()).prop_map(|(who, answered)| H::Probe(who, answered)),
        1 => who().prop_map(H::Failed),
        4 => (who(), prop_oneof![4 => -1..3, 1 => Just(80)])
            .prop_map(|(who, code)| H::Exited(who, code)),
        1 => Just(H::Restart),
        1 => Just(H::ShortenStop),
        1 => any_settings().prop_map(H::Reload),
        6 => Just(H::Up),
    ]
}

/// Happenings with the milliseconds between them; most come soon, some after a long while.
fn story(most: usize) -> impl Strategy<Value = Vec<(u64, Happening)>> {
    let pause = prop_oneof![3 => 0..50_u64, 2 => 0..2500_u64, 1 => 0..20_000_u64];
    prop::collection::vec((pause, happening()), 0..most)
}

fn generation(script: &Script, who: Who) -> u64 {
    match who {
        Who::Alive(place) => script.observer.alive().get(place).copied().unwrap_or(99),
        Who::Any(generation) => generation,
    }
}

/// Sees to it that the clock's events and the story's do not overrun each other.
fn play(script: &mut Script, story: Vec<(u64, Happening)>) {
    for (pause, happening) in story {
        script.until(script.now + ms(pause));
        let of = |who| generation(script, who);
        let event = match happening {
            Happening::Spawned(who) => Event::Spawned { generation: of(who), pid: 7 },
            Happening::SpawnFailed(who) => {
                Event::SpawnFailed { generation: of(who), error: "no".to_owned() }
            }
            Happening::Hello(who, above) => {
                let proposed = of(who);
                let generation = proposed.saturating_add(above).saturating_sub(1);
                let generation = if above == 0 { proposed } else { generation };
                Event::Hello { proposed, generation, budget: 9 }
            }
            Happening::Ready(who) => Event::Ready { generation: of(who) },
            Happening::Heartbeat(who, ages) => {
                let age = Part::ALL.into_iter().zip(ages.map(ms)).collect();
                Event::Heartbeat { generation: of(who), age }
            }
            Happening::Draining(who) => Event::Draining { generation: of(who) },
            Happening::Counted(who, open, owned) => {
                Event::Counted { generation: of(who), open, owned }
            }
            Happening::High(who) => Event::HighDescriptor { generation: of(who) },
            Happening::Queue(waiting) => Event::AcceptQueue { waiting },
            Happening::Probe(who, answered) => Event::Probe { generation: of(who), answered },
            Happening::Failed(who) => {
                Event::Failed { generation: of(who), reason: "no key".to_owned() }
            }
            Happening::Exited(who, code) => {
                let exit = match code {
                    0.. => Exit::Code { code },
                    _ => Exit::Signal { signal: "SIGKILL".to_owned(), after_grace: true },
                };
                Event::Exited { generation: of(who), exit }
            }
            Happening::Restart => Event::Restart { uid: 0 },
            Happening::Reload(settings) => Event::Reload { settings, uid: 0 },
            Happening::Stop => Event::Stop,
            Happening::ShortenStop => Event::ShortenStop,
            Happening::Up => {
                for generation in script.observer.alive() {
                    if !script.observer.is_spawned(generation) {
                        script.now(Event::Spawned { generation, pid: 8 });
                    }
                    script.now(Event::Hello { proposed: generation, generation, budget: 9 });
                    script.now(Event::Ready { generation });
                }
                continue;
            }
        };
        script.now(event);
    }
}

/// From now on every worker starts, serves, and dies when it is told to.
fn behave(script: &mut Script, until: Instant) {
    while script.now < until {
        for generation in script.observer.alive() {
            if !script.observer.is_spawned(generation) {
                script.now(Event::Spawned { generation, pid: 8 });
            }
            if script.observer.is_drained(generation) || script.observer.is_killed(generation) {
                script.exit(generation, "SIGTERM");
                continue;
            }
            script.now(Event::Hello { proposed: generation, generation, budget: 9 });
            script.now(Event::Ready { generation });
            let age = BTreeMap::from(Part::ALL.map(|part| (part, ms(0))));
            script.now(Event::Heartbeat { generation, age });
            script.now(Event::Counted { generation, open: 0, owned: 0 });
        }
        script.now(Event::AcceptQueue { waiting: 0 });
        script.until(script.now + ms(200));
    }
}

proptest! {
    #[test]
    fn in_the_end_a_worker_serves(settings in any_settings(), seed: u64, story in story(80)) {
        let mut script = Script::with(settings, seed);
        play(&mut script, story);
        let reloaded = super::settings();
        let wanted = script.policy.answers_reload();
        let before = script.log.len();
        script.now(Event::Reload { settings: reloaded, uid: 0 });
        let until = script.now + s(30);
        behave(&mut script, until);
        prop_assert_eq!(script.policy.state(), State::Running, "{:?}", script.policy);
        let serves = |(_, action): &(Instant, Action)| {
            matches!(action, Action::Answer { generation, outcome: Ok(()) } if *generation >= wanted)
        };
        prop_assert!(script.log[before..].iter().any(serves), "who reloaded waits for ever");
    }

    #[test]
    fn after_a_stop_it_ends(
        settings in any_settings(),
        seed: u64,
        before in story(40),
        after in story(40),
    ) {
        let grace = settings.supervisor.grace;
        let mut script = Script::with(settings, seed);
        play(&mut script, before);
        play(&mut script, vec![(0, Happening::Stop)]);
        let after = after.into_iter().filter(|(_, happening)| !matches!(happening, Happening::Reload(_)));
        play(&mut script, after.collect());
        for generation in script.observer.alive() {
            if !script.observer.is_spawned(generation) {
                script.now(Event::Spawned { generation, pid: 8 });
            }
        }
        script.until(script.now + grace.max(s(3)));
        for generation in script.observer.alive() {
            prop_assert!(script.observer.is_killed(generation), "{} lives on", generation);
            script.exit(generation, "SIGKILL");
        }
        prop_assert!(matches!(script.log.last(), Some((_, Action::Exit))), "{:?}", script.policy);
    }
}
