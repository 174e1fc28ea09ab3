//! What [`super::Backend`] asks of machines that have only a shell: lists, searches, hashes. By
//! scripts of the POSIX shell and the tools beside it, as GNU and busybox have them.
//!
//! Names are separated by NUL on their way, so that no name can be mistaken for two. What crosses
//! the wire is bounded there, and nothing is kept here but names and lines that match.
//!
//! ```text
//!   names ---> .gitignore files ---> plan: what is read, in order ---> matches
//!   (find)          (tar)                   (here)                (rg --json, or tar)
//! ```

mod archive;
mod ask;
mod fetch;
pub(crate) mod fuzzing;
mod hash;
mod ignores;
mod lines;
mod listing;
mod matches;
mod names;
mod paths;
mod plan;
mod query;
mod ripgrep;
pub mod rules;

use std::{
    io,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use self::{
    archive::Archive,
    ask::Answered,
    fetch::Wanted,
    matches::{ArchiveMatches, Matches, Reread},
    plan::Plan,
    query::Query,
    ripgrep::Messages,
    rules::Filter,
};
use crate::{Entry, Found, Match, WorkplaceError, spool::Shell};

/// How long the files may take. What did not come until then is reported as [`Found::more`].
const TIMEOUT: Duration = Duration::from_secs(60);

/// See [`super::Backend::list`]; `folder` is a path on that machine.
///
/// # Errors
/// [`WorkplaceError`].
pub async fn list<S: Shell>(
    shell: &S,
    folder: &str,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool), WorkplaceError> {
    listing::list(shell, folder, depth, limit).await
}

/// SHA-256 of a file, by what that machine has (`sha256sum`, `shasum`, `openssl`); [`None`] when it
/// has none of these.
///
/// # Errors
/// [`WorkplaceError`].
pub async fn sha256<S: Shell>(shell: &S, path: &str) -> Result<Option<String>, WorkplaceError> {
    hash::sha256(shell, path).await
}

/// See [`super::Backend::search`]; `root` is the workplace's folder and `path` what is searched,
/// both paths on that machine. Paths of matches are relative to `root` where they are below it, and
/// `.gitignore` files count from `root` down.
///
/// Names are asked for first; then `rg` reports the lines that match, or where there is none the
/// files come as one `tar`. At most 1 GiB is read in at most a minute: what was left out is
/// reported as [`Found::more`].
///
/// # Errors
/// [`WorkplaceError`].
pub async fn search<S: Shell>(
    shell: &S,
    pattern: &str,
    root: &str,
    path: &str,
    glob: Option<&str>,
    limit: u32,
) -> Result<Found, WorkplaceError> {
    let filter = Filter::new(pattern, glob)?;
    let query = Query { pattern, filter, root, path, limit };
    let names = names::names(shell, &query).await?;
    let plan = if names.is_file {
        Plan::file(&names)
    } else {
        let ignores = ignores::ignores(shell, path, &names, TIMEOUT).await?;
        Plan::folder(&names, &ignores, &query.filter)
    };
    let (matches, more) = find(shell, &query, &plan).await?;
    Ok(Found { matches, more: more || names.more, unreadable: plan.unreadable })
}

/// Finds the matches in the files of the plan, and whether there are more.
async fn find<S: Shell>(
    shell: &S,
    query: &Query<'_>,
    plan: &Plan,
) -> Result<(Vec<Match>, bool), WorkplaceError> {
    let mut matches = Matches::new(query, plan);
    if plan.wanted.is_empty() {
        return Ok(matches.end());
    }
    let began = Instant::now();
    let mut wanted =
        Wanted { path: query.path, base: &plan.base, names: &plan.wanted, timeout: TIMEOUT };
    // The beginning and the end of a file are elsewhere for a tool that sees all of it.
    let anchored = ["\\A", "\\z"].iter().any(|anchor| query.pattern.contains(anchor));
    if anchored || query.pattern.is_empty() {
        let answered = wanted.fetch(shell, &mut ArchiveMatches::new(&mut matches)).await?;
        return Ok(ended(matches, answered));
    }
    let mut answer = Answer::new(&mut matches);
    let most = (u64::from(query.limit) + 1).to_string();
    let arguments = [query.pattern, &most];
    let answered =
        wanted.ask(shell, ripgrep::SCRIPT, &arguments, |bytes| answer.push(bytes)).await?;
    let reread = answer.reread();
    if answered == Answered::OutOfTime || reread.is_empty() {
        return Ok(ended(matches, answered));
    }
    let names: Vec<Vec<u8>> = reread.iter().map(|file| file.name.clone()).collect();
    wanted.names = &names;
    wanted.timeout = TIMEOUT.saturating_sub(began.elapsed());
    let mut again = Matches::new(query, plan);
    let answered = wanted.fetch(shell, &mut ArchiveMatches::new(&mut again)).await?;
    let (found, more_again) = ended(again, answered);
    matches.insert(&reread, found);
    let (found, more) = matches.end();
    Ok((found, more || more_again))
}

fn ended(matches: Matches<'_>, answered: Answered) -> (Vec<Match>, bool) {
    let (found, more) = matches.end();
    (found, more || answered == Answered::OutOfTime)
}

/// What [`ripgrep::SCRIPT`] answers: messages begin with `{`, an archive with `./` or a header that
/// does.
struct Answer<'a, 'm> {
    files: ArchiveMatches<'a, 'm>,
    archive: Archive,
    messages: Messages,
    first_byte: Option<u8>,
}

impl<'a, 'm> Answer<'a, 'm> {
    fn new(matches: &'a mut Matches<'m>) -> Self {
        let (archive, messages) = (Archive::default(), Messages::default());
        Self { files: ArchiveMatches::new(matches), archive, messages, first_byte: None }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<ControlFlow<()>> {
        self.first_byte = self.first_byte.or(bytes.first().copied());
        if self.first_byte == Some(b'{') {
            self.messages.push(bytes, self.files.matches)
        } else {
            self.archive.push(bytes, &mut self.files)
        }
    }

    /// The files that `rg` cannot report, in their order.
    fn reread(self) -> Vec<Reread> {
        self.messages.reread
    }
}
