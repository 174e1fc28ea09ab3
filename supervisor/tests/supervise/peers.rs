//! Who may give commands, and how much of the supervisor's time a client gets.
#![expect(clippy::disallowed_methods, reason = "clients of another user are other processes")]

use std::{
    io::{Read, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use evonic_shared::status::{ErrorCode, Reply, TOKEN_FILE};

use crate::{
    harness::{Harness, is_ready},
    stand_in::Behaviour,
};

/// Nobody's: the service's user where this test runs as root.
const NOBODY: u32 = 65_534;

/// Says its second argument to the socket of its first.
const SAY: &str = "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!; \
                   print $s \"$ARGV[1]\\n\"; $s->flush; print scalar <$s>";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A supervisor of a service's user, who is not root.
fn of_a_user() -> Harness {
    let mut harness = Harness::new(&Behaviour::default());
    let mut command = harness.command();
    if is_root() {
        for path in ["", "behaviour", "evonic.toml", "worker"] {
            chown(harness.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    harness.start_as(command);
    harness.wait("a ready worker", |status| is_ready(status, 1));
    harness
}

/// A reply to another process of the service's user.
fn ask_as_user(harness: &Harness, line: &str) -> Reply {
    let mut command = Command::new("perl");
    command.args(["-MIO::Socket::UNIX", "-e", SAY]);
    command.arg(harness.path("run/supervisor.sock")).arg(line).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn is_forbidden(reply: &Reply) -> bool {
    matches!(reply, Reply::Error { code: ErrorCode::Forbidden, message, .. }
        if message.contains(TOKEN_FILE))
}

#[test]
fn the_service_s_user_gives_commands_with_the_token_and_not_without() {
    let harness = of_a_user();
    let token = std::fs::read_to_string(harness.path("run").join(TOKEN_FILE)).unwrap();
    for op in ["restart", "reload", "drain"] {
        for line in [
            format!(r#"{{"op":"{op}"}}"#),
            format!(r#"{{"op":"{op}","token":""}}"#),
            format!(r#"{{"op":"{op}","token":"{}"}}"#, "0".repeat(64)),
        ] {
            let reply = ask_as_user(&harness, &line);
            assert!(is_forbidden(&reply), "{line}: {reply:?}");
        }
    }
    let census = ask_as_user(&harness, r#"{"op":"census"}"#);
    assert!(matches!(census, Reply::Census(_)), "reading needs none: {census:?}");
    assert_eq!(harness.status().restarts.total, 0);
    let line = format!(r#"{{"op":"restart","token":"{}"}}"#, token.trim());
    let accepted = ask_as_user(&harness, &line);
    assert!(matches!(accepted, Reply::Accepted { .. }), "{accepted:?}");
    harness.wait("the next one", |status| is_ready(status, 2));
}

#[test]
fn a_new_supervisor_has_a_new_token() {
    let mut harness = of_a_user();
    let path = harness.path("run").join(TOKEN_FILE);
    let old = std::fs::read_to_string(&path).unwrap();
    harness.signal(rustix::process::Signal::TERM);
    harness.end();
    assert!(!path.exists(), "it goes with the supervisor");
    let mut command = harness.command();
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    harness.start_as(command);
    assert_ne!(std::fs::read_to_string(&path).unwrap(), old);
    let line = format!(r#"{{"op":"restart","token":"{}"}}"#, old.trim());
    assert!(is_forbidden(&ask_as_user(&harness, &line)));
}

/// What a process has taken of the processor.
fn processor_time(pid: i32) -> Duration {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(format!("{pid}/schedstat"))).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_flood_of_censuses_burns_no_processor() {
    let harness = Harness::ready(&Behaviour::default());
    let mut flood = harness.connect();
    flood.set_nonblocking(true).unwrap();
    let pid = harness.pid().as_raw_nonzero().get();
    let requests = b"{\"op\":\"census\"}\n".repeat(100);
    let mut page = [0; 65_536];
    let (begun, before) = (Instant::now(), processor_time(pid));
    let mut answered = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        // Either may have to wait.
        let _ = flood.write(&requests);
        if let Ok(length) = flood.read(&mut page) {
            answered += page[..length].iter().filter(|&&byte| byte == b'\n').count();
        }
        std::thread::park_timeout(Duration::from_micros(200));
    }
    let share = (processor_time(pid) - before).as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("{answered} censuses, {:.1} % of a processor", share * 100.0);
    assert!(answered > 0);
    // A tenth is a client's; what is beside it is the loop's own.
    assert!(share < 0.3, "{share}");
}
