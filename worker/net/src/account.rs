//! What pays for the descriptors of a connection.

use std::{os::fd::AsRawFd, pin::Pin};

use evonic_handles::{Held, Permit};
use tokio::net::TcpStream;

use super::Stream;

/// A permit; or `()` in a process without a budget, such as the command line.
pub trait Account: Send + 'static {
    /// See [`Permit::owns`].
    fn owns(&mut self, descriptors: u32, highest: Option<u32>);

    /// A stream that closes before the account is settled.
    fn hold(self, stream: TcpStream) -> impl Stream + 'static;
}

impl Account for Permit {
    fn owns(&mut self, descriptors: u32, highest: Option<u32>) {
        Permit::owns(self, descriptors, highest);
    }

    fn hold(mut self, stream: TcpStream) -> impl Stream + 'static {
        self.owns(1, u32::try_from(stream.as_raw_fd()).ok());
        Pin::new(Held::new(stream, self))
    }
}

impl Account for () {
    fn owns(&mut self, _: u32, _: Option<u32>) {}

    fn hold(self, stream: TcpStream) -> impl Stream + 'static {
        stream
    }
}
