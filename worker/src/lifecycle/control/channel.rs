//! The channel itself, and the bell that wakes the thread which listens to it.

use std::{io, os::fd::OwnedFd, sync::Arc};

use evonic_shared::control::{self, DecodeError, FromWorker, MAX_PACKET_BYTES, ToWorker};
use rustix::{
    event::EventfdFlags,
    io::Errno,
    net::{RecvFlags, SendFlags},
};

/// Wakes the control thread: an eventfd. Shared by cloning.
#[derive(Clone, Debug)]
pub(in crate::lifecycle) struct Bell {
    eventfd: Arc<OwnedFd>,
}

impl Bell {
    /// A bell. Holds one descriptor.
    pub(in crate::lifecycle) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self { eventfd: Arc::new(rustix::event::eventfd(0, flags)?) })
    }

    /// Rings. A bell that is rung already stays so.
    pub(in crate::lifecycle) fn ring(&self) {
        // Fails only when the count is full, and then it is rung.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    /// What is readable while it is rung.
    pub(super) fn eventfd(&self) -> &OwnedFd {
        &self.eventfd
    }

    /// Whether it was rung since it was last asked.
    pub(in crate::lifecycle) fn was_rung(&self) -> bool {
        rustix::io::read(&self.eventfd, &mut [0; 8]).is_ok()
    }
}

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
