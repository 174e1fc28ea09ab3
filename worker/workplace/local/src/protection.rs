//! What protects this machine from commands.

use evonic_runner::Level;
use evonic_shared::config::Config;

use super::{
    commands::{Environment, describe_limits},
    proc,
    sandbox::{self, Reach},
    user,
};

const CONTAINERS: &str =
    "take a Docker workplace for agents that are not trusted: docs/workplaces.md";

/// A protection of commands on this machine, for `evonic doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// `proc`, `sandbox`, `rlimits`.
    pub name: &'static str,
    /// What it does for commands that are started now, or why it does not.
    pub detail: String,
    /// What to do, where it does less than this program can.
    pub advice: Option<&'static str>,
}

/// What protects a machine with this configuration from commands of its workplace `local`. The
/// sandboxes are tried, by commands that do nothing.
#[must_use]
pub fn of(config: &Config) -> Vec<Protection> {
    let limits = describe_limits(&config.workplace);
    vec![proc(), sandbox(config), Protection { name: "rlimits", detail: limits, advice: None }]
}

fn proc() -> Protection {
    let (detail, advice) = proc::describe();
    Protection { name: "proc", detail, advice }
}

fn sandbox(config: &Config) -> Protection {
    let settings = &config.workplace;
    let sandbox = |active: bool, detail| {
        let advice = (!active).then_some(CONTAINERS);
        Protection { name: "sandbox", detail, advice }
    };
    let environment = Environment::of_service(&[]);
    let reach = match Reach::new(config, environment.path()) {
        Ok(reach) => reach,
        Err(problem) => return sandbox(false, format!("workplace.user: {problem}")),
    };
    let probed = reach.probe(&std::env::temp_dir());
    let level = match probed.level(settings.sandbox, settings.network) {
        Ok(level) => level,
        Err((field, problem)) => {
            return sandbox(false, format!("commands are refused: workplace.{field}: {problem}"));
        }
    };
    let detail = sandbox::describe(level, &probed, settings.network, settings)
        + &user::describe(reach.user, level, &settings.root);
    let inside = [&config.state_dir, &config.runtime_dir];
    match inside.iter().find(|folder| folder.starts_with(&settings.root)) {
        Some(folder) if level != Level::Namespaces => {
            let folder = folder.display();
            sandbox(
                false,
                format!("workplace.root holds {folder}, which commands may change; {detail}"),
            )
        }
        _ => sandbox(level == Level::Namespaces, detail),
    }
}
