//! What an agent's command tries, to reach something outside of its workplace: one table for every
//! level, user and machine.
//!
//! An attempt is a script for bash that succeeds when it got through. One command tries all of them
//! and prints how each went; so a level takes seconds. What is attempted on is real, and made by
//! [`Stage`]: the service, another command that runs, a process, a terminal, sockets and files of the
//! service's user. Afterwards it is looked at from outside, too.

mod files;
mod kernel;
mod metadata;
mod processes;
mod program;
mod records;
mod secrets;
mod service;
mod sockets;
mod stage;
mod table;

use std::{collections::BTreeMap, fmt, fmt::Write};

pub use self::{
    stage::{Folders, Inside, Running, Stage, Tried, command_user},
    table::{BEGIN, END, table},
};

/// The levels, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Landlock and seccomp.
    Landlock,
    /// Namespaces, with both inside.
    Namespaces,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Namespaces, Self::Landlock, Self::None];
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none",
            Self::Landlock => "landlock",
            Self::Namespaces => "namespaces",
        })
    }
}

/// Who commands are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The service's user.
    Own,
    /// Another one: the service is root.
    Other,
}

/// How far an attempt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Every level stops it.
    Nowhere,
    /// It gets through up to this level.
    UpTo(Level),
}

impl Open {
    /// Whether it gets through at this level.
    #[must_use]
    pub fn at(self, level: Level) -> bool {
        matches!(self, Self::UpTo(most) if level <= most)
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Letters, digits and `-`.
    pub name: String,
    /// What gets through if it is not stopped, as a line of the documentation.
    pub what: &'static str,
    /// For bash; it succeeds when the attempt got through.
    pub script: String,
    /// How far it gets as the service's user.
    pub own: Open,
    /// How far it gets as another user.
    pub other: Open,
    /// Whether a machine may stop what evonic lets through: another kernel, other settings.
    pub depends: bool,
    /// Whether the kernel or the service refuses it without a sandbox, too, to whoever is not root.
    pub refused: bool,
    /// The first version of Landlock that stops it, where it does. With an earlier one it may get
    /// through at the levels that have Landlock.
    pub landlock: u32,
    /// What whoever tests runs afterwards, outside: it succeeds when the attempt got through, whatever
    /// the script did.
    pub after: Option<&'static str>,
}

impl Attempt {
    /// One that every level stops.
    fn new(name: impl Into<String>, what: &'static str, script: impl Into<String>) -> Self {
        let (name, script) = (name.into(), script.into());
        Self {
            name,
            what,
            script,
            own: Open::Nowhere,
            other: Open::Nowhere,
            depends: false,
            refused: false,
            landlock: 1,
            after: None,
        }
    }

    /// As the service's user it gets through up to this level.
    fn own(self, most: Level) -> Self {
        Self { own: Open::UpTo(most), ..self }
    }

    /// As whatever user it gets through up to this level.
    fn anybody(self, most: Level) -> Self {
        Self { own: Open::UpTo(most), other: Open::UpTo(most), ..self }
    }

    /// Whether it got through is seen from outside, afterwards.
    fn after(self, script: &'static str) -> Self {
        Self { after: Some(script), ..self }
    }

    /// Landlock stops it from this version on.
    fn since(self, landlock: u32) -> Self {
        Self { landlock, ..self }
    }

    /// A machine may stop it, too.
    fn sometimes(self) -> Self {
        Self { depends: true, ..self }
    }

    /// It is refused without a sandbox, too.
    fn refused(self) -> Self {
        Self { refused: true, ..self }
    }

    /// Whether a layer of the sandbox alone stops it, at every level.
    #[must_use]
    pub fn proves_a_layer(&self) -> bool {
        self.own == Open::Nowhere && !self.refused && self.after.is_none()
    }

    /// Whether it gets through.
    #[must_use]
    pub fn is_through(&self, level: Level, user: User) -> bool {
        match user {
            User::Own => self.own.at(level),
            User::Other => self.other.at(level),
        }
    }
}

/// All of them, in groups.
#[must_use]
pub fn attempts() -> Vec<Attempt> {
    let groups = [
        files::attempts(),
        metadata::attempts(),
        records::attempts(),
        secrets::attempts(),
        service::attempts(),
        processes::attempts(),
        kernel::attempts(),
        sockets::attempts(),
    ];
    groups.into_iter().flatten().collect()
}

/// A selection of about `count` over all groups.
#[must_use]
pub fn probes(count: usize) -> Vec<Attempt> {
    let all = attempts();
    let step = all.len().div_ceil(count);
    all.into_iter().step_by(step).collect()
}

/// The script that tries all of these, with these variables.
#[must_use]
pub fn script(attempts: &[Attempt], variables: &BTreeMap<String, String>) -> String {
    let mut script = String::from(include_str!("escape/prelude.sh"));
    for (name, value) in variables {
        let _infallible = writeln!(script, "export {name}={}", quoted(value));
    }
    for attempt in attempts {
        let _infallible = writeln!(script, "attempt {} {}", attempt.name, quoted(&attempt.script));
    }
    script.push_str("finish\n");
    script
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What the script said: whether each attempt got through.
///
/// # Panics
/// When it did not come to its end.
#[must_use]
pub fn outcomes(output: &str) -> BTreeMap<String, bool> {
    assert!(output.lines().any(|line| line == "finished"), "it did not finish:\n{output}");
    let lines = output.lines().filter_map(|line| line.strip_prefix("attempt "));
    let parsed = lines.filter_map(|line| {
        let (name, how) = line.split_once(": ")?;
        Some((name.to_owned(), how == "through"))
    });
    parsed.collect()
}

/// How the outcomes differ from what is expected with this version of Landlock, a line each.
#[must_use]
pub fn differences(
    attempts: &[Attempt],
    outcomes: &BTreeMap<String, bool>,
    (level, user): (Level, User),
    landlock: u32,
) -> Vec<String> {
    let differs = |attempt: &Attempt| {
        let expected = attempt.is_through(level, user);
        match outcomes.get(&attempt.name) {
            Some(true) if landlock < attempt.landlock && level != Level::None => None,
            Some(through) if *through == expected => None,
            Some(false) if attempt.depends => None,
            Some(true) => Some(format!("{}: got through: {}", attempt.name, attempt.what)),
            Some(false) => Some(format!("{}: is stopped, and said to get through", attempt.name)),
            None => Some(format!("{}: was not tried", attempt.name)),
        }
    };
    attempts.iter().filter_map(differs).collect()
}
