//! The `.gitignore` files of another machine.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use bytes::Bytes;

use super::{
    ask::Answered,
    fetch::Wanted,
    names::Names,
    paths::{below, joined, parent, without_dot},
    rules::{GITIGNORE, IGNORE_BYTES},
};
use crate::{Result, archive::Part, spool::Shell};

/// Bytes of all `.gitignore` files together.
const IGNORES_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that one counts for beside its text and its name.
const FILE_BYTES: usize = 128;

/// Bytes that are moved for them: files come whole.
const MOVED_BYTES: usize = 64 * 1024 * 1024;

/// The texts of `.gitignore` files, by the real path of their folder.
#[derive(Debug, Default)]
pub(super) struct Ignores {
    pub(super) texts: HashMap<Vec<u8>, Bytes>,
    /// How many there are that were not taken.
    pub(super) untaken: u32,
}

/// The texts of every `.gitignore` from the root down to what is searched, and below that.
pub(super) async fn ignores(
    shell: &dyn Shell,
    path: &str,
    names: &Names,
    timeout: Duration,
) -> Result<Ignores> {
    let mut wanted: Vec<Bytes> = Vec::new();
    let mut base = names.real.clone();
    let mut inside = Vec::new();
    if let Some(below) = below(&names.root, &names.real).filter(|below| !below.is_empty()) {
        base.clone_from(&names.root);
        inside = [below, b"/"].concat();
        let starts =
            below.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        for start in std::iter::once(0).chain(starts) {
            wanted.push([&below[..start], GITIGNORE.as_bytes()].concat().into());
        }
    }
    let is_ignore =
        |path: &[u8]| path.rsplit(|byte| *byte == b'/').next() == Some(GITIGNORE.as_bytes());
    let listed = names.entries.iter().filter(|name| !name.is_folder && is_ignore(&name.path));
    let mut asked_for = wanted.len();
    let mut bytes = 0;
    for name in listed {
        asked_for += 1;
        bytes += FILE_BYTES + inside.len() + name.path.len();
        if bytes <= IGNORES_BYTES {
            wanted.push([&inside[..], &name.path].concat().into());
        }
    }
    let mut files = Files::default();
    if !wanted.is_empty() {
        let wanted = Wanted { path, base: &base, names: &wanted, timeout };
        let answered = wanted.fetch(shell, |part| files.take(part)).await?;
        files.is_full |= answered == Answered::OutOfTime;
    }
    let is_whole = !files.is_full && asked_for == wanted.len();
    let untaken = if is_whole { 0 } else { asked_for.saturating_sub(files.texts.len()).max(1) };
    let folder_of = |name: &[u8]| parent(&joined(&base, name)).to_vec();
    let texts = files.texts.into_iter().map(|(name, text)| (folder_of(&name), text)).collect();
    Ok(Ignores { texts, untaken: u32::try_from(untaken).unwrap_or(u32::MAX) })
}

/// Takes the texts out of an archive.
#[derive(Default)]
struct Files {
    texts: HashMap<Vec<u8>, Bytes>,
    name: Vec<u8>,
    text: Vec<u8>,
    /// What is kept.
    bytes: usize,
    /// What came.
    moved: usize,
    is_full: bool,
}

impl Files {
    fn take(&mut self, part: Part) -> ControlFlow<()> {
        match part {
            Part::File { path, .. } => {
                (self.name, self.text) = (without_dot(&path).to_vec(), Vec::new());
            }
            Part::Data(data) => {
                // One more tells that there are more.
                let room = (IGNORE_BYTES + 1).saturating_sub(self.text.len());
                self.text.extend_from_slice(&data[..data.len().min(room)]);
                self.moved += data.len();
                if self.moved > MOVED_BYTES {
                    self.is_full = true;
                    return ControlFlow::Break(());
                }
            }
            Part::End => {
                let text = Bytes::from(std::mem::take(&mut self.text));
                let name = std::mem::take(&mut self.name);
                self.bytes += text.len();
                return self.add(name, text);
            }
            Part::Link { path, earlier } => {
                // The text is shared.
                if let Some(text) = self.texts.get(without_dot(&earlier)).cloned() {
                    return self.add(without_dot(&path).to_vec(), text);
                }
            }
            Part::Other => {}
        }
        ControlFlow::Continue(())
    }

    fn add(&mut self, name: Vec<u8>, text: Bytes) -> ControlFlow<()> {
        self.bytes += FILE_BYTES + name.len();
        if self.bytes > IGNORES_BYTES {
            self.is_full = true;
            return ControlFlow::Break(());
        }
        self.texts.insert(name, text);
        ControlFlow::Continue(())
    }
}
