//! Asks the login shell for what it knows of the user: once per connection, by one script.

use std::{str, time::Duration};

use tokio::time::timeout;

use super::{
    channel::{ChannelEnd, ChannelError},
    connection::{ChannelSlot, unreachable},
    shell_facts::{Facts, ShellFacts},
    stream::Stream,
};
use evonic_backend::{
    Stage, WorkplaceError,
    spool::{LOGIN_COMMAND, Purpose, Script, ScriptEnd, ScriptOutput},
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
/// [`WorkplaceError::Unreachable`] when the connection broke, or the shell takes too long.
pub(super) async fn ask(slot: ChannelSlot) -> Result<Facts, WorkplaceError> {
    let host = slot.connection().host().to_owned();
    let mark = format!("<{:016x}>", fastrand::u64(..));
    let script = Script {
        text: SCRIPT.to_owned(),
        arguments: vec![mark.clone()],
        input: bytes::Bytes::new(),
        purpose: Purpose::Serve,
    };
    let mut stream = Stream::exec(slot, LOGIN_COMMAND.to_owned(), script.stream());
    let asked = timeout(TIMEOUT, read(&mut stream));
    let late = |_| {
        let seconds = TIMEOUT.as_secs();
        unreachable(
            &host,
            Stage::Script,
            format!("the login shell runs nothing within {seconds} s"),
        )
    };
    let (out, err, end) = asked.await.map_err(late)??;
    if let Err(ChannelError::Full) = end {
        return Err(unreachable(&host, Stage::Script, "the server has no channel free"));
    }
    Ok(ShellFacts::parse(&out, mark.as_bytes()).ok_or_else(|| said(&out, &err, &end)))
}

async fn read(stream: &mut Stream) -> Result<(Vec<u8>, Vec<u8>, ChannelEnd), WorkplaceError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(said) = stream.next().await {
        let (to, bytes) = match said {
            ScriptOutput::Out(bytes) => (&mut out, bytes),
            ScriptOutput::Err(bytes) => (&mut err, bytes),
        };
        let room = MAX_BYTES.saturating_sub(to.len());
        to.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok((out, err, stream.end().await?))
}

/// Why a login shell ran nothing, with its own output.
fn said(out: &[u8], err: &[u8], end: &ChannelEnd) -> String {
    let how = match end {
        Ok(ScriptEnd::Exited(code)) => format!("it ended with exit code {code}"),
        Ok(ScriptEnd::Killed) => "it was killed".to_owned(),
        Err(ChannelError::Refused(said) | ChannelError::Broken(said)) => said.clone(),
        Err(ChannelError::Full) => "no channel is free".to_owned(),
    };
    let words = [err, out].concat();
    let words = str::from_utf8(&words).unwrap_or_default().trim();
    let words: String = words.chars().filter(|letter| !letter.is_control()).take(200).collect();
    let words = if words.is_empty() { String::new() } else { format!(", saying: {words}") };
    format!("the login shell runs no commands: {how}{words}")
}
