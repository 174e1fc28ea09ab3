//! How a script passes any login shell.

use bytes::Bytes;

use super::shell::Script;

/// The command for a login shell of any kind (sh, bash, zsh, fish, csh): it makes `/bin/sh` run
/// what [`Script::stream`] returns. In single quotes, without anything that one of them would
/// interpret: no single quote, backslash, newline or `!`. `read` takes no byte past the first line
/// from a pipe, so the rest is the script's own input. A line that a broken link cut short is not
/// run.
pub const LOGIN_COMMAND: &str = r#"exec /bin/sh -c 'n=${IFS#??}; IFS= read -r l && eval "$l"'"#;

impl Script {
    /// What [`LOGIN_COMMAND`] reads from its standard input, which then ends: one line with the
    /// text and the arguments, then the script's own input.
    pub fn stream(&self) -> Bytes {
        let mut line = "set --".to_owned();
        for argument in &self.arguments {
            line.push(' ');
            quote(argument, &mut line);
        }
        line.push_str("; eval ");
        quote(&self.text, &mut line);
        line.push('\n');
        let mut stream = line.into_bytes();
        stream.extend_from_slice(&self.input);
        stream.into()
    }
}

/// Appends `text` quoted as one word of the shell, on one line: `$n` is the newline.
fn quote(text: &str, to: &mut String) {
    to.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => to.push_str(r"'\''"),
            '\n' => to.push_str(r#"'"$n"'"#),
            other => to.push(other),
        }
    }
    to.push('\'');
}
