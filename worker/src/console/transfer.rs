//! `evonic session export` and `import`: files on their way out and in, never held whole.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use evonic_store::Imported;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::{Mode, OFlags};

use super::{
    api::{Api, segment},
    error::{ConsoleError, Result},
    output::Console,
};

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Writes sessions into a new file, or to standard output.
pub(super) async fn export(
    what: &[String],
    agent: Option<&str>,
    all: bool,
    api: &Api,
    console: &mut Console<'_>,
) -> Result {
    let usage = |text: &str| ConsoleError::Usage(text.to_owned());
    let (path, file) = match (agent, all, what) {
        (Some(agent), _, [] | [_]) => (format!("/export?agent={}", segment(agent)), what.first()),
        (None, true, [] | [_]) => ("/export".to_owned(), what.first()),
        (None, false, [session]) => (format!("/sessions/{}/export", segment(session)), None),
        (None, false, [session, file]) => {
            (format!("/sessions/{}/export", segment(session)), Some(file))
        }
        (None, false, _) => {
            return Err(usage("which session: its id, --agent NAME, or --all"));
        }
        _ => return Err(usage("with --agent or --all there is one more argument at most: FILE")),
    };
    let mut download = api.download(&path).await?;
    let Some(file) = file else {
        while let Some(piece) = download.next().await? {
            console.exact(&piece)?;
        }
        return Ok(());
    };
    let failed = |source| ConsoleError::Written { path: file.clone(), source };
    // Everything that was said is in it.
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = options.map_err(failed)?;
    let mut bytes = 0;
    let mut write = async || -> Result {
        while let Some(piece) = download.next().await? {
            out.write_all(&piece).map_err(failed)?;
            bytes += piece.len() as u64;
        }
        out.sync_all().map_err(failed)
    };
    if let Err(error) = write().await {
        let _gone = std::fs::remove_file(file);
        return Err(error);
    }
    console.line(format!("{file} ({})", super::format::bytes(bytes)))
}

/// Sends a file to the worker, which makes sessions of it.
pub(super) async fn import(
    file: &str,
    agent: Option<&str>,
    existing: &str,
    api: &Api,
) -> Result<Imported> {
    let agent = agent.map(|agent| format!("&agent={}", segment(agent))).unwrap_or_default();
    let body = FileBody::open(file)?;
    api.upload_lines(&format!("/import?existing={existing}{agent}"), body).await
}

/// A file, or standard input, as the body of a request.
pub(super) struct FileBody {
    file: Option<Box<dyn Read + Send>>,
    /// Its bytes, where they are known before they are read.
    bytes: Option<u64>,
}

impl FileBody {
    #[expect(clippy::disallowed_methods, reason = "a file that a person names, read once")]
    fn open(name: &str) -> Result<Self> {
        let failed = |source| ConsoleError::Input { what: name.to_owned(), source };
        let file: Box<dyn Read + Send> = match name {
            "-" => Box::new(io::stdin()),
            name => {
                let file = File::open(Path::new(name)).map_err(failed)?;
                if file.metadata().map_err(failed)?.is_dir() {
                    return Err(failed(io::ErrorKind::IsADirectory.into()));
                }
                Box::new(file)
            }
        };
        Ok(Self { file: Some(file), bytes: None })
    }

    /// A file that has an end: no folder, device or pipe, which are not waited for either.
    pub(super) fn regular(path: &Path) -> Result<Self> {
        let failed = |source| ConsoleError::Input { what: path.display().to_string(), source };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(opened.map_err(|errno| failed(errno.into()))?);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a folder" } else { "a device or pipe" };
            return Err(failed(io::Error::other(format!("it is {what}, and no regular file"))));
        }
        let bytes = metadata.len();
        if bytes == 0 {
            return Err(failed(io::Error::other("it is empty")));
        }
        Ok(Self { file: Some(Box::new(file.take(bytes))), bytes: Some(bytes) })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    /// Reads in the place of the runtime: nothing else waits for it here.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(file) = &mut self.file else { return Poll::Ready(None) };
        let mut piece = vec![0; PIECE_BYTES];
        Poll::Ready(match file.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                piece.truncate(length);
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => {
                self.file = None;
                Some(Err(error))
            }
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
