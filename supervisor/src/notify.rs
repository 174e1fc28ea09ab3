//! The used part of systemd's notification protocol (`sd_notify(3)`).

use std::{
    ffi::OsStr,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::BorrowedFd,
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::policy::Instant;

/// The connection to systemd, if there is one: one descriptor for the supervisor's life.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// Half of the watchdog's timeout.
    watchdog: Option<Duration>,
    next_ping: Instant,
    /// `READY=1` was sent.
    is_ready: bool,
    status: String,
    /// The requested end of the stop, without the margin.
    stop_until: Instant,
}

/// What a stop needs after the last grace: SIGKILL, reaping, and writing the history.
const STOP_MARGIN: Duration = Duration::from_secs(10);

impl Notify {
    /// Connects to the address in `$NOTIFY_SOCKET`; without one nothing is sent.
    ///
    /// # Errors
    /// The OS error when the address cannot be used.
    pub fn open(address: Option<&OsStr>, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = match address.filter(|address| !address.is_empty()) {
            None => None,
            Some(address) => {
                let address = match address.as_bytes() {
                    [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                    path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
                };
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                socket.connect_addr(&address)?;
                Some(socket)
            }
        };
        let watchdog = watchdog.filter(|_| socket.is_some()).map(|limit| limit / 2);
        Ok(Self {
            socket,
            watchdog,
            next_ping: Duration::ZERO,
            is_ready: false,
            status: String::new(),
            stop_until: Duration::ZERO,
        })
    }

    pub const fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// The service is up: sent once.
    pub fn ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.send("READY=1");
        }
    }

    /// One line for `systemctl status`; sent when it has changed.
    pub fn status(&mut self, line: String) {
        if self.socket.is_some() && self.status != line {
            self.send(&format!("STATUS={line}"));
            self.status = line;
        }
    }

    /// A reload begins, with the monotonic clock in microseconds (`Type=notify-reload`).
    pub fn reloading(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// A reload ended, applied or refused.
    pub fn reloaded(&mut self) {
        self.send("READY=1");
    }

    /// The service goes down.
    pub fn stopping(&mut self) {
        self.send("STOPPING=1");
    }

    /// Asks for time to stop until `until` and [`STOP_MARGIN`] more, unless that was asked for
    /// before. systemd lengthens `TimeoutStopSec=` by it and never shortens it.
    pub fn extend_stop(&mut self, now: Instant, until: Instant) {
        if until > self.stop_until {
            self.stop_until = until;
            let needed = until.saturating_sub(now) + STOP_MARGIN;
            self.send(&format!("EXTEND_TIMEOUT_USEC={}", needed.as_micros()));
        }
    }

    /// Called at each turn of the event loop, and by nothing else: pings the watchdog when that is
    /// due, or soon, which saves a wake-up. Returns whether it did: the moment to refresh the status
    /// line.
    pub fn ping_watchdog(&mut self, now: Instant) -> bool {
        let Some(pause) = self.watchdog else { return false };
        let is_due = now + pause / 2 >= self.next_ping;
        if is_due {
            self.next_ping = now + pause;
            self.send("WATCHDOG=1");
        }
        is_due
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.watchdog.map(|_| self.next_ping)
    }

    /// Stores a descriptor at systemd under a name: the next process gets it back should this one
    /// die (`FileDescriptorStoreMax=` of the unit). Replaces what has that name already.
    pub fn keep(&self, name: &str, descriptor: BorrowedFd<'_>) {
        let Some(socket) = &self.socket else { return };
        self.forget(name);
        let message = format!("FDSTORE=1\nFDNAME={name}");
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "the space is for one descriptor");
        let sent = rustix::net::sendmsg(
            socket,
            &[IoSlice::new(message.as_bytes())],
            &mut control,
            SendFlags::empty(),
        );
        if let Err(error) = sent {
            tracing::warn!(%error, name, "systemd did not take a descriptor to keep");
        }
    }

    /// Has systemd close what it stores under a name.
    pub fn forget(&self, name: &str) {
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    /// A message that systemd cannot take now is lost: it must not block the loop.
    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            tracing::warn!(%error, "systemd did not take a notification");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_in_order_and_pings_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let received = || {
            let mut all = Vec::new();
            let mut bytes = [0; 256];
            while let Ok(length) = systemd.recv(&mut bytes) {
                all.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
            }
            all
        };
        let seconds = Duration::from_secs;
        let mut notify = Notify::open(Some(path.as_os_str()), Some(seconds(8))).unwrap();
        assert!(notify.ping_watchdog(seconds(0)));
        notify.ready();
        notify.ready();
        notify.status("running".into());
        notify.status("running".into());
        assert_eq!(received(), ["WATCHDOG=1", "READY=1", "STATUS=running"]);
        assert_eq!(notify.deadline(), Some(seconds(4)));
        assert!(!notify.ping_watchdog(seconds(1)));
        assert_eq!(received(), [""; 0]);
        assert!(notify.ping_watchdog(seconds(2)));
        assert_eq!((received(), notify.deadline()), (vec!["WATCHDOG=1".into()], Some(seconds(6))));
        notify.reloading();
        notify.reloaded();
        notify.stopping();
        let all = received();
        assert!(all[0].starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(all[1..], ["READY=1", "STOPPING=1"]);
        notify.extend_stop(seconds(10), seconds(70));
        notify.extend_stop(seconds(20), seconds(70));
        notify.extend_stop(seconds(30), seconds(90));
        assert_eq!(received(), ["EXTEND_TIMEOUT_USEC=70000000", "EXTEND_TIMEOUT_USEC=70000000"]);
    }

    #[test]
    fn without_systemd_nothing_is_due() {
        let mut notify = Notify::open(None, Some(Duration::from_secs(8))).unwrap();
        assert!(!notify.ping_watchdog(Duration::from_secs(100)));
        notify.ready();
        assert_eq!((notify.deadline(), notify.is_connected()), (None, false));
    }
}
