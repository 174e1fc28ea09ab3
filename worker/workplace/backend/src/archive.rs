//! A `tar` archive, read as it comes: what is held of it is a header and a long name.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tar::{EntryType, Header, PaxExtensions};

const BLOCK: u64 = 512;

/// Bytes of a long name that are believed.
const NAME_BYTES: u64 = 64 * 1024;

/// The next part of an archive.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// A regular file begins.
    File { path: Vec<u8>, size_bytes: u64, mode: u32 },
    /// The next bytes of the file.
    Data(Bytes),
    /// The file ends.
    End,
    /// A file that is another name of one that came before.
    Link { path: Vec<u8>, earlier: Vec<u8> },
    /// Anything else, which is passed over.
    Other,
}

/// An archive, or several one after the other.
#[derive(Debug, Default)]
pub struct Archive {
    buffer: BytesMut,
    /// Bytes of the entry that are to come.
    left: u64,
    /// Bytes after it, up to the next block.
    padding: u64,
    in_file: bool,
    next: Extended,
}

/// What stands before the header that it is about.
#[derive(Debug, Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Archive {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next part; [`None`] when more bytes are needed for it.
    ///
    /// # Errors
    /// When the bytes are no archive.
    #[expect(clippy::should_implement_trait, reason = "more parts may follow a `None`")]
    pub fn next(&mut self) -> io::Result<Option<Part>> {
        loop {
            if self.in_file && self.left == 0 {
                self.in_file = false;
                return Ok(Some(Part::End));
            }
            if self.left > 0 {
                let bytes = take(&mut self.buffer, &mut self.left);
                if bytes.is_empty() {
                    return Ok(None);
                }
                if self.in_file {
                    return Ok(Some(Part::Data(bytes)));
                }
                continue;
            }
            take(&mut self.buffer, &mut self.padding);
            let Some((block, rest)) = self.buffer.split_at_checked(BLOCK as usize) else {
                return Ok(None);
            };
            if block.iter().all(|byte| *byte == 0) {
                self.buffer.advance(BLOCK as usize);
                continue;
            }
            let header = Header::from_byte_slice(block).clone();
            if sum(block) != header.cksum()? {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no tar archive"));
            }
            let size = header.entry_size()?;
            let entry_type = header.entry_type();
            if let EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader = entry_type
            {
                if size > NAME_BYTES {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a name is too long"));
                }
                let Some(text) = rest.get(..size as usize) else { return Ok(None) };
                self.next.read(entry_type, text)?;
                self.buffer.advance((BLOCK + size) as usize);
                self.padding = size.next_multiple_of(BLOCK) - size;
                continue;
            }
            self.buffer.advance(BLOCK as usize);
            let part = self.entry(&header, size);
            if entry_type != EntryType::XGlobalHeader {
                return Ok(Some(part));
            }
        }
    }

    fn entry(&mut self, header: &Header, size: u64) -> Part {
        let Extended { path, link, size: long_size } = std::mem::take(&mut self.next);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let size_bytes = long_size.unwrap_or(size);
        self.left = size_bytes;
        self.padding = size_bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX) - size_bytes;
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                self.in_file = true;
                let mode = header.mode().unwrap_or(0) & 0o7777;
                Part::File { path, size_bytes, mode }
            }
            EntryType::Link => {
                let earlier = link.or_else(|| Some(header.link_name_bytes()?.into_owned()));
                Part::Link { path, earlier: earlier.unwrap_or_default() }
            }
            _ => Part::Other,
        }
    }
}

impl Extended {
    fn read(&mut self, entry_type: EntryType, text: &[u8]) -> io::Result<()> {
        let until_nul = || text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match entry_type {
            EntryType::GNULongName => self.path = until_nul(),
            EntryType::GNULongLink => self.link = until_nul(),
            _ => {
                for extension in PaxExtensions::new(text) {
                    let extension = extension?;
                    let value = extension.value_bytes();
                    match extension.key_bytes() {
                        b"path" => self.path = Some(value.to_vec()),
                        b"linkpath" => self.link = Some(value.to_vec()),
                        // Of a file of more than 8 GiB.
                        b"size" => self.size = extension.value().ok().and_then(|n| n.parse().ok()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// As many of the bytes that are left as are there.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

/// A header's sum, its own field counted as spaces.
fn sum(block: &[u8]) -> u32 {
    let field = 148..156;
    block
        .iter()
        .enumerate()
        .map(|(at, b)| if field.contains(&at) { 32 } else { u32::from(*b) })
        .sum()
}
