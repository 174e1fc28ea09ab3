//! The terminal: its size, colours, and whether there is one.

use std::io::IsTerminal;

/// The terminal, as far as rendering depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    /// Whether questions can be asked: standard input and output are a terminal.
    pub(super) interactive: bool,
    pub(super) live: bool,
    /// Columns to fill.
    pub(super) columns: usize,
    /// Rows to fill, where output is a terminal.
    pub(super) rows: usize,
    pub(super) out: Paint,
    pub(super) err: Paint,
}

impl Terminal {
    /// The terminal of this process: colour only on a terminal, and not with `NO_COLOR` or on a
    /// dumb one.
    pub(super) fn of_process() -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stdout().is_terminal();
        let (columns, rows) = match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if live && size.ws_col > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        };
        Self {
            interactive: live && std::io::stdin().is_terminal(),
            live,
            columns,
            rows,
            out: Paint { colour: live && !plain },
            err: Paint { colour: std::io::stderr().is_terminal() && !plain },
        }
    }
}

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

#[cfg(test)]
impl Paint {
    /// No colour.
    pub(super) const PLAIN: Self = Self { colour: false };
}

#[cfg(test)]
impl Terminal {
    /// No terminal.
    pub(super) const PLAIN: Self = Self {
        interactive: false,
        live: false,
        columns: 80,
        rows: 24,
        out: Paint::PLAIN,
        err: Paint::PLAIN,
    };
}
