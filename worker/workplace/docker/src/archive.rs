//! Archives (tar) as the engine takes them.

use std::io;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::spec::User;

/// Bytes of a block.
const BLOCK: usize = 512;

/// Bytes that are handed to the connection at once.
const PIECE_BYTES: usize = 256 * 1024;

/// An archive of folders and of one file below them, each a name with its mode, in pieces. The
/// content is not copied.
///
/// # Errors
/// When a name cannot stand in an archive.
pub(super) fn archive(
    user: User,
    folders: impl IntoIterator<Item = (String, u32)>,
    (name, mode): (&str, u32),
    mut content: Bytes,
) -> io::Result<Vec<Bytes>> {
    let header = |entry_type, mode, size_bytes| {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry_type);
        header.set_size(size_bytes);
        header.set_mode(mode);
        header.set_uid(user.uid.into());
        header.set_gid(user.gid.into());
        let now = jiff::Timestamp::now().as_second();
        header.set_mtime(u64::try_from(now).unwrap_or(0));
        header
    };
    let mut headers = Builder::new(Vec::new());
    for (name, mode) in folders {
        let mut folder = header(EntryType::Directory, mode, 0);
        headers.append_data(&mut folder, format!("{name}/"), io::empty())?;
    }
    let padding = content.len().next_multiple_of(BLOCK) - content.len();
    let mut file = header(EntryType::Regular, mode, content.len() as u64);
    headers.append_data(&mut file, name, io::empty())?;
    let mut pieces = vec![Bytes::copy_from_slice(headers.get_ref())];
    while !content.is_empty() {
        pieces.push(content.split_to(content.len().min(PIECE_BYTES)));
    }
    // Two empty blocks end an archive.
    pieces.push(vec![0; padding + 2 * BLOCK].into());
    Ok(pieces)
}
