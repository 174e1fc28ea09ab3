//! Lists, searches and hashes by real shells and tools, beside what the local workplace finds.

#[path = "search/ignores.rs"]
mod ignores;

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::Stdio,
};

use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use evonic_backend::search::{list, search, sha256};
use evonic_backend::{
    Backend, FileType, Found, WorkplaceError,
    spool::{Script, ScriptEnd, ScriptOutput, Shell},
};
use evonic_local::fixture::Fixture;

/// A machine: this one, with one of its shells.
#[derive(Debug)]
struct Machine {
    shell: &'static [&'static str],
    /// The only tools it has; all of them when absent.
    tools: Option<tempfile::TempDir>,
}

/// One with everything, `rg` too; one without `rg`; one with nothing but busybox.
fn machines() -> Vec<Machine> {
    let path = std::env::var_os("PATH").expect("a PATH");
    let has_rg = std::env::split_paths(&path).any(|folder| folder.join("rg").exists());
    assert!(has_rg, "install ripgrep: one machine searches by it");
    vec![
        Machine { shell: &["/bin/dash"], tools: None },
        Machine {
            shell: &["/bin/bash", "--posix"],
            tools: Some(tools(|tool| format!("/bin/{tool}"))),
        },
        Machine {
            shell: &["/bin/busybox", "sh"],
            tools: Some(tools(|_| "/bin/busybox".to_owned())),
        },
    ]
}

fn tools(path: impl Fn(&str) -> String) -> tempfile::TempDir {
    let tools = tempfile::tempdir().expect("a temporary folder");
    let names = "find sort tr head xargs stat tar readlink sha256sum sh";
    for tool in names.split(' ') {
        let path = ["", "/usr"].map(|prefix| prefix.to_owned() + &path(tool));
        let path = path.iter().find(|path| Path::new(path).exists()).expect("the tool is there");
        symlink(path, tools.path().join(tool)).expect("a link");
    }
    tools
}

#[async_trait]
impl Shell for Machine {
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<ScriptOutput>,
    ) -> Result<ScriptEnd, WorkplaceError> {
        #[expect(clippy::disallowed_methods, reason = "a test's own child")]
        let mut command = tokio::process::Command::new(self.shell[0]);
        command.args(&self.shell[1..]).arg("-c").arg(&script.text).arg("sh");
        command.args(&script.arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(tools) = &self.tools {
            command.env("PATH", tools.path());
        }
        let mut child = command.spawn().expect("the shell is there");
        let (mut stdin, mut stdout, mut stderr) = (
            child.stdin.take().expect("it is a pipe"),
            child.stdout.take().expect("it is a pipe"),
            child.stderr.take().expect("it is a pipe"),
        );
        let feed = async move {
            // A script need not read.
            let _ = stdin.write_all(&script.input).await;
        };
        let errors = said.clone();
        let complain = async {
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                let _ =
                    errors.send(ScriptOutput::Err(Bytes::copy_from_slice(&buffer[..count]))).await;
            }
        };
        let show = async {
            let mut buffer = vec![0; 10_000];
            while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
                let _ =
                    said.send(ScriptOutput::Out(Bytes::copy_from_slice(&buffer[..count]))).await;
            }
        };
        tokio::join!(feed, complain, show);
        let status = child.wait().await.expect("it ends");
        Ok(status.code().map_or(ScriptEnd::Killed, ScriptEnd::Exited))
    }

    async fn spools(&self) -> Result<String, WorkplaceError> {
        Ok("/nowhere".to_owned())
    }

    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError> {
        Ok(folder.to_owned())
    }
}

fn whole(fixture: &Fixture, path: &str) -> String {
    fixture.path(path).to_str().expect("a path").to_owned()
}

async fn same_list(fixture: &Fixture, machine: &Machine, path: &str, depth: u32, limit: u32) {
    let here = fixture.local.list(path, depth, limit).await.expect("it is listed");
    let there = list(machine, &whole(fixture, path), depth, limit).await;
    assert_eq!(there.expect("it is listed"), here, "{machine:?} {path} {depth} {limit}");
}

async fn same_search(
    fixture: &Fixture,
    machine: &Machine,
    (pattern, path, glob, limit): (&str, &str, Option<&str>, u32),
) -> Found {
    let here = fixture.local.search(pattern, path, glob, limit).await.expect("it is searched");
    let (root, target) = (whole(fixture, ""), whole(fixture, path));
    let there =
        search(machine, pattern, &root, &target, glob, limit).await.expect("it is searched");
    assert_eq!(there, here, "{machine:?} {pattern} {path} {glob:?} {limit}");
    there
}

/// Names that shells, tools and protocols like to break.
const NAMES: [&str; 14] = [
    "plain",
    "with space",
    "-n",
    "--help",
    "it's",
    "\"quoted\"",
    "new\nline",
    "tab\there",
    "$HOME",
    "*",
    "a",
    "a-b",
    "back\\slash",
    "81a4 5 .\n",
];

fn put_odd_names(fixture: &Fixture) {
    for (index, name) in NAMES.iter().enumerate() {
        fixture.put(name, format!("needle {index}\nother\n"));
        fixture.put(&format!("folder {name}/{name}/{name}"), format!("other\nneedle {index}"));
    }
    let wild = std::ffi::OsStr::from_bytes(b"no\xffutf8");
    fs::write(fixture.path("").join(wild), "needle\n").expect("a file is written");
    symlink("plain", fixture.path("link")).expect("a link");
    symlink("/nowhere", fixture.path("dangling")).expect("a link");
    fs::create_dir(fixture.path("empty")).expect("a folder");
}

#[tokio::test]
async fn odd_names_are_listed_as_the_local_workplace_lists_them() {
    let fixture = Fixture::new();
    put_odd_names(&fixture);
    for machine in machines() {
        for (depth, limit) in [(1, 1000), (2, 1000), (9, 1000), (9, 7), (3, 1), (1, 0)] {
            same_list(&fixture, &machine, "", depth, limit).await;
        }
        same_list(&fixture, &machine, "empty", 3, 10).await;
        same_list(&fixture, &machine, "folder --help", 3, 10).await;
        let (entries, _) = list(&machine, &whole(&fixture, ""), 1, 1000).await.expect("a list");
        let link = entries.iter().find(|entry| entry.path == "link").expect("the link");
        assert_eq!(link.file_type, FileType::Link);
        assert!(entries.iter().any(|entry| entry.path == "no\u{fffd}utf8"));
    }
}

#[tokio::test]
async fn odd_names_are_searched_as_the_local_workplace_searches_them() {
    let fixture = Fixture::new();
    put_odd_names(&fixture);
    fs::hard_link(fixture.path("plain"), fixture.path("same")).expect("a hard link");
    let long = "long/".repeat(60) + "file";
    fixture.put(&long, "needle in a long path");
    for machine in machines() {
        for limit in [1000, 17, 1] {
            same_search(&fixture, &machine, ("needle", "", None, limit)).await;
        }
        same_search(&fixture, &machine, ("^needle", "folder -n", None, 9)).await;
        same_search(&fixture, &machine, ("needle|oth", "-n", None, 9)).await;
        same_search(&fixture, &machine, ("needle", "", Some("**/a"), 9)).await;
        same_search(&fixture, &machine, (r"\Aother\z", "", None, 100)).await;
    }
}

#[tokio::test]
async fn what_is_ignored_binary_or_long_is_passed_over_or_cut_alike() {
    let fixture = Fixture::new();
    fixture.put(".gitignore", "target/\n*.log\n!keep.log\nbad[\n/top\n");
    fixture.put("sub/.gitignore", "*.tmp\n!a.log\n");
    for path in ["target/x", "a.log", "keep.log", "top", "sub/top", "sub/a.log", "sub/b.tmp"] {
        fixture.put(path, "needle");
        fixture.put(&format!("sub/deep/{path}"), "needle");
    }
    fixture.put(".git/config", "needle");
    fixture.put("worktree/.git", "needle");
    fixture.put(".hidden", "needle");
    fixture.put("binary", b"needle\0\nneedle");
    let mut late = b"needle\n".repeat(10_000);
    late.push(0);
    fixture.put("late", late);
    fixture.put("lines", "\r\nneedle\r\n\n\nneedle".to_owned() + &"ü".repeat(900));
    fixture.put("far", "x".repeat(700) + "needle" + &"y".repeat(2_000_000) + "needle\nneedle\n");
    fixture.put("none", "");
    for machine in machines() {
        for path in ["", "sub", "sub/deep", "sub/deep/top", "binary", "target", ".git/config"] {
            same_search(&fixture, &machine, ("needle", path, None, 100_000)).await;
        }
        for glob in ["*.log", "sub/**", "!*.log", "deep", "/sub/deep/*", "*.{log,tmp}"] {
            same_search(&fixture, &machine, ("needle", "", Some(glob), 100_000)).await;
            same_search(&fixture, &machine, ("needle", "sub", Some(glob), 100_000)).await;
        }
        for pattern in ["^$", "needle$", "(?i)NEEDLE", "^", r"\r", "ü{3}", "[^a]eedle"] {
            same_search(&fixture, &machine, (pattern, "", None, 200)).await;
        }
    }
}

#[tokio::test]
async fn files_that_rg_cannot_report_are_found_alike_and_in_order() {
    let fixture = Fixture::new();
    for path in ["a", "m", "z"] {
        fixture.put(path, "needle\nother\nneedle\n");
    }
    let mut late = "text\n".repeat(20_000).into_bytes();
    late.extend_from_slice(b"needle\0needle\nneedle\n");
    fixture.put("late", &late);
    fixture.put("huge", "needle".to_owned() + &"x".repeat(9 << 20) + "\nneedle\n");
    let early = [b"needle\n\0".as_slice(), &late].concat();
    fixture.put("early", early);
    for machine in machines() {
        for limit in [1000, 7, 4, 1, 0] {
            same_search(&fixture, &machine, ("needle", "", None, limit)).await;
        }
        for pattern in ["^needle$", "x", "xneedle|needle", "text"] {
            same_search(&fixture, &machine, (pattern, "", None, 30_000)).await;
        }
        for path in ["late", "huge", "early"] {
            same_search(&fixture, &machine, ("needle", path, None, 9)).await;
        }
    }
}

#[tokio::test]
async fn what_is_not_there_or_of_another_kind_is_told() {
    let fixture = Fixture::new();
    fixture.put("folder/file", "content");
    symlink("/nowhere", fixture.path("dangling")).expect("a link");
    for machine in machines() {
        for path in ["missing", "folder/missing/deep", "dangling", "-missing"] {
            let path = whole(&fixture, path);
            for error in [
                list(&machine, &path, 1, 1).await.map(drop),
                search(&machine, "x", "/", &path, None, 1).await.map(drop),
                sha256(&machine, &path).await.map(drop),
            ] {
                let Err(WorkplaceError::Path { source, .. }) = error else { panic!("{error:?}") };
                assert_eq!(source.kind(), std::io::ErrorKind::NotFound, "{path}");
            }
        }
        let below_file = whole(&fixture, "folder/file/x");
        let error = list(&machine, &below_file, 1, 1).await.expect_err("it is refused");
        let WorkplaceError::Path { source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::NotADirectory);
        let error =
            list(&machine, &whole(&fixture, "folder/file"), 1, 1).await.expect_err("a file");
        assert!(error.to_string().ends_with("is a regular file, a folder is needed"), "{error}");
        let error = sha256(&machine, &whole(&fixture, "folder")).await.expect_err("a folder");
        assert!(error.to_string().ends_with("is a folder, a regular file is needed"), "{error}");
        let error = search(&machine, "(", "/", "/", None, 1).await.expect_err("no expression");
        assert!(matches!(error, WorkplaceError::Pattern { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn hashes_are_computed_where_the_file_is() {
    let fixture = Fixture::new();
    let content = b"0123456789".repeat(100_000);
    for name in NAMES {
        fixture.put(name, &content);
    }
    let expected = {
        use sha2::Digest;
        sha2::Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    for machine in machines() {
        for name in NAMES {
            let hash = sha256(&machine, &whole(&fixture, name)).await.expect("it is hashed");
            assert_eq!(hash.as_deref(), Some(expected.as_str()), "{machine:?} {name}");
        }
    }
}

/// A path of up to three parts.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[ab][-.ab]{0,2}".prop_map(|part| part),
        1 => Just(".gitignore".to_owned()),
        1 => "[ -~&&[^/\\\\]]{1,4}".prop_filter("a name", |part| part != "." && part != ".."),
    ];
    prop::collection::vec(part, 1..=3).prop_map(|parts| parts.join("/"))
}

/// What a file may say: also as a `.gitignore`.
fn content() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof!["[!/]?[ab*]{1,2}/?", "[ab ]{0,5}"], 0..5)
        .prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn random_trees_are_listed_and_searched_alike(
        files in prop::collection::vec((path(), content()), 1..20),
        depth in 1..4_u32,
        limit in 0..12_u32,
        glob in prop::option::of("[!]?[ab*]{1,2}"),
    ) {
        let fixture = Fixture::new();
        for (path, content) in files {
            let path = fixture.path(&path);
            // A file may stand where a folder is needed.
            let _ = fs::create_dir_all(path.parent().expect("a parent"));
            let _ = fs::write(path, content);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for machine in machines() {
                same_list(&fixture, &machine, "", depth, limit).await;
                same_search(&fixture, &machine, ("a", "", glob.as_deref(), limit)).await;
                same_search(&fixture, &machine, ("b", "", glob.as_deref(), 1000)).await;
            }
        });
    }
}
