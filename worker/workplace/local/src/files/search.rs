//! Lines that match, in the files below a folder.

use std::{
    cell::Cell,
    ffi::{OsStr, OsString},
    io::{self, BufRead, BufReader, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
    vec,
};

use rustix::fs::{FileType, OFlags, fstat};

use super::{
    fd_scope::{FdScope, Opened},
    list::{below, names},
    operation::{FOLDER, Operation},
    root::real_path,
};
use evonic_backend::{
    Found, Match, Result,
    search::rules::{
        BINARY_BYTES, Filter, GITIGNORE, IGNORE_BYTES, Ignored, LINE_BYTES, is_ignored, shown,
    },
};

/// The most names of one folder that are looked at.
const FOLDER_NAMES: usize = 250_000;

/// The most bytes of files that are read.
const READ_BYTES: u64 = 1 << 30;

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A folder that is being searched.
struct Level {
    /// Relative to where the search began.
    path: PathBuf,
    names: vec::IntoIter<(OsString, FileType)>,
    ignored: Ignored,
}

struct Search<'s> {
    op: Operation<'s>,
    effort: Effort<'s>,
    filter: &'s Filter,
    limit: usize,
    /// What a path in a match begins with.
    shown: PathBuf,
    found: Found,
}

/// What a search may take of its thread, which others wait for.
struct Effort<'e> {
    is_waiting: &'e dyn Fn() -> bool,
    until: Instant,
    /// Bytes of files.
    read: Cell<u64>,
}

impl Effort<'_> {
    fn is_spent(&self) -> bool {
        self.read.get() >= READ_BYTES || Instant::now() >= self.until
    }

    fn goes_on(&self) -> bool {
        (self.is_waiting)() && !self.is_spent()
    }
}

/// See [`evonic_backend::Backend::search`]. At most 1 GiB is read in at most a minute: what was
/// left out is reported as [`Found::more`].
pub(in super::super) fn search(op: Operation<'_>, filter: &Filter, limit: u32) -> Result<Found> {
    let (handle, stat) = op.look()?;
    let real = real_path(&handle).map_err(|error| op.failed(error))?;
    let shown = real.strip_prefix(op.root.path()).unwrap_or(&real).to_owned();
    let limit = limit as usize;
    let until = Instant::now() + TIMEOUT;
    let effort = Effort { is_waiting: op.is_waiting, until, read: Cell::new(0) };
    let mut search = Search { op, effort, filter, limit, shown, found: Found::default() };
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        let file = op.reopen(&handle, OFlags::RDONLY);
        drop(handle);
        let searched = file.and_then(|file| search.file(file, Path::new("")));
        searched.map_err(|error| op.failed(error))?;
        return Ok(search.end());
    }
    op.expect_type(&stat, FileType::Directory)?;
    drop(handle);
    let above = ignored_above(op, &real);
    search.found.ignores_cut = above.iter().map(|ignored| u32::from(ignored.is_cut())).sum();
    let searched = op
        .root
        .open_real_folder(op.scope, &real)
        .and_then(|base| search.folders(&base, &real, &above));
    searched.map_err(|error| op.failed(error))?;
    Ok(search.end())
}

impl Search<'_> {
    /// Every folder below the base, one open at a time beside it.
    fn folders(&mut self, base: &OwnedFd, real: &Path, above: &[Ignored]) -> io::Result<()> {
        let weight_above: usize = above.iter().map(Ignored::weight).sum();
        let mut levels = vec![self.level(base, real, PathBuf::new(), weight_above)?];
        while let Some(level) = levels.last_mut() {
            if self.found.matches.len() > self.limit || !self.effort.goes_on() {
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
            if self.filter.passes_over(&inside, is_folder) {
                continue;
            }
            if is_folder {
                let weight = levels.iter().map(|level| level.ignored.weight()).sum::<usize>();
                let level = self.level(base, real, inside, weight_above + weight);
                levels.extend(self.readable(level));
            } else if file_type == FileType::RegularFile {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let searched = below(self.op.scope, base, &inside, flags)
                    .and_then(|file| self.file(file, &inside));
                self.readable(searched);
            }
        }
        Ok(())
    }

    /// `in_force` is the weight of the rules of the folders above.
    fn level(
        &mut self,
        base: &OwnedFd,
        real: &Path,
        path: PathBuf,
        in_force: usize,
    ) -> io::Result<Level> {
        let goes_on = || self.effort.goes_on();
        let mut names = if path.as_os_str().is_empty() {
            names(base, FOLDER_NAMES, &goes_on)?
        } else {
            names(&*below(self.op.scope, base, &path, FOLDER)?, FOLDER_NAMES, &goes_on)?
        };
        if names.len() > FOLDER_NAMES {
            names.pop_last();
            self.found.more = true;
        }
        let ignored = if names.contains_key(OsStr::new(GITIGNORE)) {
            ignored_in(self.op.scope, base, &path, &real.join(&path), in_force)
        } else {
            Ignored::default()
        };
        self.found.ignores_cut += u32::from(ignored.is_cut());
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
        let effort = &self.effort;
        let file = Bounded { file: &mut file, effort };
        let mut reader = BufReader::with_capacity(BINARY_BYTES, file);
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
            if let Some(at) = self.filter.find(&line, &mut || effort.goes_on()) {
                // Joining an empty path would end it with a slash.
                let whole = self.shown.components().chain(inside.components());
                let path = whole.collect::<PathBuf>().to_string_lossy().into_owned();
                self.found.matches.push(Match { path, line: number, text: shown(&line, at) });
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
        self.found.more |= self.effort.is_spent();
        self.found
    }
}

/// A file that ends where the search does, however large it is and however long its lines are.
struct Bounded<'b> {
    file: &'b mut std::fs::File,
    effort: &'b Effort<'b>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.effort.goes_on() {
            return Ok(0);
        }
        let bytes = self.file.read(buffer)?;
        self.effort.read.set(self.effort.read.get() + bytes as u64);
        Ok(bytes)
    }
}

/// The `.gitignore` files of the folders above the one that is searched, the root's first.
fn ignored_above(op: Operation<'_>, real: &Path) -> Vec<Ignored> {
    let mut folders: Vec<&Path> =
        real.ancestors().skip(1).take_while(|folder| folder.starts_with(op.root.path())).collect();
    folders.reverse();
    let mut ignored = Vec::new();
    for folder in folders {
        let in_force = ignored.iter().map(Ignored::weight).sum();
        if let Ok(base) = op.root.open_real_folder(op.scope, folder) {
            ignored.push(ignored_in(op.scope, &base, Path::new(""), folder, in_force));
        }
    }
    ignored
}

/// The `.gitignore` of a folder. One that cannot be read ignores nothing.
fn ignored_in(
    scope: &FdScope,
    base: &OwnedFd,
    inside: &Path,
    real: &Path,
    in_force: usize,
) -> Ignored {
    Ignored::new(real, &ignore_text(scope, base, inside).unwrap_or_default(), in_force)
}

fn ignore_text(scope: &FdScope, base: &OwnedFd, inside: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = below(scope, base, &inside.join(GITIGNORE), flags)?;
    let mut file = file.map(std::fs::File::from);
    let mut text = Vec::new();
    // One byte more tells that there are more.
    (&mut *file).take(IGNORE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
