//! `docs/configuration.md`, from the table of keys.

use super::{
    root::SECTIONS,
    table::{Fallback, Key, Section},
};

const HEAD: &str = "\
# Configuration

One TOML file, read by both processes: `--config FILE`, else `$EVONIC_CONFIG`, else
`/etc/evonic/evonic.toml`, else defaults. No file of the current folder is read. No key is required,
but for two of each model.

`evonic config` prints every value with its origin; `evonic config --check` prints everything that
is wrong with file, line and key, and exits with 78.

- A **duration** is text: a number with its unit, such as `\"250ms\"`, `\"10s\"`, `\"1m 30s\"`.
- A **path** of the file is relative to the file's folder, one of a variable to the current folder.
  `~` is not expanded.
- A **variable** of the environment overrides the file; an empty one counts as absent.

This page is made from the code by `evonic config --markdown`.
";

const EXAMPLE: &str = "\
## Example

```toml
listen = \"127.0.0.1:8420\"

[fd]
threshold = 500

[models.gpt]
base_url = \"https://api.openai.com/v1\"
model = \"gpt-5\"
key_env = \"OPENAI_API_KEY\"
```
";

/// The page that documents every key.
pub fn markdown() -> String {
    let mut page = format!("{HEAD}\n{EXAMPLE}");
    let mut above = None;
    for section in SECTIONS {
        if above != Some(section.path) {
            page.push_str(&match section.path {
                "" => "\n## Before the first section\n".to_owned(),
                path => format!("\n## `[{path}]`\n"),
            });
        }
        above = Some(section.path);
        page.push_str(&format!("\n{}\n", joined(section.about)));
        page.push_str(&table(section));
    }
    page
}

fn table(section: &Section) -> String {
    let mut rows = "\n| Key | Type | Default | |\n|---|---|---|---|\n".to_owned();
    for key in section.keys {
        let Key { name, fallback, .. } = key;
        let default = match fallback {
            Fallback::Is(value) => format!("`{value}`"),
            Fallback::Computed(text) => (*text).to_owned(),
            Fallback::Absent(text) => format!("none: {text}"),
            Fallback::Required => "required".to_owned(),
        };
        let variable = key.variable.map(|name| format!(" Variable `{name}`.")).unwrap_or_default();
        let form = form(key);
        rows.push_str(&format!(
            "| `{name}` | {form} | {default} | {}{variable} |\n",
            joined(key.doc)
        ));
    }
    rows
}

/// A key's type, with its bounds.
fn form(key: &Key) -> String {
    let name = key.type_name;
    match key.within {
        Some((least, most)) => {
            format!("{name}, {} to {}", least.trim_matches('"'), most.trim_matches('"'))
        }
        None => name.to_owned(),
    }
}

fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
