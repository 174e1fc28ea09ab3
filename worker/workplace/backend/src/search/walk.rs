//! A search from its names to its matches.
//!
//! ```text
//!   names ---> .gitignore files ---> walk: what is wanted, in order ---> files ---> lines
//!   (find)          (tar)                 (here)                       (rg, tar)   (here)
//! ```

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{self, Write},
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use ignore::gitignore::Gitignore;

use super::{
    archive::{Archive, Files},
    ask::{Answered, Question, argument},
    lines::Lines,
    names::{Names, names},
    rules::{Filter, GITIGNORE, IGNORE_BYTES, ignored_by, is_ignored},
};
use crate::{Found, Match, WorkplaceError, spool::Shell};

/// How long the files may take. What did not come until then is told as [`Found::more`].
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of files that are read.
const READ_BYTES: u64 = 1 << 30;

/// Bytes of all `.gitignore` files together.
const IGNORES_BYTES: usize = 16 * 1024 * 1024;

/// Files of standard input, below the folder `$1`, as archives one after the other. Where there is
/// `rg` and it understands the expression `$2`, it leaves out files in which nothing matches: it is
/// told to know no other rules, and to keep the order.
const SCRIPT: &str = r#"cd "$1" 2>/dev/null || exit 42
need xargs tar
pack() { xargs -0 -r tar -cf - 2>/dev/null; }
if [ -n "$2" ] && command -v rg >/dev/null 2>&1; then
    printf x | rg --no-config -q -a -E none -e "$2" >/dev/null 2>&1
    if [ $? -lt 2 ]; then
        xargs -0 -r rg --no-config --no-messages -l -0 -a -E none -j 1 -e "$2" -- 2>/dev/null |
            pack
        exit 0
    fi
fi
pack
exit 0
"#;

/// What is looked for, and where.
pub(super) struct Sought<'s> {
    /// The expression as it was written.
    pub(super) pattern: &'s str,
    /// It and the glob.
    pub(super) filter: Filter,
    /// The workplace's folder.
    pub(super) root: &'s str,
    /// The file or folder that is searched.
    pub(super) path: &'s str,
    /// The most matches.
    pub(super) limit: u32,
}

/// See [`super::search`].
pub(super) async fn search<S: Shell>(
    shell: &S,
    sought: &Sought<'_>,
) -> Result<Found, WorkplaceError> {
    let names = names(shell, sought).await?;
    let plan = if names.is_file {
        Plan::file(&names)
    } else {
        let ignores = ignores(shell, sought, &names).await?;
        Plan::folder(&names, &ignores, &sought.filter)
    };
    let found = Found { more: names.more, unreadable: plan.unreadable, ..Found::default() };
    if plan.wanted.is_empty() {
        return Ok(found);
    }
    let shown = below(&names.root, &names.real).unwrap_or(&names.real);
    let mut reader = Reader {
        sought,
        plan: &plan,
        shown,
        path: String::new(),
        lines: Lines::default(),
        bytes: 0,
        found,
    };
    // What stands at a file's beginning or end stands somewhere else for a tool that sees it whole.
    let anchored = ["\\A", "\\z"].iter().any(|anchor| sought.pattern.contains(anchor));
    let pattern = if anchored { "" } else { sought.pattern };
    let answered =
        fetch(shell, sought.path, &plan.base, pattern, &plan.wanted, &mut reader).await?;
    Ok(reader.end(answered))
}

/// The texts of every `.gitignore` from the root down to what is searched, and below that, by the
/// real path of its folder.
async fn ignores<S: Shell>(
    shell: &S,
    sought: &Sought<'_>,
    names: &Names,
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
        fetch(shell, sought.path, &base, "", &wanted, &mut texts).await?;
    }
    let compile = |(path, text): (Vec<u8>, Vec<u8>)| {
        let folder = parent(&joined(&base, &path)).to_vec();
        let ignored = ignored_by(as_path(&folder), &text);
        (folder, ignored)
    };
    Ok(texts.done.into_iter().map(compile).collect())
}

/// Streams files to whoever takes them.
async fn fetch<S: Shell>(
    shell: &S,
    path: &str,
    base: &[u8],
    pattern: &str,
    wanted: &[Vec<u8>],
    files: &mut (impl Files + Send),
) -> Result<Answered, WorkplaceError> {
    let mut input = Vec::new();
    for name in wanted {
        // Writing to a vector cannot fail.
        let _ = input.write_all(b"./").and_then(|()| input.write_all(name));
        input.push(0);
    }
    // A base that is no UTF-8 is reached by the path it was asked for with.
    let base = std::str::from_utf8(base).map_or_else(|_| argument(path), argument);
    let question = Question {
        operation: "search",
        path,
        needed: "a folder",
        script: SCRIPT,
        arguments: vec![base, pattern.to_owned()],
        input: Bytes::from(input),
        patience: PATIENCE,
    };
    let mut archive = Archive::default();
    let mut malformed = None;
    let answered = question.ask(shell, |bytes| match archive.push(bytes, files) {
        Ok(step) => step,
        Err(error) => {
            malformed = Some(error);
            ControlFlow::Break(())
        }
    });
    let answered = answered.await?;
    match malformed {
        None => Ok(answered),
        Some(source) => Err(failed(path, source)),
    }
}

fn failed(path: &str, source: io::Error) -> WorkplaceError {
    WorkplaceError::Path { operation: "search", path: path.to_owned(), source }
}

/// What is to be read, in order.
struct Plan {
    /// The folder that `wanted` is relative to.
    base: Vec<u8>,
    wanted: Vec<Vec<u8>>,
    unreadable: u32,
    is_file: bool,
}

impl Plan {
    fn file(names: &Names) -> Self {
        let name = names.real.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let base = parent(&names.real).to_vec();
        Self { base, wanted: vec![name], unreadable: 0, is_file: true }
    }

    /// Walks through the names as through folders.
    fn folder(names: &Names, ignores: &HashMap<Vec<u8>, Gitignore>, filter: &Filter) -> Self {
        let mut plan =
            Self { base: names.real.clone(), wanted: Vec::new(), unreadable: 0, is_file: false };
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

/// What a path is relative to a folder that it is in, or that it is.
fn below<'p>(folder: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    match path.strip_prefix(folder)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(at) => &path[..at],
        None => b"",
    }
}

fn joined(folder: &[u8], inside: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if folder.is_empty() || folder.ends_with(b"/") { b"" } else { b"/" };
    [folder, slash, inside].concat()
}

/// For the rules of `.gitignore` and globs, which look at no disk.
fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
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

fn without_dot(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"./").unwrap_or(path)
}

/// Takes the lines that match.
struct Reader<'r> {
    sought: &'r Sought<'r>,
    plan: &'r Plan,
    /// What a path in a match begins with.
    shown: &'r [u8],
    path: String,
    lines: Lines,
    bytes: u64,
    found: Found,
}

impl Reader<'_> {
    fn path_of(&self, inside: &[u8]) -> String {
        let whole = if self.plan.is_file {
            self.shown.to_vec()
        } else {
            joined(self.shown, without_dot(inside))
        };
        String::from_utf8_lossy(&whole).into_owned()
    }

    fn enough(&mut self) -> ControlFlow<()> {
        if self.bytes > READ_BYTES {
            self.found.more = true;
        }
        if self.bytes > READ_BYTES || self.found.matches.len() > self.sought.limit as usize {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn end(mut self, answered: Answered) -> Found {
        self.found.more |= answered == Answered::OutOfTime;
        if self.found.matches.len() > self.sought.limit as usize {
            self.found.matches.truncate(self.sought.limit as usize);
            self.found.more = true;
        }
        self.found
    }
}

impl Files for Reader<'_> {
    fn begin(&mut self, path: &[u8]) {
        self.path = self.path_of(path);
        self.lines = Lines::default();
    }

    fn again(&mut self, path: &[u8], earlier: &[u8]) -> ControlFlow<()> {
        let (path, earlier) = (self.path_of(path), self.path_of(earlier));
        let same = self.found.matches.iter().filter(|found| found.path == earlier);
        let same: Vec<_> =
            same.map(|found| Match { path: path.clone(), ..found.clone() }).collect();
        self.found.matches.extend(same);
        self.enough()
    }

    fn data(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        self.bytes += bytes.len() as u64;
        let Self { lines, path, found, sought, .. } = self;
        lines.push(bytes, &sought.filter, &mut |line, text| {
            found.matches.push(Match { path: path.clone(), line, text });
        });
        self.enough()
    }

    fn end(&mut self) -> ControlFlow<()> {
        let Self { lines, path, found, sought, .. } = self;
        lines.end(&sought.filter, &mut |line, text| {
            found.matches.push(Match { path: path.clone(), line, text });
        });
        self.enough()
    }
}
