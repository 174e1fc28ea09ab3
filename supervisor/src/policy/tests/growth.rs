//! The estimate alone, on samples of known making.

use proptest::prelude::*;

use super::{super::growth::Growth, Instant, ms, s};

fn every(pause: Instant, until: Instant) -> impl Iterator<Item = Instant> {
    std::iter::successors(Some(pause), move |at| Some(*at + pause))
        .take_while(move |at| *at <= until)
}

/// Samples at these times, with this many that are not owned.
fn sampled(times: impl IntoIterator<Item = Instant>, rest: impl Fn(f64) -> f64) -> Growth {
    let mut growth = Growth::default();
    for at in times {
        growth.sample(at, rest(at.as_secs_f64()) as u32 + 100, 100);
    }
    growth
}

fn rate(growth: &Growth) -> f64 {
    growth.trend.map_or(0.0, |trend| trend.per_second)
}

fn assert_rate(growth: &Growth, expected: f64, when: &str) {
    let rate = rate(growth);
    let error = (rate / expected - 1.0).abs();
    assert!(error <= 0.2, "{when}: {rate:.2}/s seen of {expected}/s");
}

#[test]
fn steady_leaks_are_told_within_a_fifth() {
    for (leak, pause) in [(1.0, 2000), (1.0, 20), (3.0, 500), (50.0, 100), (2000.0, 20)] {
        let growth = sampled(every(ms(pause), s(20)), |t| 20.0 + leak * t);
        assert_rate(&growth, leak, "steady");
    }
}

/// A second into the leak, and once it has let twenty descriptors go, flat time is forgotten.
#[test]
fn flat_time_before_the_leak_does_not_dilute_it() {
    for (leak, pause) in [(1.0, 2000), (5.0, 500), (50.0, 200), (2000.0, 20)] {
        let leaking = every(ms(pause), s(20)).map(|at| s(60) + at);
        let mut growth = Growth::default();
        for at in every(s(2), s(60)).chain(leaking) {
            let leaked = leak * (at.as_secs_f64() - 60.0).max(0.0);
            growth.sample(at, 20 + leaked as u32, 5);
            if leaked >= 20.0 && at >= s(61) {
                assert_rate(&growth, leak, &format!("{at:?}"));
            }
        }
    }
}

/// A leak of fifty at once, every second.
#[test]
fn leaks_in_bursts_have_the_rate_of_their_mean() {
    let growth = sampled(every(ms(130), s(20)), |t| 20.0 + 50.0 * t.floor());
    assert_rate(&growth, 50.0, "bursts");
}

#[test]
fn an_outlier_does_not_hide_a_leak() {
    for odd in [ms(5000), ms(9900), s(10)] {
        let growth = sampled(every(ms(100), s(10)), |t| {
            let outlier = if (t - odd.as_secs_f64()).abs() < 0.01 { 40.0 } else { 0.0 };
            20.0 + 10.0 * t + outlier
        });
        assert_rate(&growth, 10.0, &format!("outlier at {odd:?}"));
    }
}

/// The last sample counts for the interval to the next: an outlier must not end the short intervals.
#[test]
fn a_last_sample_that_strays_does_not_end_the_growth() {
    for stray in [-60.0, 60.0] {
        let leaking = every(ms(20), ms(400)).map(|at| s(60) + at);
        let growth = sampled(every(s(2), s(60)).chain(leaking), |t| {
            let stray = if t > 60.39 { stray } else { 0.0 };
            100.0 + 200.0 * (t - 60.0).max(0.0) + stray
        });
        assert_rate(&growth, 200.0, &format!("{stray}"));
    }
}

#[test]
fn a_step_and_a_fall_are_no_growth() {
    for height in [4.0, 30.0, 300.0] {
        for after in 0..10 {
            let step = f64::from(2 * after + 1);
            let growth =
                sampled(every(s(2), s(20)), |t| if t > step { 20.0 + height } else { 20.0 });
            assert_eq!(rate(&growth), 0.0, "a step of {height} at {step}");
        }
    }
    let growth = sampled(every(s(1), s(20)), |t| 500.0 - 20.0 * t);
    assert_eq!(rate(&growth), 0.0);
}

#[test]
fn a_surprise_calls_for_a_second_look() {
    let mut growth = sampled(every(s(2), s(60)), |_| 20.0);
    assert!(!growth.jumped);
    growth.sample(s(62), 220, 100);
    assert!(growth.jumped);
    growth.sample(s(64), 220, 100);
    assert!(!growth.jumped);
}

#[test]
fn samples_of_one_instant_are_no_line() {
    let mut growth = Growth::default();
    for open in 0..10 {
        growth.sample(s(1), 20 * open, 5);
    }
    assert_eq!(rate(&growth), 0.0);
}

/// Noise as wide as a busy worker shows it, at any interval: days of it, and not once growth.
#[test]
fn noise_is_not_growth() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..100 {
        let pause = ms(random.u64(500..=2000));
        let mut growth = Growth::default();
        for index in 0..300 {
            growth.sample(pause * index, 120 + random.u32(0..=6), 100);
            assert_eq!(rate(&growth), 0.0, "round {round}, sample {index}, every {pause:?}");
        }
    }
}

proptest! {
    /// Leaks of any speed are found through the same noise.
    #[test]
    fn noise_does_not_hide_a_leak(
        leak in 5_u32..5000,
        noise in prop::collection::vec(0_u32..=6, 100),
    ) {
        let mut growth = Growth::default();
        for (index, stray) in noise.into_iter().enumerate() {
            let at = ms(100) * index as u32;
            growth.sample(at, 120 + stray + (f64::from(leak) * at.as_secs_f64()) as u32, 100);
        }
        let error = (rate(&growth) / f64::from(leak) - 1.0).abs();
        prop_assert!(error <= 0.2, "{} of {}", rate(&growth), leak);
    }
}
