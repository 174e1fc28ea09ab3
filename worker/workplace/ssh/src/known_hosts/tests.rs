#![expect(clippy::disallowed_methods, reason = "OpenSSH's own tools, run by a test")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    append::{Taken, append},
    *,
};

fn key(kind: &str, seed: u8) -> Key {
    let mut bytes = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(kind.as_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 1, seed]);
    Key(bytes)
}

fn line(hosts: &str, key: &Key) -> String {
    format!(
        "{hosts} {} {} a comment\n",
        key.kind().unwrap(),
        general_purpose::STANDARD.encode(&key.0)
    )
}

fn known(text: &str, name: &str) -> Known {
    let mut known = Known::default();
    known.add(Path::new("/f"), text, name);
    known
}

#[test]
fn lines_are_judged_as_openssh_does() {
    let (ours, other) = (key("ssh-ed25519", 1), key("ssh-ed25519", 2));
    let rsa = key("ssh-rsa", 3);
    let cases = [
        (line("h", &ours), "h", "Known"),
        (line("a,h,b", &ours), "h", "Known"),
        (line("*.x,!b.x", &ours), "a.x", "Known"),
        (line("*.x,!b.x", &ours), "b.x", "New"),
        (line("HOST", &ours), "host", "Known"),
        (line("[h]:2222", &ours), "[h]:2222", "Known"),
        (line("[h]:2222", &other), "[h]:2222", "Changed"),
        // Known without its port: the same key is good, another says nothing.
        (line("h", &ours), "[h]:2222", "Known"),
        (line("h", &other), "[h]:2222", "New"),
        (line("[h]:2222", &ours), "h", "New"),
        (line("h", &other), "h", "Changed"),
        (line("h", &rsa), "h", "Changed"),
        (format!("{}{}", line("h", &rsa), line("h", &ours)), "h", "Known"),
        (format!("@revoked {}{}", line("*", &ours), line("h", &ours)), "h", "Revoked"),
        (format!("@revoked {}{}", line("*", &other), line("h", &ours)), "h", "Known"),
        (format!("@cert-authority {}", line("*", &other)), "h", "AuthorityOnly"),
        (format!("@unknown {}", line("h", &ours)), "h", "New"),
        (format!("# {}", line("h", &ours)), "h", "New"),
        (format!("  \t{}", line("h", &ours)), "h", "Known"),
        ("h ssh-ed25519 !!!\nh\n\n h ssh-rsa".to_owned(), "h", "New"),
    ];
    for (text, name, expected) in cases {
        let known = known(&text, name);
        let judged = format!("{:?}", known.judge(&ours));
        assert!(judged.starts_with(expected), "{text} {name}: {judged}");
    }
}

#[test]
fn a_changed_key_is_told_with_the_line_of_its_own_type() {
    let text = format!("{}{}", line("h", &key("ssh-rsa", 1)), line("h", &key("ssh-ed25519", 2)));
    let known = known(&text, "h");
    let shown = key("ssh-ed25519", 9);
    let Judgement::Changed(entry) = known.judge(&shown) else { panic!("{known:?}") };
    assert_eq!(entry.to_string(), "/f:2");
    assert_eq!(known.key_types(), ["ssh-rsa", "ssh-ed25519"]);
}

/// OpenSSH's own tool hashes the file, finds the host in it, and prints the same fingerprint.
#[test]
fn hashed_names_and_fingerprints_are_those_of_openssh() {
    let folder = tempfile::tempdir().unwrap();
    let pair = folder.path().join("key");
    let keygen = |args: &[&str]| {
        let output = Command::new("ssh-keygen").args(args).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{args:?} {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", pair.to_str().unwrap()]);
    let public = std::fs::read_to_string(pair.with_extension("pub")).unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, format!("plain.example {public}[odd.example]:2222 {public}")).unwrap();
    keygen(&["-H", "-f", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("example"), "{text}");

    let blob = general_purpose::STANDARD.decode(public.split(' ').nth(1).unwrap()).unwrap();
    let shown = Key(blob);
    for name in ["plain.example", "[odd.example]:2222"] {
        let known = Known::read(std::slice::from_ref(&file), name).unwrap();
        assert!(matches!(known.judge(&shown), Judgement::Known(_)), "{name}: {text}");
        assert!(keygen(&["-F", name, "-f", file.to_str().unwrap()]).contains("ssh-ed25519"));
    }
    let known = Known::read(&[file], "other.example").unwrap();
    assert_eq!(known.judge(&shown), Judgement::New);
    let printed = keygen(&["-l", "-f", pair.to_str().unwrap()]);
    assert!(printed.contains(&shown.fingerprint()), "{printed} {}", shown.fingerprint());
}

#[test]
fn many_add_at_once_and_no_line_is_torn_or_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/for/it/known_hosts");
    let deadline = Instant::now() + Duration::from_secs(20);
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let file = &file;
            scope.spawn(move || {
                for host in 0..16_u8 {
                    let name = format!("host-{}", (host + thread) % 16);
                    let taken = append(file, &name, &key("ssh-ed25519", 1), deadline).unwrap();
                    assert_eq!(taken, Taken::Added);
                }
            });
        }
    });
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 16, "{text}");
    assert!(text.lines().all(|line| fields(line).is_some()), "{text}");
    let other = append(&file, "host-3", &key("ssh-ed25519", 2), deadline).unwrap();
    assert_eq!(other, Taken::Changed);
}

#[test]
fn a_file_without_a_last_line_end_gets_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, line("a", &key("ssh-rsa", 1)).trim_end()).unwrap();
    append(&file, "b", &key("ssh-rsa", 2), Instant::now()).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().filter(|line| fields(line).is_some()).count(), 2, "{text}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in "[ -~\t\n|@,!*\\[\\]=é]{0,200}", name in "[a-z.:\\[\\]0-9]{0,20}") {
        let known = known(&text, &name);
        let _judged = known.judge(&Key(text.as_bytes().to_vec()));
    }

    #[test]
    fn lines_like_real_ones_do_not_make_it_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "@revoked", "@cert-authority", "|1|", "|1|AAAA|AAAA", "h", "[h]:1", "ssh-rsa",
            "AAAAB3NzaC1yc2E=", "AAAAB3NzaC1yc2EA", "/////w==", " ", "\n", "#", ",", "!",
        ]), 0..30),
    ) {
        let known = known(&parts.concat(), "h");
        let _judged = known.judge(&key("ssh-rsa", 1));
    }
}
