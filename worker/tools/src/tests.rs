//! Tools as a model calls them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Answer, Effect, Piece, Registry, ToolResult, Toolbox};
use evonic_domain::{Outcome, ToolCall};
use evonic_local::fixture::{Fixture, eventually};

/// Tools at a workplace of their own.
struct Harness {
    fixture: Fixture,
    registry: Registry,
    tools: Toolbox,
}

impl Harness {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut evonic_shared::config::Tools)) -> Self {
        let fixture = Fixture::with(|config| change(&mut config.tools));
        let registry = Registry::new(&fixture.tools);
        let workplace = std::sync::Arc::new(fixture.local.clone());
        let tools = Toolbox::new(registry.clone(), workplace);
        Self { fixture, registry, tools }
    }

    /// Calls a tool; returns also what was shown while it ran.
    async fn call_live(
        &self,
        name: &str,
        arguments: &Value,
        cancel: &CancellationToken,
    ) -> (ToolResult, String) {
        let call = ToolCall {
            id: "call".to_owned(),
            name: name.to_owned(),
            arguments: arguments.as_str().map_or(arguments.to_string(), str::to_owned),
        };
        let command_id = format!("test-{}", uuid::Uuid::now_v7().simple());
        let (sender, mut receiver) = mpsc::channel::<Piece>(1);
        let gather = async {
            let mut live = String::new();
            while let Some(piece) = receiver.recv().await {
                live.push_str(&piece.text);
            }
            live
        };
        let (answer, live) =
            tokio::join!(self.tools.run(&call, &command_id, None, sender, cancel), gather);
        self.fixture.assert_given_back().await;
        match answer {
            Answer::Known(result) => (result, live),
            Answer::Lost(loss) => panic!("its outcome is unknown: {loss:?}"),
        }
    }

    async fn call(&self, name: &str, arguments: Value) -> ToolResult {
        self.call_live(name, &arguments, &CancellationToken::new()).await.0
    }

    async fn ok(&self, name: &str, arguments: Value) -> String {
        let result = self.call(name, arguments).await;
        assert_eq!(result.outcome, Outcome::Ok, "{}", result.content);
        result.content
    }

    async fn error(&self, name: &str, arguments: Value) -> String {
        let result = self.call(name, arguments).await;
        assert_eq!(result.outcome, Outcome::Error, "{}", result.content);
        result.content
    }
}

#[tokio::test]
async fn commands_tell_their_output_and_how_they_ended() {
    let harness = Harness::new();
    let bash = async |command: &str| harness.call("bash", json!({"command": command})).await;
    let ok = |content: &str| ToolResult::ok(content.to_owned());
    let error = |content: &str| ToolResult::error(content.to_owned());
    assert_eq!(bash("echo hello").await, ok("hello\n"));
    assert_eq!(bash("true").await, ok("[no output]"));
    assert_eq!(bash("printf x; exit 3").await, error("x\n[exit status 3]"));
    assert_eq!(bash("exit 3").await, error("[exit status 3]"));
    assert_eq!(bash("kill -9 $$").await, error("[killed by signal 9]"));
    let left = "started\n[1 process left in the background and killed]";
    assert_eq!(bash("sleep 1000 & echo started").await, ok(left));
    let timeout = harness.call("bash", json!({"command": "echo x; sleep 9", "timeout_seconds": 1}));
    let expected = "x\n[timed out after 1 s and was killed, with everything it had started]";
    assert_eq!(timeout.await, error(expected));
}

#[tokio::test]
async fn the_longest_time_is_the_operators() {
    let harness = Harness::with(|tools| tools.timeout = Duration::from_secs(1));
    let content =
        harness.error("bash", json!({"command": "sleep 9", "timeout_seconds": 900})).await;
    assert!(content.contains("timed out after 1 s"), "{content}");
    let schema = &harness.registry.specs(Some(&["bash".to_owned()]))[0].schema;
    assert!(schema["properties"]["timeout_seconds"].to_string().contains("the most: 1."));
}

/// Models still see the schemas that they saw before these were derived from types.
#[test]
fn derived_schemas_are_those_that_models_know() {
    let known: Value = serde_json::from_str(include_str!("tests/schemas.json")).expect("JSON");
    let harness = Harness::new();
    for spec in harness.registry.specs(None) {
        let mut schema = spec.schema;
        // A list of nothing says nothing.
        if schema.get("required").is_none() {
            schema["required"] = json!([]);
        }
        assert_eq!(schema, known[&spec.name], "{}", spec.name);
    }
}

/// A value that a property's schema allows.
fn example(property: &Value) -> Value {
    match property["type"].as_str() {
        Some("string") => json!("text"),
        Some("integer") => property["minimum"].clone(),
        Some("boolean") => json!(true),
        other => panic!("no built-in tool has this type: {other:?}"),
    }
}

#[tokio::test]
async fn each_schema_and_its_type_agree() {
    let harness = Harness::new();
    for spec in harness.registry.specs(None) {
        let (name, schema) = (spec.name, spec.schema);
        let refused = async |arguments: Value| {
            let result = harness.call(&name, arguments).await;
            // The program bash names itself the same way when it does not know a command.
            let has_run = result.content.contains("[exit status ");
            let refused = !has_run && result.content.starts_with(&format!("{name}: "));
            refused.then_some(result.content)
        };
        assert_eq!(schema["additionalProperties"], json!(false), "{name}");
        let properties = schema["properties"].as_object().expect("there are properties");
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let all: Value =
            properties.iter().map(|(key, property)| (key.clone(), example(property))).collect();
        assert_eq!(refused(all.clone()).await, None, "{name}");
        for key in properties.keys() {
            assert!(properties[key]["description"].is_string(), "{name}.{key}");
            let mut without = all.clone();
            without.as_object_mut().expect("an object").remove(key);
            let is_required = required.contains(&json!(key));
            assert_eq!(refused(without).await.is_some(), is_required, "{name} without {key}");
            let mut wrong = all.clone();
            wrong[key] = json!({});
            assert!(refused(wrong).await.is_some(), "{name} with a wrong {key}");
        }
        let mut more = all;
        more["unknown"] = json!(1);
        assert!(refused(more).await.is_some(), "{name} with one more");
    }
}

#[tokio::test]
async fn python_runs_programs_of_any_size_in_a_folder() {
    let harness = Harness::new();
    harness.fixture.put("sub/there", "");
    let code =
        format!("text = '{}'\nimport os\nprint(len(text), os.listdir())", "x".repeat(200_000));
    let content = harness.ok("python", json!({"code": code, "folder": "sub"})).await;
    assert_eq!(content, "200000 ['there']\n");
    let content = harness.error("python", json!({"code": "raise SystemExit(7)"})).await;
    assert_eq!(content, "[exit status 7]");
}

#[tokio::test]
async fn a_command_that_is_too_long_says_what_to_do() {
    let harness = Harness::new();
    let content = harness.error("bash", json!({"command": " ".repeat(200_000)})).await;
    assert!(content.contains("write it to a file"), "{content}");
}

#[tokio::test]
async fn a_cancelled_command_tells_what_it_did_until_then() {
    let harness = Harness::new();
    let cancel = CancellationToken::new();
    let file = harness.fixture.path("begun");
    let sleeps = || {
        let commands = std::fs::read_dir("/proc").expect("/proc is there").flatten();
        commands
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok())
            .any(|arguments| arguments.contains("1000.000417"))
    };
    let stop = async {
        eventually("it runs", || file.exists() && sleeps()).await;
        cancel.cancel();
        Instant::now()
    };
    let arguments = json!({"command": "echo before; touch begun; sleep 1000.000417"});
    let ((result, live), since) =
        tokio::join!(harness.call_live("bash", &arguments, &cancel), stop);
    assert!(since.elapsed() < Duration::from_secs(1), "took {:?}", since.elapsed());
    assert!(!sleeps());
    assert_eq!(result.outcome, Outcome::Cancelled);
    let expected = "before\n[cancelled and killed, with everything it had started]";
    assert_eq!((result.content.as_str(), live.as_str()), (expected, "before\n"));
    let never = harness.call_live("bash", &json!({"command": "touch never"}), &cancel).await;
    assert_eq!(never.0.outcome, Outcome::Cancelled);
    assert!(!harness.fixture.path("never").exists());
}

#[tokio::test]
async fn an_endless_output_is_capped_everywhere() {
    const CAP: usize = 10_000;
    let harness = Harness::with(|tools| tools.max_output_bytes = 10_000);
    let command = json!({"command": "yes | head -c 50000000; echo end"});
    let (result, live) = harness.call_live("bash", &command, &CancellationToken::new()).await;
    assert_eq!(result.outcome, Outcome::Ok);
    let note = "\n[... 49,990,004 bytes left out ...]\n";
    assert_eq!(result.content.len(), CAP + note.len());
    assert!(result.content.contains(note), "{}", &result.content[4_900..5_100]);
    assert!(result.content.starts_with("y\ny\n") && result.content.ends_with("y\nend\n"));
    assert!(live.len() < CAP + 100 && live.contains("it goes on"), "{}", live.len());
}

#[tokio::test]
async fn files_are_written_read_and_edited() {
    let harness = Harness::new();
    let content = "one\ntwo\ntwo\n";
    let wrote = harness.ok("write_file", json!({"path": "a/b", "content": content})).await;
    assert_eq!(wrote, "wrote 12 bytes to a/b");
    let read = harness.ok("read_file", json!({"path": "a/b"})).await;
    assert_eq!(read, "     1\tone\n     2\ttwo\n     3\ttwo\n");

    let edit =
        |old: &str, count: u64| json!({"path": "a/b", "old": old, "new": "2", "count": count});
    let refused = harness.error("edit_file", edit("two", 1)).await;
    assert!(refused.contains("old occurs 2 times (lines 2, 3), count says 1"), "{refused}");
    assert_eq!(harness.fixture.get("a/b"), content);
    let edited = harness.ok("edit_file", edit("two", 2)).await;
    assert_eq!(edited, "replaced 2 occurrences in a/b, lines 2, 3");
    assert_eq!(harness.fixture.get("a/b"), "one\n2\n2\n");
    let outside = harness.error("edit_file", json!({"path": "../x", "old": "a", "new": "b"})).await;
    assert_eq!(outside, "../x is outside the workplace");
    let missing = harness.error("read_file", json!({"path": "no"})).await;
    assert_eq!(missing, "read no failed: No such file or directory (os error 2)");
}

#[tokio::test]
async fn folders_are_listed_and_searched() {
    let harness = Harness::new();
    harness.fixture.put("src/main.rs", "fn main() {}\n");
    harness.fixture.put("odd\nname", "");
    harness.fixture.put("big", vec![b' '; 1_500]);
    let list = harness.ok("list_files", json!("")).await;
    assert_eq!(list, "big (1.5 KiB)\n\"odd\\nname\" (0 bytes)\nsrc/\n");
    let deep = harness.ok("list_files", json!({"path": "src", "depth": 3})).await;
    assert_eq!(deep, "main.rs (13 bytes)\n");
    let found = harness.ok("search_files", json!({"pattern": "MAIN|main"})).await;
    assert_eq!(found, "src/main.rs:1:fn main() {}\n");
    let nothing = harness.ok("search_files", json!({"pattern": "x", "glob": "*.rs"})).await;
    assert_eq!(nothing, "[no line matches]\n");
    let wrong = harness.error("search_files", json!({"pattern": "("})).await;
    assert!(wrong.contains("unclosed group"), "{wrong}");
}

#[tokio::test]
async fn long_listings_and_searches_say_what_is_missing() {
    let harness = Harness::with(|tools| tools.max_output_bytes = 2_000);
    for number in 0..1_001 {
        harness.fixture.put(&format!("many/{number:04}"), "x\n");
    }
    let list = harness.ok("list_files", json!({"path": "many"})).await;
    assert!(list.contains(" bytes left out ...]") && list.contains("the first 1,000 entries"));
    let found = harness.ok("search_files", json!({"pattern": "x"})).await;
    assert!(found.contains("the first 200 lines; there are more"), "{found}");
    assert!(list.len() < 2_200 && found.len() < 2_200);
    harness.fixture.put(".gitignore", "rule\n".repeat(20_000));
    let found = harness.ok("search_files", json!({"pattern": "none of these"})).await;
    assert!(found.contains("[1 .gitignore has more rules than are followed"), "{found}");
}

#[tokio::test]
async fn unknown_tools_and_wrong_arguments_are_explained() {
    let harness = Harness::new();
    let unknown = harness.error("shell", json!({})).await;
    assert!(unknown.contains("\"shell\"") && unknown.contains("bash, python, read_file"));
    for (arguments, expected) in [
        (json!({}), "bash: command is missing"),
        (json!({"command": null}), "bash: command is missing"),
        (json!({"command": 3}), "bash: command must be a text, not 3"),
        (
            json!({"command": ""}),
            "bash: command must be a text that is not empty, not an empty one",
        ),
        (
            json!({"command": "x", "timeout_seconds": 0}),
            "bash: timeout_seconds must be a whole number from 1, not 0",
        ),
        (
            json!({"command": "x", "cwd": "y"}),
            "bash: there is no argument \"cwd\"; there are command, timeout_seconds, folder",
        ),
        (json!("[1]"), "bash: the arguments must be a JSON object, not a list"),
    ] {
        assert_eq!(harness.error("bash", arguments).await, expected);
    }
    let broken = harness.error("bash", json!("{\"command\": ")).await;
    assert!(broken.starts_with("bash: the arguments are no JSON object: EOF"), "{broken}");
}

#[test]
fn specs_are_those_that_are_named() {
    let harness = Harness::new();
    let specs = |named: Option<&[String]>| -> Vec<_> {
        harness.registry.specs(named).into_iter().map(|spec| (spec.name, spec.effect)).collect()
    };
    let all = specs(None);
    assert!(all.iter().map(|(name, _)| name.as_str()).eq(harness.registry.names()));
    let some = ["list_files", "no_such_tool", "bash"].map(str::to_owned);
    let expected = [("bash", Effect::Change), ("list_files", Effect::Read)]
        .map(|(name, effect)| (name.to_owned(), effect));
    assert_eq!(specs(Some(&some)), expected);
    assert!(specs(Some(&[])).is_empty());
}

/// What a call makes of its arguments is bounded, whatever is repeated of them.
#[tokio::test]
async fn an_error_is_bounded_and_so_are_the_values_of_arguments() {
    let harness = Harness::new();
    let path = format!("{}x", "d/".repeat(200_000));
    let error = harness.error("read_file", json!({ "path": path })).await;
    assert!(error.contains("bytes left out"), "{}", &error[..200]);
    assert!(error.len() < 17 * 1024, "{}", error.len());
    let many = format!("{{\"path\": [{}0]}}", "0,".repeat(70_000));
    let error = harness.error("read_file", many.into()).await;
    assert_eq!(error, "read_file: the arguments have more than 65536 values");
}
