//! `make demo`: a leaking worker is replaced under load, and no client notices.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use evonic_shared::status::PostMortem;
use evonic_tests::{
    fault::{Fault, Leaked},
    load::Load,
    pair::{Options, Pair},
};

const CLIENTS: usize = 24;
const PER_SECOND: u32 = 40;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let leak = Fault::Leak { leaked: Leaked::Sqlite, per_second: PER_SECOND, after_ms: 4000 };
    let mut options = Options::config("[fd]\nunexplained = 100000\n").fault(1, leak);
    let leak_folder = folder.path().display().to_string();
    options.environment.push(("EVONIC_TEST_LEAK_FOLDER".to_owned(), leak_folder));

    say("A supervisor and its worker start. The worker is a test build: in four seconds it begins");
    say(&format!("to open {PER_SECOND} SQLite handles a second and never closes one.\n"));
    let pair = Pair::start(&options);
    let (_, leaking) = pair.worker();
    let load = Load::mixed(pair.address(), CLIENTS);
    say(&format!(
        "{CLIENTS} clients: new connections, kept ones, and event streams of busy agents.\n"
    ));

    let began = Instant::now();
    loop {
        let status = pair.status();
        if let Some(worker) = &status.worker {
            let fd = &worker.fd;
            let left = fd
                .seconds_to_threshold
                .map_or(String::new(), |left| format!(", threshold in {left:.0} s"));
            say(&format!(
                "  {:>4.1} s  worker {}  {:>3} descriptors of {}  {:>3} unexplained{left}{}",
                began.elapsed().as_secs_f64(),
                worker.generation,
                fd.open,
                fd.threshold,
                fd.unexplained.unwrap_or(0),
                if status.predecessor.is_some() { "  (its predecessor is ending)" } else { "" },
            ));
            if worker.generation > leaking && status.predecessor.is_none() {
                break;
            }
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(50), "no replacement in 50 s");
        std::thread::sleep(Duration::from_millis(500));
    }
    std::thread::sleep(Duration::from_secs(1));
    let seen = load.finish();
    let entry = pair.history().into_iter().next();
    let entry = entry.ok_or_else(|| anyhow::anyhow!("no entry in the history"))?;
    let name = entry.post_mortem.ok_or_else(|| anyhow::anyhow!("no post-mortem"))?;
    let file = fs::read(pair.state_dir().join("post-mortems").join(name))?;
    let post_mortem: PostMortem = serde_json::from_slice(&file)?;

    say(&format!("\nWhat the supervisor did:  {} ({})", entry.reason, entry.detail));
    say(&format!("What the clients saw:     {seen}"));
    say(&format!("The culprit:              {}", post_mortem.culprit));
    for count in post_mortem.census.top.iter().take(3) {
        say(&format!("  {:>5} {} ({:+})", count.count, count.name, count.growth));
    }
    anyhow::ensure!(seen.faults() == 0, "a client noticed");
    say("\nNo connection was refused, none was reset, no answer was cut short, no event was lost.");
    Ok(())
}

fn say(line: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}
