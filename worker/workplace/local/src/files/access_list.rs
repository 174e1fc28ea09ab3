//! An access control list as the kernel hands it over (`acl(5)`): a version, then entries of tag,
//! permissions and id, little-endian.

use std::io;

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;

const OWNER: u16 = 0x01;
const GROUP: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessList {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

impl AccessList {
    /// # Errors
    /// When it is of another version, or cut.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "of an unknown form");
        let (version, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(unknown)?;
        let (entries, cut) = rest.as_chunks::<ENTRY_BYTES>();
        if u32::from_le_bytes(*version) != VERSION || !cut.is_empty() {
            return Err(unknown());
        }
        let entry = |[t0, t1, p0, p1, id @ ..]: &[u8; ENTRY_BYTES]| Entry {
            tag: u16::from_le_bytes([*t0, *t1]),
            permissions: u16::from_le_bytes([*p0, *p1]),
            id: u32::from_le_bytes(*id),
        };
        Ok(Self { entries: entries.iter().map(entry).collect() })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for Entry { tag, permissions, id } in &self.entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&permissions.to_le_bytes());
            bytes.extend_from_slice(&id.to_le_bytes());
        }
        bytes
    }

    /// Gives owner and others the rights of a mode, and lets the mask have no more than its group
    /// has; where the file's group is another one now, that gets no more than everybody.
    pub(super) fn narrow(&mut self, mode: u32, other_group: bool) {
        let bits = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or(0);
        for entry in &mut self.entries {
            match entry.tag {
                OWNER => entry.permissions = bits(6),
                MASK => entry.permissions &= if other_group { entry.permissions } else { bits(3) },
                GROUP if other_group => entry.permissions &= bits(0),
                OTHER => entry.permissions = bits(0),
                _ => {}
            }
        }
    }

    /// What the group's bits of the mode are.
    pub(super) fn mask(&self) -> u32 {
        let of = |tag| self.entries.iter().find(|entry| entry.tag == tag);
        of(MASK).or_else(|| of(GROUP)).map_or(0, |entry| u32::from(entry.permissions & 7))
    }

    /// What the file's own group may: not more than the mask lets it.
    pub(super) fn group(&self) -> u32 {
        let of = |tag| self.entries.iter().find(|entry| entry.tag == tag);
        of(GROUP).map_or(0, |entry| u32::from(entry.permissions & 7)) & self.mask()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `user::rw-`, `user:1:rwx`, `group::r--`, `mask::rwx`, `other::r--`.
    const BYTES: [u8; 44] = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 7, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255,
        255, 255, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
    ];

    #[test]
    fn a_list_is_read_and_written_as_it_is() {
        let list = AccessList::parse(&BYTES).unwrap();
        assert_eq!(list.bytes(), BYTES);
        assert_eq!((list.mask(), list.group()), (7, 4));
        for cut in [0, 3, 5, 43] {
            assert!(AccessList::parse(&BYTES[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn no_entry_gets_a_right_that_it_had_not() {
        let mut list = AccessList::parse(&BYTES).unwrap();
        list.narrow(0o640, false);
        assert_eq!((list.mask(), list.group()), (4, 4));
        list.narrow(0o670, false);
        assert_eq!(list.mask(), 4, "a mask that was narrowed stays so");
        list.narrow(0o600, true);
        assert_eq!((list.mask(), list.group()), (4, 0), "another group");
    }
}
