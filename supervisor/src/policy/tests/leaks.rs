//! Leaks in the simulator: how soon they are found when counts are made only as asked.

use super::{
    super::*,
    ms, s, settings, settings_with,
    simulator::{Model, Simulator},
};

const RATES: [f64; 6] = [1.0, 7.0, 50.0, 400.0, 2000.0, 5000.0];

/// A leak that begins after a flat minute, at ten phases of the heartbeat.
fn begins() -> impl Iterator<Item = f64> {
    (0..10).map(|phase| 60.0 + f64::from(phase) * 0.2003)
}

/// What one leak looked like from outside.
struct Found {
    reason: Reason,
    /// From the descriptor that crossed the line to the finding.
    latency: Duration,
    /// For how long growth had been visible when the line was crossed.
    visible: Duration,
    /// The worst prediction of when the threshold is crossed, once growth was visible for a second.
    worst_prediction: f64,
    open: u32,
}

/// Runs a leak until it is found. `crossed` descriptors more than at first cross the line.
fn find(settings: &Settings, rate: f64, begin: f64, crossed: u32) -> Found {
    let mut simulator = Simulator::new(settings.clone(), move |generation| match generation {
        1 => Model::leaking(rate, begin),
        _ => Model::honest(),
    });
    let crossing = Duration::from_secs_f64(begin + f64::from(crossed) / rate);
    let threshold = begin + f64::from(settings.fd.threshold - 20) / rate;
    let (mut visible_since, mut worst) = (None, 0.0_f64);
    let limit = crossing + s(30);
    while simulator.found().is_none() && simulator.next(limit) {
        let now = simulator.script.now;
        let (worker, predecessor) = simulator.script.policy.workers();
        let leak = predecessor.or(worker).and_then(|it| it.leak(now, settings.fd.threshold));
        let Some((_, predicted)) = leak else {
            visible_since = None;
            continue;
        };
        let since = *visible_since.get_or_insert(now);
        let actual = threshold - now.as_secs_f64();
        // Of the last few descriptors, one alone would be more than a fifth.
        if now >= since + s(1) && rate * actual >= 10.0 {
            worst = worst.max((predicted.as_secs_f64() / actual - 1.0).abs());
        }
    }
    let (at, reason) = simulator.found().unwrap_or_else(|| panic!("{rate}/s is never found"));
    assert!(at >= crossing, "{rate}/s found before the line was crossed");
    let open = 20 + (rate * (at.as_secs_f64() - begin)) as u32;
    simulator.run(at + s(11));
    let (worker, predecessor) = simulator.script.policy.workers();
    assert_eq!(worker.map(|worker| worker.generation), Some(2), "replaced");
    assert!(predecessor.is_none(), "and gone");
    Found {
        reason,
        latency: at - crossing,
        visible: visible_since.map_or(Duration::ZERO, |since| crossing.saturating_sub(since)),
        worst_prediction: worst,
        open,
    }
}

fn check(name: &str, settings: &Settings, crossed: u32, reasons: &[Reason]) {
    println!("{name}: rate/s, latency after the line (median, worst), visible before, prediction");
    for rate in RATES {
        let mut all: Vec<Found> =
            begins().map(|begin| find(settings, rate, begin, crossed)).collect();
        all.sort_by_key(|found| found.latency);
        for found in &all {
            assert!(reasons.contains(&found.reason), "{:?}", found.reason);
            assert!(found.latency <= s(2), "{rate}/s from flat: {:?}", found.latency);
            assert!(found.worst_prediction <= 0.2, "{rate}/s: {:.3}", found.worst_prediction);
            assert!(found.open < 16_384, "{rate}/s: EMFILE at {}", found.open);
            if found.visible >= s(1) {
                assert!(found.latency <= ms(50), "{rate}/s, visible: {:?}", found.latency);
            }
        }
        let visible = all.iter().map(|found| found.visible).min().unwrap_or_default();
        let prediction = all.iter().map(|found| found.worst_prediction).fold(0.0, f64::max);
        println!(
            "  {rate:>6}: {:>7.1} ms, {:>7.1} ms, {:>8.2} s, {:>4.1} %",
            all[all.len() / 2].latency.as_secs_f64() * 1e3,
            all[all.len() - 1].latency.as_secs_f64() * 1e3,
            visible.as_secs_f64(),
            prediction * 100.0
        );
    }
}

#[test]
fn leaks_are_found_by_the_unexplained_line() {
    let reasons = [Reason::FdUnexplained, Reason::FdThreshold, Reason::FdCeiling];
    check("unexplained 64", &settings(), 65, &reasons);
}

#[test]
fn leaks_are_found_by_the_threshold() {
    let settings = settings_with(|settings| settings.fd.unexplained = 100_000);
    check("threshold 400", &settings, 380, &[Reason::FdThreshold, Reason::FdCeiling]);
}

#[test]
fn leaks_are_found_by_the_ceiling() {
    let settings = settings_with(|settings| {
        settings.fd.unexplained = 100_000;
        settings.fd.threshold = 1600;
    });
    check("ceiling 1600", &settings, 1580, &[Reason::FdCeiling]);
}

/// A worker that leaks and whose heartbeat has stopped is still counted every two seconds.
#[test]
fn a_leak_without_heartbeats_is_found() {
    let patient = settings_with(|settings| {
        settings.supervisor.heartbeat_timeout = s(1000);
        settings.fd.unexplained = 100_000;
    });
    let mut simulator =
        Simulator::new(patient, |_| Model { heartbeat: None, ..Model::leaking(3000.0, 60.01) });
    simulator.run(s(62) + ms(300));
    assert!(simulator.found().is_some());
    for pair in simulator.counts.windows(2) {
        assert!(pair[1] - pair[0] <= s(2) + ms(1), "{:?}", pair[1] - pair[0]);
    }
}

/// A descriptor numbered past the threshold was opened: nothing is waited for.
#[test]
fn a_high_descriptor_is_counted_at_once() {
    let mut simulator = Simulator::new(settings(), |_| Model::leaking(5000.0, 60.2));
    simulator.run(ms(60_300));
    assert_eq!(simulator.found(), None);
    simulator.feed(Event::HighDescriptor { generation: 1 });
    assert_eq!(simulator.found(), Some((ms(60_300), Reason::FdThreshold)));
}

#[test]
fn an_idle_pair_wakes_once_a_heartbeat() {
    let mut simulator = Simulator::new(settings(), |_| Model::honest());
    simulator.run(s(10));
    let (timers, counts, heartbeats) =
        (simulator.script.timers, simulator.counts.len(), simulator.heartbeats);
    simulator.run(s(610));
    assert_eq!(simulator.script.timers, timers, "no wake-up but by heartbeats");
    assert_eq!(simulator.counts.len() - counts, simulator.heartbeats - heartbeats);
    println!(
        "idle: {} heartbeats and counts in 600 s, 0 timers",
        simulator.heartbeats - heartbeats
    );
}

/// Ten minutes of honest load that rises and falls, with small noise in the account.
#[test]
fn a_sawtooth_of_honest_load_is_no_leak() {
    for (period, width) in [(7.0, 3), (30.0, 6), (61.0, 6), (240.0, 8)] {
        let mut simulator = Simulator::new(settings(), move |_| Model {
            counts: Box::new(move |t| {
                let load = (120.0 * (t % period) / period) as u32;
                // A permit is taken before its descriptor is opened and given back after it is
                // closed; and some descriptors are opened without a permit for a moment.
                let noise = fastrand::Rng::with_seed((t * 1e6) as u64).u32(0..=width);
                (20 + load + noise, 5 + load + width / 2)
            }),
            ..Model::honest()
        });
        let mut grew = 0;
        while simulator.next(s(600)) {
            let (worker, _) = simulator.script.policy.workers();
            let leak = worker.and_then(|worker| worker.leak(simulator.script.now, 400));
            grew += usize::from(leak.is_some());
        }
        assert_eq!(simulator.found(), None, "period {period}");
        assert_eq!(grew, 0, "period {period}: noise looked like growth");
        let (counts, heartbeats) = (simulator.counts.len(), simulator.heartbeats);
        println!("sawtooth of {period} s: {counts} counts in {heartbeats} heartbeats, no finding");
        assert!(counts <= heartbeats + 20, "{counts} counts in {heartbeats} heartbeats");
    }
}

/// Each count leaves three quarters of the way: a leak that becomes four times as fast at any
/// moment is still met at the line.
#[test]
fn a_leak_that_quickens_is_met_at_the_line() {
    for quicker in 0..40 {
        let turn = 64.0 + f64::from(quicker) * 0.3;
        let leaked = move |t: f64| 20.0 * (t - 60.0).max(0.0) + 60.0 * (t - turn).max(0.0);
        let unlimited = settings_with(|settings| settings.fd.unexplained = 100_000);
        let mut simulator = Simulator::new(unlimited, move |generation| match generation {
            1 => Model { counts: Box::new(move |t| (20 + leaked(t) as u32, 5)), ..Model::honest() },
            _ => Model::honest(),
        });
        simulator.run(s(100));
        let (at, _) = simulator.found().expect("found");
        let crossing = (380.0 + 60.0 * turn + 20.0 * 60.0) / 80.0;
        let late = at.as_secs_f64() - crossing;
        assert!(late <= 0.05, "quicker at {turn}: {late:.3} s late");
    }
}

/// Load that comes and goes hides a leak from a count of what is open, not from the account.
#[test]
fn a_leak_beneath_honest_load_is_found() {
    for rate in [0.2, 1.0, 20.0] {
        let mut simulator = Simulator::new(settings(), move |generation| match generation {
            1 => Model {
                counts: Box::new(move |t| {
                    let load = (60.0 + 60.0 * (t / 3.0).sin()) as u32;
                    let noise = fastrand::Rng::with_seed((t * 1e6) as u64).u32(0..=4);
                    let leaked = (rate * (t - 60.0).max(0.0)) as u32;
                    (20 + load + noise + leaked, 5 + load)
                }),
                ..Model::honest()
            },
            _ => Model::honest(),
        });
        let crossing = Duration::from_secs_f64(60.0 + 65.0 / rate);
        simulator.run(crossing.mul_f64(1.1) + s(2));
        let (at, reason) = simulator.found().expect("found");
        assert_eq!(reason, Reason::FdUnexplained);
        let tolerance = Duration::from_secs_f64(4.0 / rate) + s(2);
        assert!(at + tolerance >= crossing && at <= crossing + tolerance, "{rate}/s at {at:?}");
    }
}

/// A parked accept loop is noticed at the next heartbeat and found `accept_stall` later.
#[test]
fn a_parked_accept_loop_is_found() {
    let mut simulator = Simulator::new(settings(), |_| Model::honest());
    simulator.waiting = Box::new(|t| if t < 60.5 { 0 } else { 7 });
    simulator.run(s(70));
    let (at, reason) = simulator.found().expect("found");
    assert_eq!(reason, Reason::Unhealthy);
    assert!(at <= ms(60_500) + s(2) + s(2) + ms(250), "{at:?}");
}
