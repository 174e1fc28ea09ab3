//! What protects this machine from commands.

use evonic_shared::config::Config;

use super::shell::{Confinement, Found, describe_limits};

/// A protection of commands on this machine, for `evonic doctor`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Protection {
    /// `landlock`, `rlimits`.
    pub name: &'static str,
    /// Whether it holds for commands that are started now.
    pub active: bool,
    /// What it does, or why it does not.
    pub detail: String,
}

/// What protects a machine with this configuration from commands. Landlock is tried, on a thread
/// that ends.
#[must_use]
pub fn of(config: &Config) -> Vec<Protection> {
    let limits = describe_limits(&config.workplace);
    vec![landlock(config), Protection { name: "rlimits", active: true, detail: limits }]
}

fn landlock(config: &Config) -> Protection {
    let settings = &config.workplace;
    let landlock = |active, detail| Protection { name: "landlock", active, detail };
    if !settings.confined {
        return landlock(
            false,
            "workplace.confined is false: commands may do what the user may".into(),
        );
    }
    match Confinement::new(config).probe(&settings.root) {
        Err(error) => landlock(false, format!("it cannot be tried: {error}")),
        Ok(found @ Found::Enforced(_)) => {
            let inside = [&config.state_dir, &config.runtime_dir];
            let inside = inside.iter().find(|folder| folder.starts_with(&settings.root));
            match inside {
                Some(folder) => landlock(
                    false,
                    format!("workplace.root holds {}, which commands may change", folder.display()),
                ),
                None => landlock(
                    true,
                    format!("commands write below their root only; {}", found.describe()),
                ),
            }
        }
        Ok(found) => {
            landlock(false, format!("{}; commands may do what the user may", found.describe()))
        }
    }
}
