//! What protects this machine from commands, told to its operator.

use evonic_shared::config::Config;

use super::shell::{Confinement, Found, limits_in_words};

/// A protection of commands on this machine, for `evonic doctor`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Protection {
    /// Its name: `landlock`, `rlimits`.
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
    let limits = limits_in_words(&config.workplace);
    vec![landlock(config), Protection { name: "rlimits", active: true, detail: limits }]
}

fn landlock(config: &Config) -> Protection {
    let settings = &config.workplace;
    let told = |active, detail| Protection { name: "landlock", active, detail };
    if !settings.confined {
        return told(
            false,
            "workplace.confined is false: commands may do what the user may".into(),
        );
    }
    match Confinement::new(config).probe(&settings.root) {
        Err(error) => told(false, format!("it cannot be tried: {error}")),
        Ok(found @ Found::Enforced(_)) => {
            let inside = [&config.state_dir, &config.runtime_dir];
            let inside = inside.iter().find(|folder| folder.starts_with(&settings.root));
            match inside {
                Some(folder) => told(
                    false,
                    format!("workplace.root holds {}, which commands may change", folder.display()),
                ),
                None => {
                    told(true, format!("commands write below their root only; {}", found.words()))
                }
            }
        }
        Ok(found) => told(false, format!("{}; commands may do what the user may", found.words())),
    }
}
