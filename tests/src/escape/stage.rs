//! What attempts are made on, and how they are run and looked at.

mod race;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{Attempt, User, outcomes, program::compile, script};
use crate::poll;

/// How long a command may take to begin, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The machine where a service runs, and the service.
pub trait Inside: Sync {
    /// Runs a script for bash as whoever tests, which may do anything; its standard output.
    ///
    /// # Panics
    /// When it fails.
    fn sh(&self, script: &str) -> String;

    /// Posts a runbook to the agent `runbook`, and waits for its end; what is said about it.
    fn chat(&self, runbook: &str) -> String;

    /// Where something of this machine is for the test itself.
    fn path(&self, path: &Path) -> PathBuf;
}

/// What became of attempts.
#[derive(Debug)]
pub struct Tried {
    /// Whether each got through.
    pub outcomes: BTreeMap<String, bool>,
    /// Whether each of the control did, with no runner around it.
    pub control: BTreeMap<String, bool>,
    /// What is different afterwards, a line each.
    pub changed: Vec<String>,
}

/// The service, once it runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The supervisor's pid.
    pub supervisor: u32,
    /// The worker's.
    pub worker: u32,
    /// Where it serves HTTP on 127.0.0.1.
    pub port: u16,
    /// The program `evonic`.
    pub evonic: String,
    /// Options by which that asks over TCP.
    pub server: String,
}

/// The service's folders, as its machine names them.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `state_dir`.
    pub state: PathBuf,
    /// `runtime_dir`.
    pub runtime: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// `workplace.root`.
    pub root: PathBuf,
    /// Of the test, which the service's user can reach: see [`Stage::set_up`].
    pub around: PathBuf,
}

/// A service whose commands try to get out, and what they may get at.
pub struct Stage<'i> {
    inside: &'i dyn Inside,
    folders: Folders,
    variables: BTreeMap<String, String>,
    mark: String,
}

/// What is set up by [`Stage::set_up`] before the service starts, with these variables.
const SET_UP: &str = include_str!("set-up.sh");

/// What is looked at, before and after.
const LOOK: &str = include_str!("look.sh");

impl<'i> Stage<'i> {
    /// Makes the files, before the service starts: `root` with secrets that lie in the workplace, and
    /// in `around` the folders `out` (the service's user's alone), `more` (for `workplace.paths`) and
    /// `sockets`. `service` and `command` are users, as `UID:GID`.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn set_up(inside: &'i dyn Inside, folders: Folders, service: &str, command: &str) -> Self {
        let mark = format!("evonic-escape-{:016x}", fastrand::u64(..));
        let show = |path: &Path| path.display().to_string();
        let variables = BTreeMap::from(
            [
                ("STATE", show(&folders.state)),
                ("RUNTIME", show(&folders.runtime)),
                ("CONFIG", show(&folders.config)),
                ("ROOT", show(&folders.root)),
                ("OUT", show(&folders.around.join("out"))),
                ("MORE", show(&folders.around.join("more"))),
                ("SOCKETS", show(&folders.around.join("sockets"))),
                ("PRIVATE", show(&folders.around.join("private"))),
                ("SERVICE_USER", service.to_owned()),
                ("COMMAND_USER", command.to_owned()),
                ("MARK", mark.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        let stage = Self { inside, folders, variables, mark };
        stage.sh("mkdir -p \"$ROOT\"");
        compile(&stage.inside.path(&stage.folders.root.join("native")));
        stage.sh(SET_UP);
        stage
    }

    /// A script with the stage's variables.
    fn sh(&self, script: &str) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}='{value}'\n"));
        self.inside.sh(&format!("set -eu\n{}{script}", variables.collect::<String>()))
    }

    /// The service runs.
    pub fn runs(&mut self, running: Running) {
        let known = [
            ("SUPERVISOR", running.supervisor.to_string()),
            ("WORKER", running.worker.to_string()),
            ("PORT", running.port.to_string()),
            ("EVONIC", running.evonic),
            ("SERVER", running.server),
        ];
        self.variables.extend(known.map(|(name, value)| (name.to_owned(), value)));
    }

    /// The version of Landlock that the kernel has; 0 for none.
    ///
    /// # Panics
    /// When the program of the attempts cannot be run.
    #[must_use]
    pub fn landlock(&self) -> u32 {
        let said = self.sh("\"$SOCKETS/native\" landlock");
        said.trim().parse().unwrap_or(0)
    }

    /// Tries all of these in one command while another command runs, and those of `control` with no
    /// runner around them.
    ///
    /// # Panics
    /// When a command cannot be run.
    #[must_use]
    pub fn attempt(&mut self, attempts: &[Attempt], control: &[Attempt]) -> Tried {
        let victim = self.sh("cat \"$SOCKETS/victim\"");
        let mut victim = victim.split_whitespace();
        for name in ["VICTIM", "TERMINAL"] {
            let value = victim.next().expect("the victim's pid and terminal").to_owned();
            self.variables.insert(name.to_owned(), value);
        }
        let (inside, mark) = (self.inside, &self.mark);
        let waits = format!(
            "$ echo begun; exec env MARKED={mark}-environment bash -c ': {mark}-command; \
             until [ -e done ]; do sleep 0.05; done'"
        );
        thread::scope(|scope| {
            let other = scope.spawn(|| inside.chat(&waits));
            let ends = Ends(inside.path(&self.folders.root.join("done")));
            self.find_other();
            let script = script(attempts, &self.variables);
            let file = self.inside.path(&self.folders.root.join("attempts.sh"));
            std::fs::write(&file, script).expect("the script is written");
            self.sh("chmod 644 \"$ROOT/attempts.sh\"");
            let before = self.sh(LOOK);
            let said = self.inside.chat("$ bash attempts.sh > outcomes");
            let after = self.sh(LOOK);
            let control = if control.is_empty() { BTreeMap::new() } else { self.control(control) };
            drop(ends);
            let _said = other.join().expect("no panic");
            let output = self.sh("cat \"$ROOT/outcomes\" || true");
            assert!(output.contains("finished"), "it did not finish: {said}\n{output}");
            let changed = after.lines().filter(|line| !before.lines().any(|known| known == *line));
            let mut outcomes = outcomes(&output);
            for (name, script) in attempts.iter().filter_map(|of| Some((&of.name, of.after?))) {
                outcomes.insert(name.clone(), self.succeeds(script));
            }
            Tried { outcomes, control, changed: changed.map(str::to_owned).collect() }
        })
    }

    /// Tries these once more with no runner around them, as the service's user. Whoever tests is root.
    fn control(&self, attempts: &[Attempt]) -> BTreeMap<String, bool> {
        let file = self.inside.path(&self.folders.root.join("control.sh"));
        std::fs::write(&file, script(attempts, &self.variables)).expect("the script is written");
        let output = self.sh("chmod 644 \"$ROOT/control.sh\"; \
             setpriv --reuid \"${SERVICE_USER%:*}\" --regid \"${SERVICE_USER#*:}\" --clear-groups \
             env -i HOME=\"$ROOT\" PATH=\"$PATH\" EVONIC_CALL=none NOTIFY_SOCKET=none bash \"$ROOT/control.sh\"");
        outcomes(&output)
    }

    /// Whether a script does well, outside.
    fn succeeds(&self, script: &str) -> bool {
        let said =
            self.sh(&format!("( set +e; {script} ) >/dev/null 2>&1 && echo through || true"));
        said.trim() == "through"
    }

    /// Waits for the record of the other command, and takes its runner's pid from it.
    fn find_other(&mut self) {
        let find = "cd \"$STATE/commands\" 2>/dev/null || exit 0\n\
                    for it in */record; do grep -qs '[0-9]' \"${it%record}status\" || echo \"$it\"; done";
        let (name, record) = poll::until(
            "the other command runs",
            TIMEOUT,
            || {
                let found = self.sh(find);
                let name = found.lines().next().unwrap_or("none").to_owned();
                let record =
                    self.sh(&format!("cat \"$STATE/commands/{name}\" 2>/dev/null || true"));
                (name, record)
            },
            |(name, record)| {
                let record: Value = serde_json::from_str(record).ok()?;
                Some((name.clone(), record))
            },
        );
        let runner = record["runner"]["runner"]["pid"].to_string();
        let other = self.folders.state.join("commands").join(name.trim_end_matches("/record"));
        self.variables.insert("RUNNER".to_owned(), runner);
        self.variables.insert("OTHER".to_owned(), other.display().to_string());
    }

    /// Where something is for the test itself.
    #[must_use]
    pub fn folders(&self) -> &Folders {
        &self.folders
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.sh("kill \"$(cut -d' ' -f1 \"$SOCKETS/victim\")\" || true\n\
             rm -f /dev/shm/\"$MARK\"* /tmp/\"$MARK\"* /var/tmp/\"$MARK\"*");
    }
}

/// A file that is made when this is dropped, also by a panic: a command waits for it.
struct Ends(PathBuf);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.0, "") {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// The user that commands of a service of this user get, as `UID:GID`, where root's has no account
/// for them.
#[must_use]
pub const fn command_user(user: User, service: &str) -> &str {
    match user {
        User::Own => service,
        User::Other => "65534:65534",
    }
}
