use proptest::prelude::*;

use super::Replacement;

fn change(old: &str, new: &str, count: u64) -> Replacement {
    Replacement { old: old.to_owned(), new: new.to_owned(), count }
}

fn refusal(content: &str, old: &str, count: u64) -> String {
    change(old, "something else", count).apply(content.as_bytes()).expect_err("it is refused")
}

#[test]
fn text_is_replaced_when_it_occurs_as_often_as_said() {
    let content = b"a b a\nb a\n";
    let (changed, lines) = change("a", "xyz", 3).apply(content).expect("three");
    assert_eq!((changed.as_slice(), lines), (&b"xyz b xyz\nb xyz\n"[..], vec![1, 1, 2]));
    let (changed, lines) = change("a\nb", "", 1).apply(content).expect("over two lines");
    assert_eq!((changed.as_slice(), lines), (&b"a b  a\n"[..], vec![1]));
    let (changed, _) = change("aa", "b", 2).apply(b"aaaaa").expect("without overlaps");
    assert_eq!(changed, b"bba");
    let (changed, _) = change("é", "e", 1).apply(b"\xff\xc3\xa9\xfe").expect("among bytes");
    assert_eq!(changed, b"\xffe\xfe");
}

#[test]
fn a_wrong_count_tells_the_right_one() {
    let message = refusal("x\n\nx x\n", "x", 1);
    assert!(message.starts_with("old occurs 3 times (lines 1, 3, 3), count says 1;"), "{message}");
    assert!(message.ends_with("or count 3"), "{message}");
    let message = refusal("x", "x", 2);
    assert!(message.starts_with("old occurs 1 time (line 1), count says 2;"), "{message}");
    let message = refusal(&"x\n".repeat(50), "x", 1);
    assert!(message.contains("8, 9, 10, ...)"), "{message}");
}

#[test]
fn what_is_not_there_is_answered_with_what_is_like_it() {
    let content = "fn one() {\n    let total = sum(a, b);\n}\n";
    let message = refusal(content, "\n  let total = sum(a, c);\n", 1);
    assert!(
        message.ends_with("The nearest line is 2: \"    let total = sum(a, b);\""),
        "{message}"
    );
    let message = refusal(content, "let total = sum(a, b);  ", 1);
    assert!(message.contains("The nearest line is 2"), "{message}");
    let message = refusal(content, "completely different", 1);
    assert!(message.ends_with("No line is like it; read the file again."), "{message}");
    let message = refusal("one\r\ntwo\r\n", "one\ntwo", 1);
    assert!(
        message.ends_with("The file's lines end with \\r\\n, those of old with \\n."),
        "{message}"
    );
    let message = change("x", "x", 1).apply(b"x").expect_err("it is refused");
    assert!(message.contains("the same"), "{message}");
}

proptest! {
    #[test]
    fn it_replaces_as_the_standard_library_does(content in "[ab\n]{0,40}", old in "[ab]{1,3}") {
        let count = content.matches(&old).count();
        let wanted = change(&old, "c", count as u64);
        match wanted.apply(content.as_bytes()) {
            Ok((changed, lines)) => {
                prop_assert_eq!(String::from_utf8(changed).expect("text"), content.replace(&old, "c"));
                let expected: Vec<_> = content
                    .match_indices(&old)
                    .map(|(at, _)| 1 + content[..at].matches('\n').count() as u64)
                    .collect();
                prop_assert_eq!(lines, expected);
            }
            Err(_) => prop_assert_eq!(count, 0),
        }
        let other = change(&old, "c", count as u64 + 1);
        prop_assert!(other.apply(content.as_bytes()).is_err());
    }
}
