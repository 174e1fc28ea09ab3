//! Images of many kinds, made without any registry.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use tempfile::TempDir;

/// What an image has.
pub(crate) struct Image<'i> {
    pub(crate) name: &'i str,
    /// Instructions of a Dockerfile.
    pub(crate) changes: &'i [&'i str],
    /// Programs of busybox that it lacks.
    pub(crate) without: &'i [&'i str],
    pub(crate) shell: Shell,
}

/// What `/bin/sh` is.
pub(crate) enum Shell {
    Busybox,
    /// Debian's, which has no other program in it as busybox has.
    Dash,
    /// A program of another processor: nothing but its header, which is all that is looked at.
    Foreign,
}

/// The header of an ELF program for AArch64.
const FOREIGN: [u8; 64] = {
    let mut header = [0; 64];
    let fields: [(usize, &[u8]); 9] = [
        (0, b"\x7fELF\x02\x01\x01"),
        (16, &[2, 0, 183, 0, 1, 0, 0, 0]),
        (24, &[120, 0, 64]),
        (32, &[64]),
        (52, &[64, 0]),
        (54, &[56, 0]),
        (56, &[1, 0]),
        (58, &[64, 0]),
        (63, &[0]),
    ];
    let mut number = 0;
    while number < fields.len() {
        let (at, bytes) = fields[number];
        let mut byte = 0;
        while byte < bytes.len() {
            header[at + byte] = bytes[byte];
            byte += 1;
        }
        number += 1;
    }
    header
};

impl Image<'_> {
    /// Its files as an archive, in a folder that goes with it.
    pub(crate) fn archive(&self) -> (TempDir, String) {
        let folder = TempDir::new().expect("a folder");
        let root = folder.path().join("root");
        for part in ["bin", "etc", "tmp", "workspace"] {
            fs::create_dir_all(root.join(part)).expect("a folder");
        }
        match self.shell {
            Shell::Busybox => busybox(&root, self.without),
            Shell::Dash => {
                busybox(&root, self.without);
                dash(&root);
            }
            Shell::Foreign => {
                let shell = root.join("bin/sh");
                fs::write(&shell, FOREIGN).expect("a program");
                fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).expect("a mode");
            }
        }
        let archive = folder.path().join("image.tar").to_str().expect("text").to_owned();
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).args(["-cf", &archive, "."]);
        assert!(tar.status().expect("tar").success());
        (folder, archive)
    }

    /// Imports it by a program that takes `docker`'s arguments.
    pub(crate) fn import(&self, run: impl Fn(&[&str])) {
        let (_folder, archive) = self.archive();
        let changes = self.changes.iter().flat_map(|change| ["-c", change]);
        let arguments: Vec<&str> =
            ["import"].into_iter().chain(changes).chain([archive.as_str(), self.name]).collect();
        run(&arguments);
    }
}

fn busybox(root: &Path, without: &[&str]) {
    let program = Path::new("/bin/busybox");
    fs::copy(program, root.join("bin/busybox")).expect("busybox is installed");
    // For the tool of that name.
    let bash = root.join("bin/bash");
    fs::write(&bash, "#!/bin/sh\nexec /bin/sh \"$@\"\n").expect("a script");
    fs::set_permissions(&bash, fs::Permissions::from_mode(0o755)).expect("a mode");
    let listed = Command::new(program).arg("--list").output().expect("busybox").stdout;
    for applet in String::from_utf8(listed).expect("text").lines() {
        if !["busybox", "bash"].contains(&applet) && !without.contains(&applet) {
            symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
    }
}

/// Makes dash the shell, with its libraries at their places.
fn dash(root: &Path) {
    let shell = Path::new("/bin/dash");
    let listed = Command::new("ldd").arg(shell).output().expect("ldd").stdout;
    let listed = String::from_utf8(listed).expect("text");
    for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::copy(library, target).expect("a library");
    }
    let target = root.join("bin/sh");
    fs::remove_file(&target).expect("busybox's");
    fs::copy(shell, target).expect("dash is installed");
}
