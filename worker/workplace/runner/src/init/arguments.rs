//! What the runner tells init in its arguments.

use std::{ffi::OsString, os::fd::RawFd, path::PathBuf};

/// What the runner says in the arguments, after `init`.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// The number of its end of the channel.
    pub(crate) channel: RawFd,
    /// The number of the descriptor by which this program was started.
    pub(crate) program: RawFd,
    /// Where the command's temporary files are.
    pub(crate) temporary: PathBuf,
    /// The workplace's folders, by path, device and inode: what is mounted must be the same.
    pub(crate) compared: Vec<(PathBuf, u64, u64)>,
}

impl Arguments {
    pub(crate) fn encode(&self) -> Vec<OsString> {
        let mut arguments = vec!["init".into(), self.channel.to_string().into()];
        arguments.push(self.program.to_string().into());
        arguments.push(self.temporary.clone().into());
        for (path, device, inode) in &self.compared {
            arguments.extend([path.into(), device.to_string().into(), inode.to_string().into()]);
        }
        arguments
    }

    pub(super) fn decode(mut given: impl Iterator<Item = OsString>) -> Option<Self> {
        fn number<T: std::str::FromStr>(text: Option<OsString>) -> Option<T> {
            text?.to_str()?.parse().ok()
        }
        let (channel, program) = (number(given.next())?, number(given.next())?);
        let temporary = given.next()?.into();
        let mut compared = Vec::new();
        while let Some(path) = given.next() {
            compared.push((path.into(), number(given.next())?, number(given.next())?));
        }
        Some(Self { channel, program, temporary, compared })
    }
}
