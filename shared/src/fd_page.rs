//! The layout of the fd page: counts of the descriptors that a worker owns, by kind.
//!
//! The supervisor makes an anonymous file of [`PAGE_BYTES`] for each worker and hands it over. The
//! worker maps it and keeps one native-endian `u32` a kind in it, changed atomically when a
//! descriptor is opened or closed. The supervisor reads it with `pread` when it counts
//! `/proc/PID/fd`, so that both counts are of one instant: that needs no message, costs the worker
//! nothing, and works while the worker is stopped or blocked.

use crate::kind::Kind;

/// Size of the page, in bytes.
pub const PAGE_BYTES: usize = 4096;

/// The number of slots, and so of kinds. Slots beyond those named in the hello are zero.
pub const SLOTS: usize = 16;

/// Size of one slot, in bytes.
pub const SLOT_BYTES: usize = size_of::<u32>();

/// Size of all slots, in bytes.
pub const READ_BYTES: usize = SLOTS * SLOT_BYTES;

const _: () = assert!(Kind::ALL.len() <= SLOTS && READ_BYTES <= PAGE_BYTES);

/// Reads the slots of a page's first [`READ_BYTES`].
pub fn decode(bytes: &[u8; READ_BYTES]) -> [u32; SLOTS] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|slot| u32::from_ne_bytes(words[slot]))
}
