//! All attempts of the table, against a pair as `make run` starts it: as an ordinary user and as root.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use base64::Engine as _;
use evonic_parts::Folder;
use evonic_shared::status::State;
use evonic_tests::{
    escape::{
        Attempt, Folders, Inside, Level, Running, Stage, Tried, User, attempts, command_user,
        differences, probes,
    },
    pair::{Options, Pair},
    size,
};
use rustix::process::{getegid, geteuid};

use crate::secrets;

/// Who starts a pair as an ordinary user, when the tests are root: an account that owns nothing.
const ORDINARY: (u32, u32) = (64_321, 64_321);

/// How many attempts `make test` makes at each level as each user.
const PROBES: usize = 15;

/// This machine, and a pair on it once it was started.
struct Here {
    config: PathBuf,
}

impl Inside for Here {
    fn sh(&self, script: &str) -> String {
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", script]).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = output.output().expect("bash is installed");
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn chat(&self, runbook: &str) -> String {
        let mut evonic = Command::new(evonic_tests::pair::program("evonic"));
        evonic.args(["chat", "runbook", runbook]).env("EVONIC_CONFIG", &self.config);
        let output = evonic.stdin(Stdio::null()).output().expect("evonic starts");
        format!("{output:?}")
    }

    fn path(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// What is tried: all of it in `make chaos`. In `make test` that is done in the unit.
fn chosen() -> Vec<Attempt> {
    if size::is_full() { attempts() } else { probes(PROBES) }
}

fn run(level: Level, user: User) {
    let began = Instant::now();
    let folder = Folder::with_prefix("evonic-escape-").expect("a folder");
    // Commands of another user have to get as far as to their workplace.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).expect("ours");
    let at = |name: &str| folder.path().join(name);
    let folders = Folders {
        state: at("state"),
        runtime: at("run"),
        config: at("evonic.toml"),
        root: at("root"),
        around: at("around"),
    };
    let own = format!("{}:{}", geteuid().as_raw(), getegid().as_raw());
    let (pair_user, service) = match user {
        User::Own if geteuid().is_root() => {
            (Some(ORDINARY), format!("{}:{}", ORDINARY.0, ORDINARY.1))
        }
        User::Own | User::Other => (None, own),
    };
    let here = Here { config: folders.config.clone() };
    let more = folders.around.join("more");
    std::fs::create_dir_all(&more).expect("a folder");
    let has_tls = (level, user) == (Level::Namespaces, User::Own);
    let tls = if has_tls { tls(&more) } else { String::new() };
    let command = command_user(user, &service).to_owned();
    let mut stage = Stage::set_up(&here, folders.clone(), &service, &command);
    let config = format!(
        "{tls}[workplace]\nroot = {:?}\nsandbox = \"{level}\"\npaths = [{more:?}]\n{}{}\
         [limits]\nenabled = true\n",
        folders.root,
        if user == User::Other { "user = \"65534:65534\"\n" } else { "" },
        secrets::of_models(&folders, &more),
    );
    let options = Options { config, user: pair_user, ..Options::default() };
    let pair = Pair::spawn_in(folder, &options).answering();
    // As the package has it.
    std::fs::set_permissions(&folders.config, PermissionsExt::from_mode(0o640)).expect("ours");
    let status = pair.wait("the first worker serves", |status| status.state == State::Running);
    let http = status.listeners.iter().find(|listener| listener.name == "http");
    let port = http.and_then(|http| http.address.rsplit_once(':')?.1.parse().ok());
    let worker = status.worker.expect("it serves").pid;
    let port: u16 = port.expect("a port");
    let tls_server =
        format!("--server https://localhost:{port} --ca {}", more.join("tls.pem").display());
    stage.runs(Running {
        supervisor: pair.pid(),
        worker,
        port,
        evonic: evonic_tests::pair::program("evonic").display().to_string(),
        server: if has_tls { tls_server } else { format!("--server http://127.0.0.1:{port}") },
    });
    add_host(&pair, &more);

    let tried = chosen();
    let has_control = (level, user) == (Level::None, User::Own) && geteuid().is_root();
    let control: Vec<Attempt> =
        tried.iter().filter(|attempt| has_control && attempt.proves_a_layer()).cloned().collect();
    let Tried { outcomes, control: without, changed } = stage.attempt(&tried, &control);
    let mut differences = differences(&tried, &outcomes, (level, user), stage.landlock());
    differences.extend(stage.race());
    differences.extend(in_vain(&control, &without));
    // What only lets through what is said to may change something; a namespace lets nothing change.
    if level == Level::Namespaces {
        differences.extend(changed);
    }
    println!("{level}, {user:?}: {} attempts in {:?}", tried.len(), began.elapsed());
    assert!(differences.is_empty(), "{level}, {user:?}:\n{}", differences.join("\n"));
    drop(stage);
}

/// What every level stops gets through without one: else it would prove nothing.
fn in_vain(control: &[Attempt], outcomes: &BTreeMap<String, bool>) -> Vec<String> {
    let in_vain = control.iter().filter(|attempt| !attempt.depends && !outcomes[&attempt.name]);
    in_vain.map(|attempt| format!("{}: is stopped without a sandbox, too", attempt.name)).collect()
}

/// The configuration of a certificate and its key in this folder.
fn tls(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a pair");
    let write = |name: &str, label: &str, content: &[u8]| {
        let content = base64::engine::general_purpose::STANDARD.encode(content);
        let path = folder.join(name);
        let text = format!("-----BEGIN {label}-----\n{content}\n-----END {label}-----\n");
        std::fs::write(&path, text).expect("a file");
        path
    };
    let certificate = write("tls.pem", "CERTIFICATE", made.cert.der());
    let key = write("tls.key", "PRIVATE KEY", &made.signing_key.serialize_der());
    format!("[http.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

/// A workplace on another machine whose password lies in this folder.
fn add_host(pair: &Pair, folder: &Path) {
    let settings = secrets::of_host(folder);
    let added =
        pair.evonic(&["workplace", "add", "host", "--kind", "ssh", "--settings", &settings]);
    assert!(added.status.success(), "{added:?}");
}

#[test]
fn nothing_gets_out_of_namespaces() {
    run(Level::Namespaces, User::Own);
}

#[test]
fn nothing_gets_out_of_namespaces_of_another_user() {
    as_root(Level::Namespaces);
}

#[test]
fn landlock_stops_what_it_is_said_to() {
    run(Level::Landlock, User::Own);
}

#[test]
fn landlock_and_another_user_stop_what_they_are_said_to() {
    as_root(Level::Landlock);
}

#[test]
fn without_a_sandbox_seccomp_stops_what_it_is_said_to() {
    run(Level::None, User::Own);
}

#[test]
fn without_a_sandbox_another_user_is_stopped() {
    as_root(Level::None);
}

/// Only root starts a pair of root.
fn as_root(level: Level) {
    if geteuid().is_root() {
        run(level, User::Other);
    } else {
        println!("not tried: these tests are not root's");
    }
}
