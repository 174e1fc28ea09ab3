//! Which of the names are read, in order.

use std::collections::HashMap;

use ignore::gitignore::Gitignore;

use super::{
    names::Names,
    paths::{as_path, below, joined, parent},
    rules::{Filter, is_ignored},
};

/// What is to be read, in order.
pub(super) struct Plan {
    /// The folder that `wanted` is relative to.
    pub(super) base: Vec<u8>,
    pub(super) wanted: Vec<Vec<u8>>,
    /// Files and folders that are wanted and cannot be read.
    pub(super) unreadable: u32,
    /// The path of `base` in matches; of the file itself, when one file is searched.
    pub(super) shown: Vec<u8>,
    pub(super) is_file: bool,
}

impl Plan {
    /// One file.
    pub(super) fn file(names: &Names) -> Self {
        let name = names.real.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let base = parent(&names.real).to_vec();
        Self { base, wanted: vec![name], unreadable: 0, shown: shown(names), is_file: true }
    }

    /// Walks through the names as through folders.
    pub(super) fn folder(
        names: &Names,
        ignores: &HashMap<Vec<u8>, Gitignore>,
        filter: &Filter,
    ) -> Self {
        let (base, wanted) = (names.real.clone(), Vec::new());
        let mut plan = Self { base, wanted, unreadable: 0, shown: shown(names), is_file: false };
        // A folder that is passed over, with all that is below it.
        let mut passed: Option<Vec<u8>> = None;
        for name in &names.entries {
            if passed.as_ref().is_some_and(|folder| name.path.starts_with(folder)) {
                continue;
            }
            let whole = joined(&names.real, &name.path);
            let above = folders_above(&whole, &names.root, &names.real);
            let nearest_first = above.filter_map(|folder| ignores.get(folder));
            let unwanted = is_ignored(as_path(&whole), name.is_folder, nearest_first)
                || filter.passes_over(as_path(&name.path), name.is_folder);
            if !unwanted && !name.is_readable {
                plan.unreadable += 1;
            }
            match (unwanted || !name.is_readable, name.is_folder) {
                (true, true) => passed = Some([name.path.as_slice(), b"/"].concat()),
                (false, false) => plan.wanted.push(name.path.clone()),
                _ => {}
            }
        }
        plan
    }
}

/// What is searched, relative to the root where it is below it.
fn shown(names: &Names) -> Vec<u8> {
    below(&names.root, &names.real).unwrap_or(&names.real).to_vec()
}

/// The folders above a path, the nearest first: down from the root, or from what is searched when
/// that is outside.
fn folders_above<'p>(
    path: &'p [u8],
    root: &'p [u8],
    real: &'p [u8],
) -> impl Iterator<Item = &'p [u8]> {
    let top = if below(root, real).is_some() { root } else { real };
    std::iter::successors(Some(parent(path)), |folder| (folder.len() > 1).then(|| parent(folder)))
        .take_while(move |folder| folder.len() >= top.len())
}
