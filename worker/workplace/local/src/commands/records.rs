//! The folder of all records, and what is old in it.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use evonic_backend::Removal;
use evonic_runner::{
    Life, process,
    record::{Claim, Record, Status},
};

use crate::{
    files::{Files, Operation, change},
    sandbox::PROBES,
};

/// The most records that are looked at.
const MOST: usize = 100_000;

/// How commands of turns are called.
const CALLS: &str = "call_";

/// The names of records that nothing needs any more. Those of turns are not among them: a clock that
/// steps forwards makes them old while somebody waits for the result, and each worker's start clears
/// those that no turn needs.
pub(super) fn old(folder: &Path, keep: Duration) -> Vec<String> {
    let is_old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= keep))
    };
    let is_call =
        |entry: &fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(CALLS.as_bytes());
    names(folder, |entry| !is_call(entry) && is_old(entry) && !runs(&entry.path()))
}

/// The names of those records that are `wanted`.
pub(super) fn names(folder: &Path, wanted: impl Fn(&fs::DirEntry) -> bool) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(io::Result::ok)
        .take(MOST)
        .filter(wanted)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Whether that is a sandbox that a worker tried which is dead. One whose pid another process has by
/// now stays, for the next worker.
pub(super) fn is_left_probe(name: &OsStr) -> bool {
    let name = name.to_str().and_then(|name| name.strip_prefix(PROBES));
    let pid = name.and_then(|name| name.split('-').next());
    pid.and_then(|pid| pid.parse().ok()).is_some_and(|pid| !process::exists(pid))
}

/// Whether the command of a record runs.
fn runs(record: &Path) -> bool {
    let Ok(Some(record)) = Record::open(record) else { return false };
    let is_settled = matches!(record.status(), Ok(Some(Status { .. })));
    let runner = match record.claimed() {
        Ok(Some(Claim::Runner { runner, .. })) => Some(runner),
        _ => None,
    };
    !is_settled && runner.is_some_and(|runner| runner.life() != Life::Over)
}

/// Removes a record.
pub(super) async fn remove(records: &Files, command_id: &str) {
    let remove = |op: Operation<'_>| change::remove(op, Removal::All);
    match records.on_thread("remove", command_id, remove).await {
        Ok(()) => {}
        Err(error) if error.is_missing() => {}
        // It is old one day, and tried again then.
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::info!(command_id, error, "the record of a command stays for now");
        }
    }
}

/// Makes a folder that only its user can read.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
