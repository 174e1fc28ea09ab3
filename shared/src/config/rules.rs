//! What values must satisfy beside their key's type and bounds, alone and together.

mod models;

use std::time::Duration;

use super::{reader::Reader, root::Config};

/// The longest path of a Unix socket, in bytes (`unix(7)`: 108 with its NUL).
const SOCKET_PATH_BYTES: usize = 107;

/// The longest file name in `runtime_dir`.
const SOCKET: &str = "supervisor.sock";

/// Refuses what types and bounds cannot.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    paths(config, reader);
    exposure(config, reader);
    connections(config, reader);
    log(&config.log, reader);
    descriptors(config, reader);
    times(config, reader);
    hosts(config, reader);
    engine(config, reader);
    places(config, reader);
    models::check(&config.models, reader);
}

fn paths(config: &Config, reader: &mut Reader<'_>) {
    let length = config.runtime_dir.join(SOCKET).as_os_str().len();
    if length > SOCKET_PATH_BYTES {
        let most = SOCKET_PATH_BYTES - SOCKET.len() - 1;
        reader.refuse(
            &["runtime_dir"],
            format!("with `/{SOCKET}` it has {length} bytes; a Unix socket's path has at most {SOCKET_PATH_BYTES}"),
            format!("choose a folder whose path has at most {most} bytes"),
        );
    }
}

/// Keys must not travel where others can read them.
fn exposure(config: &Config, reader: &mut Reader<'_>) {
    let tls = &config.http.tls;
    let halves = [("http.tls.certificate", &tls.certificate), ("http.tls.key", &tls.key)];
    match halves {
        [(given, Some(_)), (missing, None)] | [(missing, None), (given, Some(_))] => {
            reader.refuse(
                &[given, missing],
                format!("{given} is given, and {missing} is not"),
                "give both for TLS, or none of them",
            );
        }
        _ => {}
    }
    let exposed = !config.listen.ip().is_loopback();
    if exposed && config.http.trusted_proxies.is_empty() && tls.pair().is_none() {
        reader.refuse(
            &["listen"],
            format!("{} can be reached from other machines, without TLS", config.listen),
            "give http.tls.certificate and http.tls.key, or name the proxies before it in \
             http.trusted_proxies, or use a loopback address such as `127.0.0.1:8420`",
        );
    }
}

/// Who shows no key yet must find a place, too. See `worker/http/src/places.rs`: at most eight of
/// `budget.http` serve nobody.
fn connections(config: &Config, reader: &mut Reader<'_>) {
    let (http, budget) = (&config.http, config.budget.http);
    let reserved = http.reserved_unix.saturating_add(http.reserved_keys);
    if reserved > budget / 4 * 3 {
        reader.refuse(
            &["http.reserved_unix", "http.reserved_keys", "budget.http"],
            format!("{reserved} of {budget} connections are reserved, which leaves too few for those that show their key first"),
            format!("reserve at most {}, or raise budget.http", budget / 4 * 3),
        );
    }
}

/// Levels, alone or by target.
fn log(filter: &str, reader: &mut Reader<'_>) {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let target = |text: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'.');
        !text.is_empty() && text.bytes().all(fits)
    };
    for directive in filter.split(',').map(str::trim) {
        let sound = match directive.split_once('=') {
            None => level(directive),
            Some((name, word)) => target(name) && level(word),
        };
        if !sound {
            reader.refuse(
                &["log"],
                format!("{directive:?} is no level, and no target with its level"),
                "write a level (off, error, warn, info, debug, trace), or levels by target such \
                 as `evonic=debug,info`",
            );
        }
    }
}

fn descriptors(config: &Config, reader: &mut Reader<'_>) {
    let budget = config.budget.total();
    let fd = &config.fd;
    if fd.threshold <= budget {
        reader.refuse(
            &["fd.threshold", "budget.http", "budget.sqlite", "budget.model", "budget.file", "budget.child"],
            format!("the threshold of {} descriptors is not above the {budget} of a worker whose [budget] is used up", fd.threshold),
            format!("raise fd.threshold to at least {}, or lower [budget]", budget.saturating_add(1)),
        );
    }
    if fd.ceiling < fd.threshold {
        reader.refuse(
            &["fd.ceiling", "fd.threshold"],
            format!(
                "the ceiling of {} descriptors is below the threshold of {}",
                fd.ceiling, fd.threshold
            ),
            format!("raise fd.ceiling to at least {}, or lower fd.threshold", fd.threshold),
        );
    }
    if fd.limit <= fd.ceiling {
        reader.refuse(
            &["fd.limit", "fd.ceiling", "fd.threshold"],
            format!("the limit of {} descriptors is not above the ceiling of {}, so a leak would hit the limit first", fd.limit, fd.ceiling),
            format!("raise fd.limit to at least {}, or lower fd.ceiling", fd.ceiling.saturating_add(1)),
        );
    }
    ordered(reader, ("fd.min_interval", fd.min_interval), ("fd.max_interval", fd.max_interval));
}

fn times(config: &Config, reader: &mut Reader<'_>) {
    let supervisor = &config.supervisor;
    ordered(
        reader,
        ("supervisor.backoff_base", supervisor.backoff_base),
        ("supervisor.backoff_cap", supervisor.backoff_cap),
    );
    ordered(reader, ("http.linger", config.http.linger), ("supervisor.grace", supervisor.grace));
    let (interval, timeout) = (supervisor.heartbeat_interval, supervisor.heartbeat_timeout);
    if timeout <= interval {
        let (interval, timeout) = (time(interval), time(timeout));
        reader.refuse(
            &["supervisor.heartbeat_timeout", "supervisor.heartbeat_interval"],
            format!("a heartbeat every {interval} is late after {timeout}, so every worker would be late"),
            "make heartbeat_timeout twice heartbeat_interval",
        );
    }
}

/// Somebody must be left to run turns for callers who have one already.
fn places(config: &Config, reader: &mut Reader<'_>) {
    let (workers, reserved) = (config.agents.workers, config.agents.reserved_workers);
    if reserved >= workers {
        reader.refuse(
            &["agents.reserved_workers", "agents.workers"],
            format!(
                "{reserved} of {workers} workers are reserved, so that no caller could have two"
            ),
            format!("lower agents.reserved_workers to at most {}", workers - 1),
        );
    }
    let running = config.agents.max_running;
    if running < workers {
        reader.refuse(
            &["agents.max_running", "agents.workers"],
            format!("of {workers} workers only {running} could ever have a turn"),
            format!("raise agents.max_running to at least {workers}"),
        );
    }
}

/// `docker.engine` names a socket, or a port behind TLS.
fn engine(config: &Config, reader: &mut Reader<'_>) {
    let (engine, key) = (&config.docker.engine, "docker.engine");
    if let Some(path) = engine.strip_prefix("unix://") {
        if !path.starts_with('/') {
            let problem = format!("{engine:?} has no whole path");
            reader.refuse(&[key], problem, "write unix:///PATH, with three slashes");
        }
        return;
    }
    let peer = engine.strip_prefix("tcp://").and_then(|peer| peer.rsplit_once(':'));
    match peer {
        Some((host, port)) if !host.is_empty() && port.parse().is_ok_and(|port: u16| port != 0) => {
            if config.docker.cert_path.is_none() {
                reader.refuse(
                    &[key, "docker.cert_path"],
                    "an engine without TLS gives root to whoever reaches it",
                    "set docker.cert_path to the folder of ca.pem, cert.pem and key.pem",
                );
            }
        }
        _ => reader.refuse(
            &[key],
            format!("{engine:?} is no engine"),
            "write unix:///PATH or tcp://HOST:PORT",
        ),
    }
}

fn ordered(reader: &mut Reader<'_>, lesser: (&str, Duration), greater: (&str, Duration)) {
    if lesser.1 > greater.1 {
        reader.refuse(
            &[lesser.0, greater.0],
            format!(
                "{} of {} is above {} of {}",
                lesser.0,
                time(lesser.1),
                greater.0,
                time(greater.1)
            ),
            format!("lower {}, or raise {}", lesser.0, greater.0),
        );
    }
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn hosts(config: &Config, reader: &mut Reader<'_>) {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    for host in &config.http.allowed_hosts {
        if !host.bytes().all(fits) {
            reader.refuse(
                &["http.allowed_hosts"],
                format!("{host:?} is no host"),
                "write a name such as `agents.example.org`, without scheme, path or `*`",
            );
        }
    }
    for name in &config.tools.environment {
        if name.contains('=') {
            reader.refuse(
                &["tools.environment"],
                format!("{name:?} is no name of a variable"),
                "write the name only, such as `HTTP_PROXY`; its value is the service's",
            );
        }
        if name == "CREDENTIALS_DIRECTORY" {
            reader.refuse(
                &["tools.environment"],
                "`CREDENTIALS_DIRECTORY` says where the service's secrets are".to_owned(),
                "remove it; give commands what they need in a variable of its own",
            );
        }
    }
}
