//! Every tool: its name, what a model is told of it, and the schema of its arguments.

use evonic_shared::config;
use serde_json::{Value, json};

use super::{Effect, Ending};

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Bash,
    Python,
    ReadFile,
    WriteFile,
    EditFile,
    ListFiles,
    SearchFiles,
    Copy,
}

impl Tool {
    /// In the order in which a model is told of them.
    pub(super) const ALL: [Tool; 8] = [
        Tool::Bash,
        Tool::Python,
        Tool::ReadFile,
        Tool::WriteFile,
        Tool::EditFile,
        Tool::ListFiles,
        Tool::SearchFiles,
        Tool::Copy,
    ];

    /// Their names, in the same order.
    pub(super) const NAMES: [&'static str; 8] = {
        let mut names = [""; 8];
        let mut at = 0;
        while at < names.len() {
            names[at] = Tool::ALL[at].name();
            at += 1;
        }
        names
    };

    pub(super) fn named(name: &str) -> Option<Tool> {
        Tool::ALL.into_iter().find(|tool| tool.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Tool::Bash => "bash",
            Tool::Python => "python",
            Tool::ReadFile => "read_file",
            Tool::WriteFile => "write_file",
            Tool::EditFile => "edit_file",
            Tool::ListFiles => "list_files",
            Tool::SearchFiles => "search_files",
            Tool::Copy => "copy",
        }
    }

    pub(super) const fn effect(self) -> Effect {
        match self {
            Tool::ReadFile | Tool::ListFiles | Tool::SearchFiles => Effect::Read,
            Tool::Bash | Tool::Python | Tool::WriteFile | Tool::EditFile | Tool::Copy => {
                Effect::Change
            }
        }
    }

    pub(super) const fn ending(self) -> Ending {
        match self {
            Tool::Bash | Tool::Python => Ending::Own,
            Tool::Copy => Ending::GoesOn,
            Tool::ReadFile
            | Tool::ListFiles
            | Tool::SearchFiles
            | Tool::WriteFile
            | Tool::EditFile => Ending::WithWorker,
        }
    }

    /// What the operator wants of a call whose outcome nobody can know.
    pub(super) const fn on_lost(self, policy: &config::OnLost) -> config::Lost {
        match self {
            Tool::Bash => policy.bash,
            Tool::Python => policy.python,
            Tool::ReadFile => policy.read_file,
            Tool::WriteFile => policy.write_file,
            Tool::EditFile => policy.edit_file,
            Tool::ListFiles => policy.list_files,
            Tool::SearchFiles => policy.search_files,
            Tool::Copy => policy.copy,
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Tool::Bash => {
                "Runs a command with bash in the workplace and returns its output (standard \
                 output and error together) and, unless it is 0, its exit status. Standard input \
                 is empty and there is no terminal. Each call is a new shell: folders and \
                 variables do not carry over. Processes left in the background are killed when \
                 the command ends. Of a long output the beginning and the end are returned."
            }
            Tool::Python => {
                "Runs a program with python3 in the workplace and returns what it prints and, \
                 unless it is 0, its exit status. Each call is a new interpreter. Otherwise as \
                 bash."
            }
            Tool::ReadFile => {
                "Reads a text file, or some of its lines. Each line is preceded by its number and \
                 a tab, which are not part of the file. When not everything is returned, the last \
                 line says how to ask for the rest."
            }
            Tool::WriteFile => {
                "Writes a file, or replaces it whole. Missing folders are made. To change a part \
                 of a file use edit_file."
            }
            Tool::EditFile => {
                "Replaces text in a file. `old` must be exactly what is in the file, with its \
                 white space and without line numbers, and must occur exactly `count` times; \
                 otherwise nothing is changed and the answer says what is there instead."
            }
            Tool::ListFiles => {
                "Lists a folder: folders end with a slash, files come with their size. Links are \
                 not followed."
            }
            Tool::SearchFiles => {
                "Finds the lines that match a regular expression, as PATH:LINE:TEXT. Honours \
                 .gitignore; passes over .git and binary files."
            }
            Tool::Copy => {
                "Copies a file, or a folder with `recursive`, within the workplace or between it \
                 and another one that this agent may use, and checks that the copy is the same. \
                 An unfinished copy is gone on with by the same call again."
            }
        }
    }

    /// JSON Schema 2020-12 of the arguments.
    pub(super) fn schema(self, settings: &config::Tools) -> Value {
        let path = |what: &str| {
            let description = format!("{what}, relative to the workplace. ~ is not expanded.");
            json!({"type": "string", "minLength": 1, "description": description})
        };
        let seconds = settings.timeout.as_secs().max(1);
        let timeout = json!({
            "type": "integer", "minimum": 1,
            "description": format!("After how many seconds it is killed, with everything it \
                                    started. Default, and the most: {seconds}."),
        });
        let folder = json!({
            "type": "string", "minLength": 1,
            "description": "The folder to run in, relative to the workplace. Default: the \
                            workplace itself.",
        });
        match self {
            Tool::Bash => object(
                &["command"],
                json!({
                    "command": text("What bash runs, as after bash -c."),
                    "timeout_seconds": timeout,
                    "folder": folder,
                }),
            ),
            Tool::Python => object(
                &["code"],
                json!({
                    "code": text("The program's text."),
                    "timeout_seconds": timeout,
                    "folder": folder,
                }),
            ),
            Tool::ReadFile => object(
                &["path"],
                json!({
                    "path": path("The file"),
                    "from_line": number("First line, from 1. Default: 1."),
                    "to_line": number("Last line, included. Default: the end of the file."),
                }),
            ),
            Tool::WriteFile => object(
                &["path", "content"],
                json!({
                    "path": path("The file"),
                    "content": {"type": "string", "description": "The whole new content."},
                }),
            ),
            Tool::EditFile => object(
                &["path", "old", "new"],
                json!({
                    "path": path("The file"),
                    "old": text("The text to replace; may be several lines."),
                    "new": {"type": "string", "description": "The text to put in its place."},
                    "count": number("How many times `old` occurs; every one is replaced. Default: 1."),
                }),
            ),
            Tool::ListFiles => object(
                &[],
                json!({
                    "path": path("The folder. Default: the workplace itself"),
                    "depth": number("How many levels of folders; 1 is the folder itself. Default: 1."),
                }),
            ),
            Tool::SearchFiles => object(
                &["pattern"],
                json!({
                    "pattern": text("A regular expression (Rust syntax), matched line by line; \
                                     (?i) at its beginning ignores case."),
                    "path": path("The folder or file to search. Default: the whole workplace"),
                    "glob": text("Only files whose path matches: *.rs at any depth, src/** below \
                                  the folder that is searched, !*.md leaves out."),
                }),
            ),
            Tool::Copy => object(
                &["from", "to"],
                json!({
                    "from": text("A path in the workplace, or WORKPLACE:PATH in another one."),
                    "to": text("Its new path, as `from`; below it when it is a folder that is \
                                there."),
                    "recursive": {
                        "type": "boolean",
                        "description": "Whether a folder is copied, with everything below it. \
                                        Default: false.",
                    },
                }),
            ),
        }
    }
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn text(description: &str) -> Value {
    json!({"type": "string", "minLength": 1, "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "minimum": 1, "description": description})
}
