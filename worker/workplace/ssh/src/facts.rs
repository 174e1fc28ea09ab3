//! What a host says of the user: asked once per connection, by one script.

use std::{str, time::Duration};

use tokio::time::timeout;

use super::link::{ChannelError, ChannelSlot, Stream, unreachable};
use evonic_backend::{
    Home, Stage, WorkplaceError,
    error::Cause,
    spool::{LOGIN_COMMAND, Purpose, Script, ScriptEnd, ScriptOutput},
};

/// How long a login shell may take to begin: it may read a long profile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most that is read of what it prints.
const MOST_BYTES: usize = 256 * 1024;

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

/// What a login shell says; or why it runs no command.
pub(super) type Facts = Result<ShellFacts, String>;

/// What a login shell says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShellFacts {
    /// Its `$HOME`.
    pub(super) home: Vec<u8>,
    /// That folder, without links; empty when it cannot be entered.
    real: Vec<u8>,
    /// Where it starts, without links.
    at: Vec<u8>,
    /// Where spools can be; empty for nowhere.
    pub(super) spools: Vec<u8>,
    /// Whether that is not the home, since nothing can be written there.
    pub(super) elsewhere: bool,
}

/// Asks the login shell, over a channel of a connection.
///
/// # Errors
/// [`WorkplaceError::Unreachable`] when the connection broke, or the shell takes too long.
pub(super) async fn ask(place: ChannelSlot) -> Result<Facts, WorkplaceError> {
    let host = place.link().host().to_owned();
    let mark = format!("<{:016x}>", fastrand::u64(..));
    let script = Script {
        text: SCRIPT.to_owned(),
        arguments: vec![mark.clone()],
        input: bytes::Bytes::new(),
        purpose: Purpose::Serve,
    };
    let mut stream = Stream::exec(place, LOGIN_COMMAND.to_owned(), script.stream());
    let asked = timeout(PATIENCE, read(&mut stream));
    let late = |_| {
        let seconds = PATIENCE.as_secs();
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
    Ok(parse(&out, mark.as_bytes()).ok_or_else(|| said(&out, &err, &end)))
}

type End = Result<ScriptEnd, ChannelError>;

async fn read(stream: &mut Stream) -> Result<(Vec<u8>, Vec<u8>, End), WorkplaceError> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    while let Some(said) = stream.next().await {
        let (to, bytes) = match said {
            ScriptOutput::Out(bytes) => (&mut out, bytes),
            ScriptOutput::Err(bytes) => (&mut err, bytes),
        };
        let room = MOST_BYTES.saturating_sub(to.len());
        to.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok((out, err, stream.end().await?))
}

fn parse(out: &[u8], mark: &[u8]) -> Option<ShellFacts> {
    let mut facts = ShellFacts {
        home: Vec::new(),
        real: Vec::new(),
        at: Vec::new(),
        spools: Vec::new(),
        elsewhere: false,
    };
    let mut whole = false;
    for part in split(out, mark).skip(1) {
        let equals = part.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&part[..equals], &part[equals + 1..]);
        match name {
            b"home" => facts.home = value.to_vec(),
            b"real" => facts.real = value.to_vec(),
            b"at" => facts.at = value.to_vec(),
            b"spools" => facts.spools = value.to_vec(),
            b"elsewhere" => facts.elsewhere = !value.is_empty(),
            b"end" => whole = true,
            _ => return None,
        }
    }
    whole.then_some(facts)
}

/// The parts between the marks.
fn split<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        match bytes.windows(mark.len()).position(|window| window == mark) {
            Some(at) => {
                rest = Some(&bytes[at + mark.len()..]);
                Some(&bytes[..at])
            }
            None => rest.take(),
        }
    })
}

/// Why a login shell ran nothing, in its own words.
fn said(out: &[u8], err: &[u8], end: &End) -> String {
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

impl ShellFacts {
    /// Whether files (by SFTP) and commands are in the same folders.
    ///
    /// # Errors
    /// [`WorkplaceError::Refused`] when there is no home, or when they are not.
    pub(super) fn agree(&self, host: &str, home: &Home) -> Result<(), WorkplaceError> {
        let refused = |said: String| WorkplaceError::Refused {
            host: host.to_owned(),
            stage: Stage::Home,
            source: Cause(said),
        };
        let named = String::from_utf8_lossy(&self.home).into_owned();
        let by_sftp = home.path().as_bytes();
        if self.real.is_empty() && self.home != by_sftp {
            return Err(refused(format!(
                "the user's home {named} does not exist, or cannot be entered; make it, or give \
                 the user another one (usermod --home)"
            )));
        }
        if [&self.home, &self.real, &self.at].iter().any(|path| path.as_slice() == by_sftp) {
            return Ok(());
        }
        Err(refused(format!(
            "SFTP says that the home is {}, the login shell says {named}: files would not be where \
             commands are; is SFTP confined to a folder (ChrootDirectory)?",
            home.path()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_no_answer() {
        let out = b"Hi <m home=\n<m>home=/h\nx<m>real=/r<m>at=/<m>spools=/s<m>elsewhere=<m>end=bye";
        let facts = parse(out, b"<m>").unwrap();
        assert_eq!((&facts.home[..], &facts.real[..]), (&b"/h\nx"[..], &b"/r"[..]));
        assert!(!facts.elsewhere);
        assert_eq!(parse(b"This account is not available.", b"<m>"), None);
        assert_eq!(parse(b"<m>home=/h<m>re", b"<m>"), None);
    }

    #[test]
    fn homes_agree_or_the_reason_is_told() {
        let home = Home::reported(b"/data/h").unwrap();
        let facts = |home: &str, real: &str, at: &str| ShellFacts {
            home: home.into(),
            real: real.into(),
            at: at.into(),
            spools: Vec::new(),
            elsewhere: false,
        };
        assert!(facts("/data/h", "/data/h", "/data/h").agree("x", &home).is_ok());
        assert!(facts("/home/link", "/data/h", "/data/h").agree("x", &home).is_ok());
        assert!(facts("/elsewhere", "/elsewhere", "/data/h").agree("x", &home).is_ok());
        let chroot = facts("/home/u", "/home/u", "/home/u").agree("x", &home).unwrap_err();
        assert!(matches!(&chroot, WorkplaceError::Refused { source, .. }
            if source.0.contains("ChrootDirectory")));
        let none = facts("/none", "", "/").agree("x", &Home::reported(b"/").unwrap());
        assert!(matches!(&none, Err(WorkplaceError::Refused { source, .. })
            if source.0.contains("/none does not exist")));
    }
}
