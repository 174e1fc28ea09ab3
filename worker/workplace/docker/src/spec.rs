//! What a container is created with.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    ResourcesUlimits,
};
use sha2::{Digest, Sha256};

use super::engine::Product;
use evonic_backend::{Result, WorkplaceError};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};

/// Where the workspace is mounted.
pub(super) const WORKSPACE: &str = "/workspace";

/// The hidden folder of the workspace, with the records of commands: they outlive the container's
/// stop, which a file system in memory would not.
pub(super) const HIDDEN: &str = ".evonic";

/// Whose a container or volume is.
pub(super) const INSTANCE: &str = "evonic.instance";
/// What the instance's name is followed by on what lives for a moment only.
pub(super) const SHORT_LIVED: &str = "-short-lived";
/// Of which workplace.
pub(super) const WORKPLACE: &str = "evonic.workplace";
/// Of which session.
pub(super) const SESSION: &str = "evonic.session";
/// A digest of the settings that it was made with.
const SETTINGS: &str = "evonic.settings";

/// How the first process ends in an image without the program that it waits by.
pub(super) const NO_SLEEP: i64 = 90;

/// The first process: waits, and reaps what its parents left behind, as `wait` of every POSIX
/// shell does. Needs nothing of the engine, and ends at once when asked to, and where it cannot
/// wait. Its `sleep` is the agent's to kill, a thousand times.
const FIRST: &str = "trap 'exit 0' TERM INT; command -v sleep >/dev/null || exit 90; n=0; \
                     while sleep 2147483647 & wait $! || \
                     { [ $? -gt 128 ] && [ $((n = n + 1)) -le 1000 ]; }; do :; done; exit 90";

/// Processes of a container in which nothing runs: the first one and its `sleep`.
pub(super) const IDLE_PROCESSES: usize = 2;

/// Processes of one user in all containers of Podman together.
const PODMAN_PROCESSES: i64 = 16_384;

/// Whether the container table has a row of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tracking {
    Tracked,
    /// Short-lived.
    Untracked,
}

/// Whose a container is, and its name.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) instance: String,
    pub(super) tracking: Tracking,
    pub(super) workplace: WorkplaceId,
    pub(super) session: SessionId,
    /// Its name, and its volume's.
    pub(super) name: String,
}

impl Identity {
    /// The container of a session in a workplace of this instance.
    pub(super) fn new(instance: &str, workplace: &WorkplaceId, session: &SessionId) -> Self {
        let name = format!(
            "evonic-{}-{}-{}",
            instance.get(..8).unwrap_or(instance),
            session.as_str().rsplit('_').next().unwrap_or_default(),
            // The last digits are the random ones.
            workplace
                .as_str()
                .get(workplace.as_str().len().saturating_sub(8)..)
                .unwrap_or_default(),
        );
        Self {
            instance: instance.to_owned(),
            tracking: Tracking::Tracked,
            workplace: workplace.clone(),
            session: session.clone(),
            name,
        }
    }

    /// The container of a check.
    pub(super) fn of_check(instance: &str, workplace: &WorkplaceId, session: &SessionId) -> Self {
        let identity = Self::new(instance, workplace, session);
        Self {
            instance: format!("{instance}{SHORT_LIVED}"),
            tracking: Tracking::Untracked,
            ..identity
        }
    }

    /// The labels of its volume.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        HashMap::from([
            (INSTANCE.to_owned(), self.instance.clone()),
            (WORKPLACE.to_owned(), self.workplace.as_str().to_owned()),
            (SESSION.to_owned(), self.session.as_str().to_owned()),
        ])
    }
}

/// Filters for what is this instance's.
pub(super) fn own(instance: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{INSTANCE}={instance}")])])
}

/// The user and group that commands run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl User {
    /// `UID` or `UID:GID`; the group has the user's number when absent.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`], for user 0 too.
    pub(super) fn of(settings: &DockerSettings) -> Result<Self> {
        let text = settings.user.as_str();
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) if uid != 0 => Ok(Self { uid, gid }),
            _ => Err(WorkplaceError::settings(
                "settings.user",
                format!("{text:?} is no UID or UID:GID in numbers, other than 0"),
            )),
        }
    }
}

/// Whether a container was made with these settings.
pub(super) fn fits(labels: Option<&HashMap<String, String>>, settings: &DockerSettings) -> bool {
    labels.and_then(|labels| labels.get(SETTINGS)) == Some(&digest(settings))
}

fn digest(settings: &DockerSettings) -> String {
    let json = serde_json::to_vec(settings).expect("settings have string keys only");
    Sha256::digest(json).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A container with all limits on.
pub(super) fn container(
    identity: &Identity,
    settings: &DockerSettings,
    user: User,
    product: Product,
) -> ContainerCreateBody {
    let mut labels = identity.labels();
    labels.insert(SETTINGS.to_owned(), digest(settings));
    let first = ["/bin/sh", "-c", FIRST].map(str::to_owned).to_vec();
    let environment = &settings.environment;
    ContainerCreateBody {
        image: Some(settings.image.clone()),
        entrypoint: Some(first),
        user: Some(format!("{}:{}", user.uid, user.gid)),
        env: Some(environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        working_dir: Some(WORKSPACE.to_owned()),
        hostname: Some("sandbox".to_owned()),
        labels: Some(labels),
        // An image's own would count as something that runs.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        stop_signal: Some("SIGTERM".to_owned()),
        host_config: Some(host(identity, settings, user, product)),
        ..ContainerCreateBody::default()
    }
}

fn host(
    identity: &Identity,
    settings: &DockerSettings,
    user: User,
    product: Product,
) -> HostConfig {
    let memory = i64::try_from(settings.memory_bytes).unwrap_or(i64::MAX);
    let open_files = i64::from(settings.open_files);
    let size = settings.tmp_bytes;
    let tmp = match product {
        // Some runtimes give it the mode of the image's folder: so it is the user's.
        Product::Docker => {
            let User { uid, gid } = user;
            format!("rw,nosuid,nodev,exec,mode=1777,uid={uid},gid={gid},size={size}")
        }
        // Which knows no owner of it, and has an option for that mode instead.
        Product::Podman => format!("rw,nosuid,nodev,exec,mode=1777,notmpcopyup,size={size}"),
    };
    let limit = |name: &str, most: i64| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(most),
        hard: Some(most),
    };
    let mut limits = vec![limit("nofile", open_files)];
    if product == Product::Podman {
        // Its own wish is more than an engine in a container may have. `pids` counts anyway.
        limits.push(limit("nproc", PODMAN_PROCESSES));
    }
    HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory),
        nano_cpus: Some(i64::from(settings.cpu_millis) * 1_000_000),
        pids_limit: Some(i64::from(settings.pids)),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
        network_mode: Some(settings.network.clone()),
        ulimits: Some(limits),
        mounts: Some(vec![workspace(identity)]),
        // The first process writes nothing.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    }
}

fn workspace(identity: &Identity) -> Mount {
    Mount {
        target: Some(WORKSPACE.to_owned()),
        source: Some(identity.name.clone()),
        typ: Some(MountType::VOLUME),
        ..Mount::default()
    }
}

/// A container that is never started: through it the workspace's folder is given to its user.
pub(super) fn giver(identity: &Identity, settings: &DockerSettings) -> ContainerCreateBody {
    let mut labels = identity.labels();
    let instance = identity.instance.trim_end_matches(SHORT_LIVED);
    labels.insert(INSTANCE.to_owned(), format!("{instance}{SHORT_LIVED}"));
    ContainerCreateBody {
        image: Some(settings.image.clone()),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        labels: Some(labels),
        host_config: Some(HostConfig {
            mounts: Some(vec![workspace(identity)]),
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}
