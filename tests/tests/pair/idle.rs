//! What an idle pair costs.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair, program},
    process, size,
};

#[test]
fn an_idle_pair_costs_little() {
    let seconds = size::of("idle_seconds", 10, 60).max(5);
    let pair = Pair::start(&Options::default());
    let (worker, _) = pair.worker();
    // One request, so that what is opened at first use is open.
    let _ = pair.expect(200, "GET", "/readyz", None);
    std::thread::sleep(Duration::from_secs(4));

    let supervisor = pair.pid();
    let look = |pid| {
        let figures = process::wake_ups(pid).zip(process::cpu_micros(pid));
        figures.expect("a living process")
    };
    let (before, began) = ((look(supervisor), look(worker)), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    let (after, elapsed) = ((look(supervisor), look(worker)), began.elapsed().as_secs_f64());

    #[allow(clippy::cast_precision_loss, reason = "small figures for a person")]
    let rate = |before: u64, after: u64| (after - before) as f64 / elapsed;
    println!("idle for {seconds} s:");
    for (name, pid, before, after) in
        [("supervisor", supervisor, before.0, after.0), ("worker", worker, before.1, after.1)]
    {
        let (pss, rss) = process::memory_kib(pid).expect("a living process");
        let descriptors = process::descriptors(pid).expect("a living process");
        size::report(&format!("{name}: PSS"), pss, "KiB");
        size::report(&format!("{name}: resident"), rss, "KiB");
        size::report(&format!("{name}: descriptors"), descriptors, "");
        size::report(
            &format!("{name}: wake-ups"),
            format!("{:.2}", rate(before.0, after.0)),
            "a second",
        );
        size::report(
            &format!("{name}: processor"),
            format!("{:.0}", rate(before.1, after.1)),
            "µs a second",
        );
    }
    for name in ["evonic-supervisor", "evonic"] {
        let bytes = std::fs::metadata(program(name)).expect("a program").len();
        size::report(&format!("{name}: program"), bytes / 1024, "KiB");
    }
    assert!(
        process::descriptors(worker).expect("a living process") <= 30,
        "an idle worker holds at most 30 descriptors: {:#?}",
        process::links(worker)
    );
    let wake_ups = rate(before.0.0, after.0.0);
    assert!(wake_ups <= 1.0, "an idle supervisor woke {wake_ups:.2} times a second");
}
