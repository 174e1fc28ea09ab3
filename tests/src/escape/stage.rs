//! What attempts are made on, and how they are run and looked at.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Attempt, User, outcomes, script};
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

    /// The service runs: its processes, and where it serves.
    pub fn runs(&mut self, supervisor: u32, worker: u32, port: u16) {
        let known = [("SUPERVISOR", supervisor), ("WORKER", worker), ("PORT", port.into())];
        self.variables.extend(known.map(|(name, value)| (name.to_owned(), value.to_string())));
    }

    /// Tries all of these in one command while another command runs; whether each got through, and
    /// what is different afterwards.
    ///
    /// # Panics
    /// When a command cannot be run.
    #[must_use]
    pub fn attempt(&mut self, attempts: &[Attempt]) -> (BTreeMap<String, bool>, Vec<String>) {
        let victim = self.sh("cat \"$SOCKETS/victim\"");
        let mut victim = victim.split_whitespace();
        for name in ["VICTIM", "TERMINAL"] {
            let value = victim.next().expect("the victim's pid and terminal").to_owned();
            self.variables.insert(name.to_owned(), value);
        }
        let (inside, mark) = (self.inside, &self.mark);
        let waits = format!(
            "$ export MARKED={mark}-environment; : {mark}-command; until [ -e done ]; do sleep 0.05; done"
        );
        thread::scope(|scope| {
            let other = scope.spawn(|| inside.chat(&waits));
            self.find_other();
            let script = script(attempts, &self.variables);
            let file = self.inside.path(&self.folders.root.join("attempts.sh"));
            std::fs::write(&file, script).expect("the script is written");
            self.sh("chmod 644 \"$ROOT/attempts.sh\"");
            let before = self.sh(LOOK);
            let said = self.inside.chat("$ bash attempts.sh > outcomes");
            let after = self.sh(LOOK);
            self.sh("touch \"$ROOT/done\"");
            let _said = other.join().expect("no panic");
            let output = self.sh("cat \"$ROOT/outcomes\" || true");
            assert!(output.contains("finished"), "it did not finish: {said}\n{output}");
            let changed = after.lines().filter(|line| !before.lines().any(|known| known == *line));
            (outcomes(&output), changed.map(str::to_owned).collect())
        })
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
                let name = found.lines().next().unwrap_or("*/record").to_owned();
                let record =
                    self.sh(&format!("cat \"$STATE\"/commands/{name} 2>/dev/null || true"));
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
        if !thread::panicking() {
            self.sh("kill \"$(cut -d' ' -f1 \"$SOCKETS/victim\")\" || true\nrm -f /dev/shm/$MARK* /tmp/$MARK* /var/tmp/$MARK*");
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

/// Makes the program of the attempts. Linked statically: it runs where this machine's libraries are
/// not.
///
/// # Panics
/// When there is no compiler.
fn compile(program: &Path) {
    let began = Instant::now();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/escape/native.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-static", "-Wall", "-Wextra", "-Werror", "-o"]).arg(program).arg(source);
    let compiled = compiler.output().expect("cc is installed: package gcc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    println!("  the program of the attempts took {:?}", began.elapsed());
}
