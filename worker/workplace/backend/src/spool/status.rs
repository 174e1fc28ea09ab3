//! The last line of a command's record.

use crate::{Ended, Finished, Unknown};

/// Reads a status: how it ended, a number, and how many processes were left behind; or
/// `notstarted` and why.
#[must_use]
pub fn read(line: &str) -> Option<Finished> {
    let (how, rest) = line.split_once(' ')?;
    if how == "notstarted" {
        return Some(Finished { ended: Ended::NotStarted(rest.to_owned()), left_behind: 0 });
    }
    let (number, left_behind) = rest.split_once(' ')?;
    let number = number.parse().ok()?;
    let ended = match how {
        "exited" => Ended::Exited(number),
        "signalled" => Ended::Signalled(number),
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
