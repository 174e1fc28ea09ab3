use std::{os::fd::OwnedFd, path::Path};

use evonic_shared::{
    control::{self, MAX_PACKET_BYTES, Part},
    reason::Reason,
};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::*;
use crate::lifecycle::log::Style;

const DEADLINE: Duration = Duration::from_secs(10);

/// The supervisor's side of a control thread.
struct Supervisor {
    socket: OwnedFd,
    thread: ControlThread,
    orders: mpsc::Receiver<Order>,
    liveness: Arc<Liveness>,
}

impl Supervisor {
    fn start(interval: Duration) -> Self {
        // The watchdog of an end in this process must never strike.
        Self::with_grace(interval, Duration::from_secs(3600))
    }

    fn with_grace(interval: Duration, grace: Duration) -> Self {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (waker, wakeups) = Waker::open().unwrap();
        let liveness = Liveness::new(waker.clone());
        let (sender, orders) = mpsc::channel(ORDERS);
        let thread = ControlThread::start(Control {
            channel: Arc::new(Channel { socket: theirs }),
            waker,
            wakeups,
            liveness: liveness.clone(),
            supervision: Default::default(),
            watchdog: Watchdog::start(Style::Plain).unwrap(),
            orders: sender,
            interval,
            grace,
        })
        .unwrap();
        Self { socket: ours, thread, orders, liveness }
    }

    /// The worker says that it is ready.
    fn ready(&self) {
        let condition = Condition::new(Path::new("evonic.db"), None);
        self.thread.ready(ProbedLevel::default(), condition, Storage::default());
    }

    fn say(&self, message: &ToWorker) {
        self.say_bytes(&control::encode(message));
    }

    fn say_bytes(&self, bytes: &[u8]) {
        rustix::net::send(&self.socket, bytes, SendFlags::empty()).unwrap();
    }

    fn heartbeat(&self) -> (u64, BTreeMap<Part, u64>) {
        let mut packet = vec![0; MAX_PACKET_BYTES];
        let mut wanted = [PollFd::new(&self.socket, PollFlags::IN)];
        let timeout = Timespec::try_from(DEADLINE).unwrap();
        assert_eq!(rustix::event::poll(&mut wanted, Some(&timeout)), Ok(1), "no heartbeat");
        let (_, length) =
            rustix::net::recv(&self.socket, &mut packet[..], RecvFlags::empty()).unwrap();
        match control::decode(&packet[..length]).unwrap() {
            FromWorker::Heartbeat { sequence, age_ms, .. } => (sequence, age_ms),
            other => panic!("{other:?}"),
        }
    }

    fn order(&mut self) -> Order {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.orders.try_recv() {
                Ok(order) => return order,
                Err(error) => assert!(Instant::now() < deadline, "no order: {error}"),
            }
            thread::yield_now();
        }
    }
}

#[test]
fn heartbeats_come_although_nobody_proves_itself() {
    let supervisor = Supervisor::start(Duration::from_millis(20));
    supervisor.ready();
    let (first, _) = supervisor.heartbeat();
    let (second, before) = supervisor.heartbeat();
    let (third, after) = supervisor.heartbeat();
    assert_eq!((first, second, third), (1, 2, 3));
    assert!(after[&Part::Store] > before[&Part::Store], "{before:?} {after:?}");
    supervisor.thread.end();
}

/// How long a heartbeat took whose proofs came at once.
fn complete_round() -> Duration {
    let supervisor = Supervisor::start(Duration::from_secs(3600));
    let begun = Instant::now();
    supervisor.ready();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for part in Part::ALL {
            supervisor.liveness.answer_once(part).await;
        }
    });
    assert_eq!(supervisor.heartbeat().0, 1);
    supervisor.thread.end();
    begun.elapsed()
}

#[test]
fn a_complete_round_is_told_at_once() {
    // On a busy machine one round may take as long as a heartbeat waits for proofs; not each.
    let rounds: Vec<_> = (0..10).map(|_| complete_round()).collect();
    assert!(rounds.iter().any(|&round| round < PROOF_TIME), "each waited: {rounds:?}");
}

#[test]
fn every_order_comes_in_turn() {
    let mut supervisor = Supervisor::start(Duration::from_secs(3600));
    supervisor.say_bytes(b"what is this?");
    supervisor.say(&ToWorker::PredecessorGone { generation: 4 });
    supervisor.say(&ToWorker::Drain { reason: Reason::FdThreshold, grace_ms: 3_600_000 });
    supervisor.say(&ToWorker::Drain { reason: Reason::Stop, grace_ms: 3_500_000 });
    supervisor.say(&ToWorker::PredecessorGone { generation: 5 });
    assert_eq!(supervisor.order(), Order::PredecessorGone(4));
    let (why, grace) = ("drain (fd_threshold)".to_owned(), Duration::from_secs(3600));
    assert_eq!(supervisor.order(), Order::End { why, grace, end: End::Recycled });
    let (why, grace) = ("drain (stop)".to_owned(), Duration::from_secs(3500));
    assert_eq!(supervisor.order(), Order::End { why, grace, end: End::Stopped });
    assert_eq!(supervisor.order(), Order::PredecessorGone(5));
    supervisor.thread.end();
}

/// Set in the process that is [`orphan`].
const ORPHAN: &str = "EVONIC_TEST_ORPHAN";

/// A worker that lost its supervisor and does nothing about it; anywhere else it does nothing.
#[test]
fn orphan() {
    if std::env::var_os(ORPHAN).is_none() {
        return;
    }
    let mut supervisor =
        Supervisor::with_grace(Duration::from_secs(3600), Duration::from_millis(100));
    let (_, unused) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    drop(std::mem::replace(&mut supervisor.socket, unused));
    let (why, grace) = ("supervisor lost".to_owned(), Duration::from_millis(100));
    assert_eq!(supervisor.order(), Order::End { why, grace, end: End::Recycled });
    supervisor.thread.thread.join().unwrap();
}

#[test]
fn an_orphan_is_ended() {
    #[expect(clippy::disallowed_methods, reason = "the test's own second process")]
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::control::tests::orphan"])
        .env(ORPHAN, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(i32::from(ExitCode::Orphaned.code())));
}
