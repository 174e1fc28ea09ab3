//! A connection to a runner: packets, as they come.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use evonic_runner::{
    protocol::{Event, KILL, PACKET_BYTES, Request},
    record::Record,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use tokio::io::unix::AsyncFd;

/// One descriptor. Closing it leaves the command alone.
#[derive(Debug)]
pub(super) struct Connection {
    socket: AsyncFd<OwnedFd>,
    packet: Vec<u8>,
}

impl Connection {
    /// Of a runner that was started with the other end.
    ///
    /// # Errors
    /// The operating system's.
    #[expect(deprecated, reason = "what follows it is unsafe; the descriptor stays the same")]
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: AsyncFd::new(socket)?, packet: vec![0; PACKET_BYTES] })
    }

    /// To the runner of a record, without waiting: it is on this machine.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`] or [`io::ErrorKind::NotFound`] when there is none (any
    /// more); the operating system's.
    pub(super) fn open(record: &Record, request: &Request) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(record.short_path("socket"))?)?;
        send(&socket, &request.encode(), SendFlags::NOSIGNAL)?;
        Ok(socket)
    }

    /// The next event; [`None`] when the runner has closed its end. Cancel safe.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::InvalidData`] for what is no event.
    pub(super) async fn event(&mut self) -> io::Result<Option<Event>> {
        loop {
            let mut ready = self.socket.readable().await?;
            let received = recv(ready.get_inner().as_fd(), &mut self.packet, RecvFlags::DONTWAIT);
            match received {
                Ok((0, _)) => return Ok(None),
                Ok((length, _)) => {
                    let event = Event::decode(&self.packet[..length]);
                    return event.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into());
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Asks the runner to kill the command. A runner that is gone needs no asking.
    pub(super) fn kill(&self) {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let _gone = send(self.socket.get_ref(), KILL, flags);
    }
}
