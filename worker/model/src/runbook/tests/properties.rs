//! What holds for any text and for any runbook.

use proptest::{option, prelude::*};

use super::{answer, request, user};
use crate::runbook::{
    parse::parse,
    script::{LineRange, OnFailure, Setting, Statement, Step},
};

/// Any text, with everything in it that the language gives a meaning to.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(String::from),
        4 => "[a-zA-Z ]{1,8}",
        2 => Just("\n".to_owned()),
        1 => prop::sample::select(vec!["\"", "'", "\\", "\r", "\t", "#", "<<", "END", "$ ", "\\\n"])
            .prop_map(str::to_owned),
        1 => prop::sample::select(vec!["END\n", "END2\n", "\r\n", "in", "depth", "\nEND\n"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn some_text() -> impl Strategy<Value = String> {
    text().prop_filter("it is not empty", |text| !text.is_empty())
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        some_text(),
        prop::sample::select(vec!["in", "files", "depth", "lines", "with", "replace", "times"])
            .prop_map(str::to_owned),
        "[a-z./*]{1,12}",
    ]
}

fn range() -> impl Strategy<Value = LineRange> {
    let number = 1..=u32::MAX;
    prop_oneof![
        number.clone().prop_map(|from| LineRange { from: Some(from), to: None }),
        number.clone().prop_map(|to| LineRange { from: None, to: Some(to) }),
        (number.clone(), number)
            .prop_map(|(a, b)| LineRange { from: Some(a.min(b)), to: Some(a.max(b)) }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let number = || option::of(1..=u32::MAX);
    prop_oneof![
        prop_oneof![some_text(), r"[a-b \\]{1,6}"].prop_map(|code| Step::Bash { code }),
        some_text().prop_map(|code| Step::Python { code }),
        (word(), option::of(range())).prop_map(|(path, lines)| Step::Read { path, lines }),
        (word(), text(), any::<bool>()).prop_map(|(path, content, in_place)| Step::Write {
            path,
            content,
            in_place
        }),
        (word(), word(), text(), number(), any::<bool>()).prop_map(
            |(path, old, new, times, in_place)| Step::Edit { path, old, new, times, in_place }
        ),
        (option::of(word()), number()).prop_map(|(path, depth)| Step::List { path, depth }),
        (word(), option::of(word()), option::of(word()))
            .prop_map(|(pattern, path, files)| Step::Search { pattern, path, files }),
        (word(), word(), any::<bool>()).prop_map(|(from, to, recursive)| Step::Copy {
            from,
            to,
            recursive
        }),
    ]
}

fn statement() -> impl Strategy<Value = Statement> {
    prop_oneof![
        6 => step().prop_map(Statement::Step),
        1 => Just(Statement::Show),
        1 => text()
            .prop_map(|text| text.replace(['\n', '\r'], " ").trim().to_owned())
            .prop_filter("something is said", |text| !text.is_empty())
            .prop_map(Statement::Say),
        1 => prop_oneof![Just(OnFailure::Stop), Just(OnFailure::Continue)]
            .prop_map(|on_failure| Statement::Set(Setting::OnFailure(on_failure))),
        1 => option::of(1..=86_400_u32).prop_map(|time| Statement::Set(Setting::Timeout(time))),
        1 => word().prop_map(|path| Statement::Set(Setting::Folder(path))),
    ]
}

fn statements() -> impl Strategy<Value = Vec<Statement>> {
    (step(), prop::collection::vec(statement(), 0..8)).prop_map(|(first, mut rest)| {
        rest.insert(0, Statement::Step(first));
        rest
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_printed_runbook_parses_to_itself(statements in statements(), crlf in any::<bool>()) {
        let printed: Vec<String> = statements.iter().map(Statement::to_string).collect();
        let mut printed = printed.join("\n");
        if crlf {
            printed = printed.replace('\n', "\r\n");
        }
        let parsed = parse(&printed);
        prop_assert!(parsed.is_ok(), "{}\n{printed}", parsed.unwrap_err());
        let parsed: Vec<Statement> =
            parsed.unwrap().statements.into_iter().map(|located| located.statement).collect();
        prop_assert_eq!(parsed, statements);
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let message = String::from_utf8_lossy(&bytes);
        let reply = answer(&request(vec![user(&message)]));
        prop_assert!(!reply.text.is_empty());
    }

    #[test]
    fn nearly_a_runbook_gets_an_answer(statements in statements(), cut in any::<prop::sample::Index>(),
        junk in text()) {
        let printed: Vec<String> = statements.iter().map(Statement::to_string).collect();
        let printed = printed.join("\n");
        let place = (0..=cut.index(printed.len() + 1))
            .rev()
            .find(|&place| printed.is_char_boundary(place))
            .unwrap();
        let message = format!("{}{junk}{}", &printed[..place], &printed[place..]);
        let reply = answer(&request(vec![user(&message)]));
        match parse(&message) {
            Ok(_) => prop_assert_eq!(reply.tool_calls.len(), 1),
            Err(error) => {
                prop_assert!(reply.tool_calls.is_empty());
                let line = message.split('\n').nth(error.at.line - 1);
                prop_assert!(line.is_some(), "{error} of {message:?}");
                prop_assert!(error.at.column <= line.unwrap().chars().count() + 1, "{error}");
            }
        }
    }
}
