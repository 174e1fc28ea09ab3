use std::os::unix::fs::PermissionsExt;

use super::*;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & PERMISSIONS
}

#[test]
fn a_folder_is_made_and_a_loose_or_closed_one_put_right() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    Folder::open(&path, PRIVATE).unwrap();
    assert_eq!(mode(&path), 0o700);
    let runtime = parent.path().join("run");
    Folder::open(&runtime, GROUP).unwrap();
    assert_eq!(mode(&runtime), 0o750);
    for (found, wanted, expected) in [
        (0o777, PRIVATE, 0o700),
        (0o755, GROUP, 0o750),
        (0o000, PRIVATE, 0o700),
        (0o500, GROUP, 0o700),
        (0o700, GROUP, 0o700),
    ] {
        set(&path, found);
        Folder::open(&path, wanted).unwrap();
        assert_eq!(mode(&path), expected, "{found:o}");
    }
}

#[test]
fn what_is_in_the_way_of_a_folder_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let link = parent.path().join("link");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    for (path, expected) in [
        (file.clone(), "file is a regular file; move it away"),
        (file.join("below/it"), "file is a regular file; move it away"),
        (link, "link is a link to /nowhere, where there is nothing; move it away"),
    ] {
        let error = Folder::open(&path, PRIVATE).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(file.is_file(), "nothing is changed");
}

#[test]
fn two_names_of_a_folder_are_one() {
    let parent = tempfile::tempdir().unwrap();
    let (path, link) = (parent.path().join("data"), parent.path().join("link"));
    let one = Folder::open(&path, PRIVATE).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(one.is_same(&Folder::open(&link, GROUP).unwrap()));
    assert!(!one.is_same(&Folder::open(parent.path(), PRIVATE).unwrap()));
}

#[test]
fn changes_are_found_and_a_mode_is_put_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    let folder = Folder::open(&path, PRIVATE).unwrap();
    assert_eq!(folder.condition().unwrap(), Condition::Sound);
    set(&path, 0);
    assert_eq!(folder.condition().unwrap(), Condition::Mode(0));
    folder.restore_mode().unwrap();
    assert_eq!((folder.condition().unwrap(), mode(&path)), (Condition::Sound, 0o700));
    fs::rename(&path, parent.path().join("away")).unwrap();
    assert_eq!(folder.condition().unwrap(), Condition::Replaced);
    fs::create_dir(&path).unwrap();
    assert_eq!(folder.condition().unwrap(), Condition::Replaced);
}

#[test]
fn only_loose_files_of_ours_are_tightened() {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::open(parent.path(), PRIVATE).unwrap();
    let path = parent.path().join("evonic.db");
    folder.tighten("evonic.db").unwrap();
    fs::write(&path, "").unwrap();
    for (found, expected) in [(0o644, 0o600), (0o600, 0o600), (0o400, 0o400)] {
        set(&path, found);
        folder.tighten("evonic.db").unwrap();
        assert_eq!(mode(&path), expected, "{found:o}");
    }
    let outside = tempfile::NamedTempFile::new().unwrap();
    set(outside.path(), 0o644);
    std::os::unix::fs::symlink(outside.path(), parent.path().join("link")).unwrap();
    folder.tighten("link").unwrap();
    assert_eq!(mode(outside.path()), 0o644);
}

#[test]
fn a_folder_of_somebody_else_is_refused_with_the_command_that_mends_it() {
    // Of root for all but root, who is told of nobody's.
    let path = if rustix::process::geteuid().is_root() {
        let folder = tempfile::tempdir().unwrap().keep();
        std::os::unix::fs::chown(&folder, Some(65_534), None).unwrap();
        folder
    } else {
        PathBuf::from("/")
    };
    let error = Folder::open(&path, PRIVATE).unwrap_err();
    assert!(matches!(error, FolderError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("`chown -R "), "{error}");
    if rustix::process::geteuid().is_root() {
        fs::remove_dir(&path).unwrap();
    }
}
