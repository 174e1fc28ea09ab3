//! The keys of a file, with their lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::de::{DeTable, DeValue};

use super::{
    entry::Origin,
    error::ConfigError,
    nearest,
    table::{ANY_NAME, Section, join},
};

/// A key of the file.
pub(super) struct Found<'t> {
    /// From 1.
    pub(super) line: usize,
    pub(super) value: DeValue<'t>,
}

/// The keys of a file.
#[derive(Default)]
pub(super) struct Document<'t> {
    /// Known keys by path.
    pub(super) keys: BTreeMap<String, Found<'t>>,
    /// Tables with an operator's name: the line of each by path.
    pub(super) named: BTreeMap<String, usize>,
    pub(super) errors: Vec<ConfigError>,
}

impl<'t> Document<'t> {
    /// Parses a text. Goes on after a syntax error, so that all errors are found at once; a line
    /// that is no TOML has no other error.
    pub(super) fn parse(file: &Path, text: &'t str, sections: &'static [Section]) -> Self {
        let (table, syntax_errors) = DeTable::parse_recoverable(text);
        let mut walk = Walk { file, text, sections, document: Document::default() };
        walk.table(table.into_inner(), "", "");
        let mut document = walk.document;
        let mut broken = BTreeSet::new();
        for error in syntax_errors {
            let line = line_at(text, error.span().map_or(0, |span| span.start));
            if broken.insert(line) {
                document.errors.retain(|error| error.origin != origin(file, line));
                document.keys.retain(|_, found| found.line != line);
                document.errors.push(ConfigError {
                    origin: origin(file, line),
                    key: None,
                    problem: format!("this is no TOML: {}", error.message()),
                    advice: "write `key = value`, text in quotes, below a `[section]`".to_owned(),
                });
            }
        }
        document
    }
}

pub(super) fn origin(file: &Path, line: usize) -> Origin {
    Origin::File { name: file.to_owned(), line }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

struct Walk<'t, 'a> {
    file: &'a Path,
    text: &'t str,
    sections: &'static [Section],
    document: Document<'t>,
}

impl<'t> Walk<'t, '_> {
    /// Walks a table. `path` is its path as in [`Section::path`], `real` as written.
    fn table(&mut self, table: DeTable<'t>, path: &str, real: &str) {
        for (name, value) in table {
            let line = line_at(self.text, name.span().start);
            let name = name.into_inner();
            let (above, here, real) = (real, join(path, &name), join(real, &name));
            let any = join(path, ANY_NAME);
            if self.is_key(path, &name) {
                let found = Found { line, value: value.into_inner() };
                self.document.keys.insert(real, found);
            } else if self.is_table(&here) {
                self.inner(value.into_inner(), line, &here, &real);
            } else if self.is_table(&any) {
                match check_model_name(&name) {
                    Ok(()) => {
                        self.document.named.insert(real.clone(), line);
                        self.inner(value.into_inner(), line, &any, &real);
                    }
                    Err(advice) => self.error(line, &real, "this name is refused", advice),
                }
            } else {
                let advice = match nearest::key(path, &name, self.sections) {
                    Some((section, key)) => {
                        let section = if section == path { above } else { section };
                        format!("did you mean `{}`?", join(section, key))
                    }
                    None => "remove it; `evonic config` lists every key".to_owned(),
                };
                self.error(line, &real, "there is no such key", advice);
            }
        }
    }

    fn inner(&mut self, value: DeValue<'t>, line: usize, path: &str, real: &str) {
        match value {
            DeValue::Table(table) => self.table(table, path, real),
            _ => {
                let advice = format!("write `[{real}]`, and its keys below");
                self.error(line, real, "this is a table, not a value", advice);
            }
        }
    }

    fn is_key(&self, path: &str, name: &str) -> bool {
        self.sections.iter().any(|section| {
            section.path == path
                && section.keys.iter().any(|key| [name, ANY_NAME].contains(&key.name))
        })
    }

    fn is_table(&self, path: &str) -> bool {
        self.sections.iter().any(|section| {
            section
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    fn error(&mut self, line: usize, key: &str, problem: &str, advice: impl Into<String>) {
        self.document.errors.push(ConfigError {
            origin: origin(self.file, line),
            key: Some(key.to_owned()),
            problem: problem.to_owned(),
            advice: advice.into(),
        });
    }
}

/// The rules of an agent's name, and not the embedded model's. The error says what to do.
fn check_model_name(name: &str) -> Result<(), &'static str> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name == "runbook" {
        Err("`runbook` is embedded and is not configured: take another name")
    } else if (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') {
        Ok(())
    } else {
        Err("use 1 to 64 characters of a-z, 0-9 and `-`, the first of them no `-`")
    }
}
