//! The runner's life: from a spec to a status.
//!
//! ```text
//!            the worker's end      init says so         nothing holds the output
//! claimed -> starting ---------> running ---------> ended -----------------------> settled
//!                |                  |  time, output, a kill
//!                +------------------+--------------------------> killing --> ended
//! ```

mod followers;
mod sandboxed;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::SigSet;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{getpid, set_child_subreaper, setsid},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    },
};

use self::{
    followers::{Followers, Wish},
    sandboxed::Sandboxed,
};
use crate::{
    Failure, Identity,
    init::Report,
    kill,
    protocol::Event,
    record::{Claim, Ended, Record, Status},
    spec::{Spec, VERSION},
};

/// How long init has to end everything by itself, before the runner does.
const KILLING: Duration = Duration::from_secs(1);

/// How often making a sandbox is tried: a file that is covered there may be replaced just then, as
/// `useradd` replaces `/etc/shadow`. Its inode does not tell, for it may be that of the one before. A
/// sandbox that cannot be made at all fails as often within a few hundredths of a second.
const ATTEMPTS: usize = 10;

/// How much of the output is read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The most that `bwrap` and init have to say about why nothing started.
const ERRORS_BYTES: u64 = 4096;

/// Until the command has ended and its status is written. Standard input is the spec, standard
/// output the first follower.
pub(crate) fn main() -> Result<(), Failure> {
    SigSet::empty().thread_set_mask()?;
    let spec_file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    #[expect(clippy::disallowed_methods, reason = "a socket to who follows")]
    let first = io::stdout().as_fd().try_clone_to_owned()?;
    // What is sent to the worker's group or comes from its terminal is not for this one.
    setsid()?;
    std::env::set_current_dir("/")?;
    let (spec, _) = Spec::read(&spec_file)?;
    if let Some(group) = &spec.group {
        enter(group);
    }
    let mut followers = Followers::new(first)?;
    let record = match Record::take(&spec.record) {
        Ok(Some(record)) => record,
        Ok(None) => {
            followers.tell_first(&Event::Taken);
            return Ok(());
        }
        Err(error) => {
            followers.tell_first(&Event::Ended(not_started(&spec, &error)));
            return Ok(());
        }
    };
    let claim = followers.listen(&record).and_then(|token| claim(&spec, token));
    let claim = claim.map_err(|error| not_started(&spec, &error));
    let out = record.reserve_status().and_then(|()| record.make_output());
    let said = claim.clone().unwrap_or_else(|status| Claim::Nobody(status.ended));
    if !record.claim(&said)? {
        followers.tell_first(&Event::Taken);
        return Ok(());
    }
    let status = match claim {
        Ok(_) => match out.and_then(|out| Runner::start(&spec, &spec_file, &record, out)) {
            Ok(mut runner) => runner.run((&spec, &spec_file), &record, &mut followers)?,
            Err(error) => not_started(&spec, &error),
        },
        Err(status) => status,
    };
    let written = record.write_status(&status)?;
    followers.end(&record, &status);
    // Nobody waits for the disk: a worker commits what it was told, and after a power cut a record
    // that is not whole tells that there was one.
    Ok(written.sync_data()?)
}

/// That this process starts the command.
fn claim(spec: &Spec, token: String) -> io::Result<Claim> {
    let runner = Identity::own()?;
    Ok(Claim::Runner { version: VERSION, runner, token, level: spec.sandbox.level })
}

/// Why the command was not started.
fn not_started(spec: &Spec, error: &io::Error) -> Status {
    let why = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{} cannot be written to: {error}", spec.record.display())
        }
        _ => error.to_string(),
    };
    Status::clean(Ended::NotStarted(why))
}

/// Moves this process into its control group. It is found without one, too.
fn enter(group: &Path) {
    // Another worker that starts just then removes what is still empty.
    let _unmoved = (0..2).any(|_| {
        let _there = fs::create_dir(group);
        fs::write(group.join("cgroup.procs"), "0").is_ok()
    });
}

/// A command that runs.
struct Runner {
    inside: Sandboxed,
    /// The reading end of its output; [`None`] when nothing writes to it any more, or the disk is full.
    output: Option<OwnedFd>,
    out: File,
    out_bytes: u64,
    max_output_bytes: u64,
    timer: OwnedFd,
    /// Why it was ended, if it was.
    why: Option<Ended>,
    /// When everything is killed from here.
    killing: Option<Instant>,
    report: Option<Status>,
    /// Whether init has closed its end: that stays readable, and would be looked at without a pause.
    heard_all: bool,
    started: bool,
}

impl Runner {
    fn start(spec: &Spec, file: &File, record: &Record, out: File) -> io::Result<Self> {
        // What `bwrap` leaves when it is killed, and in no namespace what anybody leaves.
        set_child_subreaper(Some(getpid()))?;
        record.make_temporary(spec.sandbox.user)?;
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC)?;
        let time = Duration::from_millis(spec.timeout_ms.max(1));
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(time).map_err(io::Error::other)?,
        };
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
        let (inside, output) = Sandboxed::start(spec, file)?;
        Ok(Self {
            inside,
            output: Some(output),
            out,
            out_bytes: 0,
            max_output_bytes: spec.max_output_bytes,
            timer,
            why: None,
            killing: None,
            report: None,
            heard_all: false,
            started: false,
        })
    }

    fn run(
        &mut self,
        (spec, file): (&Spec, &File),
        record: &Record,
        followers: &mut Followers,
    ) -> io::Result<Status> {
        let mut status = self.run_once(record, followers)?;
        for _ in 1..ATTEMPTS {
            if self.why.is_some() || self.inside.was_made() {
                break;
            }
            let (inside, output) = Sandboxed::start(spec, file)?;
            (self.inside, self.output, self.heard_all) = (inside, Some(output), false);
            status = self.run_once(record, followers)?;
        }
        Ok(status)
    }

    fn run_once(&mut self, record: &Record, followers: &mut Followers) -> io::Result<Status> {
        while !self.step(record, followers)? {}
        // What init said last may have come with its end.
        while self.listen(followers)? {}
        let beyond = self.inside.reap()?;
        // Whatever else held it is gone, or was never the command's.
        while self.read_output()? > 0 {}
        followers.send_output(record, self.out_bytes);
        let errors = self.inside.errors(ERRORS_BYTES);
        let report = self.report.take();
        let left_behind = report.as_ref().map_or(0, |report| report.left_behind) + beyond;
        let ended = match (self.why.clone(), report) {
            (Some(why), _) => why,
            (None, Some(report)) => report.ended,
            (None, None) if self.started => Ended::Signalled(9),
            (None, None) => Ended::NotStarted(format!("its sandbox cannot be made: {errors}")),
        };
        Ok(Status { ended, left_behind })
    }

    /// Waits for something and does what it asks for; true when everything inside is gone.
    fn step(&mut self, record: &Record, followers: &mut Followers) -> io::Result<bool> {
        let wait = self.killing.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = wait.map(|wait| Timespec::try_from(wait).unwrap_or_default());
        let gone = self.inside.gone().try_clone_to_owned()?;
        let mut fds = vec![
            PollFd::new(&gone, PollFlags::IN),
            PollFd::new(if self.heard_all { &gone } else { self.inside.channel() }, PollFlags::IN),
            PollFd::new(
                &self.timer,
                if self.why.is_none() { PollFlags::IN } else { PollFlags::empty() },
            ),
        ];
        fds.extend(self.output.iter().map(|output| PollFd::new(output, PollFlags::IN)));
        let own = fds.len();
        let behind = self.out_bytes;
        followers.poll(&mut fds, behind);
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if self.output.is_some() && ready[3] {
            self.read_output()?;
        }
        if ready[1] {
            self.heard_all = !self.listen(followers)?;
        }
        if ready[2] && self.why.is_none() {
            self.end(Ended::TimedOut)?;
        }
        if self.out_bytes > self.max_output_bytes && self.why.is_none() {
            self.end(Ended::TooMuchOutput)?;
        }
        if followers.serve(&ready[own..], record, self.out_bytes, self.started) == Wish::Kill
            && self.why.is_none()
        {
            self.end(Ended::Cancelled)?;
        }
        if self.killing.is_some_and(|at| Instant::now() >= at) {
            self.inside.kill();
            self.killing = Some(Instant::now() + KILLING);
        }
        Ok(ready[0])
    }

    /// What init reports; false when there is nothing more.
    fn listen(&mut self, followers: &mut Followers) -> io::Result<bool> {
        match self.inside.receive()? {
            None => return Ok(false),
            Some(Report::Ready) => {}
            Some(Report::Started) => {
                self.started = true;
                followers.tell_all(&Event::Started);
            }
            Some(Report::Ended(status)) => self.report = Some(status),
        }
        Ok(true)
    }

    /// Ends everything inside.
    fn end(&mut self, why: Ended) -> io::Result<()> {
        self.why = Some(why);
        self.killing = Some(Instant::now() + self.inside.ask_to_end(KILLING));
        Ok(())
    }

    /// Stores what has come; returns how much it was. A command whose output cannot be stored is
    /// ended: its next write would fail, and look like anything.
    fn read_output(&mut self) -> io::Result<usize> {
        let Some(output) = &self.output else { return Ok(0) };
        let mut piece = [0; PIECE_BYTES];
        match rustix::io::read(output, &mut piece) {
            Ok(0) => self.output = None,
            Ok(length) => {
                if let Err(error) = self.out.write_all(&piece[..length]) {
                    self.output = None;
                    if self.why.is_none() {
                        self.end(Ended::Unstored(error.to_string()))?;
                    }
                    return Ok(0);
                }
                self.out_bytes += length as u64;
                return Ok(length);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.inside.kill();
        let _count = kill::descendants();
    }
}
