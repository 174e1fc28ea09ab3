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

mod ask;
mod fetch;
pub(crate) mod fuzzing;
mod gitignore;
mod hash;
mod ignores;
mod lines;
mod listing;
mod matches;
mod names;
mod paths;
mod pattern;
mod plan;
mod query;
mod ripgrep;
pub mod rules;
mod wildcard;

use std::time::{Duration, Instant};

use bytes::Bytes;

use self::{
    ask::Answered,
    fetch::{Wanted, unpack},
    matches::{ArchiveMatches, Matches},
    plan::Plan,
    query::Query,
    ripgrep::Messages,
    rules::Filter,
};
pub use self::{hash::sha256, listing::list};
use crate::{Found, Match, Result, archive::Archive, spool::Shell};

/// How long the files may take. What did not come until then is reported as [`Found::more`].
const TIMEOUT: Duration = Duration::from_secs(60);

/// See [`super::Backend::search`]; `root` is the workplace's folder and `path` what is searched,
/// both paths on that machine. Paths of matches are relative to `root` where they are below it, and
/// `.gitignore` files count from `root` down.
///
/// Names are asked for first; then `rg` reports the lines that match, or where there is none the
/// files come as one `tar`. At most 150,000 names are looked at, and 1 GiB is read in at most a
/// minute: what was left out is reported as [`Found::more`].
///
/// # Errors
/// [`crate::WorkplaceError`].
pub async fn search(
    shell: &dyn Shell,
    pattern: &str,
    root: &str,
    path: &str,
    glob: Option<&str>,
    limit: u32,
) -> Result<Found> {
    let filter = Filter::new(pattern, glob)?;
    let query = Query { pattern, filter, root, path, limit };
    let names = names::names(shell, &query).await?;
    let plan = if names.is_file {
        Plan::file(&names)
    } else {
        let ignores = ignores::ignores(shell, path, &names, TIMEOUT).await?;
        Plan::folder(&names, &ignores, &query.filter).await
    };
    let (matches, more) = find(shell, &query, &plan).await?;
    let Plan { unreadable, ignores_cut, .. } = plan;
    Ok(Found { matches, more: more || names.more || plan.more, unreadable, ignores_cut })
}

/// Finds the matches in the files of the plan, and whether there are more.
async fn find(shell: &dyn Shell, query: &Query<'_>, plan: &Plan) -> Result<(Vec<Match>, bool)> {
    let mut matches = Matches::new(query, plan);
    if plan.wanted.is_empty() {
        return Ok(matches.end());
    }
    let began = Instant::now();
    let mut wanted =
        Wanted { path: query.path, base: &plan.base, names: &plan.wanted, timeout: TIMEOUT };
    // The beginning and the end of a file are elsewhere for a tool that sees all of it.
    let anchored = ["\\A", "\\z"].iter().any(|anchor| query.pattern.contains(anchor));
    let mut files = ArchiveMatches::new(&mut matches);
    if anchored || query.pattern.is_empty() {
        let answered = wanted.fetch(shell, |part| files.take(part)).await?;
        return Ok(ended(matches, answered));
    }
    let most = (u64::from(query.limit) + 1).to_string();
    let question = wanted.question(ripgrep::SCRIPT, &[query.pattern, &most]);
    let (mut messages, mut archive) = (Messages::default(), Archive::default());
    let mut first_byte = None;
    let answered = question.ask(shell, |bytes| {
        // Messages begin with `{`, an archive with `./` or a header that does.
        first_byte = first_byte.or(bytes.first().copied());
        if first_byte == Some(b'{') {
            messages.push(bytes, files.matches)
        } else {
            unpack(&mut archive, bytes, |part| files.take(part))
        }
    });
    let answered = answered.await?;
    let reread = messages.reread;
    if answered == Answered::OutOfTime || reread.is_empty() {
        return Ok(ended(matches, answered));
    }
    let names: Vec<Bytes> = reread.iter().map(|file| file.name.clone()).collect();
    wanted.names = &names;
    wanted.timeout = TIMEOUT.saturating_sub(began.elapsed());
    let mut again = Matches::new(query, plan);
    let mut files = ArchiveMatches::new(&mut again);
    let answered = wanted.fetch(shell, |part| files.take(part)).await?;
    let (found, more_again) = ended(again, answered);
    matches.insert(&reread, found);
    let (found, more) = matches.end();
    Ok((found, more || more_again))
}

fn ended(matches: Matches<'_>, answered: Answered) -> (Vec<Match>, bool) {
    let (found, more) = matches.end();
    (found, more || answered == Answered::OutOfTime)
}
