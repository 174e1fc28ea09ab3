//! The supervisor's end of a worker's control channel.

use std::{io, os::fd::OwnedFd};

use evonic_shared::control::{DecodeError, FromWorker, MAX_PACKET_BYTES, ToWorker, decode, encode};
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType},
};

#[derive(Debug)]
pub enum Received {
    Message(FromWorker),
    /// A packet that is no message: dropped.
    Refused(DecodeError),
    /// No packet is waiting.
    Nothing,
    /// The other side is closed.
    Closed,
}

/// A non-blocking `SOCK_SEQPACKET` socket: one descriptor.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
}

impl Control {
    /// Returns the supervisor's end and the worker's.
    pub fn open() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self { socket: ours }, theirs))
    }

    #[must_use]
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Receives one packet, without waiting.
    pub fn receive(&self, scratch: &mut Scratch) -> Received {
        loop {
            // With TRUNC the length is the packet's own, even where the buffer is shorter.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            return match rustix::net::recv(&self.socket, &mut scratch.0[..], flags) {
                // An empty packet reads like end of file. The worker has no reason to send one, and
                // taking it for the end does no harm: its parts will be late.
                Ok((_, 0)) => Received::Closed,
                Ok((_, length)) if length > MAX_PACKET_BYTES => {
                    Received::Refused(DecodeError::TooLong { length })
                }
                Ok((stored, _)) => match decode(&scratch.0[..stored]) {
                    Ok(message) => Received::Message(message),
                    Err(error) => Received::Refused(error),
                },
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Received::Nothing,
                Err(_) => Received::Closed,
            };
        }
    }

    /// Sends one message, without waiting.
    ///
    /// # Errors
    /// The OS error: the worker is gone, or has left hundreds unread.
    pub fn send(&self, message: &ToWorker) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&self.socket, &encode(message), flags)?;
        Ok(())
    }
}

/// The receive buffer of all channels.
#[derive(Debug)]
pub struct Scratch(Box<[u8]>);

impl Scratch {
    #[must_use]
    pub fn new() -> Self {
        // Zeroed by the kernel, and resident only up to the longest packet received.
        Self(vec![0; MAX_PACKET_BYTES].into_boxed_slice())
    }
}

#[cfg(test)]
mod tests {
    use evonic_shared::reason::Reason;

    use super::*;

    #[test]
    fn packets_in_order_then_nothing_then_the_end() {
        let (control, worker) = Control::open().unwrap();
        let mut scratch = Scratch::new();
        let send = |bytes: &[u8]| rustix::net::send(&worker, bytes, SendFlags::NOSIGNAL).unwrap();
        send(br#"{"type":"ready"}"#);
        send(b"garbage");
        send(&vec![b' '; MAX_PACKET_BYTES + 1]);
        send(br#"{"type":"draining"}"#);
        let mut next = || control.receive(&mut scratch);
        assert!(matches!(next(), Received::Message(FromWorker::Ready)));
        assert!(matches!(next(), Received::Refused(DecodeError::Malformed(_))));
        let too_long = MAX_PACKET_BYTES + 1;
        assert!(
            matches!(next(), Received::Refused(DecodeError::TooLong { length }) if length == too_long)
        );
        assert!(matches!(next(), Received::Message(FromWorker::Draining)));
        assert!(matches!(next(), Received::Nothing));

        let drain = ToWorker::Drain { reason: Reason::Requested, grace_ms: 5 };
        control.send(&drain).unwrap();
        let mut bytes = [0; 256];
        let (length, _) = rustix::net::recv(&worker, &mut bytes, RecvFlags::empty()).unwrap();
        assert_eq!(decode::<ToWorker>(&bytes[..length]).unwrap(), drain);

        drop(worker);
        assert!(matches!(next(), Received::Closed));
        assert!(control.send(&drain).is_err());
    }
}
