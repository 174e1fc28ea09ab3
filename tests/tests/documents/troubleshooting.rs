use std::{fs, path::Path};

use evonic_tests::troubleshooting::rows;

use super::root;

/// The texts of all tests of the workspace that check a row.
fn tests() -> String {
    let mut folders =
        vec![root().join("tests/tests"), root().join("worker"), root().join("supervisor")];
    let mut texts = String::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension() == Some(Path::new("rs").as_os_str()) {
                let text = fs::read_to_string(path).expect("a text");
                if text.contains("assert_documented(") {
                    texts.push_str(&text);
                }
            }
        }
    }
    texts
}

#[test]
fn every_line_is_made_to_happen_by_a_test() {
    let tests = tests();
    for row in rows() {
        let literal = format!("{row:?}");
        assert!(tests.contains(&literal), "no test makes {row:?} happen");
    }
}
