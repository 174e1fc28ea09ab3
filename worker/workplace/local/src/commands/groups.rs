//! Control groups of commands, where the service was given a tree of its own (`Delegate=yes` of the
//! unit). See <https://systemd.io/CGROUP_DELEGATION/> and
//! <https://docs.kernel.org/admin-guide/cgroup-v2.html>.
//!
//! ```text
//! evonic.service/            the supervisor and its workers
//!     commands/MARK/         a command, its runner, and whatever they started
//! ```
//!
//! A pid namespace ends with its init. Where there is none, what escapes its runner is in the group
//! still: the kernel kills a group whole. No controller is switched on, so processes may be in the
//! upper groups too.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::process::geteuid;

/// The groups of this service's commands. Holds no descriptor.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    folder: PathBuf,
}

impl Groups {
    /// Those of this service; [`None`] where systemd did not delegate its group, or where it cannot
    /// be written to: commands are found by their runners only then. Removes what is left empty.
    pub(super) fn of_service() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let group = own_group(&mounts, &own)?;
        // systemd gives a delegated group to the service's user. Root may write to every group,
        // and would not know whose they are.
        let owner = fs::metadata(&group).ok()?.uid();
        let user = geteuid();
        if user.is_root() || owner != user.as_raw() {
            return None;
        }
        Self::below(&group).inspect_err(|error| tracing::debug!(%error, "no control groups")).ok()
    }

    /// Groups below this one.
    fn below(group: &Path) -> io::Result<Self> {
        let folder = group.join("commands");
        made(&folder)?;
        for left in fs::read_dir(&folder)?.flatten() {
            // One with a command in it stays.
            let _busy = fs::remove_dir(left.path());
        }
        tracing::debug!(folder = %folder.display(), "commands have control groups");
        Ok(Self { folder })
    }

    /// The group of a command, which its runner makes and enters.
    pub(super) fn of(&self, command_id: &str) -> PathBuf {
        self.folder.join(command_id)
    }

    /// Kills all that is in the group of a command, and removes it; false while it is dying.
    pub(super) fn is_ended(&self, command_id: &str) -> bool {
        let group = self.of(command_id);
        let is_gone = || match fs::remove_dir(&group) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        is_gone() || {
            if let Err(error) = fs::write(group.join("cgroup.kill"), "1") {
                tracing::debug!(command_id, %error, "a control group cannot be killed");
            }
            is_gone()
        }
    }
}

fn made(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// This process's group in the unified hierarchy, by `/proc/self/mountinfo` and `/proc/self/cgroup`,
/// when it is a service's.
fn own_group(mounts: &str, own: &str) -> Option<PathBuf> {
    let mount = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then_some(at)
    })?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    path.ends_with(".service").then(|| Path::new(mount).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / /proc rw,nosuid - proc proc rw
31 1 0:38 /system.slice /mnt rw - cgroup2 cgroup rw
30 1 0:38 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup rw
";

    #[test]
    fn a_service_knows_its_group() {
        let own = own_group(MOUNTS, "0::/system.slice/evonic.service\n");
        assert_eq!(own, Some("/sys/fs/cgroup/system.slice/evonic.service".into()));
        let own = own_group(MOUNTS, "9:name=systemd:/x\n0::/user.slice/session-1.scope\n");
        assert_eq!(own, None, "a terminal's group is nobody's to part");
        assert_eq!(own_group(MOUNTS, "9:name=systemd:/evonic.service\n"), None);
        assert_eq!(own_group("", "0::/evonic.service\n"), None);
    }

    #[test]
    fn what_is_empty_is_removed_and_what_is_gone_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("commands/empty")).unwrap();
        fs::create_dir_all(folder.path().join("commands/busy/with")).unwrap();
        let groups = Groups::below(folder.path()).unwrap();
        assert!(!folder.path().join("commands/empty").exists());
        assert!(folder.path().join("commands/busy").exists());
        assert!(groups.is_ended("empty") && groups.is_ended("never"));
        assert!(!groups.is_ended("busy"), "what cannot be removed is not gone");
    }
}
