//! Where files and commands land.

use super::*;
use evonic_backend::{FileType, Removal, Rewrite};

#[tokio::test(flavor = "multi_thread")]
async fn files_land_in_the_remote_home() {
    let fixture = Fixture::new();
    let account = fixture.sshd.account("/bin/sh", "it's a \"home\" with spaces");
    let workplace = fixture.open(&account);
    assert_eq!(workplace.home().await.unwrap(), account.home.to_str().unwrap());
    workplace.write("a/b.txt", Bytes::from_static(b"one\ntwo\n"), Rewrite::Whole).await.unwrap();
    workplace.write("~/c.txt", Bytes::from_static(b"x"), Rewrite::Whole).await.unwrap();
    assert_eq!(std::fs::read(account.home.join("a/b.txt")).unwrap(), b"one\ntwo\n");
    let own = format!("~{}/c.txt", account.name);
    assert_eq!(workplace.stat(&own).await.unwrap().size_bytes, 1);
    let nobody = workplace.stat("~no-such-user/c").await.unwrap_err();
    assert!(chain(&nobody).contains("no such user"), "{}", chain(&nobody));

    let text = output(&workplace, "m1", "pwd; cat a/b.txt; echo err >&2").await;
    assert_eq!(text, format!("{}\none\ntwo\nerr\n", account.home.display()));

    let lines = workplace.read_lines("a/b.txt", 2, None, 1000).await.unwrap();
    assert_eq!((&lines.text[..], lines.total), (&b"two\n"[..], Some(2)));
    workplace
        .edit("a/b.txt", 100, Box::new(|_| Some(b"three\n".to_vec())), Rewrite::Whole)
        .await
        .unwrap();
    assert_eq!(download(&workplace, "a/b.txt", 2).await.unwrap(), b"ree\n");
    let (entries, more) = workplace.list(".", 2, 100).await.unwrap();
    assert!(entries.iter().any(|entry| entry.path == "a/b.txt"), "{entries:?} {more}");
    assert_eq!(workplace.sha256("c.txt").await.unwrap().len(), 64);

    workplace.rename("c.txt", "a/b.txt").await.unwrap();
    assert_eq!(workplace.read_lines("a/b.txt", 1, None, 10).await.unwrap().text, b"x");
    let full = workplace.remove("a", Removal::One).await.unwrap_err();
    assert!(chain(&full).contains("Directory not empty"), "{}", chain(&full));
    workplace.make_folder("a/x/y").await.unwrap();
    workplace.remove("a", Removal::All).await.unwrap();
    let missing = workplace.stat("a").await.unwrap_err();
    assert_eq!(missing.class(), Class::Permanent);
    assert!(
        chain(&missing).starts_with("read a failed: No such file or directory"),
        "{}",
        chain(&missing)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_file_keeps_its_mode_and_its_links() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let fixture = Fixture::new();
    let account = fixture.account();
    let workplace = fixture.open(&account);
    output(&workplace, "m1", "echo old >f; chmod 640 f; ln -s f l").await;
    workplace.write("l", Bytes::from_static(b"new"), Rewrite::Whole).await.unwrap();
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
    let fixture = Fixture::new();
    let account = fixture.account();
    std::os::unix::fs::chown(&account.home, Some(0), Some(0)).unwrap();
    let workplace = fixture.open(&account);
    workplace.stat(".").await.unwrap();
    let before = fixture.used();
    let connections = fixture.sshd.log().matches("Accepted").count();
    for _ in 0..20 {
        let error =
            workplace.write("f", Bytes::from_static(b"x"), Rewrite::Whole).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert_eq!(chain(&error), "write f failed: Permission denied (os error 13)");
    }
    assert_eq!(fixture.used(), before);
    assert_eq!(fixture.sshd.log().matches("Accepted").count(), connections);
    // Commands work all the same: their records are elsewhere.
    assert_eq!(output(&workplace, "m1", "echo x").await, "x\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_shells_work_or_say_why_not() {
    let fixture = Fixture::new();
    for (number, shell) in ["/usr/bin/fish", "/bin/bash", "/bin/dash"].iter().enumerate() {
        if !std::path::Path::new(shell).exists() {
            continue;
        }
        let account = fixture.sshd.account(shell, &format!("home{number}"));
        std::fs::write(account.home.join(".bashrc"), "echo Welcome; echo noise >&2\n").unwrap();
        let workplace = fixture.open(&account);
        workplace.write("f", Bytes::from_static(b"file\n"), Rewrite::Whole).await.unwrap();
        assert_eq!(output(&workplace, "m1", "cat f").await, "file\n", "{shell}");
    }
    let account = fixture.sshd.account("/usr/sbin/nologin", "none");
    let workplace = fixture.open(&account);
    workplace.write("f", Bytes::from_static(b"file\n"), Rewrite::Whole).await.unwrap();
    let (entries, _) = workplace.list(".", 1, 10).await.unwrap();
    assert_eq!((entries[0].path.as_str(), entries[0].file_type), ("f", FileType::File));
    assert_eq!(workplace.sha256("f").await.unwrap().len(), 64);
    let refused = run(&workplace, "m2", "true").await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    assert!(chain(&refused).contains("not available"), "{}", chain(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_home_at_all_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    let account = fixture.account();
    std::fs::remove_dir_all(&account.home).unwrap();
    let workplace = fixture.open(&account);
    let refused = workplace.stat("x").await.unwrap_err();
    assert_eq!(refused.class(), Class::Permanent);
    assert!(chain(&refused).contains("does not exist"), "{}", chain(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_folder_of_its_own() {
    let fixture = Fixture::new();
    let account = fixture.account();
    let folder = Some("work place".to_owned());
    let settings = SshSettings { folder, session_folders: true, ..fixture.settings(&account) };
    let session = SessionId::new();
    let workplace = fixture.hosts.open(&settings, Some(&session)).unwrap();
    workplace.write("f", Bytes::from_static(b"x"), Rewrite::Whole).await.unwrap();
    let own = account.home.join(format!("work place/sessions/{session}"));
    assert_eq!(std::fs::read(own.join("f")).unwrap(), b"x");
    assert_eq!(output(&workplace, "m1", "pwd").await.trim(), own.to_str().unwrap());
}
