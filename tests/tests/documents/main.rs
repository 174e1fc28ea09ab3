//! README and docs name only what is there, and the README's commands work.

mod readme;
mod troubleshooting;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use evonic_tests::pair::program;
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in it")
}

/// The README and every page below `docs`: path in the repository, and text.
fn documents() -> Vec<(String, String)> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { pages.push(path) }
        }
    }
    let pages = pages.into_iter().map(|path| {
        let name = path.strip_prefix(root()).expect("it is below").to_string_lossy().into_owned();
        (name, fs::read_to_string(path).expect("a text"))
    });
    pages.collect()
}

/// What stands in code, line by line, without the prompt.
fn code(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.trim_start_matches("$ "));
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// Whether a word is the command line's program.
fn is_evonic(word: &str) -> bool {
    word == "evonic" || word.ends_with("/evonic")
}

/// Every `evonic ...` in code: the words after it, up to the end of the code.
fn commands(text: &str) -> BTreeSet<Vec<String>> {
    let commands = code(text).into_iter().filter_map(|piece| {
        let mut words = piece.split_whitespace();
        let found = words.next().is_some_and(is_evonic);
        found.then(|| words.map(str::to_owned).collect())
    });
    commands.collect()
}

fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(program("evonic")).args(words).arg("--help").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_command_and_option_that_is_named_is_there() {
    let mut checked = 0;
    for (name, text) in documents() {
        for words in commands(&text) {
            let Some(first) = words.first().filter(|word| word.starts_with(char::is_alphabetic))
            else {
                continue;
            };
            let nested = words.get(1).and_then(|second| {
                let named = second.split('|').next()?;
                matches!(
                    first.as_str(),
                    "agent" | "key" | "session" | "workplace" | "sandbox" | "budget"
                )
                .then_some(named)
            });
            let path: Vec<&str> = std::iter::once(first.as_str()).chain(nested).collect();
            let help = help(&path).unwrap_or_else(|| panic!("{name}: no command evonic {path:?}"));
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
                assert!(help.contains(option), "{name}: evonic {path:?} has no {option}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 5, "the documents name commands: {checked}");
}

#[test]
fn every_link_leads_somewhere() {
    for (name, text) in documents() {
        let page = root().join(&name);
        let folder = page.parent().expect("a page is in a folder");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or("");
            if !file.is_empty() && !file.contains("://") {
                assert!(folder.join(file).exists(), "{name}: {target} leads nowhere");
            }
        }
    }
}

#[test]
fn every_make_target_that_is_named_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    for (name, text) in documents() {
        for rest in text.split("make ").skip(1) {
            let target: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            let in_code = rest[target.len()..].starts_with(['`', ' ', '\n']);
            let known = makefile.contains(&format!("\n{target}:"));
            let prose = !["run", "test", "demo", "bench", "chaos"].contains(&target.as_str());
            assert!(!in_code || known || prose, "{name}: make {target}");
        }
    }
}

/// Sections of the configuration, and what stands below each in its reference.
fn sections() -> BTreeMap<String, String> {
    let reference = include_str!("../../../docs/configuration.md");
    let sections = reference.split("\n## `[").skip(1).filter_map(|section| {
        let (name, rest) = section.split_once("]`")?;
        Some((name.to_owned(), rest.split("\n## ").next()?.to_owned()))
    });
    sections.collect()
}

#[test]
fn every_key_that_is_named_is_there() {
    let sections = sections();
    let actions = include_str!("../../../docs/openapi.json");
    let mut checked = 0;
    // The status protocol has fields of its own under the same words.
    for (name, text) in
        documents().into_iter().filter(|(name, _)| name != "docs/status-protocol.md")
    {
        for word in text.split('`').skip(1).step_by(2) {
            let Some((section, key)) = word.rsplit_once('.') else { continue };
            let is_key = key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                && !["rs", "sh", "sock", "lock", "json", "jsonl", "db"].contains(&key);
            // An action of the audit log may begin with the same word.
            let is_action = actions.contains(&format!("\"{section}.{key}\""));
            if let Some(keys) = sections.get(section).filter(|_| is_key && !is_action) {
                let table = format!("{section}.{key}");
                let there = keys.contains(&format!("| `{key}` |")) || sections.contains_key(&table);
                assert!(there, "{name}: the configuration has no {table}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "the documents name keys: {checked}");
}

#[test]
fn every_setting_of_a_workplace_that_is_named_is_there() {
    let document: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("JSON");
    let known = |key: &str| {
        let schemas = ["LocalSettings", "SshSettings", "DockerSettings"];
        schemas
            .iter()
            .any(|schema| !document["components"]["schemas"][schema]["properties"][key].is_null())
    };
    for (name, text) in documents() {
        for key in text.split("settings.").skip(1) {
            let key: String =
                key.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let other = key.is_empty() || key == "rs";
            assert!(other || known(&key), "{name}: workplaces have no setting {key}");
        }
    }
}

/// The unit, the package and the scripts name what the page on installing names.
#[test]
fn every_folder_of_an_installation_that_is_named_is_there() {
    let page = fs::read_to_string(root().join("docs/install.md")).expect("a page");
    let parts = ["evonic.service", "evonic.socket", "evonic.sysusers.conf", "evonic.tmpfiles.conf"];
    let scripts = ["install.sh", "uninstall.sh", "deb/postrm"];
    let all: String = parts
        .iter()
        .chain(&scripts)
        .map(|file| fs::read_to_string(root().join("systemd").join(file)).expect("a part"))
        .collect();
    for named in ["/etc/evonic", "/var/lib/evonic", "share/doc/evonic", "lib/systemd/system"] {
        assert!(page.contains(named) && all.contains(named), "{named}");
    }
    for directive in
        page.split('`').filter(|word| word.contains('=') && word.starts_with(char::is_uppercase))
    {
        // Those of the table of `make install` are no directives.
        let ours = ["PREFIX=", "DESTDIR=", "PROGRAMS="].iter().any(|own| directive.contains(own));
        assert!(ours || all.contains(directive), "the unit has no {directive}");
    }
}
