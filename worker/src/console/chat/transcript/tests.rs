use evonic_domain::{MessageId, Role, TurnError, TurnErrorCode, Usage};

use super::*;

fn delta(text: &str) -> EventKind {
    EventKind::TextDelta { text: text.to_owned() }
}

fn step(text: &str) -> EventKind {
    EventKind::StepCompleted {
        step: 1,
        text: text.to_owned(),
        usage: Usage::default(),
        cost: 0,
        model: String::new(),
    }
}

fn started(name: &str, arguments: &str) -> EventKind {
    EventKind::ToolStarted {
        call_id: "c".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn output(text: &str) -> EventKind {
    EventKind::ToolOutput { call_id: "c".to_owned(), text: text.to_owned() }
}

fn completed(outcome: Outcome, content: &str) -> EventKind {
    EventKind::ToolCompleted {
        call_id: "c".to_owned(),
        name: "bash".to_owned(),
        outcome,
        content: content.to_owned(),
    }
}

fn written(events: &[EventKind]) -> String {
    let mut transcript = Transcript::new(None);
    events.iter().map(|event| transcript.add(event).plain()).collect()
}

#[test]
fn a_turn_with_tools() {
    let events = [
        EventKind::MessageCreated {
            message_id: MessageId::new(),
            role: Role::User,
            content: "build it".to_owned(),
            attachments: Vec::new(),
        },
        EventKind::TurnStarted { generation: 3 },
        delta("Let me "),
        delta("look."),
        step("Let me look."),
        started("bash", r#"{"command":"uname -a"}"#),
        output("Lin"),
        output("ux\nsecond line"),
        completed(Outcome::Ok, "Linux\nsecond line"),
        started("bash", r#"{"command":"make\nmake test","timeout_seconds":60}"#),
        output("no rule\n"),
        completed(Outcome::Error, "no rule\n[exit status 2]"),
        started("read_file", r#"{"path":"notes.txt","from_line":3}"#),
        completed(Outcome::Ok, "     3\tone\n     4\ttwo"),
        started("write_file", r#"{"path":"a.txt","content":"1\n2\n3\n"}"#),
        completed(Outcome::Ok, "wrote 6 bytes to a.txt"),
        EventKind::TurnHandedOver { generation: 3 },
        EventKind::TurnResumed { generation: 4, predecessor: 3 },
        started("bash", "no json"),
        completed(Outcome::Unknown, "the worker died while it ran"),
        delta("Half a repl"),
        EventKind::TextRetracted { reason: "the worker died".to_owned() },
        delta("Done.\n\nAll of it."),
        step("Done.\n\nAll of it."),
        EventKind::TurnCompleted { usage: Usage::default(), cost: 0 },
    ];
    insta::assert_snapshot!(written(&events));
}

#[test]
fn text_is_whole_whether_its_pieces_came_or_not() {
    assert_eq!(written(&[step("All.")]), "All.\n");
    assert_eq!(written(&[delta("A"), step("All.")]), "All.\n");
    assert_eq!(written(&[delta("All.\n"), step("All.\n")]), "All.\n");
    let other = written(&[delta("Other"), step("All.")]);
    assert_eq!(other, "Other\n(the reply above is void; it is)\nAll.\n");
}

#[test]
fn results_that_were_not_streamed_are_shown_up_to_a_bound() {
    let lines: Vec<String> = (1..=50).map(|line| line.to_string()).collect();
    let text = written(&[started("list_files", "{}"), completed(Outcome::Ok, &lines.join("\n"))]);
    assert!(text.starts_with("▸ list_files\n│ 1\n│ 2\n"), "{text}");
    assert!(text.ends_with("│ 40\n│ … 10 lines more\n"), "{text}");
}

#[test]
fn what_others_wrote_is_harmless_on_a_terminal_and_whole_in_a_file() {
    let evil = "\x1b]0;title\x07\x1b[31mred";
    let events = [
        delta(evil),
        step(evil),
        started("bash", &serde_json::json!({ "command": evil }).to_string()),
        output(evil),
    ];
    let on_terminal = written(&events);
    let shown = "\\x{1b}]0;title\\x{7}\\x{1b}[31mred";
    assert_eq!(on_terminal.matches(shown).count(), 3, "{on_terminal:?}");
    assert!(!on_terminal.contains(['\x1b', '\x07']), "{on_terminal:?}");
    let mut transcript = Transcript::new(Some(NoTerminal::OF_A_TEST));
    assert_eq!(transcript.add(&delta(evil)).plain(), evil);
}

#[test]
fn a_turn_that_ends_in_the_middle_of_a_line_ends_it() {
    let error = TurnError { code: TurnErrorCode::Internal, message: "a defect".to_owned() };
    assert_eq!(written(&[delta("Half"), EventKind::TurnFailed { error }]), "Half\n");
    assert_eq!(written(&[output("half"), EventKind::TurnCancelled {}]), "│ half\n");
}
