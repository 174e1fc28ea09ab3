//! The lines of a file that match, found as its bytes come.

use super::rules::{BINARY_BYTES, Filter, LINE_BYTES, few_questions, shown};

/// One file on its way.
pub(super) struct Lines {
    /// The beginning, until it is known whether this is text.
    head: Option<Vec<u8>>,
    is_binary: bool,
    /// The beginning of a line whose end did not come yet, as much of it as is looked at.
    line: Vec<u8>,
    /// Whether anything came of it.
    began: bool,
    number: u64,
}

impl Default for Lines {
    fn default() -> Self {
        let head = Some(Vec::new());
        Self { head, is_binary: false, line: Vec::new(), began: false, number: 0 }
    }
}

impl Lines {
    /// Takes the next bytes and reports each line that matches: its number and what is shown of it.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        filter: &Filter,
        report: &mut impl FnMut(u64, String),
    ) {
        let Some(head) = &mut self.head else {
            return self.text(bytes, filter, report);
        };
        let (first, rest) = bytes.split_at(bytes.len().min(BINARY_BYTES - head.len()));
        head.extend_from_slice(first);
        if head.len() == BINARY_BYTES {
            self.decide(filter, report);
            self.text(rest, filter, report);
        }
    }

    /// There is no more.
    pub(super) fn end(&mut self, filter: &Filter, report: &mut impl FnMut(u64, String)) {
        self.decide(filter, report);
        if self.began {
            self.line_ends(filter, report);
        }
    }

    fn decide(&mut self, filter: &Filter, report: &mut impl FnMut(u64, String)) {
        if let Some(head) = self.head.take() {
            self.is_binary = head.contains(&0);
            self.text(&head, filter, report);
        }
    }

    fn text(&mut self, bytes: &[u8], filter: &Filter, report: &mut impl FnMut(u64, String)) {
        if self.is_binary {
            return;
        }
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let room = (LINE_BYTES as usize).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            self.began |= !part.is_empty();
            if parts.peek().is_some() {
                self.line_ends(filter, report);
            }
        }
    }

    fn line_ends(&mut self, filter: &Filter, report: &mut impl FnMut(u64, String)) {
        self.number += 1;
        if let Some(at) = filter.find(&self.line, &mut few_questions()) {
            report(self.number, shown(&self.line, at));
        }
        self.line.clear();
        self.began = false;
    }
}
