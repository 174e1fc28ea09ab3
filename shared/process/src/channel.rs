//! One end of the channel between supervisor and worker ([`evonic_shared::control`]).

use std::{io, os::fd::OwnedFd};

use evonic_shared::control::{DecodeError, MAX_PACKET_BYTES, decode, encode};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType},
};
use serde::{Serialize, de::DeserializeOwned};

/// What came over the channel.
#[derive(Debug)]
pub enum Received<M> {
    Message(M),
    /// A packet that is no message: dropped.
    Refused(DecodeError),
    /// No packet is waiting.
    Nothing,
    /// The other side is closed.
    Closed,
}

/// A `SOCK_SEQPACKET` socket: one descriptor. Any thread may send.
#[derive(Debug)]
pub struct Channel {
    /// Readable when there is a message, or the other side is gone.
    pub socket: OwnedFd,
}

impl Channel {
    /// Returns the supervisor's end and the worker's, both non-blocking.
    ///
    /// # Errors
    /// The OS error: no descriptor is left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self { socket: ours }, theirs))
    }

    /// Sends one message, without waiting.
    ///
    /// # Errors
    /// The OS error: the other side is gone, or has left hundreds unread.
    pub fn send<M: Serialize>(&self, message: &M) -> io::Result<()> {
        let (packet, flags) = (encode(message), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        retry_on_intr(|| rustix::net::send(&self.socket, &packet, flags))?;
        Ok(())
    }

    /// Receives one packet through a buffer of [`MAX_PACKET_BYTES`], without waiting.
    pub fn receive<M: DeserializeOwned>(&self, buffer: &mut [u8]) -> Received<M> {
        // With TRUNC the length is the packet's own, even where the buffer is shorter.
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        match retry_on_intr(|| rustix::net::recv(&self.socket, &mut *buffer, flags)) {
            // An empty packet reads like end of file. Neither side has a reason to send one, and
            // taking a worker's for its end does no harm: its parts will be late.
            Ok((_, 0)) => Received::Closed,
            Ok((_, length)) if length > MAX_PACKET_BYTES => {
                Received::Refused(DecodeError::TooLong { length })
            }
            Ok((stored, _)) => {
                decode(&buffer[..stored]).map_or_else(Received::Refused, Received::Message)
            }
            Err(Errno::AGAIN) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use evonic_shared::{
        control::{FromWorker, ToWorker},
        reason::Reason,
    };

    use super::*;

    #[test]
    fn packets_in_order_then_nothing_then_the_end() {
        let (supervisor, worker) = Channel::pair().unwrap();
        let mut scratch = [0; MAX_PACKET_BYTES];
        let send = |bytes: &[u8]| rustix::net::send(&worker, bytes, SendFlags::NOSIGNAL).unwrap();
        send(br#"{"type":"ready"}"#);
        send(b"garbage");
        send(&vec![b' '; MAX_PACKET_BYTES + 1]);
        send(br#"{"type":"draining"}"#);
        let mut next = || supervisor.receive(&mut scratch);
        assert!(matches!(next(), Received::Message(FromWorker::Ready)));
        assert!(matches!(next(), Received::Refused(DecodeError::Malformed(_))));
        let too_long = MAX_PACKET_BYTES + 1;
        assert!(
            matches!(next(), Received::Refused(DecodeError::TooLong { length }) if length == too_long)
        );
        assert!(matches!(next(), Received::Message(FromWorker::Draining)));
        assert!(matches!(next(), Received::Nothing));

        let drain = ToWorker::Drain { reason: Reason::Requested, grace_ms: 5 };
        supervisor.send(&drain).unwrap();
        let mut bytes = [0; 256];
        let (length, _) = rustix::net::recv(&worker, &mut bytes, RecvFlags::empty()).unwrap();
        assert_eq!(decode::<ToWorker>(&bytes[..length]).unwrap(), drain);

        drop(worker);
        assert!(matches!(next(), Received::Closed));
        assert!(supervisor.send(&drain).is_err());
    }
}
