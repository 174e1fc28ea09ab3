//! Archives (tar) as the engine takes and gives them: one header after another, never a whole one
//! in memory.

use bytes::Bytes;
use evonic_backend::WorkplaceError;
use tar::{EntryType, Header};

use super::spec::User;

/// Bytes of a block.
pub(super) const BLOCK: usize = 512;

/// The end of an archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The longest name in a header of its own.
const SHORT_NAME: usize = 100;

/// Whose an entry is, and who may do what with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) user: User,
}

/// The headers of a folder, relative to where the archive is unpacked.
///
/// # Errors
/// [`WorkplaceError::Path`].
pub(super) fn folder(name: &str, meta: Meta) -> Result<Vec<u8>, WorkplaceError> {
    entry(&format!("{name}/"), EntryType::Directory, 0, meta)
}

/// The headers of a file of so many bytes, which come next, then [`padding`].
///
/// # Errors
/// [`WorkplaceError::Path`].
pub(super) fn file(name: &str, size_bytes: u64, meta: Meta) -> Result<Vec<u8>, WorkplaceError> {
    entry(name, EntryType::Regular, size_bytes, meta)
}

/// What fills the last block of a file.
pub(super) fn padding(size_bytes: u64) -> Bytes {
    let over = (size_bytes % BLOCK as u64) as usize;
    Bytes::from_static(if over == 0 { &[] } else { &END[..BLOCK - over] })
}

fn entry(
    name: &str,
    entry_type: EntryType,
    size_bytes: u64,
    meta: Meta,
) -> Result<Vec<u8>, WorkplaceError> {
    let mut blocks = Vec::new();
    if name.len() > SHORT_NAME {
        // GNU's way: the whole name as the content of an entry before.
        let length = name.len() as u64 + 1;
        let mut header = blank(EntryType::GNULongName, length, meta);
        header.set_path("././@LongLink").map_err(|source| wrong(name, source))?;
        header.set_cksum();
        blocks.extend(header.as_bytes());
        blocks.extend(name.as_bytes());
        blocks.push(0);
        blocks.extend(padding(length));
    }
    let mut header = blank(entry_type, size_bytes, meta);
    let short = if name.len() > SHORT_NAME { "long" } else { name };
    header.set_path(short).map_err(|source| wrong(name, source))?;
    header.set_cksum();
    blocks.extend(header.as_bytes());
    Ok(blocks)
}

fn blank(entry_type: EntryType, size_bytes: u64, meta: Meta) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.set_size(size_bytes);
    header.set_mode(meta.mode);
    header.set_uid(meta.user.uid.into());
    header.set_gid(meta.user.gid.into());
    let now = jiff::Timestamp::now().as_second();
    header.set_mtime(u64::try_from(now).unwrap_or(0));
    header
}

fn wrong(name: &str, source: std::io::Error) -> WorkplaceError {
    WorkplaceError::Path { operation: "write", path: name.to_owned(), source }
}
