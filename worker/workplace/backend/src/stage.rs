//! The stages of work on another machine, each named in the errors of that machine.

/// Declares [`Stage`]: a variant, its label, whether a host that fails there was reached.
macro_rules! stages {
    ($($(#[$doc:meta])* $stage:ident = $label:literal, reached_host: $reached:literal;)+) => {
        /// What failed on another machine, or on the way to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Stage {
            $($(#[$doc])* $stage,)+
        }

        impl Stage {
            #[cfg(test)]
            const ALL: &[Stage] = &[$(Stage::$stage,)+];

            /// The label that errors show.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Stage::$stage => $label,)+ }
            }

            /// Whether the machine may already have acted on what it was asked for. Before the
            /// end of authentication nothing was handed over: a command certainly did not start.
            #[must_use]
            pub const fn reached_host(self) -> bool {
                match self { $(Stage::$stage => $reached,)+ }
            }
        }
    };
}

stages! {
    Resolve = "resolve", reached_host: false;
    Connect = "connect", reached_host: false;
    /// The Unix socket of an engine.
    Socket = "socket", reached_host: false;
    Tls = "TLS", reached_host: false;
    KeyExchange = "exchange keys", reached_host: false;
    Algorithms = "algorithms", reached_host: false;
    HostKey = "host key", reached_host: false;
    Authenticate = "authenticate", reached_host: false;
    /// A jump host that forwards nothing.
    Jump = "jump", reached_host: false;

    /// What comes between the login and the first channel.
    Session = "session", reached_host: true;
    /// The user's home, and whether SFTP and the login shell agree on it.
    Home = "home", reached_host: true;
    /// The SFTP subsystem.
    Sftp = "SFTP", reached_host: true;
    FindHome = "find", reached_host: true;
    Stat = "stat", reached_host: true;
    Read = "read", reached_host: true;
    Write = "write", reached_host: true;
    Upload = "upload", reached_host: true;
    List = "list", reached_host: true;
    MakeFolder = "make", reached_host: true;
    Rename = "rename", reached_host: true;
    Remove = "remove", reached_host: true;

    /// A script of the machine's shell.
    Script = "run", reached_host: true;
    Follow = "follow", reached_host: true;
    Output = "output", reached_host: true;
    Kill = "kill", reached_host: true;
    CleanUp = "clean up", reached_host: true;

    /// The engine's version of its API.
    Version = "version", reached_host: true;
    /// What an engine says of itself.
    EngineInfo = "engine", reached_host: true;
    Disk = "disk", reached_host: true;
    Network = "network", reached_host: true;
    Image = "image", reached_host: true;
    BuildImage = "build", reached_host: true;
    MakeContainer = "make container", reached_host: true;
    InspectContainer = "inspect container", reached_host: true;
    ListContainers = "list containers", reached_host: true;
    ListProcesses = "list processes", reached_host: true;
    StartContainer = "start container", reached_host: true;
    UnpauseContainer = "unpause container", reached_host: true;
    StopContainer = "stop container", reached_host: true;
    RemoveContainer = "remove container", reached_host: true;
    MakeVolume = "make volume", reached_host: true;
    InspectVolume = "inspect volume", reached_host: true;
    ListVolumes = "list volumes", reached_host: true;
    RemoveVolume = "remove volume", reached_host: true;
    /// The owner of the workspace's volume is set.
    GiveWorkspace = "give workspace", reached_host: true;
    /// The table of containers in the database.
    ContainerTable = "containers", reached_host: true;
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A wrong answer here runs a command twice, or reports one that never ran as lost.
    #[test]
    fn only_the_stages_up_to_authentication_do_not_reach_the_host() {
        let before = [
            "resolve",
            "connect",
            "socket",
            "TLS",
            "exchange keys",
            "algorithms",
            "host key",
            "authenticate",
            "jump",
        ];
        for stage in Stage::ALL {
            let label = stage.to_string();
            assert_eq!(stage.reached_host(), !before.contains(&label.as_str()), "{label}");
        }
    }

    #[test]
    fn labels_are_distinct() {
        let labels: HashSet<&str> = Stage::ALL.iter().map(|stage| stage.label()).collect();
        assert_eq!(labels.len(), Stage::ALL.len());
    }
}
