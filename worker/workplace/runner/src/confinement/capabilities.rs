//! What root may do. A confined command of root keeps what works on files and processes of its own
//! domain, and loses what reaches past a confinement: other processes' memory, mounts, modules,
//! devices, higher limits. Of other users there is nothing to take.

use std::io;

use rustix::{
    io::Errno,
    process::geteuid,
    thread::{CapabilitySet, remove_capability_from_bounding_set},
};

/// What a command of root keeps.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// Takes all but those from what this thread starts. See
/// <https://man7.org/linux/man-pages/man7/capabilities.7.html>.
///
/// # Errors
/// The operating system's.
pub(super) fn drop_most() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it, or a container's root that has nothing to take.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
