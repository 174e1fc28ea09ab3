//! Reads keys one by one from the environment, the file or the defaults, and collects errors.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use toml::de::DeValue;

use super::{
    document::{Document, origin},
    entry::{Entry, Origin},
    environment::Environment,
    error::ConfigError,
    setting::{Setting, constant},
    table::{Fallback, Key, join},
};

/// A value that was given, or what is wrong with it, and where.
type Given<T> = (Origin, Result<T, String>);

/// The inputs, and the results so far.
pub(super) struct Reader<'a> {
    document: Document<'a>,
    file: Option<&'a Path>,
    environment: &'a Environment,
    entries: Vec<Entry>,
    /// Keys with an error: nothing follows from their values.
    invalid: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        document: Document<'a>,
        file: Option<&'a Path>,
        environment: &'a Environment,
    ) -> Self {
        Self { document, file, environment, entries: Vec::new(), invalid: BTreeSet::new() }
    }

    /// Tables below `path` with an operator's name: their paths and names.
    pub(super) fn named(&self, path: &str) -> Vec<(String, String)> {
        let tables = self.document.named.keys();
        tables
            .filter_map(|table| {
                let name = table.strip_prefix(path)?.strip_prefix('.')?;
                Some((table.clone(), name.to_owned()))
            })
            .collect()
    }

    /// The value of a key's variable, else of the file, else the default. After an error it is the
    /// default, so that reading continues.
    pub(super) fn get<T: Setting>(&mut self, path: &str, key: &Key, default: impl Fn() -> T) -> T {
        let whole = join(path, key.name);
        let given = match self.given::<T>(&whole, key) {
            Some((origin, read)) => (origin, read.and_then(|value| bounded(key, value))),
            None if matches!(key.fallback, Fallback::Required) => {
                let line = self.document.named.get(path).copied().unwrap_or(1);
                let origin = self.file.map_or(Origin::Default, |file| origin(file, line));
                (origin, Err("it is missing, and has no default".to_owned()))
            }
            None => (Origin::Default, Ok(default())),
        };
        self.keep(key, whole, given).unwrap_or_else(default)
    }

    /// The values of a table whose keys are an operator's names; `key` describes each.
    pub(super) fn each<T: Setting>(&mut self, path: &str, key: &Key) -> BTreeMap<String, T> {
        let below = |whole: &String| Some(whole.strip_prefix(path)?.strip_prefix('.')?.to_owned());
        let names: Vec<_> = self.document.keys.keys().filter_map(below).collect();
        let mut values = BTreeMap::new();
        for name in names {
            let whole = join(path, &name);
            let Some(given) = self.given(&whole, key) else { continue };
            if let Some(value) = self.keep(key, whole, given) {
                values.insert(name, value);
            }
        }
        values
    }

    /// Records the value of a key, or what is wrong with it.
    fn keep<T: Setting>(&mut self, key: &Key, whole: String, given: Given<T>) -> Option<T> {
        let (origin, read) = given;
        match read {
            Ok(value) => {
                self.entries.push(Entry { key: whole, value: value.write(), origin });
                Some(value)
            }
            Err(problem) => {
                let advice = advice(key);
                self.invalid.insert(whole.clone());
                let key = Some(whole);
                self.document.errors.push(ConfigError { origin, key, problem, advice });
                None
            }
        }
    }

    fn given<T: Setting>(&self, whole: &str, key: &Key) -> Option<Given<T>> {
        if let Some((name, text)) =
            key.variable.and_then(|name| Some((name, self.environment.get(name)?)))
        {
            let read = match text.to_str() {
                Some(text) => T::read(&DeValue::String(text.into()), &self.environment.folder),
                None => Err("it is no UTF-8".to_owned()),
            };
            return Some((Origin::Variable(name), read));
        }
        let found = self.document.keys.get(whole)?;
        let file = self.file.unwrap_or(Path::new(""));
        let folder = self.environment.folder.join(file.parent().unwrap_or(Path::new("")));
        Some((origin(file, found.line), T::read(&found.value, &folder)))
    }

    /// Refuses a combination of values. The error's origin is the first of these keys that was
    /// given; there is none when one of the keys has an error already.
    pub(super) fn refuse(
        &mut self,
        keys: &[&str],
        problem: impl Into<String>,
        advice: impl Into<String>,
    ) {
        if keys.iter().any(|key| self.invalid.contains(*key)) {
            return;
        }
        let entries = || keys.iter().filter_map(|key| self.entries.iter().find(|e| e.key == *key));
        let Some(entry) =
            entries().find(|entry| entry.origin != Origin::Default).or_else(|| entries().next())
        else {
            return;
        };
        self.document.errors.push(ConfigError {
            origin: entry.origin.clone(),
            key: Some(entry.key.clone()),
            problem: problem.into(),
            advice: advice.into(),
        });
    }

    /// Every key in order, or every error in the order of their origins.
    pub(super) fn finish(self) -> Result<Vec<Entry>, Vec<ConfigError>> {
        let mut errors = self.document.errors;
        if errors.is_empty() {
            return Ok(self.entries);
        }
        errors.sort_by_key(|error| match &error.origin {
            Origin::Variable(_) => 0,
            Origin::File { line, .. } => *line,
            Origin::Default => usize::MAX,
        });
        Err(errors)
    }
}

fn bounded<T: Setting>(key: &Key, value: T) -> Result<T, String> {
    let Some((least, most)) = key.within else { return Ok(value) };
    if constant::<T>(least) <= value && value <= constant::<T>(most) {
        Ok(value)
    } else {
        let value = value.write().map(|value| value.to_string()).unwrap_or_default();
        Err(format!("{value} is not between {least} and {most}"))
    }
}

fn advice(key: &Key) -> String {
    match key.within {
        Some((least, most)) => format!("write {}, from {least} to {most}", key.hint),
        None => format!("write {}", key.hint),
    }
}
