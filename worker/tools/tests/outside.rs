//! A tool that lives outside the crate: registered, shown to models, checked and run as the
//! built-in ones are.

use std::sync::Arc;

use async_trait::async_trait;
use evonic_domain::{Outcome, ToolCall};
use evonic_local::fixture::Fixture;
use evonic_shared::config::Lost;
use evonic_tools::{
    Answer, ArgumentError, Call, Effect, Ending, Piece, Registry, RegistryError, Tool, ToolResult,
    ToolSpec, Toolbox,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Counts the lines of a file, and says so.
#[derive(Debug)]
struct CountLines {
    name: &'static str,
    effect: Effect,
}

const COUNT_LINES: CountLines = CountLines { name: "count_lines", effect: Effect::Read };

#[derive(Deserialize, JsonSchema)]
struct Arguments {
    /// The file.
    #[schemars(length(min = 1))]
    path: String,
    /// How many lines there are at least.
    #[schemars(range(min = 1, max = 100))]
    at_least: Option<u64>,
}

#[async_trait]
impl Tool for CountLines {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: "Counts the lines of a file.".to_owned(),
            schema: evonic_tools::schema::<Arguments>(),
            effect: self.effect,
            ending: Ending::WithWorker,
        }
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { path, at_least } = call.arguments()?;
        let text = format!("counting for {}\n", call.command_id);
        call.output.send(Piece { text, output_offset: 0 }).await.expect("the test listens");
        let lines = match call.workplace.read_lines(&path, 1, None, 1_000).await {
            Ok(lines) => lines.total.unwrap_or_default(),
            Err(error) => return Ok(ToolResult::from(error).into()),
        };
        if at_least.is_some_and(|least| lines < least) {
            return Err(ArgumentError(format!("at_least: there are only {lines}")));
        }
        Ok(ToolResult::ok(format!("{lines} lines")).into())
    }
}

fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall { id: "call".to_owned(), name: name.to_owned(), arguments: arguments.to_string() }
}

#[tokio::test]
async fn a_toolbox_has_it_as_it_has_the_others() {
    let fixture = Fixture::new();
    fixture.put("f", "a\nb\n");
    let registry = Registry::new(&fixture.tools).with(Arc::new(COUNT_LINES)).expect("a new name");
    assert_eq!(registry.names().last(), Some("count_lines"));
    let spec = registry.spec("count_lines").expect("it is there");
    assert_eq!(spec.schema["properties"]["path"]["description"], "The file.");
    let tools = Toolbox::new(registry, Arc::new(fixture.local.clone()));

    let cancel = CancellationToken::new();
    let run = async |arguments| {
        let (sender, mut pieces) = mpsc::channel::<Piece>(1);
        let call = call("count_lines", arguments);
        let listen = async {
            let mut text = String::new();
            while let Some(piece) = pieces.recv().await {
                text.push_str(&piece.text);
            }
            text
        };
        match tokio::join!(tools.run(&call, "command-1", None, sender, &cancel), listen) {
            (Answer::Known(result), text) => (result, text),
            (Answer::Lost(loss), _) => panic!("its outcome is unknown: {loss:?}"),
        }
    };
    let (result, shown) = run(json!({"path": "f", "at_least": 1.0})).await;
    assert_eq!(result, ToolResult::ok("2 lines"));
    assert_eq!(shown, "counting for command-1\n");
    for (arguments, refusal) in [
        (json!({}), "count_lines: path is missing"),
        (
            json!({"path": "f", "depth": 1}),
            "count_lines: there is no argument \"depth\"; there are path, at_least",
        ),
        (
            json!({"path": "f", "at_least": 101}),
            "count_lines: at_least: 101 is greater than the maximum of 100",
        ),
        (json!({"path": "f", "at_least": 3}), "count_lines: at_least: there are only 2"),
    ] {
        assert_eq!(run(arguments).await.0, ToolResult::error(refusal));
    }
    let (missing, _) = run(json!({"path": "g"})).await;
    assert_eq!(missing.outcome, Outcome::Error);
    let (sender, _pieces) = mpsc::channel(1);
    let call = call("count_lines", json!({"path": "f"}));
    let resumed = tools.run(&call, "command-1", Some(0), sender, &cancel);
    assert!(matches!(resumed.await, Answer::Lost(loss) if !loss.runs_on));
}

#[test]
fn what_happens_to_a_lost_call_follows_from_the_effect_unless_the_operator_says() {
    let fixture = Fixture::with(|config| {
        config.tools.on_lost.insert("careful".to_owned(), Lost::Fail);
    });
    let tools = [("reads", Effect::Read), ("changes", Effect::Change), ("careful", Effect::Read)];
    let registry =
        tools.into_iter().fold(Registry::new(&fixture.tools), |registry, (name, effect)| {
            registry.with(Arc::new(CountLines { name, effect })).expect("a new name")
        });
    let policies =
        ["reads", "changes", "careful", "bash", "read_file", "write_file", "copy", "unknown"];
    assert_eq!(
        policies.map(|name| registry.on_lost(name)),
        [
            Lost::Retry,
            Lost::Report,
            Lost::Fail,
            Lost::Report,
            Lost::Retry,
            Lost::Report,
            Lost::Retry,
            Lost::Report
        ]
    );
}

#[test]
fn a_name_is_taken_once() {
    let fixture = Fixture::new();
    let bash = CountLines { name: "bash", effect: Effect::Read };
    let refused = Registry::new(&fixture.tools).with(Arc::new(bash));
    assert!(matches!(refused, Err(RegistryError::Duplicate(name)) if name == "bash"));
}

/// A tool whose schema is none.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl Tool for Broken {
    fn spec(&self) -> ToolSpec {
        let schema = json!({"type": "object", "required": "path"});
        ToolSpec { name: "broken".to_owned(), schema, ..COUNT_LINES.spec() }
    }

    async fn run(&self, _call: Call<'_>) -> Result<Answer, ArgumentError> {
        unreachable!("it is never registered")
    }
}

#[test]
fn a_tool_whose_schema_is_wrong_is_refused_before_its_first_call() {
    let refused = Registry::new(&Fixture::new().tools).with(Arc::new(Broken));
    assert!(matches!(refused, Err(RegistryError::Schema { name, .. }) if name == "broken"));
}
