//! The `.gitignore` files of another machine.

use std::{collections::HashMap, ops::ControlFlow, time::Duration};

use ignore::gitignore::Gitignore;

use super::{
    fetch::Wanted,
    names::Names,
    paths::{as_path, below, joined, parent, without_dot},
    rules::{GITIGNORE, IGNORE_BYTES, ignored_by},
};
use crate::{Result, archive::Part, spool::Shell};

/// Bytes of all `.gitignore` files together.
const IGNORES_BYTES: usize = 16 * 1024 * 1024;

/// The texts of every `.gitignore` from the root down to what is searched, and below that, by the
/// real path of its folder.
pub(super) async fn ignores(
    shell: &dyn Shell,
    path: &str,
    names: &Names,
    timeout: Duration,
) -> Result<HashMap<Vec<u8>, Gitignore>> {
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
    let (mut texts, mut bytes) = (Vec::new(), 0);
    let (mut name, mut text) = (Vec::new(), Vec::new());
    let take = |part| {
        match part {
            Part::File { path, .. } => (name, text) = (without_dot(&path).to_vec(), Vec::new()),
            Part::Data(data) => {
                let room = (IGNORE_BYTES as usize).saturating_sub(text.len());
                text.extend_from_slice(&data[..data.len().min(room)]);
            }
            Part::End => {
                bytes += text.len();
                texts.push((std::mem::take(&mut name), std::mem::take(&mut text)));
            }
            Part::Link { path, earlier } => {
                let same = texts.iter().find(|(name, _)| name == without_dot(&earlier));
                let same = same.map(|(_, text)| (without_dot(&path).to_vec(), text.clone()));
                texts.extend(same);
            }
            Part::Other => {}
        }
        if bytes > IGNORES_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if !wanted.is_empty() {
        Wanted { path, base: &base, names: &wanted, timeout }.fetch(shell, take).await?;
    }
    let compile = |(path, text): (Vec<u8>, Vec<u8>)| {
        let folder = parent(&joined(&base, &path)).to_vec();
        let ignored = ignored_by(as_path(&folder), &text);
        (folder, ignored)
    };
    Ok(texts.into_iter().map(compile).collect())
}
