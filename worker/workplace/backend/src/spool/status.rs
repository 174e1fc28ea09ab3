//! The last line of a command's record.

use crate::{Ended, Finished, Unknown};

/// Characters of a reason that are handed on.
const REASON: usize = 1000;

/// Reads a status: how it ended, a number, and how many processes were left behind; or
/// `notstarted` or `unstored` and why. Nothing that no process can end with is believed.
#[must_use]
pub fn read(line: &str) -> Option<Finished> {
    let (how, rest) = line.split_once(' ')?;
    if how == "notstarted" {
        let reason = rest.chars().take(REASON).collect();
        return Some(Finished { ended: Ended::NotStarted(reason), left_behind: 0 });
    }
    if how == "unstored" {
        let reason = rest.chars().take(REASON).collect();
        return Some(Finished { ended: Ended::Unstored(reason), left_behind: 0 });
    }
    let (number, left_behind) = rest.split_once(' ')?;
    let number: u8 = number.parse().ok()?;
    let ended = match how {
        "exited" => Ended::Exited(number.into()),
        "signalled" if (1..=64).contains(&number) => Ended::Signalled(number.into()),
        "timedout" => Ended::TimedOut,
        "toomuch" => Ended::TooMuchOutput,
        "cancelled" => Ended::Cancelled,
        "norecord" => Ended::Unknown(Unknown::NoRecord),
        "restarted" => Ended::Unknown(Unknown::Restarted),
        "watcherkilled" => Ended::Unknown(Unknown::WatcherKilled),
        _ => return None,
    };
    Some(Finished { ended, left_behind: left_behind.parse().ok()? })
}
