//! What a file has beside its content: owner, mode, access control list, extended attributes; read
//! from the one that is replaced, and given to the one that replaces it.
//!
//! A draft is made for its owner alone and gets its rights last, so that at no moment it has one
//! that the old file had not.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        Gid, Mode, Stat, Uid, XattrFlags, fchmod, fchown, fgetxattr, fremovexattr, fsetxattr,
        fstat, getxattr, lgetxattr, llistxattr, llistxattr_query,
    },
    io::Errno,
};

use super::access_list::AccessList;
use evonic_backend::Written;

/// The access control list.
const ACCESS_LIST: &CStr = c"system.posix_acl_access";

/// The longest attribute of Linux (`XATTR_SIZE_MAX`).
const VALUE_BYTES: usize = 64 * 1024;

/// The most bytes of all values of a file.
const ALL_BYTES: usize = 1 << 20;

/// What a file has beside its content.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) stat: Stat,
    extended: Vec<(CString, Vec<u8>)>,
}

/// The mode of what a handle stands for. With an access control list the group's bits are the
/// mask: what the group itself may is told instead.
pub(super) fn plain_mode(handle: impl AsFd, mode: u32) -> u32 {
    let path = format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd());
    let mut list = vec![0; VALUE_BYTES];
    let bytes = getxattr(path, ACCESS_LIST, &mut list[..]);
    match bytes.map(|bytes| AccessList::parse(&list[..bytes])) {
        Ok(Ok(list)) => mode & !0o070 | list.group() << 3,
        _ => mode,
    }
}

/// Why attributes could not be given.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The new file cannot have this.
    NotKeepable(String, io::Error),
    Failed(io::Error),
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

impl Attributes {
    /// Of a file in a folder; a link is not followed.
    ///
    /// # Errors
    /// The OS error.
    pub(super) fn read(folder: &OwnedFd, name: &Path, stat: Stat) -> io::Result<Self> {
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let mut extended = Vec::new();
        let bytes = match llistxattr_query(&path) {
            Err(Errno::OPNOTSUPP) => 0,
            bytes => bytes?,
        };
        if bytes > 0 {
            // One that is added meanwhile may belong to whoever adds it.
            let mut names = vec![0; bytes + VALUE_BYTES];
            let bytes = llistxattr(&path, &mut names[..])?;
            let (mut value, mut total) = (vec![0; VALUE_BYTES], 0);
            for name in names[..bytes].split_inclusive(|byte| *byte == 0) {
                let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
                match lgetxattr(&path, name, &mut value[..]) {
                    Ok(bytes) => {
                        total += bytes;
                        if total > ALL_BYTES {
                            return Err(io::Error::other("there are too many of them"));
                        }
                        extended.push((name.to_owned(), value[..bytes].to_vec()));
                    }
                    Err(Errno::NODATA) => {}
                    Err(error) => {
                        let said =
                            format!("{}: {}", name.to_string_lossy(), io::Error::from(error));
                        return Err(io::Error::new(io::Error::from(error).kind(), said));
                    }
                }
            }
        }
        Ok(Self { stat, extended })
    }

    /// Its names beside this one.
    pub(super) fn other_names(&self) -> u64 {
        #[allow(clippy::useless_conversion, reason = "it has 32 bits on other machines")]
        u64::from(self.stat.st_nlink).saturating_sub(1)
    }

    /// Gives them to a draft. With a `mode`, that one instead of the file's own.
    ///
    /// # Errors
    /// [`Refusal`]; the draft has no right then that the file had not.
    pub(super) fn give(&self, draft: &File, mode: Option<u32>) -> Result<Written, Refusal> {
        let mut written = Written { other_names: self.other_names(), ..Written::default() };
        // First: the kernel takes capabilities from a file that gets an owner, be it the one it had.
        let now = self.give_owner(draft)?;
        for (name, value) in &self.extended {
            self.give_one(draft, name, value, &mut written)?;
        }
        if (now.st_uid, now.st_gid) != (self.stat.st_uid, self.stat.st_gid) {
            written.not_kept.push(format!(
                "its owner (user {}, group {} before; user {}, group {} now)",
                self.stat.st_uid, self.stat.st_gid, now.st_uid, now.st_gid
            ));
        }
        let mut mode = mode.unwrap_or(self.stat.st_mode) & 0o7777;
        if now.st_uid != self.stat.st_uid {
            mode &= !0o4000;
        }
        if now.st_gid != self.stat.st_gid {
            // Another group gets no more than everybody has.
            mode &= !0o2070 | (mode & 0o007) << 3;
        }
        match self.access_list()? {
            Some(mut list) => {
                list.narrow(mode, now.st_gid != self.stat.st_gid);
                fsetxattr(draft, ACCESS_LIST, &list.bytes(), XattrFlags::empty()).map_err(
                    |error| Refusal::NotKeepable("its access control list".into(), error.into()),
                )?;
                // With a list these bits of the mode are its mask.
                mode = mode & !0o070 | list.mask() << 3;
            }
            // Of the folder's default list, which made this draft.
            None => match fremovexattr(draft, ACCESS_LIST) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            },
        }
        fchmod(draft, Mode::from_raw_mode(mode))?;
        Ok(written)
    }

    fn access_list(&self) -> Result<Option<AccessList>, Refusal> {
        let list = self.extended.iter().find(|(name, _)| name.as_c_str() == ACCESS_LIST);
        let parsed = list.map(|(_, bytes)| AccessList::parse(bytes));
        parsed
            .transpose()
            .map_err(|error| Refusal::NotKeepable("its access control list".into(), error))
    }

    fn give_one(
        &self,
        draft: &File,
        name: &CStr,
        value: &[u8],
        written: &mut Written,
    ) -> Result<(), Refusal> {
        if name == ACCESS_LIST {
            return Ok(());
        }
        // A label may have come to the draft by the rules of its folder.
        let mut there = vec![0; VALUE_BYTES];
        if fgetxattr(draft, name, &mut there[..]).is_ok_and(|bytes| &there[..bytes] == value) {
            return Ok(());
        }
        let text = name.to_string_lossy();
        match fsetxattr(draft, name, value, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            // Labels and sums that the kernel gives, and that only an administrator may set.
            Err(error) if text.starts_with("security.") || text.starts_with("trusted.") => {
                let error = io::Error::from(error);
                written.not_kept.push(format!("its attribute {text} ({error})"));
                Ok(())
            }
            Err(error) => Err(Refusal::NotKeepable(format!("its attribute {text}"), error.into())),
        }
    }

    /// Gives the draft its owner and group, as far as that is permitted; what it has then.
    fn give_owner(&self, draft: &File) -> Result<Stat, Refusal> {
        let (owner, group) = (Uid::from_raw(self.stat.st_uid), Gid::from_raw(self.stat.st_gid));
        let given = fchown(draft, Some(owner), Some(group));
        let given = match given {
            // Of the groups one may be ours.
            Err(Errno::PERM | Errno::INVAL) => fchown(draft, None, Some(group)),
            given => given,
        };
        match given {
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(fstat(draft)?),
            Err(error) => Err(error.into()),
        }
    }
}
