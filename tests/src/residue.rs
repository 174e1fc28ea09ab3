//! What a pair has on this machine: processes, namespaces, mounts, control groups, records and
//! descriptors. Two looks are compared, before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::{pair::Pair, process};

/// Kinds of namespace that a command has of its own.
const NAMESPACES: [&str; 6] = ["ipc", "mnt", "net", "pid", "user", "uts"];

/// What a pair has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residue {
    /// Names of processes that have anything of the pair, but for its supervisor and worker: in their
    /// arguments, environment, folder, mounts or descriptors.
    pub processes: BTreeMap<u32, String>,
    /// Namespaces that these are in, or that supervisor and worker hold, and this process is not in.
    pub namespaces: BTreeSet<String>,
    /// Mounts of this process, the supervisor and the worker that show anything of the pair.
    pub mounts: Vec<String>,
    /// Control groups of commands.
    pub groups: Vec<PathBuf>,
    /// Records of commands, and what is made to try a sandbox.
    pub records: Vec<String>,
}

impl Residue {
    /// What the pair has now. `groups` is the control group of its service, if it has one.
    #[must_use]
    pub fn of(pair: &Pair, group: Option<&Path>) -> Self {
        let (own, worker) = ([std::process::id(), pair.pid()], pair.status().worker);
        let pair_pids: Vec<u32> = own.into_iter().chain(worker.map(|worker| worker.pid)).collect();
        let folder = pair.folder();
        let folder = folder.to_str().expect("it is UTF-8");
        let mut processes = BTreeMap::new();
        for pid in process::all().into_iter().filter(|pid| !pair_pids.contains(pid)) {
            if process::is_alive(pid) && has(pid, folder) {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                processes.insert(pid, name.trim().to_owned());
            }
        }
        let looked_at = processes.keys().chain(&pair_pids);
        let ours: BTreeSet<String> = namespaces(std::process::id());
        let namespaces = looked_at.flat_map(|pid| namespaces(*pid));
        let mounts = pair_pids.iter().flat_map(|pid| {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            mounts
                .lines()
                .filter(|line| line.contains(folder))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        Self {
            mounts: mounts.collect(),
            namespaces: namespaces.filter(|namespace| !ours.contains(namespace)).collect(),
            groups: group.map(|group| entries(&group.join("commands"))).unwrap_or_default(),
            records: names(&pair.state_dir().join("commands")),
            processes,
        }
    }

    /// Whether there is nothing but the supervisor and its worker.
    #[must_use]
    pub fn is_none(&self) -> bool {
        let Self { processes, namespaces, mounts, groups, records } = self;
        processes.is_empty()
            && namespaces.is_empty()
            && [mounts.len(), groups.len(), records.len()] == [0; 3]
    }
}

/// Whether a process has anything below a folder. One that ends meanwhile has nothing.
fn has(pid: u32, folder: &str) -> bool {
    let text = ["cmdline", "environ", "mountinfo"]
        .into_iter()
        .filter_map(|file| fs::read(format!("/proc/{pid}/{file}")).ok());
    let works_there = fs::read_link(format!("/proc/{pid}/cwd"));
    let mut paths = process::links(pid).into_iter().chain(works_there);
    text.into_iter().any(|text| String::from_utf8_lossy(&text).contains(folder))
        || paths.any(|path| path.to_string_lossy().contains(folder))
}

/// Those that a process is in, and that it holds a descriptor of.
fn namespaces(pid: u32) -> BTreeSet<String> {
    let is_in = NAMESPACES.iter().filter_map(|kind| {
        Some(fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?.display().to_string())
    });
    let is_namespace =
        |link: &String| link.split_once(":[").is_some_and(|(kind, _)| NAMESPACES.contains(&kind));
    let held = process::links(pid).into_iter().map(|link| link.display().to_string());
    is_in.chain(held.filter(is_namespace)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
    entries(folder).into_iter().filter_map(name).collect()
}

/// The folders in a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
