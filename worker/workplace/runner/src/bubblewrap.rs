//! The arguments of `bwrap`. See <https://manpages.debian.org/bookworm/bubblewrap/bwrap.1.en.html>.
//!
//! What is not bound is not there. Later mounts lie over earlier ones, so what is hidden is covered
//! where something that holds it was bound.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    confinement::{DEVICE_FOLDERS, SYSTEM},
    spec::Sandbox,
};

/// The most that lies in `/dev/shm`.
const SHARED_MEMORY_BYTES: u64 = 1 << 30;

/// The mounts of a sandbox, put together.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    arguments: Vec<OsString>,
    /// What is there as it is outside.
    shown: Vec<PathBuf>,
    /// Folders that are there, as far as they are not below those.
    made: Vec<PathBuf>,
    /// What is bound for the workplace: each is compared, inside, with what was there before.
    pub(crate) compared: Vec<PathBuf>,
}

impl Mounts {
    /// Those of `sandbox`, with `temporary` as its `/tmp`.
    pub(crate) fn new(sandbox: &Sandbox, temporary: &Path) -> Self {
        let mut mounts = Self::default();
        for path in SYSTEM.iter().map(Path::new) {
            mounts.system(path);
        }
        // What these lead to may be anywhere.
        for link in ["/etc/resolv.conf", "/etc/localtime"] {
            if let Ok(real) = fs::canonicalize(link)
                && !mounts.is_shown(&real)
            {
                mounts.bind("--ro-bind", &real, &real);
            }
        }
        mounts.option(&["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size"]);
        mounts.arguments.push(SHARED_MEMORY_BYTES.to_string().into());
        mounts.option(&[
            "--tmpfs",
            DEVICE_FOLDERS[0],
            "--dir",
            "/var",
            "--symlink",
            "/tmp",
            "/var/tmp",
        ]);
        mounts.bind("--bind", temporary, Path::new("/tmp"));
        for path in existing(&sandbox.read) {
            mounts.compare("--ro-bind", &path);
        }
        mounts.hide(&sandbox.hidden, 0);
        let before = mounts.shown.len();
        for path in existing(&sandbox.write) {
            mounts.compare("--bind", &path);
        }
        mounts.compare("--bind", &sandbox.root);
        mounts.hide(&sandbox.hidden, before);
        mounts
    }

    /// All arguments, up to the program.
    pub(crate) fn arguments(mut self, sandbox: &Sandbox, as_root: bool) -> Vec<OsString> {
        // Not `--die-with-parent`: bwrap that is killed while it makes the namespaces leaves a process
        // in them that waits for it for ever. Init ends everything when the runner is gone.
        let mut before = vec!["--new-session", "--as-pid-1"];
        before.extend(["--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        if as_root {
            // The user is changed inside, by init.
            before.extend(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]);
            before.extend(["--cap-add", "CAP_KILL", "--cap-add", "CAP_DAC_READ_SEARCH"]);
        } else {
            before.push("--unshare-user");
        }
        if !sandbox.network {
            before.push("--unshare-net");
        }
        let mut arguments: Vec<OsString> = before.into_iter().map(OsString::from).collect();
        arguments.append(&mut self.arguments);
        arguments.extend(["--chdir", "/", "--"].map(OsString::from));
        arguments
    }

    fn system(&mut self, path: &Path) {
        match fs::read_link(path) {
            Ok(target) if path.parent() == Some(Path::new("/")) => {
                self.option(&["--symlink"]);
                self.arguments.extend([target.into(), path.into()]);
            }
            _ if path.exists() && path != Path::new("/proc") => self.bind("--ro-bind", path, path),
            _ => {}
        }
    }

    fn compare(&mut self, how: &str, path: &Path) {
        self.bind(how, path, path);
        self.compared.push(path.to_owned());
    }

    fn bind(&mut self, how: &str, from: &Path, to: &Path) {
        // By itself bwrap makes the folders above for its own user only.
        let above: Vec<&Path> =
            to.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        for folder in above.into_iter().rev() {
            if !self.is_shown(folder) && !self.made.iter().any(|made| made == folder) {
                self.option(&["--perms", "0755", "--dir"]);
                self.arguments.push(folder.into());
                self.made.push(folder.to_owned());
            }
        }
        self.arguments.extend([how.into(), from.into(), to.into()]);
        if from == to { &mut self.shown } else { &mut self.made }.push(to.to_owned());
    }

    /// Covers what is hidden below one of the folders that were bound from the `from`th on.
    fn hide(&mut self, hidden: &[PathBuf], from: usize) {
        let shown = self.shown[from..].to_vec();
        let mut covered: Vec<&Path> = Vec::new();
        for path in hidden {
            let mut above = shown.iter().filter(|shown| path.starts_with(shown) && path != *shown);
            let Some(shown) = above.next() else { continue };
            // In the workplace itself folders are the command's.
            let path = if from == 0 { closed_around(path, shown) } else { path };
            let Ok(is) = fs::symlink_metadata(path) else { continue };
            if covered.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            if from > 0 {
                self.hold(shown, path);
            }
            if is.is_dir() {
                self.option(&["--perms", "0555", "--tmpfs"]);
                covered.push(path);
            } else {
                self.option(&["--ro-bind", "/dev/null"]);
            }
            self.arguments.push(path.into());
        }
    }

    /// Binds the folders between two paths to where they are: nobody moves a mount away, and with it
    /// what is covered, to where the next command would find it.
    fn hold(&mut self, shown: &Path, hidden: &Path) {
        let between = hidden.ancestors().skip(1).take_while(|folder| *folder != shown);
        let mut between: Vec<&Path> = between.collect();
        between.reverse();
        for folder in between {
            let is_folder = fs::symlink_metadata(folder).is_ok_and(|is| is.is_dir());
            if is_folder && !self.compared.iter().any(|held| held == folder) {
                self.arguments.extend(["--bind".into(), folder.into(), folder.into()]);
                self.compared.push(folder.to_owned());
            }
        }
    }

    fn is_shown(&self, path: &Path) -> bool {
        self.shown.iter().any(|shown| path.starts_with(shown))
    }

    fn option(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(OsString::from));
    }
}

/// The folder of a secret, where that is closed to others: then what takes the secret's place while a
/// command runs is covered, too. The mount over a file goes with the file.
fn closed_around<'p>(secret: &'p Path, shown: &Path) -> &'p Path {
    let folder = secret.parent().filter(|folder| folder.starts_with(shown) && *folder != shown);
    let closed = folder.filter(|folder| {
        fs::metadata(folder).is_ok_and(|folder| folder.permissions().mode() & 0o001 == 0)
    });
    closed.unwrap_or(secret)
}

/// Those that are there, without symbolic links.
fn existing(paths: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    paths.iter().filter_map(|path| fs::canonicalize(path).ok())
}
