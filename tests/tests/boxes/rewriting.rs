//! A file that is rewritten stays what it was, in every kind of workplace.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use evonic_parts::Account;
use evonic_tests::{
    pair::Options,
    testbed::{QUICK_CLOSE, Ran, Testbed},
    troubleshooting::assert_documented,
};

fn command(program: &str, arguments: &[&OsStr]) -> String {
    let ran = Command::new(program).args(arguments).output().expect("it is installed");
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

/// An access control list, the mode and the extended attributes of a file.
fn rights(path: &Path) -> String {
    let list = command("getfacl", &["-cpE".as_ref(), path.as_ref()]);
    let more = ["--absolute-names", "-d", "-m", "^user"].map(OsStr::new);
    let attributes = command("getfattr", &[&more[..], &[path.as_os_str()]].concat());
    let mode = fs::metadata(path).expect("it is there").permissions().mode();
    format!("{mode:o}\n{list}{}", attributes.lines().skip(1).collect::<Vec<_>>().join("\n"))
}

/// A file of the account: its group may only read, and another user may write.
fn shared(folder: &Path, name: &str, owner: Option<(u32, u32)>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, "old").expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
    if let Some((user, group)) = owner {
        std::os::unix::fs::chown(&path, Some(user), Some(group)).expect("an owner");
    }
    command("setfacl", &["-m".as_ref(), "u:4321:rw,g::r".as_ref(), path.as_ref()]);
    let attribute = ["-n", "user.origin", "-v", "by hand"].map(OsStr::new);
    command("setfattr", &[&attribute[..], &[path.as_os_str()]].concat());
    path
}

fn owner_of(folder: &Path) -> (u32, u32) {
    let metadata = fs::metadata(folder).expect("it is there");
    (metadata.uid(), metadata.gid())
}

fn last(ran: &Ran) -> (String, String) {
    ran.results().pop().expect("a result")
}

fn local_and_ssh() -> (Testbed, Account, [(&'static str, PathBuf); 2]) {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let ran = testbed.run("runbook", "$ pwd");
    let local = PathBuf::from(ran.output().trim());
    let places = [("runbook", local), ("ssh", account.home.clone())];
    (testbed, account, places)
}

#[test]
fn a_rewritten_file_keeps_list_attributes_and_mode_and_no_right_grows() {
    let (testbed, _account, places) = local_and_ssh();
    for (agent, folder) in &places {
        let path = shared(folder, "shared.txt", Some(owner_of(folder)));
        let before = rights(&path);
        let ran = testbed
            .run(agent, "write shared.txt \"new\"\nedit shared.txt replace \"new\" with \"newer\"");
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "newer", "{agent}");
        assert_eq!(rights(&path), before, "{agent}");
        let ran = testbed.run(agent, "$ echo content > plain.txt\ncopy plain.txt shared.txt");
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "content\n", "{agent}");
        let after = rights(&path);
        assert!(after.contains("user:4321:rw-") && after.contains("user.origin"), "{after}");
        assert!(
            after.contains("group::r--"),
            "{agent}: the mask is no right of the group: {after}"
        );
        // A list that the folder gives to what is made in it is not the old file's.
        command("setfacl", &["-d".as_ref(), "-m".as_ref(), "u:4321:rwx".as_ref(), folder.as_ref()]);
        let plain = folder.join("plain.txt");
        fs::set_permissions(&plain, fs::Permissions::from_mode(0o664)).expect("a mode");
        command("setfacl", &["-b".as_ref(), plain.as_ref()]);
        let before = rights(&plain);
        assert!(testbed.run(agent, "write plain.txt \"new\"").is_completed());
        assert_eq!(rights(&plain), before, "{agent}");
        command("setfacl", &["-k".as_ref(), folder.as_ref()]);
    }
}

#[test]
fn hard_links_are_told_or_kept() {
    let (testbed, _account, places) = local_and_ssh();
    for (agent, folder) in &places {
        let path = shared(folder, "one", Some(owner_of(folder)));
        let other = folder.join("other");
        fs::hard_link(&path, &other).expect("a link");
        let ran = testbed.run(agent, "write one \"kept\" in place");
        let (outcome, said) = last(&ran);
        assert_eq!(outcome, "ok", "{agent}: {said}");
        assert!(said.contains("in place"), "{agent}: {said}");
        assert_eq!(fs::read_to_string(&other).expect("it"), "kept", "{agent}");
        let (outcome, said) = last(&testbed.run(agent, "write one \"apart\""));
        assert_eq!(outcome, "ok", "{agent}: {said}");
        assert_documented("it had another name (a hard link), which keeps the old content", &said);
        assert_eq!(fs::read_to_string(&other).expect("it"), "kept", "{agent}");
        assert_eq!(fs::read_to_string(&path).expect("it"), "apart", "{agent}");
    }
}

/// A folder that may not be written, a sticky one with another user's file in it, and a file on
/// which something is mounted.
#[test]
fn a_file_in_a_folder_that_may_not_be_written_is_refused_by_the_folders_name_or_written_in_place() {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let closed = account.home.join("closed");
    let sticky = account.home.join("sticky");
    for (folder, mode) in [(&closed, 0o755), (&sticky, 0o1777)] {
        fs::create_dir(folder).expect("a folder");
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("a mode");
        let file = folder.join("file");
        fs::write(&file, "a longer old content").expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("a mode");
    }
    let mounted = account.home.join("mounted");
    let under = account.home.join("under");
    for file in [&mounted, &under] {
        fs::write(file, "old").expect("a file");
        std::os::unix::fs::chown(file, Some(owner_of(&account.home).0), None).expect("an owner");
    }
    command("mount", &["--bind".as_ref(), under.as_ref(), mounted.as_ref()]);
    let unmount = Unmount(mounted);
    for name in ["closed/file", "sticky/file", "mounted"] {
        let before = fs::read_to_string(account.home.join(name)).expect("it");
        let (outcome, said) = last(&testbed.run("ssh", &format!("write {name} \"new\"")));
        assert_eq!(outcome, "error", "{name}: {said}");
        assert_documented("the folder … does not let another file take its place", &said);
        let folder = account.home.join(name);
        let folder = folder.parent().expect("a folder").to_str().expect("text");
        assert!(said.contains(folder) && said.contains("in_place"), "{said}");
        assert_eq!(fs::read_to_string(account.home.join(name)).expect("it"), before);
        let (outcome, said) = last(&testbed.run("ssh", &format!("write {name} \"new\" in place")));
        assert_eq!(outcome, "ok", "{name}: {said}");
        assert_eq!(fs::read_to_string(account.home.join(name)).expect("it"), "new");
        let ran = testbed.run("ssh", &format!("$ echo copied > from\ncopy from {name}"));
        let (outcome, said) = last(&ran);
        assert_eq!(outcome, "error", "{name}: {said}");
        assert!(said.contains(folder), "{name}: {said}");
    }
    drop(unmount);
    let left = testbed.run("ssh", "$ find . -name '*.part' -o -name '.evonic-*'");
    assert_eq!(left.output(), "", "nothing unfinished is left");
}

struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        command("umount", &[self.0.as_ref()]);
    }
}

#[test]
fn a_container_keeps_modes_and_names_the_folder() {
    let testbed = Testbed::docker(&Options::default());
    let session = testbed.pair.session("docker");
    let ran = testbed.run_in(
        &session,
        "$ echo old > a; chmod 640 a; ln a b; mkdir closed; echo old > closed/f; chmod 555 closed\n\
         write a \"new\"\n$ stat -c %a a; cat b",
    );
    assert!(ran.is_completed(), "{ran:#?}");
    assert_eq!(ran.output(), "640\nold\n");
    assert!(ran.results()[1].1.contains("hard link"), "{ran:#?}");
    let (outcome, said) = last(&testbed.run_in(&session, "write closed/f \"new\""));
    assert_eq!(outcome, "error", "{said}");
    assert!(said.contains("/workspace/closed") && said.contains("in_place"), "{said}");
    let ran = testbed.run_in(
        &session,
        "write closed/f \"new\" in place\n$ cat closed/f; chmod 755 closed; ls -A . closed .evonic",
    );
    assert!(ran.is_completed(), "{ran:#?}");
    assert!(ran.output().starts_with("new"), "{ran:#?}");
    assert!(!ran.output().contains("draft"), "{ran:#?}");
}
