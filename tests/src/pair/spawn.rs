//! The supervisor's configuration file and its process.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{LogTo, NO_LIMITS, Options, program};
use crate::fault;

/// Writes the configuration file, and starts a supervisor with it.
pub(super) fn spawn_supervisor(folder: &Path, options: &Options) -> Child {
    let config = folder.join("evonic.toml");
    let worker = options.fault.as_ref().map(|_| program("evonic-faulty"));
    let mut toml = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = {:?}\nruntime_dir = {:?}\nlog = \"info\"\n",
        folder.join("state"),
        folder.join("run"),
    );
    toml.push_str(&options.config);
    if !toml.contains("[limits]\n") {
        toml.push_str(&format!("\n{NO_LIMITS}"));
    }
    if let Some(worker) = worker {
        // A table may be opened only once: the worker's key goes into the one that is there.
        let line = format!("worker = {worker:?}\n");
        if toml.contains("[supervisor]\n") {
            toml = toml.replace("[supervisor]\n", &format!("[supervisor]\n{line}"));
        } else {
            toml.push_str(&format!("\n[supervisor]\n{line}"));
        }
    }
    fs::write(&config, toml).expect("a configuration file");
    // Appended to: the next supervisor goes on with it while a worker of this one still writes.
    let log = fs::OpenOptions::new().append(true).create(true).open(folder.join("log"));
    let log = log.expect("a log");
    let supervisor = match options.user {
        None => options.programs.as_ref().map_or_else(
            || program("evonic-supervisor"),
            |folder| folder.join("evonic-supervisor"),
        ),
        Some(user) => give_to(user, folder).join("evonic-supervisor"),
    };
    let mut command = match options.limit {
        None => Command::new("env"),
        Some(limit) => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\""), "env"]);
            command
        }
    };
    // Under `nohup` it would be ignored.
    command.arg("--default-signal=HUP").arg(supervisor);
    command
        .arg("--config")
        .arg(config)
        .env("EVONIC_LOG_FORMAT", "text")
        .envs(options.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(match options.log {
            LogTo::File => Stdio::from(log),
            LogTo::Unread | LogTo::Closed => Stdio::piped(),
        })
        .process_group(0);
    if let Some((user, group)) = options.user {
        command.uid(user).gid(group);
    }
    if let Some(plan) = &options.fault {
        command.env(fault::VARIABLE, serde_json::to_string(plan).expect("a plan is JSON"));
    }
    let mut supervisor = command.spawn().expect("the supervisor starts");
    if options.log == LogTo::Closed {
        drop(supervisor.stderr.take());
    }
    supervisor
}

/// Gives the folder to a user, with a copy of the programs in it: those that were built may lie where
/// only their builder can go. Returns where the copy is.
fn give_to((user, group): (u32, u32), folder: &Path) -> PathBuf {
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("a folder");
    for name in ["evonic", "evonic-runner", "evonic-supervisor"] {
        fs::copy(program(name), programs.join(name)).expect("a copy");
    }
    let entries = fs::read_dir(folder).expect("the folder").flatten().map(|entry| entry.path());
    for path in entries.chain([folder.to_owned()]) {
        chown(&path, Some(user), Some(group)).expect("it is given");
    }
    programs
}
