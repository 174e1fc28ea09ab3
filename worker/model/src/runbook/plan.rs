//! From a script to tool calls, and how far a turn has come with them.

use serde_json::{Value, json};

use super::script::{LineRange, OnFailure, Position, Script, Setting, Statement, Step};
use evonic_domain::{Item, Outcome, ToolCall, ToolSpec};

/// What a script comes to: its tasks in order.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) tasks: Vec<Task>,
    /// The lines of `say` after the last task.
    pub(super) closing: Vec<String>,
}

/// A step with the settings that hold for it.
#[derive(Clone, Debug)]
pub(super) struct Task {
    at: Position,
    /// The step's first line.
    pub(super) title: String,
    tool: &'static str,
    arguments: Value,
    on_failure: OnFailure,
    /// Whether its result is part of the report even if it did well.
    pub(super) shown: bool,
    /// The lines of `say` before it.
    pub(super) say: Vec<String>,
}

/// A task's result, as the transcript has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskResult<'a> {
    pub(super) outcome: Outcome,
    pub(super) content: &'a str,
}

/// How far a turn has come.
#[derive(Debug)]
pub(super) enum Progress<'a> {
    /// The task with this index is next.
    Next(usize),
    /// No more tasks run.
    Ended(Ending<'a>),
}

/// The results of the tasks that ran, in order.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    pub(super) results: Vec<TaskResult<'a>>,
    /// Whether the last of them failed and thereby stopped the runbook.
    pub(super) stopped: bool,
}

impl Plan {
    pub(super) fn new(script: &Script) -> Self {
        let mut plan = Self { tasks: Vec::new(), closing: Vec::new() };
        let mut settings = Settings { on_failure: OnFailure::Stop, timeout: None, folder: None };
        for located in &script.statements {
            match &located.statement {
                Statement::Set(setting) => settings.apply(setting),
                Statement::Say(text) => plan.closing.push(text.clone()),
                Statement::Show => {
                    if let Some(task) = plan.tasks.last_mut() {
                        task.shown = true;
                    }
                }
                Statement::Step(step) => {
                    let say = std::mem::take(&mut plan.closing);
                    plan.tasks.push(settings.task(located.at, step, say));
                }
            }
        }
        plan
    }

    /// The first task whose tool is not among these.
    pub(super) fn first_denied(&self, tools: &[ToolSpec]) -> Option<(Position, &'static str)> {
        let denied = |task: &&Task| tools.iter().all(|tool| tool.name != task.tool);
        self.tasks.iter().find(denied).map(|task| (task.at, task.tool))
    }

    /// The call of a task. Its id follows from its index, so the same transcript always makes the
    /// same call.
    pub(super) fn call(&self, index: usize) -> ToolCall {
        let task = &self.tasks[index];
        ToolCall {
            id: call_id(index),
            name: task.tool.to_owned(),
            arguments: task.arguments.to_string(),
        }
    }

    /// How far the items since the message have brought the plan.
    pub(super) fn progress<'a>(&self, items: &'a [Item]) -> Progress<'a> {
        let mut results = Vec::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let Some(result) = find(items, &call_id(index)) else { return Progress::Next(index) };
            results.push(result);
            if result.outcome != Outcome::Ok && task.on_failure == OnFailure::Stop {
                return Progress::Ended(Ending { results, stopped: true });
            }
        }
        Progress::Ended(Ending { results, stopped: false })
    }
}

fn call_id(index: usize) -> String {
    format!("step-{}", index + 1)
}

fn find<'a>(items: &'a [Item], id: &str) -> Option<TaskResult<'a>> {
    items.iter().find_map(|item| match item {
        Item::ToolResult { call_id, outcome, content, .. } if call_id == id => {
            Some(TaskResult { outcome: *outcome, content })
        }
        Item::User { .. }
        | Item::Summary { .. }
        | Item::LeftOut { .. }
        | Item::Assistant { .. }
        | Item::ToolResult { .. } => None,
    })
}

/// The settings that hold at a place of the script.
struct Settings {
    on_failure: OnFailure,
    timeout: Option<u32>,
    folder: Option<String>,
}

impl Settings {
    fn apply(&mut self, setting: &Setting) {
        match setting {
            Setting::OnFailure(on_failure) => self.on_failure = *on_failure,
            Setting::Timeout(timeout) => self.timeout = *timeout,
            Setting::Folder(folder) => self.folder = Some(folder.clone()),
        }
    }

    fn task(&self, at: Position, step: &Step, say: Vec<String>) -> Task {
        let (tool, arguments) = self.call(step);
        let title = step.to_string().lines().next().unwrap_or_default().to_owned();
        let shown = matches!(step, Step::Read { .. } | Step::List { .. } | Step::Search { .. });
        Task { at, title, tool, arguments, on_failure: self.on_failure, shown, say }
    }

    /// The tool of a step, and its arguments; absent ones are left out.
    fn call(&self, step: &Step) -> (&'static str, Value) {
        let (tool, mut arguments) = match step {
            Step::Bash { code } => ("bash", self.command("command", code)),
            Step::Python { code } => ("python", self.command("code", code)),
            Step::Read { path, lines } => {
                let LineRange { from, to } = lines.unwrap_or(LineRange { from: None, to: None });
                let path = self.path(path);
                ("read_file", json!({ "path": path, "from_line": from, "to_line": to }))
            }
            Step::Write { path, content, in_place } => {
                let (path, in_place) = (self.path(path), in_place.then_some(true));
                ("write_file", json!({ "path": path, "content": content, "in_place": in_place }))
            }
            Step::Edit { path, old, new, times, in_place } => {
                let arguments = json!({
                    "path": self.path(path),
                    "old": old,
                    "new": new,
                    "count": times,
                    "in_place": in_place.then_some(true),
                });
                ("edit_file", arguments)
            }
            Step::List { path, depth } => {
                ("list_files", json!({ "path": self.optional_path(path), "depth": depth }))
            }
            Step::Search { pattern, path, files } => {
                let path = self.optional_path(path);
                ("search_files", json!({ "pattern": pattern, "path": path, "glob": files }))
            }
            Step::Copy { from, to, recursive } => {
                let (from, to, recursive) =
                    (self.end(from), self.end(to), recursive.then_some(true));
                ("copy", json!({ "from": from, "to": to, "recursive": recursive }))
            }
        };
        if let Value::Object(arguments) = &mut arguments {
            arguments.retain(|_, argument| !argument.is_null());
        }
        (tool, arguments)
    }

    fn command(&self, name: &str, code: &str) -> Value {
        json!({ name: code, "timeout_seconds": self.timeout, "folder": self.folder })
    }

    /// A path as the tools take it: relative ones begin in the folder.
    fn path(&self, path: &str) -> String {
        match &self.folder {
            Some(folder) if !path.starts_with('/') => {
                format!("{}/{path}", folder.trim_end_matches('/'))
            }
            _ => path.to_owned(),
        }
    }

    /// An end of a copy: a path, unless it is one of another workplace.
    fn end(&self, end: &str) -> String {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        match end.split_once(':') {
            Some((place, path)) if !path.is_empty() && !place.is_empty() => {
                if place.chars().all(named) { end.to_owned() } else { self.path(end) }
            }
            _ => self.path(end),
        }
    }

    fn optional_path(&self, path: &Option<String>) -> Option<String> {
        path.as_ref().map_or_else(|| self.folder.clone(), |path| Some(self.path(path)))
    }
}
