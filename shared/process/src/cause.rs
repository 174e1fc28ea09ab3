//! The exit code of what the system says, whichever part of a program met it.

use std::{error::Error, io};

use evonic_shared::{error_chain::causes, exit::ExitCode};
use rustix::io::Errno;

/// The exit code of the first cause that is a full disk or a limit of the system; [`None`] when there
/// is none, and the code is that of the part that failed.
pub fn exit_code(error: &(dyn Error + 'static)) -> Option<ExitCode> {
    causes(error).find_map(|cause| {
        match Errno::from_io_error(cause.downcast_ref::<io::Error>()?)? {
            Errno::NOSPC | Errno::DQUOT => Some(ExitCode::DiskFull),
            Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE => Some(ExitCode::Resources),
            _ => None,
        }
    })
}
