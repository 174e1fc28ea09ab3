//! What a file has beside its content, given to its draft by a script of its own machine.

use std::io;

use bytes::Bytes;

use super::{Rewrite, Written};
use crate::{
    Result, Stage, WorkplaceError,
    spool::{Purpose, Script, Shell, gather},
};

const SCRIPT: &str = include_str!("keep.sh");

/// Bytes of the script's output that are kept.
const OUTPUT_BYTES: usize = 16 * 1024;

/// Characters of what the script says of one thing.
const WORDS: usize = 400;

/// A draft that is to replace a file. Paths are the machine's.
#[derive(Clone, Copy, Debug)]
pub struct KeepRequest<'k> {
    /// As the caller wrote it, for errors.
    pub shown: &'k str,
    pub file: &'k str,
    pub draft: &'k str,
    /// Of the file.
    pub mode: u32,
    /// Instead of the file's own.
    pub wanted: Option<u32>,
    pub rewrite: Rewrite,
    /// What runs after the script when all is kept; `$file` and `$draft` are set. It may `end
    /// inplace` or `end "failed WHY"`.
    pub then: &'k str,
}

/// What became of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepAnswer {
    /// It is as the file was, but for what stands there.
    Kept(Written),
    /// The file is to be written in place.
    InPlace,
}

impl KeepRequest<'_> {
    /// # Errors
    /// [`WorkplaceError`]: of the file, when something of it cannot be kept; of the machine.
    pub async fn run(&self, shell: &dyn Shell) -> Result<KeepAnswer> {
        let nonce = format!("evonic-{:016x}", fastrand::u64(..));
        let how = match self.rewrite {
            Rewrite::Whole => "whole",
            Rewrite::OrInPlace => "orinplace",
        };
        let wanted = self.wanted.map_or(String::new(), |mode| format!("{mode:o}"));
        let mode = format!("{:o}", self.mode & 0o7777);
        let text = SCRIPT.replace("\nend kept\n", &format!("\n{}\nend kept\n", self.then));
        let script = Script {
            text,
            arguments: [&nonce, self.file, self.draft, &mode, &wanted, how]
                .map(str::to_owned)
                .to_vec(),
            input: Bytes::new(),
            purpose: Purpose::Serve,
        };
        let (_, output) = gather(shell, script, OUTPUT_BYTES).await?;
        self.read(&nonce, &String::from_utf8_lossy(&output.stdout), &output.complaint())
    }

    fn read(&self, nonce: &str, output: &str, complaint: &str) -> Result<KeepAnswer> {
        let mut written = Written::default();
        let failed = |source: io::Error| Err(WorkplaceError::path("write", self.shown, source));
        for line in output.lines() {
            let Some(line) = line.strip_prefix(nonce).and_then(|line| line.strip_prefix(' '))
            else {
                continue;
            };
            let line: String = line.chars().take(WORDS).collect();
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                "links" => {
                    written.other_names = rest.parse::<u64>().map_or(0, |n| n.saturating_sub(1))
                }
                "lost" => written.not_kept.push(rest.to_owned()),
                "inplace" => return Ok(KeepAnswer::InPlace),
                "kept" => return Ok(KeepAnswer::Kept(written)),
                "denied" => return failed(rustix::io::Errno::ACCESS.into()),
                "folder" => {
                    let folder = self.file.rsplit_once('/').map_or(".", |(folder, _)| folder);
                    let source = io::Error::other(rest.to_owned());
                    return Err(WorkplaceError::unreplaceable(self.shown, folder, &source));
                }
                "unkeepable" => {
                    let (what, why) = rest.split_once(": ").unwrap_or((rest, "unknown"));
                    let source = io::Error::other(why.to_owned());
                    return Err(WorkplaceError::not_keepable(self.shown, what, &source));
                }
                "failed" => return failed(io::Error::other(rest.to_owned())),
                _ => {}
            }
        }
        let said = if complaint.is_empty() { "the script was cut short" } else { complaint };
        Err(WorkplaceError::unreachable("shell", Stage::Write, said))
    }
}
