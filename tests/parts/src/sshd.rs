//! OpenSSH's server.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A server on a loopback port of its own, with host keys of its own (ed25519, RSA, ECDSA).
/// Stopped, with every process of it, and its users removed, when dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
}

/// A user of the machine, made for a test. Removed with its server.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login name, unique on this machine.
    pub name: String,
    /// The home as the server knows it.
    pub home: PathBuf,
    /// The password.
    pub password: String,
    /// A private key (ed25519, without passphrase) that the server accepts for it.
    pub key: PathBuf,
}

impl Sshd {
    /// Starts a server; returns when it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        Self::with("")
    }

    /// Starts a server with more lines of `sshd_config`.
    ///
    /// # Panics
    /// As [`Sshd::start`].
    #[must_use]
    pub fn with(_config: &str) -> Self {
        todo!()
    }

    /// Makes a user with this login shell (a whole path), whose home is a new folder with this name,
    /// which may have spaces and quotes in it, elsewhere than where this machine's homes are.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn account(&self, _shell: &str, _home: &str) -> Account {
        todo!()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A `known_hosts` file with all of its keys, under `[127.0.0.1]:PORT`.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// Its folder, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it logged, at level VERBOSE.
    #[must_use]
    pub fn log(&self) -> String {
        todo!()
    }

    /// Kills every server process of a connection, as a link that is cut. Returns how many.
    pub fn cut(&self) -> usize {
        todo!()
    }

    /// Stops the listener (SIGSTOP), and lets it go on: a peer that does not answer.
    pub fn freeze(&self, _frozen: bool) {
        todo!()
    }

    /// Replaces its host keys by new ones and starts it anew on the same port.
    pub fn change_keys(&mut self) {
        todo!()
    }
}
