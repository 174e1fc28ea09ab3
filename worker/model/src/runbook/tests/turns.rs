//! Turns from the message to the report.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{answer, request, run, user};
use crate::{Delta, Model, Runbook};
use evonic_domain::{Item, Outcome, ToolCall};
use evonic_local::fixture::Fixture;
use evonic_tools::{Answer, Registry, Toolbox};

fn arguments(calls: &[ToolCall]) -> Vec<(String, Value)> {
    let parsed = |call: &ToolCall| serde_json::from_str(&call.arguments).unwrap();
    calls.iter().map(|call| (call.name.clone(), parsed(call))).collect()
}

fn ok(_: usize, _: &ToolCall) -> (Outcome, String) {
    (Outcome::Ok, "result".to_owned())
}

#[test]
fn each_step_becomes_its_tool_call() {
    let message = "$ ls | wc -l\nbash <<END\nset -e\nmake\nEND\npython \"print(1)\"\n\
        read a.txt\nread a.txt lines 2-\nwrite 'b c.txt' \"x\"\nedit a.txt replace \"a\" with \"b\"\n\
        edit a.txt replace <<A with <<B 3 times\none\nA\ntwo\nB\nlist\nlist src depth 2\n\
        search 'a b'\nsearch x in src files *.rs\ncopy a.txt b.txt\ncopy src 'other:/a b' recursive";
    let (text, calls) = run(message, ok);
    let expected = [
        ("bash", json!({"command": "ls | wc -l"})),
        ("bash", json!({"command": "set -e\nmake\n"})),
        ("python", json!({"code": "print(1)"})),
        ("read_file", json!({"path": "a.txt"})),
        ("read_file", json!({"path": "a.txt", "from_line": 2})),
        ("write_file", json!({"path": "b c.txt", "content": "x"})),
        ("edit_file", json!({"path": "a.txt", "old": "a", "new": "b"})),
        ("edit_file", json!({"path": "a.txt", "old": "one\n", "new": "two\n", "count": 3})),
        ("list_files", json!({})),
        ("list_files", json!({"path": "src", "depth": 2})),
        ("search_files", json!({"pattern": "a b"})),
        ("search_files", json!({"pattern": "x", "path": "src", "glob": "*.rs"})),
        ("copy", json!({"from": "a.txt", "to": "b.txt"})),
        ("copy", json!({"from": "src", "to": "other:/a b", "recursive": true})),
    ];
    assert_eq!(arguments(&calls), expected.map(|(name, value)| (name.to_owned(), value)));
    assert!(text.starts_with("done: 14 steps\n\n1 ok: $ ls | wc -l\n2 ok: bash <<END\n"), "{text}");
}

#[test]
fn settings_hold_for_the_steps_below_them() {
    let message = "$ a\nfolder web\ntimeout 2m\n$ b\nread x\nread /etc/hosts\nread ~x\nlist\n\
        search x\ncopy x other:y\nfolder .\ntimeout default\n$ c\nwrite y \"\"";
    let (_, calls) = run(message, ok);
    let expected = [
        json!({"command": "a"}),
        json!({"command": "b", "timeout_seconds": 120, "folder": "web"}),
        json!({"path": "web/x"}),
        json!({"path": "/etc/hosts"}),
        json!({"path": "web/~x"}),
        json!({"path": "web"}),
        json!({"pattern": "x", "path": "web"}),
        json!({"from": "web/x", "to": "other:y"}),
        json!({"command": "c", "folder": "."}),
        json!({"path": "./y", "content": ""}),
    ];
    let found: Vec<Value> = arguments(&calls).into_iter().map(|(_, value)| value).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_command_goes_on_behind_a_backslash_with_any_line_end() {
    for message in ["$ echo a \\\n  b\n$ c", "$ echo a \\\r\n  b\r\n$ c\r\n"] {
        let (_, calls) = run(message, ok);
        let expected = [json!({"command": "echo a \\\n  b"}), json!({"command": "c"})];
        assert_eq!(arguments(&calls).into_iter().map(|call| call.1).collect::<Vec<_>>(), expected);
    }
    assert_eq!(run("$ echo \\\\\n$ c", ok).1.len(), 2, "an escaped backslash is no continuation");
}

#[test]
fn a_failed_step_stops_the_rest() {
    let message = "say one\n$ a\nsay two\n$ b\nsay three\n$ c\nsay four";
    let (text, calls) = run(message, |index, _| match index {
        0 => (Outcome::Ok, "fine".to_owned()),
        _ => (Outcome::Error, "exit status 2\nno such thing".to_owned()),
    });
    assert_eq!(calls.len(), 2);
    assert_eq!(
        text,
        "failed: step 2 of 3\n\none\n1 ok: $ a\ntwo\n2 failed: $ b\n    exit status 2\n    \
         no such thing\n3 not run: $ c\n"
    );
}

#[test]
fn an_unknown_outcome_stops_the_rest_unless_told_otherwise() {
    let unknown = |index: usize, _: &ToolCall| match index {
        0 => (Outcome::Unknown, "the worker died".to_owned()),
        _ => (Outcome::Ok, String::new()),
    };
    let (text, calls) = run("$ a\n$ b", unknown);
    assert_eq!(calls.len(), 1);
    assert_eq!(
        text,
        "failed: step 1 of 2: its worker died while it ran, so whether it took effect is \
         unknown\n\n1 unknown: $ a\n    the worker died\n2 not run: $ b\n"
    );
    let (text, calls) = run("on failure continue\n$ a\n$ b\nsay end", unknown);
    assert_eq!(calls.len(), 2);
    assert_eq!(
        text,
        "failed: step 1 of 2\n\n1 unknown: $ a\n    the worker died\n2 ok: $ b\nend\n"
    );
}

#[test]
fn an_announcement_says_what_runs_now() {
    let reply = answer(&request(vec![user("say Hello.\n$ uptime\nsay Bye.")]));
    assert_eq!(reply.text, "Hello.\nstep 1 of 1: $ uptime\n");
    let long = format!("$ {}", "x".repeat(500));
    let reply = answer(&request(vec![user(&long)]));
    assert_eq!(reply.text.chars().count(), "step 1 of 1: \n".len() + 100 + 1);
}

#[test]
fn only_the_last_message_and_what_follows_it_counts() {
    let (_, calls) = run("$ old", ok);
    let old = Item::ToolResult {
        call_id: calls[0].id.clone(),
        name: "bash".to_owned(),
        outcome: Outcome::Error,
        content: "old".to_owned(),
    };
    let said = Item::assistant("failed", Vec::new());
    let reply = answer(&request(vec![user("$ old"), old, said, user("$ new")]));
    assert_eq!(arguments(&reply.tool_calls), [("bash".to_owned(), json!({"command": "new"}))]);
}

#[test]
fn a_refusal_points_at_the_error_and_explains() {
    let text = answer(&request(vec![user("$ make\nread a.txt line 3")])).text;
    let expected = "refused: line 2, column 12: expected the end of the line, \
        found `line`\n\n    read a.txt line 3\n               ^\n\nNothing was run.";
    assert!(text.starts_with(expected), "{text}");
    let long = format!("read {} \"", "é".repeat(200));
    let text = answer(&request(vec![user(&long)])).text;
    let shown: Vec<&str> = text.lines().skip(2).take(2).collect();
    assert_eq!(shown[0].chars().position(|c| c == '"'), shown[1].find('^'), "{text}");
}

#[test]
fn a_report_is_bounded_and_says_what_it_leaves_out() {
    let message = "$ cat big\nshow\n".repeat(20);
    let big = "0123456789abcde\n".repeat(4096);
    let (text, _) = run(&message, |_, _| (Outcome::Ok, big.clone()));
    assert!(text.len() < 400_000, "{}", text.len());
    assert!(text.contains("    [65536 more bytes are not shown here]\n"), "{text}");
}

#[tokio::test]
async fn the_reply_is_sent_as_it_is_returned() {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(4);
    let cancel = tokio_util::sync::CancellationToken::new();
    let model = Model::Runbook(Runbook);
    let reply = model.reply(request(vec![user("$ uptime")]), sender, &cancel).await.unwrap();
    assert_eq!(receiver.recv().await, Some(Delta::Text(reply.text)));
    assert_eq!(receiver.recv().await, None);
}

/// Every kind of step, with every option, on the real tools.
#[tokio::test]
async fn the_tools_take_what_the_runbook_asks_for() {
    let message = "on failure continue\n$ printf 'one\\ntwo\\n' > a.txt\nbash <<END\nmkdir -p \
        web/src\nEND\nfolder web\ntimeout 1m\npython \"open('b.txt', 'w').write('x x')\"\nwrite \
        src/c.txt \"three\\n\"\nedit b.txt replace \"x\" with \"y\" 2 times\n$ cat b.txt\nshow\n\
        list . depth 2\nlist\nsearch thr in src files *.txt\nfolder .\ntimeout default\nread a.txt \
        lines 2-2\nread web/src/c.txt\n$ exit 3\nread missing.txt\nsearch one";
    let fixture = Fixture::with(|_| ());
    let registry = Registry::new(&fixture.tools);
    let mut transcript = request(vec![user(message)]);
    transcript.tools = registry.specs(None);
    let tools = Toolbox::new(registry, Arc::new(fixture.local.clone()));
    let text = loop {
        let reply = answer(&transcript);
        let Some(call) = reply.tool_calls.first() else { break reply.text };
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let cancel = tokio_util::sync::CancellationToken::new();
        let listen = async { while receiver.recv().await.is_some() {} };
        // A command id names one command for ever.
        let command_id = format!("test-{}", uuid::Uuid::now_v7().simple());
        let (answer, ()) =
            tokio::join!(tools.run(call, &command_id, None, sender, &cancel), listen);
        let Answer::Known(result) = answer else { panic!("lost: {answer:?}") };
        Arc::make_mut(&mut transcript.items).push(Item::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            outcome: result.outcome,
            content: result.content,
        });
    };
    assert!(text.starts_with("failed: steps 12, 13 of 14\n"), "{text}");
    for shown in ["ok: $ cat b.txt\n    y y\n", "2\ttwo\n", "three", "c.txt:1:three", "a.txt:1:one"]
    {
        assert!(text.contains(shown), "{shown}\n{text}");
    }
}
