//! Files, written whole or not at all: unpacked beside their place, or beside the records of
//! commands where one is there already, then moved into it.

use std::io;

use bollard::{body_try_stream, query_parameters::UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::stream;

use super::{
    archive::archive,
    reading::{Lookup, Reading, Target},
    run_script::run_script,
    shell::Sandbox,
    spec::{HIDDEN, WORKSPACE},
};
use evonic_backend::{
    FileType, KeepAnswer, KeepRequest, Result, Rewrite, Stage, WorkplaceError, Written,
};

/// Of a new file.
const FILE_MODE: u32 = 0o644;

/// Of a new folder.
const FOLDER_MODE: u32 = 0o755;

/// Of a draft that gets its rights later.
const PRIVATE: u32 = 0o600;

/// Of the folder that drafts of files that are there are made in: their own may not be writable.
const HIDDEN_MODE: u32 = 0o700;

/// Puts `$1` in the place of `$2`.
const PUT: &str = r#"if [ -d "$2" ]; then rm -f -- "$1"; echo "Is a directory" >&2; exit 1; fi
mv -f -- "$1" "$2" || { rm -f -- "$1"; exit 1; }"#;

/// Puts the draft in the place of the file, after [`KeepRequest`]'s script.
pub(super) const TAKE_PLACE: &str = r#"e=$(mv -f -- "$draft" "$file" 2>&1) || {
    [ "$how" = whole ] || end inplace
    end "folder ${e##*: }"
}"#;

/// Writes over `$2` with what is in `$1`.
const OVERWRITE: &str = r#"cat -- "$1" >"$2" && rm -f -- "$1""#;

const REMOVE: &str = r#"rm -f -- "$1""#;

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
    rewrite: Rewrite,
) -> Result<Written> {
    let mut at = Reading::begin(sandbox, shown).await?;
    match at.look(path).await? {
        Lookup::Found(found) => {
            at.expect_file(&found)?;
            let end = below_workspace(shown, &found.path)?;
            let replacing = Replacing { sandbox, shown, path, end: &end, rewrite };
            replacing.write(&mut at, found.stat.mode, content, seen).await
        }
        Lookup::Absent { path } => {
            let end = below_workspace(shown, &path)?;
            write_new(sandbox, &mut at, shown, &end, content).await?;
            Ok(Written::default())
        }
    }
}

async fn write_new(
    sandbox: &Sandbox,
    at: &mut Reading<'_>,
    shown: &str,
    end: &str,
    content: Bytes,
) -> Result<()> {
    let draft = format!(".{:016x}.draft", fastrand::u64(..));
    let (folder, name) = end.rsplit_once('/').unwrap_or(("", end));
    let made = make_folders(at, folder).await?;
    let user = sandbox.container.user()?;
    let inside = format!("{}/{draft}", made.below);
    let file = (inside.trim_start_matches('/'), FILE_MODE);
    let pieces =
        archive(user, made.missing(), file, content).map_err(|error| at.failed("write", error))?;
    unpack(at, &made.there, pieces).await?;
    let (draft, target) = (format!("{folder}/{draft}"), format!("{folder}/{name}"));
    run_script(sandbox, "write", shown, PUT, &[&draft, &target]).await.map(drop)
}

/// A file that is there and gets new content.
struct Replacing<'r> {
    sandbox: &'r Sandbox,
    shown: &'r str,
    /// As it was asked for.
    path: &'r str,
    /// Links followed.
    end: &'r str,
    rewrite: Rewrite,
}

impl Replacing<'_> {
    async fn write(
        &self,
        at: &mut Reading<'_>,
        mode: u32,
        content: Bytes,
        seen: Option<&Target>,
    ) -> Result<Written> {
        let draft = format!("{HIDDEN}/{:016x}.draft", fastrand::u64(..));
        let user = self.sandbox.container.user()?;
        let folders = [(HIDDEN.to_owned(), HIDDEN_MODE)];
        let pieces = archive(user, folders, (&draft, PRIVATE), content);
        unpack(at, WORKSPACE, pieces.map_err(|error| at.failed("write", error))?).await?;
        let draft = format!("{WORKSPACE}/{draft}");
        let written = self.replace(at, &draft, mode, seen).await;
        if written.is_err() {
            // The first error is reported; that this one may follow from it is not news.
            let _left = run_script(self.sandbox, "write", self.shown, REMOVE, &[&draft]).await;
        }
        written
    }

    async fn replace(
        &self,
        at: &mut Reading<'_>,
        draft: &str,
        mode: u32,
        seen: Option<&Target>,
    ) -> Result<Written> {
        let Self { sandbox, shown, rewrite, end: file, .. } = *self;
        if let Some(seen) = seen {
            let is_same = match at.look(self.path).await? {
                Lookup::Found(now) => now.stat == seen.stat && now.changed == seen.changed,
                Lookup::Absent { .. } => false,
            };
            if !is_same {
                return Err(WorkplaceError::changed(shown));
            }
        }
        let (wanted, then) = (None, TAKE_PLACE);
        let request = KeepRequest { shown, file, draft, mode, wanted, rewrite, then };
        match request.run(sandbox).await? {
            KeepAnswer::Kept(written) => Ok(written),
            KeepAnswer::InPlace => {
                run_script(sandbox, "write", shown, OVERWRITE, &[draft, file]).await?;
                Ok(Written::in_place())
            }
        }
    }
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
