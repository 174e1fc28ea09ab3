//! Where files and commands land.

use super::*;
use evonic_backend::{FileType, Removal};

#[tokio::test(flavor = "multi_thread")]
async fn files_land_in_the_remote_home() {
    let bench = Bench::new();
    let account = bench.sshd.account("/bin/sh", "it's a \"home\" with spaces");
    let place = bench.open(&account);
    assert_eq!(place.home().await.unwrap(), account.home.to_str().unwrap());
    place.write("a/b.txt", Bytes::from_static(b"one\ntwo\n")).await.unwrap();
    place.write("~/c.txt", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(std::fs::read(account.home.join("a/b.txt")).unwrap(), b"one\ntwo\n");
    let own = format!("~{}/c.txt", account.name);
    assert_eq!(place.stat(&own).await.unwrap().size_bytes, 1);
    let nobody = place.stat("~no-such-user/c").await.unwrap_err();
    assert!(told(&nobody).contains("no such user"), "{}", told(&nobody));

    let text = output(&place, "m1", "pwd; cat a/b.txt; echo err >&2").await;
    assert_eq!(text, format!("{}\none\ntwo\nerr\n", account.home.display()));

    let lines = place.read_lines("a/b.txt", 2, None, 1000).await.unwrap();
    assert_eq!((&lines.text[..], lines.total), (&b"two\n"[..], Some(2)));
    place.edit("a/b.txt", 100, Box::new(|_| Some(b"three\n".to_vec()))).await.unwrap();
    assert_eq!(download(&place, "a/b.txt", 2).await.unwrap(), b"ree\n");
    let (entries, more) = place.list(".", 2, 100).await.unwrap();
    assert!(entries.iter().any(|entry| entry.path == "a/b.txt"), "{entries:?} {more}");
    assert_eq!(place.sha256("c.txt").await.unwrap().len(), 64);

    place.rename("c.txt", "a/b.txt").await.unwrap();
    assert_eq!(place.read_lines("a/b.txt", 1, None, 10).await.unwrap().text, b"x");
    let full = place.remove("a", Removal::One).await.unwrap_err();
    assert!(told(&full).contains("not empty"), "{}", told(&full));
    place.make_folder("a/x/y").await.unwrap();
    place.remove("a", Removal::All).await.unwrap();
    let missing = place.stat("a").await.unwrap_err();
    assert_eq!(missing.class(), Class::Permanent);
    assert!(told(&missing).starts_with("read a failed"), "{}", told(&missing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_keeps_its_mode_and_its_links() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let bench = Bench::new();
    let account = bench.account();
    let place = bench.open(&account);
    output(&place, "m1", "echo old >f; chmod 640 f; ln -s f l").await;
    place.write("l", Bytes::from_static(b"new")).await.unwrap();
    let stat = std::fs::metadata(account.home.join("f")).unwrap();
    assert_eq!((stat.permissions().mode() & 0o777, stat.len()), (0o640, 3));
    let owner = std::fs::metadata(&account.home).unwrap().uid();
    assert_eq!(stat.uid(), owner);
    assert!(std::fs::symlink_metadata(account.home.join("l")).unwrap().is_symlink());
    let left = std::fs::read_dir(&account.home).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".evonic-")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_be_written_is_one_error() {
    let bench = Bench::new();
    let account = bench.account();
    std::os::unix::fs::chown(&account.home, Some(0), Some(0)).unwrap();
    let place = bench.open(&account);
    place.stat(".").await.unwrap();
    let before = bench.used();
    let connections = bench.sshd.log().matches("Accepted").count();
    for _ in 0..20 {
        let error = place.write("f", Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert_eq!(told(&error), "write f failed: permission denied");
    }
    assert_eq!(bench.used(), before);
    assert_eq!(bench.sshd.log().matches("Accepted").count(), connections);
    // Commands work all the same: their records are elsewhere.
    assert_eq!(output(&place, "m1", "echo x").await, "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_shells_work_or_say_why_not() {
    let bench = Bench::new();
    for (number, shell) in ["/usr/bin/fish", "/bin/bash", "/bin/dash"].iter().enumerate() {
        if !std::path::Path::new(shell).exists() {
            continue;
        }
        let account = bench.sshd.account(shell, &format!("home{number}"));
        std::fs::write(account.home.join(".bashrc"), "echo Welcome; echo noise >&2\n").unwrap();
        let place = bench.open(&account);
        place.write("f", Bytes::from_static(b"file\n")).await.unwrap();
        assert_eq!(output(&place, "m1", "cat f").await, "file\n", "{shell}");
    }
    let account = bench.sshd.account("/usr/sbin/nologin", "none");
    let place = bench.open(&account);
    place.write("f", Bytes::from_static(b"file\n")).await.unwrap();
    let (entries, _) = place.list(".", 1, 10).await.unwrap();
    assert_eq!((entries[0].path.as_str(), entries[0].file_type), ("f", FileType::File));
    assert_eq!(place.sha256("f").await.unwrap().len(), 64);
    let refused = run(&place, "m2", "true").await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    assert!(told(&refused).contains("not available"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_home_at_all_is_refused_with_its_reason() {
    let bench = Bench::new();
    let account = bench.account();
    std::fs::remove_dir_all(&account.home).unwrap();
    let place = bench.open(&account);
    let refused = place.stat("x").await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    assert!(told(&refused).contains("does not exist"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_folder_of_its_own() {
    let bench = Bench::new();
    let account = bench.account();
    let folder = Some("work place".to_owned());
    let settings = SshSettings { folder, session_folders: true, ..bench.settings(&account) };
    let session = SessionId::new();
    let place = bench.hosts.open(&settings, Some(&session)).unwrap();
    place.write("f", Bytes::from_static(b"x")).await.unwrap();
    let own = account.home.join(format!("work place/sessions/{session}"));
    assert_eq!(std::fs::read(own.join("f")).unwrap(), b"x");
    assert_eq!(output(&place, "m1", "pwd").await.trim(), own.to_str().unwrap());
}
