//! Asks the login shell for what it knows of the user: once per connection, by one script.

use std::{str, time::Duration};

use tokio::time::timeout;

use super::{
    channel::{ChannelEnd, ChannelError},
    connection::ChannelSlot,
    shell_facts::{Facts, ShellFacts},
    stream::Stream,
};
use evonic_backend::{
    Result, Stage, WorkplaceError,
    spool::{Gathered, LOGIN_COMMAND, Purpose, Script, ScriptEnd},
};

/// How long a login shell may take to begin: it may read a long profile.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most that is read of what it prints.
const MAX_BYTES: usize = 256 * 1024;

/// Everything between marks that no banner contains. `HOME` is what the login shell has; `real` is
/// that folder without links, empty when it cannot be entered.
const SCRIPT: &str = r#"
m=$1
real=$(cd -- "$HOME" 2>/dev/null && pwd -P) || real=
at=$(pwd -P 2>/dev/null) || at=
uid=$(id -u)
umask 077
spools= elsewhere=
if [ -n "$real" ] && mkdir -p -- "$HOME/.evonic/spool" 2>/dev/null && [ -w "$HOME/.evonic/spool" ]
then spools=$HOME/.evonic/spool
else
mkdir -m 700 "/tmp/evonic-$uid" 2>/dev/null
set -- $(ls -ldn "/tmp/evonic-$uid" 2>/dev/null)
case "$1:$3" in drwx------"":"$uid"|drwx------[.+]:"$uid") spools=/tmp/evonic-$uid;; esac
elsewhere=yes
fi
printf '%s' "${m}home=$HOME${m}real=$real${m}at=$at${m}spools=$spools${m}elsewhere=$elsewhere${m}end="
"#;

/// Asks the login shell, over a channel of a connection.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] when the connection broke, or the shell takes too long;
/// [`WorkplaceError::Refused`] when it prints without end.
pub(super) async fn ask(slot: ChannelSlot) -> Result<Facts> {
    let host = slot.connection().host().to_owned();
    let mark = format!("<{:016x}>", fastrand::u64(..));
    let script = Script {
        text: SCRIPT.to_owned(),
        arguments: vec![mark.clone()],
        input: bytes::Bytes::new(),
        purpose: Purpose::Serve,
    };
    let mut stream = Stream::exec(slot, LOGIN_COMMAND.to_owned(), script.stream());
    let mut said = Gathered::new(MAX_BYTES);
    let asked = timeout(TIMEOUT, async {
        while let Some(piece) = stream.next().await {
            if said.push(&piece).is_break() {
                return None;
            }
        }
        Some(stream.end().await)
    });
    let late = |_| {
        let seconds = TIMEOUT.as_secs();
        let reason = format!("the login shell runs nothing within {seconds} s");
        WorkplaceError::unreachable(&host, Stage::Script, reason)
    };
    let Some(end) = asked.await.map_err(late)? else {
        let reason = "the login shell prints without end";
        return Err(WorkplaceError::refused(&host, Stage::Script, reason));
    };
    let end = end?;
    if let Err(ChannelError::Full) = end {
        let reason = "the server has no channel free";
        return Err(WorkplaceError::unreachable(&host, Stage::Script, reason));
    }
    Ok(ShellFacts::parse(&said.stdout, mark.as_bytes()).ok_or_else(|| refusal(&said, &end)))
}

/// Why a login shell ran nothing, with its own output.
fn refusal(said: &Gathered, end: &ChannelEnd) -> String {
    let how = match end {
        Ok(ScriptEnd::Exited(code)) => format!("it ended with exit code {code}"),
        Ok(ScriptEnd::Killed) => "it was killed".to_owned(),
        Err(ChannelError::Refused(said) | ChannelError::Broken(said)) => said.clone(),
        Err(ChannelError::Full) => "no channel is free".to_owned(),
    };
    let words = [said.stderr.as_slice(), &said.stdout].concat();
    let words = str::from_utf8(&words).unwrap_or_default().trim();
    let words: String = words.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let words = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
    format!("the login shell runs no commands: {how}{words}")
}
