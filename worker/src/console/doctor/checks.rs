//! The checks of this machine, as this user sees it. They change nothing.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use evonic_domain::{Settings, SshAuth, Workplace};
use evonic_shared::config::Config;
use evonic_workplace::Protection;
use rustix::{
    fs::{Access, AtFlags, CWD, accessat, statvfs},
    process::{Resource, getrlimit},
};

use super::Finding;
use crate::console::format;

/// Less free space than this is warned of: a spool may need that much.
const SPOOL_BYTES: u64 = 1 << 30;

/// Less than this, and writes are about to fail.
const MIN_BYTES: u64 = 16 << 20;

/// Folders that must be writable, with free space.
pub(super) fn folders(config: &Config) -> Vec<Finding> {
    vec![
        folder("state_dir", &config.state_dir, SPOOL_BYTES),
        folder("runtime_dir", &config.runtime_dir, MIN_BYTES),
        folder("workplace.root", &config.workplace.root, SPOOL_BYTES),
    ]
}

/// A folder that should have `wanted_bytes` free.
fn folder(key: &str, folder: &Path, wanted_bytes: u64) -> Finding {
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
    let detail = format!("{shown} is writable, {} free", format::bytes(free));
    let advice = "make room on its file system";
    match free {
        0..MIN_BYTES => Finding::failed(key, detail, advice),
        _ if free < wanted_bytes => Finding::warning(key, detail, advice),
        _ => Finding::ok(key, detail),
    }
}

/// Whether a leak meets a threshold of the supervisor before it meets the limit of open files.
pub(super) fn limit(config: &Config) -> Finding {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    match config.fits_limit(hard) {
        Ok(limit) => Finding::ok(
            "open files",
            format!("a worker may open {limit}, above the ceiling of {}", config.fd.ceiling),
        ),
        Err(error) => Finding::failed("open files", error.problem, error.advice),
    }
}

/// What confines commands on this machine.
pub(super) fn protections(config: &Config) -> Vec<Finding> {
    let protections = evonic_workplace::protections(config).into_iter();
    protections
        .map(|Protection { name, detail, advice }| match advice {
            None => Finding::ok(name, detail),
            Some(advice) => Finding::warning(name, detail, advice),
        })
        .collect()
}

/// What workplaces need on this machine.
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
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| {
            path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
        })
    };
    let found = |name, absent: fn(&str) -> Finding| match find(name) {
        Some(path) => Finding::ok(name, path.display().to_string()),
        None => absent(name),
    };
    let required = |name: &str| {
        let detail = "it is not installed, and no command of this machine starts without";
        Finding::failed(name, detail, "install it (util-linux has setsid)")
    };
    let expected =
        |name: &str| Finding::warning(name, "it is not installed", "install it: agents expect it");
    vec![
        found("sh", required),
        found("setsid", required),
        found("bash", expected),
        found("python3", expected),
    ]
}
