//! What commands find in their environment because nobody sits before them: no terminal, an editor
//! that ends at once and says why, and no pager.

/// Ends at once, with a failure and the sentence of [`NO_EDITOR`] on standard error: both where a
/// program hands it to a shell and where it splits it at blanks itself.
pub const EDITOR: &str = "sh -c ${no_editor:?$EVONIC_NO_EDITOR}";

/// The variable with what the editor says, and that.
pub const NO_EDITOR: (&str, &str) = (
    "EVONIC_NO_EDITOR",
    "there is no terminal here, and so no editor: write the file with write_file or edit_file, give \
     the text as an option or a file (git commit -m, crontab FILE), or take it as it is with \
     GIT_EDITOR=true",
);

/// The variables that name an editor. They are set where the first two are not.
pub const EDITORS: [&str; 4] = ["EDITOR", "VISUAL", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"];

/// Variables, each set where it is not.
pub const VARIABLES: [(&str, &str); 7] = [
    ("TERM", "dumb"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("MANPAGER", "cat"),
    ("SYSTEMD_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("DEBIAN_FRONTEND", "noninteractive"),
];

/// Adds what is missing to an environment: what is set by somebody else stays.
pub fn complete(environment: &mut Vec<(String, String)>) {
    let has = |environment: &[(String, String)], name: &str| {
        environment.iter().any(|(known, _)| known == name)
    };
    let mut missing = VARIABLES.to_vec();
    if !EDITORS[..2].iter().any(|name| has(environment, name)) {
        missing.push(NO_EDITOR);
        missing.extend(EDITORS.map(|name| (name, EDITOR)));
    }
    for (name, value) in missing {
        if !has(environment, name) {
            environment.push((name.to_owned(), value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_set_stays() {
        let mut all = environment(&[("PAGER", "less"), ("VISUAL", "ed")]);
        complete(&mut all);
        let value = |name: &str| {
            all.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(value("PAGER"), Some("less"));
        assert_eq!(value("GIT_PAGER"), Some("cat"));
        assert_eq!(value("VISUAL"), Some("ed"));
        assert_eq!(value("GIT_EDITOR"), None, "git takes VISUAL");
    }

    #[test]
    fn the_watcher_of_other_machines_sets_the_same() {
        let watcher = include_str!("spool/watch.sh");
        let mut all = Vec::new();
        complete(&mut all);
        for (name, value) in all {
            let set = match name.as_str() {
                "EDITOR" | "VISUAL" => format!("{name}=$editor"),
                "GIT_EDITOR" | "GIT_SEQUENCE_EDITOR" => format!("{name}=${{{name}-$editor}}"),
                "EVONIC_NO_EDITOR" => format!("{name}='{value}'"),
                _ => format!("{name}=${{{name}-{value}}}"),
            };
            assert!(watcher.contains(&set), "{set}");
        }
        assert!(watcher.contains(&format!("editor='{EDITOR}'")));
    }
}
