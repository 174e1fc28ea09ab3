//! Files, written whole or not at all: unpacked beside their place, then moved into it.

use std::io;

use bollard::{body_try_stream, query_parameters::UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::stream;

use super::{
    archive::archive,
    reading::{Lookup, Reading, Target},
    run_script::run_script,
    shell::Sandbox,
    spec::WORKSPACE,
};
use evonic_backend::{FileType, Result, Stage, WorkplaceError};

/// Of a new file.
const FILE_MODE: u32 = 0o644;

/// Of a new folder.
const FOLDER_MODE: u32 = 0o755;

/// Puts `$1` in the place of `$2`.
const PUT: &str = r#"if [ -d "$2" ]; then rm -f -- "$1"; echo "Is a directory" >&2; exit 1; fi
mv -f -- "$1" "$2" || { rm -f -- "$1"; exit 1; }"#;

/// Writes a file at a whole path. When `seen` is there, the file must still be that one.
///
/// # Errors
/// [`WorkplaceError`].
pub(super) async fn write(
    sandbox: &Sandbox,
    shown: &str,
    path: &str,
    content: Bytes,
    seen: Option<&Target>,
) -> Result<()> {
    let mut at = Reading::begin(sandbox, shown).await?;
    let (end, mode) = match at.look(path).await? {
        Lookup::Found(found) => {
            at.expect_file(&found)?;
            (found.path, found.stat.mode)
        }
        Lookup::Absent { path } => (path, FILE_MODE),
    };
    let end = below_workspace(shown, &end)?;
    let draft = format!(".{:016x}.draft", fastrand::u64(..));
    let (folder, name) = end.rsplit_once('/').unwrap_or(("", &end));
    let made = make_folders(&mut at, folder).await?;
    let user = sandbox.container.user()?;
    let inside = format!("{}/{draft}", made.below);
    let file = (inside.trim_start_matches('/'), mode);
    let pieces =
        archive(user, made.missing(), file, content).map_err(|error| at.failed("write", error))?;
    unpack(&at, &made.there, pieces).await?;
    let (draft, target) = (format!("{folder}/{draft}"), format!("{folder}/{name}"));
    if let Some(seen) = seen {
        let is_same = match at.look(path).await? {
            Lookup::Found(now) => now.stat == seen.stat && now.changed == seen.changed,
            Lookup::Absent { .. } => false,
        };
        if !is_same {
            run_script(sandbox, "write", shown, r#"rm -f -- "$1""#, &[&draft]).await?;
            return Err(WorkplaceError::changed(shown));
        }
    }
    run_script(sandbox, "write", shown, PUT, &[&draft, &target]).await.map(drop)
}

/// The folder that is there, and those below it that are not.
struct Folders {
    /// A whole path, links followed.
    there: String,
    /// The path of the missing ones, from there; empty when none is missing.
    below: String,
}

impl Folders {
    /// Each of the missing ones, with its mode.
    fn missing(&self) -> impl Iterator<Item = (String, u32)> {
        let ends = self.below.match_indices('/').map(|(end, _)| end).chain([self.below.len()]);
        ends.filter(|&end| end > 0).map(|end| (self.below[..end].to_owned(), FOLDER_MODE))
    }
}

/// Finds the lowest folder above a path that is there.
async fn make_folders(at: &mut Reading<'_>, folder: &str) -> Result<Folders> {
    let mut there = folder;
    loop {
        if let Lookup::Found(found) = at.look(there).await? {
            if found.stat.file_type != FileType::Folder {
                return Err(at.failed("write", io::ErrorKind::NotADirectory));
            }
            let below = folder[there.len()..].trim_start_matches('/').to_owned();
            return Ok(Folders { there: found.path, below });
        }
        match there.rsplit_once('/') {
            Some((above, _)) if !above.is_empty() => there = above,
            _ => return Err(at.failed("write", io::ErrorKind::NotFound)),
        }
    }
}

async fn unpack(at: &Reading<'_>, folder: &str, pieces: Vec<Bytes>) -> Result<()> {
    let engine = &at.sandbox.container.engine;
    let options = UploadToContainerOptionsBuilder::default().path(folder).build();
    let body = body_try_stream(stream::iter(pieces.into_iter().map(Ok)));
    let asked = engine.docker.upload_to_container(&at.lease.id, Some(options), body);
    Ok(engine.transfer(Stage::Write, asked).await?)
}

/// Only the workspace can be written by the engine: the rest is read-only, or in memory.
pub(super) fn below_workspace(shown: &str, path: &str) -> Result<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let whole = format!("/{}", names.join("/"));
    match whole.strip_prefix(WORKSPACE) {
        Some(rest) if rest.starts_with('/') => Ok(whole),
        _ => {
            let reason = format!("only what is below {WORKSPACE} can be changed");
            let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
            Err(WorkplaceError::path("write", shown, source))
        }
    }
}
