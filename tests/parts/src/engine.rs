//! A Docker engine.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An engine (dockerd, with containerd) with folders and a socket of its own, started with
/// `--live-restore`. Stopped, with its containers, when dropped.
#[derive(Debug)]
pub struct Engine {
    folder: TempDir,
}

impl Engine {
    /// Starts an engine; returns when it answers.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start() -> Self {
        todo!()
    }

    /// Its address: `unix:///...`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Its folder, for files of the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the image `evonic-test:latest` (busybox: `sh`, `tail`, `find`, `sha256sum`, `tar`,
    /// `setsid`; and `bash`, with its libraries) without any registry, once an engine.
    pub fn make_image(&self) -> &'static str {
        "evonic-test:latest"
    }

    /// Runs `docker` with these arguments against it; returns its standard output.
    ///
    /// # Panics
    /// When the command fails.
    pub fn docker(&self, _arguments: &[&str]) -> String {
        todo!()
    }

    /// Kills it (SIGKILL) and starts it anew in the same folders; containers live on.
    pub fn restart(&mut self) {
        todo!()
    }

    /// Stops it (SIGTERM, waited for): the socket is gone. [`Engine::restart`] brings it back.
    pub fn stop(&mut self) {
        todo!()
    }
}
