//! The `.gitignore` files of another machine.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use ignore::gitignore::Gitignore;

use super::{
    archive::Files,
    fetch::Wanted,
    names::Names,
    paths::{as_path, below, joined, parent, without_dot},
    rules::{GITIGNORE, IGNORE_BYTES, ignored_by},
};
use crate::{WorkplaceError, spool::Shell};

/// Bytes of all `.gitignore` files together.
const IGNORES_BYTES: usize = 16 * 1024 * 1024;

/// The texts of every `.gitignore` from the root down to what is searched, and below that, by the
/// real path of its folder.
pub(super) async fn ignores<S: Shell>(
    shell: &S,
    path: &str,
    names: &Names,
    timeout: Duration,
) -> Result<HashMap<Vec<u8>, Gitignore>, WorkplaceError> {
    let mut wanted: Vec<Vec<u8>> = Vec::new();
    let mut base = names.real.clone();
    let mut inside = Vec::new();
    if let Some(below) = below(&names.root, &names.real).filter(|below| !below.is_empty()) {
        base.clone_from(&names.root);
        inside = [below, b"/"].concat();
        let starts =
            below.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        for start in std::iter::once(0).chain(starts) {
            wanted.push([&below[..start], GITIGNORE.as_bytes()].concat());
        }
    }
    let is_ignore =
        |path: &[u8]| path.rsplit(|byte| *byte == b'/').next() == Some(GITIGNORE.as_bytes());
    let listed = names.entries.iter().filter(|name| !name.is_folder && is_ignore(&name.path));
    wanted.extend(listed.map(|name| [&inside, name.path.as_slice()].concat()));
    let mut texts = Texts::default();
    if !wanted.is_empty() {
        let wanted = Wanted { path, base: &base, names: &wanted, timeout };
        wanted.fetch(shell, &mut texts).await?;
    }
    let compile = |(path, text): (Vec<u8>, Vec<u8>)| {
        let folder = parent(&joined(&base, &path)).to_vec();
        let ignored = ignored_by(as_path(&folder), &text);
        (folder, ignored)
    };
    Ok(texts.done.into_iter().map(compile).collect())
}

/// Takes small files whole.
#[derive(Default)]
struct Texts {
    name: Vec<u8>,
    text: Vec<u8>,
    bytes: usize,
    done: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Files for Texts {
    fn begin(&mut self, path: &[u8]) {
        self.name = without_dot(path).to_vec();
        self.text.clear();
    }

    fn again(&mut self, path: &[u8], earlier: &[u8]) -> ControlFlow<()> {
        let earlier = without_dot(earlier);
        let text = self.done.iter().find(|(name, _)| name == earlier).map(|(_, text)| text.clone());
        self.done.extend(text.map(|text| (without_dot(path).to_vec(), text)));
        ControlFlow::Continue(())
    }

    fn data(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let room =
            usize::try_from(IGNORE_BYTES).unwrap_or(usize::MAX).saturating_sub(self.text.len());
        self.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
        ControlFlow::Continue(())
    }

    fn end(&mut self) -> ControlFlow<()> {
        self.bytes += self.text.len();
        self.done.push((std::mem::take(&mut self.name), std::mem::take(&mut self.text)));
        if self.bytes > IGNORES_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
