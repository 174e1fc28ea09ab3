//! How many descriptors SQLite holds, to the last one.
//!
//! An open handle owns two: database and write-ahead log. The process owns one more for the
//! shared memory. A closed handle's database descriptor is *parked* by SQLite while another
//! handle is open, because closing it would drop the process's POSIX locks (`unixClose`,
//! `setPendingFd`); the next open takes a parked one over (`findReusableFd`); all parked ones are
//! closed with the last lock, that is with the last handle.
//!
//! Which of an open and a close came first decides whether a descriptor was taken over or made,
//! so both happen under this account's lock. The writer's handle is open as long as any other
//! is, and holds its lock on the database from its first read on.

use std::time::{Duration, Instant};

use evonic_handles::Permit;
use parking_lot::Mutex;

/// Database and write-ahead log.
const OF_A_HANDLE: u32 = 2;

/// The shared memory's file.
const OF_THE_PROCESS: u32 = 1;

/// How many parked descriptors are kept: with one, a single reader now and then (a probe) neither
/// changes the count nor makes the writer reopen.
const KEPT: u32 = 1;

/// The account. Its lock is held while SQLite opens or closes the database, by who opens or closes
/// a handle and says so.
#[derive(Debug)]
pub(super) struct FdCounts {
    /// The writer's permit, until it ends. It also owns what belongs to no handle: shared memory,
    /// parked.
    pub(super) permit: Option<Permit>,
    /// Whether the writer's handle is open: without it no other may be opened.
    pub(super) writer: bool,
    readers: u32,
    parked: u32,
    last_open: Instant,
    /// Whether the writer was asked to reopen since it did last.
    pub(super) releasing: bool,
}

impl FdCounts {
    /// The account of a database that is not open yet.
    pub(super) fn new(permit: Permit) -> Mutex<Self> {
        let permit = Some(permit);
        let (writer, readers, parked, releasing) = (false, 0, 0, false);
        let last_open = Instant::now();
        Mutex::new(Self { permit, writer, readers, parked, last_open, releasing })
    }

    /// The writer's handle was opened, as the first one.
    pub(super) fn writer_opened(&mut self) {
        self.writer = true;
        self.declare();
    }

    /// The writer's handle was closed.
    pub(super) fn writer_closed(&mut self) {
        self.writer = false;
        self.park();
    }

    /// A handle was opened under this permit.
    pub(super) fn reader_opened(&mut self, permit: &mut Permit) {
        self.readers += 1;
        self.parked = self.parked.saturating_sub(1);
        self.last_open = Instant::now();
        // In this order, so that what is taken over never counts twice.
        self.declare();
        permit.owns(OF_A_HANDLE, None);
    }

    /// A handle is about to be closed, and its permit dropped: what will be parked is no longer
    /// the permit's.
    pub(super) fn reader_closing(&mut self, permit: &mut Permit) {
        permit.owns(OF_A_HANDLE - 1, None);
        self.readers -= 1;
        self.park();
    }

    /// Whether more is parked than is kept and the writer was not asked to reopen since it did
    /// last. The caller asks it.
    pub(super) fn wants_release(&mut self) -> bool {
        let ask = self.parked > KEPT && !self.releasing;
        self.releasing |= ask;
        ask
    }

    /// Whether only the writer has a handle, and lately had one.
    pub(super) fn is_quiet(&self, quiet: Duration) -> bool {
        self.readers == 0 && self.last_open.elapsed() >= quiet
    }

    /// One handle less: its descriptor is parked, or it was the last and nothing is left.
    fn park(&mut self) {
        let others = self.writer || self.readers > 0;
        self.parked = if others { self.parked + 1 } else { 0 };
        self.declare();
    }

    fn declare(&mut self) {
        let writer = if self.writer { OF_A_HANDLE } else { 0 };
        let process = if self.writer || self.readers > 0 { OF_THE_PROCESS } else { 0 };
        if let Some(permit) = &mut self.permit {
            permit.owns(writer + process + self.parked, None);
        }
    }
}
