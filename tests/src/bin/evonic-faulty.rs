//! The test-only worker: the real one with a fault beside it, or a puppet that speaks the control
//! channel and misbehaves where the real one cannot be made to.
#![allow(unsafe_code, reason = "inherited descriptors, and a signal handler that never returns")]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use evonic_shared::{
    control::{self, FromWorker, Hello, PROTOCOL, Part, ToWorker},
    hand_over,
    kind::Kind,
};
use evonic_tests::fault::{Fault, Leaked, Plan, Puppet, STAMP, VARIABLE};
use nix::sys::{
    signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    socket::{MsgFlags, recv, send},
};

fn main() -> ExitCode {
    stamp();
    let generation = env::var(hand_over::GENERATION).ok().and_then(|text| text.parse::<u64>().ok());
    let plan = env::var(VARIABLE).ok().and_then(|text| serde_json::from_str::<Plan>(&text).ok());
    let fault = match (generation, plan) {
        (Some(generation), Some(plan)) if generation <= plan.until_generation => plan.fault,
        _ => return evonic::console::main(),
    };
    match fault {
        Fault::Sleep => {
            std::thread::sleep(Duration::MAX);
            ExitCode::SUCCESS
        }
        Fault::ExitAtStart { code } => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Fault::Puppet(puppet) => play(&puppet, generation.unwrap_or(1)),
        Fault::Leak { leaked, per_second, after_ms } => {
            beside(move || leak(leaked, per_second, Duration::from_millis(after_ms)));
            evonic::console::main()
        }
        Fault::Sawtooth { height, period_ms } => {
            beside(move || sawtooth(height, Duration::from_millis(period_ms)));
            evonic::console::main()
        }
        Fault::BlockThreads { name, after_ms } => {
            beside(move || {
                std::thread::sleep(Duration::from_millis(after_ms));
                block(&name);
            });
            evonic::console::main()
        }
    }
}

/// Runs a fault beside the real worker, on a thread that takes none of its signals: a signal that
/// the worker waits for must not find a thread that does not block it.
fn beside(fault: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        SigSet::all().thread_block().expect("a mask");
        fault();
    });
}

/// Writes down when `main` began, for the benchmark that asks for it.
fn stamp() {
    if let Some(path) = env::var_os(STAMP) {
        let path = std::path::PathBuf::from(path);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let line = format!("{} {}\n", std::process::id(), now.as_nanos());
        let new = path.with_extension(std::process::id().to_string());
        fs::write(&new, line).expect("a stamp");
        fs::rename(new, path).expect("a stamp");
    }
}

/// Opens descriptors at a fixed rate and keeps them all.
fn leak(leaked: Leaked, per_second: u32, after: Duration) {
    std::thread::sleep(after);
    let state = env::var("EVONIC_TEST_LEAK_FOLDER").unwrap_or_else(|_| "/tmp".to_owned());
    let began = Instant::now();
    let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut opened = 0_u64;
    loop {
        let due = (began.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
        while opened < due {
            let thing = open(leaked, &state);
            // At its limit a leak stops by itself; the test looks whether it ever came to that.
            let Some((thing, count)) = thing else { return };
            kept.push(thing);
            opened += count;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn open(leaked: Leaked, state: &str) -> Option<(Box<dyn std::any::Any>, u64)> {
    Some(match leaked {
        Leaked::Sockets => {
            (Box::new(std::net::UdpSocket::bind("127.0.0.1:0").ok()?) as Box<dyn std::any::Any>, 1)
        }
        Leaked::Files => {
            let path = format!("{state}/leaked-file");
            (Box::new(fs::File::create(path).ok()?), 1)
        }
        Leaked::Sqlite => {
            let handle = rusqlite::Connection::open(format!("{state}/leaked.db")).ok()?;
            handle.execute_batch("CREATE TABLE IF NOT EXISTS t (x)").ok()?;
            (Box::new(handle), 1)
        }
        Leaked::Pipes => (Box::new(std::io::pipe().ok()?), 2),
    })
}

/// Opens and closes descriptors endlessly, up to a height: not accounted for, and no leak.
fn sawtooth(height: u32, period: Duration) {
    loop {
        let mut kept = Vec::new();
        for _ in 0..height {
            kept.extend(fs::File::open("/dev/null"));
            std::thread::sleep(period / height.max(1));
        }
    }
}

extern "C" fn pause_for_ever(_: nix::libc::c_int) {
    loop {
        // SAFETY: pause(2) is async-signal-safe.
        unsafe { nix::libc::pause() };
    }
}

/// What the worker does not read as a message.
const BLOCK: Signal = Signal::SIGURG;

/// Blocks every thread of the process whose name has this prefix.
fn block(prefix: &str) {
    let action =
        SigAction::new(SigHandler::Handler(pause_for_ever), SaFlags::empty(), SigSet::all());
    // SAFETY: the handler only calls pause(2).
    unsafe { sigaction(BLOCK, &action) }.expect("a handler");
    let own = nix::unistd::gettid().as_raw();
    let process = nix::unistd::getpid().as_raw();
    for task in fs::read_dir("/proc/self/task").expect("/proc").flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let thread: i32 = task.file_name().to_string_lossy().parse().expect("a thread id");
        if thread != own && name.starts_with(prefix) {
            // SAFETY: tgkill takes numbers only.
            unsafe {
                nix::libc::syscall(
                    nix::libc::SYS_tgkill,
                    process,
                    thread,
                    BLOCK as nix::libc::c_int,
                );
            }
        }
    }
}

fn inherited(name: &str) -> OwnedFd {
    let index = hand_over::NAMES.iter().position(|known| *known == name).expect("a known name");
    let number = hand_over::FIRST_DESCRIPTOR + i32::try_from(index).expect("a small number");
    // SAFETY: the supervisor handed the descriptor over, and each name is taken once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn play(puppet: &Puppet, generation: u64) -> ExitCode {
    if puppet.ignores_drain {
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        // SAFETY: ignoring a signal runs no code.
        unsafe { sigaction(Signal::SIGTERM, &ignore) }.expect("a disposition");
    }
    let channel = inherited(hand_over::CONTROL);
    rustix::io::ioctl_fionbio(&channel, false).expect("a blocking channel");
    let say = |message: &FromWorker| {
        let packet = control::encode(message);
        send(channel.as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL).is_ok()
    };
    if !puppet.silent_probe {
        let probe = UnixStream::from(inherited(hand_over::PROBE));
        probe.set_nonblocking(false).expect("a blocking connection");
        std::thread::spawn(move || answer_probe(probe));
    }
    if !puppet.parks_accept {
        let listener = TcpListener::from(inherited(hand_over::HTTP));
        listener.set_nonblocking(false).expect("a listener");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(OK);
            }
        });
    }
    say(&FromWorker::Hello(Hello {
        wants_metrics: false,
        protocol: PROTOCOL,
        version: "puppet".to_owned(),
        generation,
        kinds: Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect(),
        budget: Kind::ALL.iter().map(|kind| (kind.name().to_owned(), 1)).collect(),
    }));
    if !puppet.never_ready {
        say(&FromWorker::Ready);
    }
    let began = Instant::now();
    let timeout = nix::sys::time::TimeVal::new(0, 100_000);
    nix::sys::socket::setsockopt(&channel, nix::sys::socket::sockopt::ReceiveTimeout, &timeout)
        .expect("a timeout");
    for sequence in 1.. {
        let age_ms: BTreeMap<Part, u64> = Part::ALL
            .into_iter()
            .map(|part| {
                let late = puppet.late_part.as_deref() == Some(part.name());
                let age = if late { began.elapsed().as_millis() } else { 0 };
                (part, u64::try_from(age).unwrap_or(u64::MAX))
            })
            .collect();
        let heartbeat = FromWorker::Heartbeat {
            sequence,
            age_ms,
            sandbox: None,
            database: None,
            storage: None,
        };
        if !say(&heartbeat) {
            return ExitCode::FAILURE;
        }
        let mut packet = [0; control::MAX_PACKET_BYTES];
        match recv(channel.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(0) => return ExitCode::FAILURE,
            Ok(length) => {
                let message = control::decode::<ToWorker>(&packet[..length]);
                if matches!(message, Ok(ToWorker::Drain { .. })) && !puppet.ignores_drain {
                    return ExitCode::SUCCESS;
                }
            }
            Err(_) => {}
        }
    }
    ExitCode::SUCCESS
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn answer_probe(mut probe: UnixStream) {
    let mut request = [0; 4096];
    while probe.read(&mut request).is_ok_and(|length| length > 0) {
        let kept = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        if probe.write_all(kept).is_err() {
            return;
        }
    }
}
