//! A `tar` archive, read as it comes: what is held of it is a header and a long name.

use std::{borrow::Cow, io, ops::ControlFlow};

use tar::{EntryType, Header, PaxExtensions};

const BLOCK: usize = 512;

/// Bytes of a long name that are believed.
const NAME_BYTES: u64 = 64 * 1024;

/// Whoever wants the files of an archive.
pub(super) trait Files {
    /// A regular file begins.
    fn begin(&mut self, path: &[u8]);
    /// A file that is another name of one that came before.
    fn again(&mut self, path: &[u8], earlier: &[u8]) -> ControlFlow<()>;
    /// The next bytes of the file.
    fn data(&mut self, bytes: &[u8]) -> ControlFlow<()>;
    /// The file ends.
    fn end(&mut self) -> ControlFlow<()>;
}

/// An archive, or several one after the other.
#[derive(Default)]
pub(super) struct Archive {
    /// The beginning of a header.
    block: Vec<u8>,
    /// What the bytes are that come.
    body: Body,
    /// Bytes of the body that are to come.
    left: u64,
    /// Bytes after it, up to the next block.
    padding: u64,
    /// A name that is too long for a header, or extended headers.
    text: Vec<u8>,
    /// The next file's, when it came before its header.
    name: Option<Vec<u8>>,
    /// The next link's.
    link: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Body {
    #[default]
    Nothing,
    File,
    LongName,
    LongLink,
    Extended,
}

impl Archive {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are no archive.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        files: &mut impl Files,
    ) -> io::Result<ControlFlow<()>> {
        while !bytes.is_empty() {
            let step = if self.left > 0 {
                let (body, rest) = split(bytes, self.left);
                self.left -= body.len() as u64;
                bytes = rest;
                self.body(body, files)?
            } else if self.padding > 0 {
                let (padding, rest) = split(bytes, self.padding);
                self.padding -= padding.len() as u64;
                bytes = rest;
                ControlFlow::Continue(())
            } else {
                let (part, rest) = split(bytes, (BLOCK - self.block.len()) as u64);
                self.block.extend_from_slice(part);
                bytes = rest;
                if self.block.len() < BLOCK {
                    ControlFlow::Continue(())
                } else {
                    self.header(files)?
                }
            };
            if step.is_break() {
                return Ok(step);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A header is whole.
    fn header(&mut self, files: &mut impl Files) -> io::Result<ControlFlow<()>> {
        let block = std::mem::take(&mut self.block);
        if block.iter().all(|byte| *byte == 0) {
            return Ok(ControlFlow::Continue(()));
        }
        let header = Header::from_byte_slice(&block);
        if sum(&block) != header.cksum()? {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no tar archive"));
        }
        let size = header.entry_size()?;
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        self.body = match header.entry_type() {
            EntryType::GNULongName => Body::LongName,
            EntryType::GNULongLink => Body::LongLink,
            EntryType::XHeader => Body::Extended,
            EntryType::Regular | EntryType::Continuous => Body::File,
            _ => Body::Nothing,
        };
        if matches!(self.body, Body::LongName | Body::LongLink | Body::Extended) {
            self.text.clear();
            return match size {
                0..=NAME_BYTES => Ok(ControlFlow::Continue(())),
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a name is too long")),
            };
        }
        let (name, link) = (self.name.take(), self.link.take());
        let name = name.map_or_else(|| header.path_bytes(), Cow::Owned);
        if header.entry_type() == EntryType::Link {
            let link = link.map(Cow::Owned).or_else(|| header.link_name_bytes());
            return Ok(files.again(&name, &link.unwrap_or_default()));
        }
        if self.body == Body::File {
            files.begin(&name);
            if size == 0 {
                return Ok(files.end());
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn body(&mut self, bytes: &[u8], files: &mut impl Files) -> io::Result<ControlFlow<()>> {
        let is_last = self.left == 0;
        match self.body {
            Body::Nothing => {}
            Body::File if files.data(bytes).is_break() => return Ok(ControlFlow::Break(())),
            Body::File if is_last => return Ok(files.end()),
            Body::File => {}
            Body::LongName | Body::LongLink | Body::Extended => {
                self.text.extend_from_slice(bytes);
                if is_last {
                    self.named()?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What stands before a header is whole.
    fn named(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        let until_nul = || text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match self.body {
            Body::LongName => self.name = until_nul(),
            Body::LongLink => self.link = until_nul(),
            _ => {
                for extension in PaxExtensions::new(&text) {
                    let extension = extension?;
                    match extension.key_bytes() {
                        b"path" => self.name = Some(extension.value_bytes().to_vec()),
                        b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn split(bytes: &[u8], at_most: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(at_most).map_or(bytes.len(), |most| most.min(bytes.len())))
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
