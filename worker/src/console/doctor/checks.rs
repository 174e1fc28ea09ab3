//! What is looked at. Nothing is changed by it.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::{
    config::Config,
    status::{Reply, Request, State},
};
use rustix::{
    fs::{Access, AtFlags, CWD, accessat, statvfs},
    process::{Resource, getrlimit},
};

use super::Finding;
use crate::console::{api::Api, figures, supervisor::Supervisor};
use evonic_domain::{Settings, SshAuth, Workplace};

/// Less free space than this is worth a word: a spool may need that much.
const SPACE_BYTES: u64 = 1 << 30;

/// Less than this, and writes are about to fail.
const LEAST_BYTES: u64 = 16 << 20;

/// How long the worker may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Folders that must be writable, with space left.
pub(super) fn folders(config: &Config) -> Vec<Finding> {
    let folders = [
        ("state_dir", &config.state_dir),
        ("runtime_dir", &config.runtime_dir),
        ("workplace.root", &config.workplace.root),
    ];
    folders.into_iter().map(|(key, folder)| self::folder(key, folder)).collect()
}

fn folder(key: &str, folder: &Path) -> Finding {
    let shown = folder.display();
    // What is missing is made when the service starts: the first folder above that is there.
    let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return Finding::failed(key, format!("{shown} is nowhere"), format!("set {key}"));
    };
    if accessat(CWD, there, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Finding::failed(
            key,
            format!("{} cannot be written to by this user", there.display()),
            format!("give it to the service's user, or run this as that user, or set {key}"),
        );
    }
    let Ok(space) = statvfs(there) else { return Finding::ok(key, format!("{shown} is writable")) };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let detail = format!("{shown} is writable, {} free", figures::bytes(free));
    let small = key == "runtime_dir";
    match free {
        0..LEAST_BYTES => Finding::failed(key, detail, "make room on its file system"),
        LEAST_BYTES..SPACE_BYTES if !small => {
            Finding::warning(key, detail, "make room on its file system")
        }
        _ => Finding::ok(key, detail),
    }
}

/// Whether a leak meets a line of the supervisor's before it meets the limit of open files.
pub(super) fn limit(config: &Config) -> Vec<Finding> {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    vec![match config.fits_limit(hard) {
        Ok(limit) => Finding::ok(
            "open files",
            format!("a worker may open {limit}, above the ceiling of {}", config.fd.ceiling),
        ),
        Err(fault) => Finding::failed("open files", fault.problem, fault.advice),
    }]
}

/// Whether the supervisor answers, and what it says.
pub(super) fn supervisor(config: &Config) -> Finding {
    let socket = Supervisor::socket(config);
    let reply = Supervisor::connect(&socket).and_then(|mut s| s.ask(&Request::Status));
    match reply {
        Ok(Reply::Status(status)) => {
            let detail = format!("pid {}, {:?}", status.pid, status.state).to_lowercase();
            match (status.state, status.last_error) {
                (State::Running, None) => Finding::ok("supervisor", detail),
                (_, Some(error)) => Finding::warning(
                    "supervisor",
                    format!("{detail}; {error}"),
                    "see `evonic history`",
                ),
                _ => Finding::warning("supervisor", detail, "see `evonic status`"),
            }
        }
        Ok(_) => Finding::failed("supervisor", "it gave no status", "are the two of one version?"),
        Err(error) => Finding::failed(
            "supervisor",
            error.to_string(),
            "start it: `systemctl start evonic`, or `evonic-supervisor`",
        ),
    }
}

/// Whether the worker answers and is ready, and its workplaces.
pub(super) async fn worker(api: &Api) -> (Finding, Vec<Workplace>) {
    match api.list::<Workplace>("/workplaces", PATIENCE).await {
        Ok(workplaces) => {
            let finding = match api.ready(PATIENCE).await {
                Ok(()) => Finding::ok("worker", "it answers and is ready"),
                Err(error) => Finding::warning("worker", error.to_string(), "see `evonic status`"),
            };
            (finding, workplaces)
        }
        Err(error) => {
            let advice = "see `evonic status` and `evonic history`";
            (Finding::failed("worker", error.to_string(), advice), Vec::new())
        }
    }
}

/// What protects this machine from commands.
pub(super) fn protections(config: &Config) -> Vec<Finding> {
    let told = evonic_workplace::protections(config).into_iter();
    told.map(|protection| match protection.active {
        true => Finding::ok(protection.name, protection.detail),
        false => Finding::warning(
            protection.name,
            protection.detail,
            "take a Docker workplace for agents that are not trusted: docs/workplaces.md",
        ),
    })
    .collect()
}

/// What the workplaces of this instance need on this machine.
pub(super) fn workplaces(config: &Config, workplaces: &[Workplace]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folders = workplaces.iter().filter(|workplace| match &workplace.settings {
        Settings::Local(settings) => settings.session_folders,
        _ => false,
    });
    let names: Vec<_> = folders.map(|workplace| workplace.name.to_string()).collect();
    findings.push(Finding::ok(
        "session folders",
        if names.is_empty() {
            "no local workplace has them: its sessions share its folder".to_owned()
        } else {
            format!("sessions have folders of their own in {}", names.join(", "))
        },
    ));
    let engine = |workplace: &Workplace| match &workplace.settings {
        Settings::Docker(settings) => {
            Some(settings.engine.clone().unwrap_or_else(|| config.docker.engine.clone()))
        }
        _ => None,
    };
    let mut engines: Vec<_> = workplaces.iter().filter_map(engine).collect();
    engines.sort();
    engines.dedup();
    findings.extend(engines.iter().filter_map(|engine| self::engine(engine)));
    let by_agent = workplaces.iter().any(|workplace| match &workplace.settings {
        Settings::Ssh(settings) => {
            settings.authenticate.is_empty() || settings.authenticate.contains(&SshAuth::Agent)
        }
        _ => false,
    });
    findings.extend(by_agent.then(ssh_agent));
    findings
}

/// Only that this user may talk to it; `evonic workplace check` tries the rest.
fn engine(engine: &str) -> Option<Finding> {
    let socket = engine.strip_prefix("unix://")?;
    Some(match UnixStream::connect(socket) {
        Ok(_) => Finding::ok("docker", format!("{socket} answers")),
        Err(error) => Finding::failed(
            "docker",
            format!("{socket}: {error}"),
            "start the engine, or add the service's user to its socket's group",
        ),
    })
}

fn ssh_agent() -> Finding {
    let check = "ssh agent";
    let Some(socket) = std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from) else {
        let advice = "a key file serves as well: settings.identity_files of the workplace";
        return Finding::warning(check, "$SSH_AUTH_SOCK is not set for this user", advice);
    };
    match UnixStream::connect(&socket) {
        Ok(_) => Finding::ok(check, format!("{} answers", socket.display())),
        Err(error) => Finding::warning(
            check,
            format!("{}: {error}", socket.display()),
            "start the agent; the service needs $SSH_AUTH_SOCK in its own environment",
        ),
    }
}

/// Programs that commands of this machine need, or that agents expect.
pub(super) fn programs() -> Vec<Finding> {
    let needed = [("sh", true), ("setsid", true), ("bash", false), ("python3", false)];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| {
            path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
        })
    };
    let finding = |(name, must): (&str, bool)| match (find(name), must) {
        (Some(path), _) => Finding::ok(name, path.display().to_string()),
        (None, true) => Finding::failed(
            name,
            "it is not installed, and no command of this machine starts without",
            "install it (util-linux has setsid)",
        ),
        (None, false) => {
            Finding::warning(name, "it is not installed", "install it: agents expect it")
        }
    };
    needed.into_iter().map(finding).collect()
}
