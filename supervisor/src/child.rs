//! One child process: started, signalled and reaped through its pidfd.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use evonic_shared::status::Exit;
use nix::sys::signal;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open,
    pidfd_send_signal, waitid,
};

use crate::sys::{self, ForkExecError, Plan};

/// An unreaped child, the leader of its own process group: one descriptor. While it is unreaped, its
/// pid and its group's number cannot be reused.
#[derive(Debug)]
pub struct Child {
    pub pid: Pid,
    pidfd: OwnedFd,
    /// The supervisor itself sent SIGKILL.
    is_killed: bool,
}

impl Child {
    /// Returns when the program runs.
    ///
    /// # Errors
    /// [`ForkExecError`]; no process is left then.
    pub fn start(plan: &Plan<'_>) -> Result<Self, ForkExecError> {
        let pid = sys::fork_exec(plan)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { pid, pidfd, is_killed: false }),
            Err(errno) => {
                // By number: the child is unreaped.
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                Err(ForkExecError::Pidfd(errno.into()))
            }
        }
    }

    /// Its pid as a number.
    pub fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Readable when the process is dead.
    pub const fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Sends SIGTERM to the process itself.
    pub fn terminate(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, Signal::TERM)?)
    }

    /// Sends SIGKILL to the process, and to its process group.
    ///
    /// # Errors
    /// The OS error about the process itself.
    pub fn kill(&mut self) -> io::Result<()> {
        self.is_killed = true;
        let result = pidfd_send_signal(&self.pidfd, Signal::KILL);
        // The group may have no other member.
        let _ = kill_process_group(self.pid, Signal::KILL);
        Ok(result?)
    }

    /// Reaps a dead process and kills what is left of its process group. [`None`] while it lives.
    pub fn reap(&self) -> Option<Exit> {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), peek).ok().flatten()?;
        // Before it is reaped: after that the group's number could be reused.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = waitid(WaitId::Pid(self.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        Some(match status.terminating_signal() {
            Some(number) => Exit::Signal {
                signal: signal_name(number),
                after_grace: self.is_killed && number == Signal::KILL.as_raw(),
            },
            None => Exit::Code { code: status.exit_status().unwrap_or(-1) },
        })
    }
}

fn signal_name(number: i32) -> String {
    let known = signal::Signal::try_from(number);
    known.map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_owned())
}

/// Reaps a dead orphan that the subreaper inherited.
pub fn reap_orphan(pid: Pid) {
    let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
}

#[cfg(test)]
mod tests;
