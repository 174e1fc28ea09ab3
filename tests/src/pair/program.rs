//! Where the programs are that tests start.

use std::path::PathBuf;

/// Where a program is: beside this one, or beside the folder `deps` that a test is in.
///
/// # Panics
/// When it is not built: `make test` builds all of them first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("EVONIC_PROGRAMS").map_or_else(
        || {
            let own = std::env::current_exe().expect("the path of this program");
            let folder = own.parent().expect("a program is in a folder");
            let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
            profile.expect("deps is in the folder of a profile").to_owned()
        },
        PathBuf::from,
    );
    let path = folder.join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    path
}
