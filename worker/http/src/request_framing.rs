//! Where requests begin and end in a connection's bytes, and whether their lines end as they must.
//!
//! hyper takes a bare line feed as the end of a line in the head of a request and in the trailer of
//! its body. A proxy in front may not; then the two disagree about where one request ends and the
//! next begins, and a client sends requests that the proxy never saw (RFC 9112, section 11.2).

use memchr::memchr;

/// How a request's body is delimited (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// By its number of bytes; none at all without a body.
    Exact(u64),
    Chunked,
}

/// A line ends with a line feed that no carriage return precedes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line ends with a bare line feed")]
pub(crate) struct BareLineFeed;

/// Follows the requests of one connection. What is malformed otherwise hyper refuses.
#[derive(Debug)]
pub(crate) struct RequestFraming {
    part: Part,
    /// The last byte was a carriage return.
    after_cr: bool,
    /// The line has a byte beside its end.
    has_content: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Empty lines before a request, which every server ignores (RFC 9112, section 2.2).
    Before,
    Head,
    /// How the body is delimited is not known yet.
    HeadEnded,
    Exact(u64),
    /// A chunk's first line; the size as far as it has come.
    ChunkSize {
        bytes: u64,
        is_whole: bool,
    },
    ChunkData(u64),
    /// The end of line after a chunk's data.
    ChunkEnd,
    Trailer,
}

impl RequestFraming {
    pub(crate) const fn new() -> Self {
        Self { part: Part::Before, after_cr: false, has_content: false }
    }

    /// Whether a head has ended whose body's length is not known yet.
    pub(crate) fn awaits_body(&self) -> bool {
        self.part == Part::HeadEnded
    }

    /// Whether what comes belongs to the body of a request that was handed over.
    pub(crate) const fn is_in_body(&self) -> bool {
        !matches!(self.part, Part::Before | Part::Head | Part::HeadEnded)
    }

    /// After the end of a head: how its body is delimited.
    pub(crate) const fn begin_body(&mut self, length: BodyLength) {
        self.enter(match length {
            BodyLength::Exact(0) => Part::Before,
            BodyLength::Exact(bytes) => Part::Exact(bytes),
            BodyLength::Chunked => Part::ChunkSize { bytes: 0, is_whole: false },
        });
    }

    /// Takes the next bytes, up to the end of a head or of a body, and returns how many those are:
    /// one at least, except after the end of a head.
    ///
    /// # Errors
    /// [`BareLineFeed`]; nothing after it can be trusted.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, BareLineFeed> {
        let mut taken = 0;
        while taken < bytes.len() && self.part != Part::HeadEnded {
            let (part, rest) = (self.part, &bytes[taken..]);
            taken += match part {
                Part::Exact(left) | Part::ChunkData(left) => self.skip(left, rest.len()),
                _ => self.take_line(rest)?,
            };
            if part != Part::Before && self.part == Part::Before {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes as much of a body's data as there is.
    fn skip(&mut self, left: u64, available: usize) -> usize {
        let skipped = left.min(available as u64);
        let left = left - skipped;
        match self.part {
            Part::Exact(_) if left == 0 => self.enter(Part::Before),
            Part::Exact(_) => self.part = Part::Exact(left),
            _ if left == 0 => self.enter(Part::ChunkEnd),
            _ => self.part = Part::ChunkData(left),
        }
        skipped as usize
    }

    /// Takes bytes up to the end of the line, or all of them.
    fn take_line(&mut self, bytes: &[u8]) -> Result<usize, BareLineFeed> {
        let end = memchr(b'\n', bytes);
        let line = &bytes[..end.unwrap_or(bytes.len())];
        let ends_in_cr = line.last().map_or(self.after_cr, |&last| last == b'\r');
        let content = line.len() - usize::from(!line.is_empty() && ends_in_cr);
        self.has_content |= content > 0 || (self.after_cr && !line.is_empty());
        if let Part::ChunkSize { bytes, is_whole } = &mut self.part {
            size(line, bytes, is_whole);
        }
        if self.part == Part::Before && self.has_content {
            self.part = Part::Head;
        }
        self.after_cr = ends_in_cr;
        let Some(end) = end else { return Ok(bytes.len()) };
        if !ends_in_cr && self.part != Part::Before {
            return Err(BareLineFeed);
        }
        self.end_line();
        Ok(end + 1)
    }

    fn end_line(&mut self) {
        let is_empty = !self.has_content;
        self.enter(match self.part {
            Part::Head if is_empty => Part::HeadEnded,
            Part::Trailer if is_empty => Part::Before,
            Part::ChunkSize { bytes: 0, .. } => Part::Trailer,
            Part::ChunkSize { bytes, .. } => Part::ChunkData(bytes),
            Part::ChunkEnd => Part::ChunkSize { bytes: 0, is_whole: false },
            part => part,
        });
    }

    const fn enter(&mut self, part: Part) {
        self.part = part;
        self.after_cr = false;
        self.has_content = false;
    }
}

/// Reads the hexadecimal digits that a chunk begins with. hyper refuses a size that overflows.
fn size(line: &[u8], bytes: &mut u64, is_whole: &mut bool) {
    for byte in line {
        match (*byte as char).to_digit(16) {
            Some(digit) if !*is_whole => {
                *bytes = bytes.saturating_mul(16).saturating_add(u64::from(digit));
            }
            _ => *is_whole = true,
        }
    }
}

#[cfg(test)]
mod tests;
