//! Which of the names are read, in order.

use std::time::Duration;

use bytes::Bytes;
use tokio::{task::yield_now, time::Instant};

use super::{
    ignores::Ignores,
    names::Names,
    paths::{as_path, below, joined, parent},
    rules::{Filter, Ignored, is_ignored},
};

/// How long the rules may take. What was not decided until then is not read.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Names between two looks at the clock, and two chances for other tasks.
const AT_ONCE: usize = 64;

/// What is to be read, in order.
pub(super) struct Plan {
    /// The folder that `wanted` is relative to.
    pub(super) base: Vec<u8>,
    pub(super) wanted: Vec<Bytes>,
    /// Files and folders that are wanted and cannot be read.
    pub(super) unreadable: u32,
    /// The path of `base` in matches; of the file itself, when one file is searched.
    pub(super) shown: Vec<u8>,
    pub(super) is_file: bool,
    /// `.gitignore` files of which some rules are not followed.
    pub(super) ignores_cut: u32,
    /// Whether there was no time for all names.
    pub(super) more: bool,
}

impl Plan {
    /// One file.
    pub(super) fn file(names: &Names) -> Self {
        let name = names.real.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let base = parent(&names.real).to_vec();
        Self { base, wanted: vec![name.into()], is_file: true, ..Self::new(names) }
    }

    fn new(names: &Names) -> Self {
        Self {
            base: names.real.clone(),
            wanted: Vec::new(),
            unreadable: 0,
            shown: shown(names),
            is_file: false,
            ignores_cut: 0,
            more: false,
        }
    }

    /// Walks through the names as through folders.
    pub(super) async fn folder(names: &Names, ignores: &Ignores, filter: &Filter) -> Self {
        let mut plan =
            Self { ignores_cut: ignores.untaken, unreadable: names.too_long, ..Self::new(names) };
        let deadline = Instant::now() + TIMEOUT;
        let mut in_force = InForce::default();
        for folder in folders_down(names) {
            plan.ignores_cut += u32::from(in_force.enter(folder, ignores));
        }
        // A folder that is passed over, with all that is below it.
        let mut passed: Option<Vec<u8>> = None;
        for (number, name) in names.entries.iter().enumerate() {
            if passed.as_ref().is_some_and(|folder| name.path.starts_with(folder)) {
                continue;
            }
            if number % AT_ONCE == 0 {
                if Instant::now() > deadline {
                    plan.more = true;
                    break;
                }
                yield_now().await;
            }
            let whole = joined(&names.real, &name.path);
            plan.ignores_cut += u32::from(in_force.enter(parent(&whole), ignores));
            let unwanted = is_ignored(as_path(&whole), name.is_folder, in_force.0.iter().rev())
                || filter.passes_over(as_path(&name.path), name.is_folder);
            if !unwanted && !name.is_readable {
                plan.unreadable += 1;
            }
            match (unwanted || !name.is_readable, name.is_folder) {
                (true, true) => passed = Some([&name.path[..], b"/"].concat()),
                (false, false) => plan.wanted.push(name.path.clone()),
                _ => {}
            }
        }
        plan
    }
}

/// The rules from the top down to a folder; those of other folders are compiled when it is their
/// turn.
#[derive(Default)]
struct InForce(Vec<Ignored>);

impl InForce {
    /// Goes on in this folder, which is below one of those, or beside it. Returns whether some of
    /// its own rules are not followed.
    fn enter(&mut self, folder: &[u8], ignores: &Ignores) -> bool {
        while self.0.last().is_some_and(|last| below(last.folder(), folder).is_none()) {
            self.0.pop();
        }
        if self.0.last().is_some_and(|last| last.folder() == folder) {
            return false;
        }
        let Some(text) = ignores.texts.get(folder) else { return false };
        let weight = self.0.iter().map(Ignored::weight).sum();
        let ignored = Ignored::new(as_path(folder), text, weight);
        let is_cut = ignored.is_cut();
        self.0.push(ignored);
        is_cut
    }
}

/// What is searched, relative to the root where it is below it.
fn shown(names: &Names) -> Vec<u8> {
    below(&names.root, &names.real).unwrap_or(&names.real).to_vec()
}

/// The folders from the top down to what is searched: from the root, or from itself when that is
/// outside.
fn folders_down(names: &Names) -> impl Iterator<Item = &[u8]> {
    let path = &names.real;
    let top = if below(&names.root, path).is_some() { names.root.len() } else { path.len() };
    let ends =
        path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end.max(1));
    ends.chain([path.len()]).map(|end| &path[..end]).filter(move |folder| folder.len() >= top)
}
