//! The threat model in the documentation is that of the tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use evonic_tests::{
    escape::{BEGIN, END, attempts, table},
    installation::root,
};

/// The section of docs/security.md.
fn section() -> String {
    let page = fs::read_to_string(root().join("docs/security.md")).expect("the page");
    let (_, section) = page.split_once("\n## What a command may reach\n").expect("the section");
    section.split("\n## ").next().expect("a text").to_owned()
}

#[test]
fn what_gets_through_stands_in_the_documentation_and_nothing_else() {
    let section = section();
    let (_, rest) = section.split_once(BEGIN).expect("a table");
    let (documented, _) = rest.split_once(END).expect("its end");
    let wanted = table(&attempts());
    assert_eq!(documented.trim(), wanted.trim(), "the table is to be:\n{wanted}");
}

/// What stands in the last column of the tables that name tests: the attempts' has none.
fn named(section: &str) -> Vec<String> {
    let lines = section.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let last = lines.filter_map(|line| line.trim_end_matches(" |").rsplit(" | ").next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_test_that_a_line_names_is_there() {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.expect("git").stdout).expect("names");
    let sources: Vec<(PathBuf, String)> = listed
        .lines()
        .filter_map(|path| Some((path.into(), fs::read_to_string(root().join(path)).ok()?)))
        .collect();
    let (section, mut missing) = (section(), Vec::new());
    let named = named(&section);
    for test in &named {
        let (module, function) = test.rsplit_once("::").unwrap_or(("", test));
        let is_there = sources.iter().any(|(path, text)| {
            is_in(path, module)
                && text.split("fn ").skip(1).any(|rest| rest.starts_with(&format!("{function}(")))
                && is_test(text, function)
        });
        if !is_there {
            missing.push(test);
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    assert!(named.len() > 40, "lines name their tests: {}", named.len());
}

/// Whether a file is, or lies in, a module of this name.
fn is_in(path: &Path, module: &str) -> bool {
    let wanted: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let parts: Vec<String> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned())
        .collect();
    wanted.iter().all(|part| parts.iter().any(|name| name == part))
}

/// Whether an attribute of a test stands before a function.
fn is_test(text: &str, function: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {function}(")) else { return false };
    let near = before.lines().rev().take(4);
    near.into_iter().any(|line| {
        let line = line.trim();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    })
}
