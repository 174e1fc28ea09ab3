//! The channel itself.

use std::{io, os::fd::OwnedFd};

use evonic_shared::control::{self, DecodeError, FromWorker, MAX_PACKET_BYTES, ToWorker};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags},
};

/// The worker's end of the channel. Any thread may send.
#[derive(Debug)]
pub(in crate::lifecycle) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// The channel on this socket.
    pub(in crate::lifecycle) const fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends a message now. One that the supervisor has no room for is dropped: it has not read
    /// for a hundred heartbeats, and a worker never waits for it.
    pub(in crate::lifecycle) fn send(&self, message: &FromWorker) -> io::Result<()> {
        let packet = control::encode(message);
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, &packet, flags));
        sent.map(|_| ()).map_err(io::Error::from)
    }

    /// What is readable when there is a message, or the other side is gone.
    pub(super) const fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The next message, if one waits.
    pub(super) fn receive(&self) -> Received {
        let mut packet = [0; MAX_PACKET_BYTES + 1];
        let flags = RecvFlags::DONTWAIT;
        let received =
            rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut packet[..], flags));
        match received {
            Ok((_, 0)) => Received::Lost,
            Ok((_, length)) => Received::Message(control::decode(&packet[..length])),
            Err(Errno::AGAIN) => Received::Nothing,
            Err(_) => Received::Lost,
        }
    }
}

/// What came over the channel.
#[derive(Debug)]
pub(super) enum Received {
    /// A message, or what is none.
    Message(Result<ToWorker, DecodeError>),
    /// Nothing waits.
    Nothing,
    /// The other side is gone.
    Lost,
}
