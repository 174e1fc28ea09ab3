//! Lines that match, in the files below a folder.

use std::{
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    vec,
};

use ignore::{
    gitignore::{Gitignore, GitignoreBuilder},
    overrides::{Override, OverrideBuilder},
};
use regex::bytes::Regex;
use rustix::fs::{FileType, OFlags, fstat};

use super::{
    CHUNK_BYTES,
    desk::{Desk, Opened},
    expect_type, failed,
    list::{below, enter, names},
    look, reopen,
    root::{Root, real_path},
};
use crate::workplace::{Found, Match, WorkplaceError, local::pool::Wanted};

/// The most names of one folder that are looked at.
const FOLDER_NAMES: usize = 250_000;

/// Bytes of a line that are looked at.
const LINE_BYTES: u64 = 1024 * 1024;

const GITIGNORE: &str = ".gitignore";

/// Bytes of a `.gitignore` that are read.
const IGNORE_BYTES: u64 = 1024 * 1024;

/// Characters of a line that are shown.
const SHOWN: usize = 500;

/// Characters that are shown before a match that stands far inside its line.
const SHOWN_BEFORE: usize = 100;

/// What is looked for.
pub(super) struct Filter {
    pattern: Regex,
    /// Relative to the folder that is searched, by the rules of `.gitignore`: without a slash it
    /// is a name at any depth.
    glob: Override,
}

impl Filter {
    /// # Errors
    /// [`WorkplaceError::Pattern`] with the fault.
    pub(super) fn new(pattern: &str, glob: Option<&str>) -> Result<Self, WorkplaceError> {
        let fault = |message: String| WorkplaceError::Pattern { message };
        let pattern = Regex::new(pattern).map_err(|error| fault(error.to_string()))?;
        let mut globs = OverrideBuilder::new("/");
        if let Some(glob) = glob {
            globs.add(glob).map_err(|error| fault(error.to_string()))?;
        }
        let glob = globs.build().map_err(|error| fault(error.to_string()))?;
        Ok(Self { pattern, glob })
    }
}

/// A folder that is being searched.
struct Level {
    /// Relative to where the search began.
    path: PathBuf,
    names: vec::IntoIter<(OsString, FileType)>,
    ignored: Gitignore,
}

struct Search<'s> {
    desk: &'s Desk,
    filter: &'s Filter,
    limit: usize,
    /// What a path in a match begins with.
    shown: PathBuf,
    found: Found,
}

/// See [`crate::workplace::Local::search`].
pub(super) fn search(
    desk: &Desk,
    root: &Root,
    path: &str,
    filter: &Filter,
    limit: usize,
    wanted: &Wanted<'_>,
) -> Result<Found, WorkplaceError> {
    let failed = failed("search", path);
    let (handle, stat) = look(desk, root, "search", path)?;
    let real = real_path(&handle).map_err(&failed)?;
    let shown = real.strip_prefix(root.path()).unwrap_or(&real).to_owned();
    let mut search = Search { desk, filter, limit, shown, found: Found::default() };
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        let file = reopen(desk, &handle, OFlags::RDONLY).map_err(&failed)?;
        drop(handle);
        search.file(file, Path::new("")).map_err(&failed)?;
        return Ok(search.end());
    }
    expect_type(path, &stat, FileType::Directory)?;
    drop(handle);
    let above = ignored_above(desk, root, &real);
    let base = root.open_real_folder(desk, &real).map_err(&failed)?;
    search.folders(&base, &real, &above, wanted).map_err(&failed)?;
    Ok(search.end())
}

impl Search<'_> {
    /// Every folder below the base, one open at a time beside it.
    fn folders(
        &mut self,
        base: &OwnedFd,
        real: &Path,
        above: &[Gitignore],
        wanted: &Wanted<'_>,
    ) -> io::Result<()> {
        let mut levels = vec![self.level(base, real, PathBuf::new())?];
        while let Some(level) = levels.last_mut() {
            if self.found.matches.len() > self.limit || !wanted.still() {
                break;
            }
            let Some((name, file_type)) = level.names.next() else {
                levels.pop();
                continue;
            };
            let inside = level.path.join(&name);
            let is_folder = file_type == FileType::Directory;
            let ignores = levels.iter().rev().map(|level| &level.ignored).chain(above.iter().rev());
            if (is_folder && name == ".git") || is_ignored(&real.join(&inside), is_folder, ignores)
            {
                continue;
            }
            if self.filter.glob.matched(Path::new("/").join(&inside), is_folder).is_ignore() {
                continue;
            }
            if is_folder {
                let level = self.level(base, real, inside);
                levels.extend(self.readable(level));
            } else if file_type == FileType::RegularFile {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let searched = below(self.desk, base, &inside, flags)
                    .and_then(|file| self.file(file, &inside));
                self.readable(searched);
            }
        }
        Ok(())
    }

    fn level(&mut self, base: &OwnedFd, real: &Path, path: PathBuf) -> io::Result<Level> {
        let mut names = if path.as_os_str().is_empty() {
            names(base, FOLDER_NAMES)?
        } else {
            names(&*enter(self.desk, base, &path)?, FOLDER_NAMES)?
        };
        if names.len() > FOLDER_NAMES {
            names.pop_last();
            self.found.more = true;
        }
        let ignored = if names.contains_key(OsStr::new(GITIGNORE)) {
            ignored_in(self.desk, base, &path, &real.join(&path))
        } else {
            Gitignore::empty()
        };
        let names: Vec<_> = names.into_iter().collect();
        Ok(Level { path, names: names.into_iter(), ignored })
    }

    /// Passes over what cannot be read, and counts it.
    fn readable<T>(&mut self, result: io::Result<T>) -> Option<T> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if result.as_ref().err().is_some_and(|error| !gone(error)) {
            self.found.unreadable += 1;
        }
        result.ok()
    }

    /// The lines of one file. One match more than the limit is gathered, to know of more.
    fn file(&mut self, file: Opened<'_, OwnedFd>, inside: &Path) -> io::Result<()> {
        // What was a regular file a moment ago may have been replaced.
        if FileType::from_raw_mode(fstat(&*file)?.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let mut file = file.map(std::fs::File::from);
        let mut reader = BufReader::with_capacity(CHUNK_BYTES, &mut *file);
        if reader.fill_buf()?.contains(&0) {
            return Ok(());
        }
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            } else {
                reader.skip_until(b'\n')?;
            }
            if let Some(at) = self.filter.pattern.find(&line) {
                // Joining an empty path would end it with a slash.
                let whole = self.shown.components().chain(inside.components());
                let path = whole.collect::<PathBuf>().to_string_lossy().into_owned();
                self.found.matches.push(Match {
                    path,
                    line: number,
                    text: shown(&line, at.start()),
                });
                if self.found.matches.len() > self.limit {
                    break;
                }
            }
        }
        Ok(())
    }

    fn end(mut self) -> Found {
        if self.found.matches.len() > self.limit {
            self.found.matches.truncate(self.limit);
            self.found.more = true;
        }
        self.found
    }
}

/// Whether a path is ignored: the nearest `.gitignore` that says something about it decides.
fn is_ignored<'i>(
    path: &Path,
    is_folder: bool,
    nearest_first: impl Iterator<Item = &'i Gitignore>,
) -> bool {
    nearest_first
        .map(|ignores| ignores.matched(path, is_folder))
        .find(|matched| !matched.is_none())
        .is_some_and(|matched| matched.is_ignore())
}

/// The `.gitignore` files of the folders above the one that is searched, the root's first.
fn ignored_above(desk: &Desk, root: &Root, real: &Path) -> Vec<Gitignore> {
    let mut folders: Vec<&Path> =
        real.ancestors().skip(1).take_while(|folder| folder.starts_with(root.path())).collect();
    folders.reverse();
    let read = |folder: &Path| {
        let base = root.open_real_folder(desk, folder).ok()?;
        Some(ignored_in(desk, &base, Path::new(""), folder))
    };
    folders.into_iter().filter_map(read).collect()
}

/// The `.gitignore` of a folder. One that cannot be read, and lines of it that are wrong, ignore
/// nothing.
fn ignored_in(desk: &Desk, base: &OwnedFd, inside: &Path, real: &Path) -> Gitignore {
    let mut builder = GitignoreBuilder::new(real);
    for line in ignore_text(desk, base, inside).unwrap_or_default().lines() {
        let _wrong = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

fn ignore_text(desk: &Desk, base: &OwnedFd, inside: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = below(desk, base, &inside.join(GITIGNORE), flags)?;
    let mut file = file.map(std::fs::File::from);
    let mut text = Vec::new();
    (&mut *file).take(IGNORE_BYTES).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A line as it is shown: its beginning, or when it is long the surroundings of the match.
fn shown(line: &[u8], at: usize) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let before = String::from_utf8_lossy(&line[..at.min(line.len())]);
    let after = String::from_utf8_lossy(&line[at.min(line.len())..]);
    let length = before.chars().count() + after.chars().count();
    if length <= SHOWN {
        return before.into_owned() + &after;
    }
    let skipped = before.chars().count().saturating_sub(SHOWN_BEFORE);
    let start = if skipped > 0 { "…" } else { "" };
    let kept = before.chars().skip(skipped).chain(after.chars());
    let room = SHOWN - 2;
    let text: String = kept.take(room).collect();
    let end = if length - skipped > room { "…" } else { "" };
    format!("{start}{text}{end}")
}
