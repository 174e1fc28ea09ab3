//! The terminal: its size, colours, and whether there is one.

use std::{
    io::{IsTerminal, Stderr, Stdout},
    os::fd::AsFd,
};

use super::text::Palette;

/// The terminal, as far as rendering depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    /// Whether questions can be asked: standard input and output are a terminal.
    pub(super) interactive: bool,
    /// What standard output is.
    pub(super) out: Reader,
    /// What standard error is.
    pub(super) err: Reader,
    /// Columns to fill.
    pub(super) columns: usize,
    /// Rows to fill, where output is a terminal.
    pub(super) rows: usize,
}

/// Who reads a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A file, a pipe, another program.
    File,
    /// A person at a terminal.
    Terminal(Palette),
}

impl Reader {
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// Evidence that nobody's terminal obeys what is written, if it is so.
    pub(super) fn no_terminal(self) -> Option<NoTerminal> {
        (self == Self::File).then_some(NoTerminal(()))
    }

    pub(super) const fn palette(self) -> Palette {
        match self {
            Self::File => Palette::None,
            Self::Terminal(palette) => palette,
        }
    }
}

/// Evidence that a reader is no terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoTerminal(());

impl Terminal {
    /// The terminal of this process: colour only on a terminal, and not with `NO_COLOR` or on a
    /// dumb one.
    pub(super) fn new(out: &Stdout, err: &Stderr) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        let palette = if plain { Palette::None } else { Palette::Colours };
        let reader = |is_terminal| match is_terminal {
            true => Reader::Terminal(palette),
            false => Reader::File,
        };
        let size = |stream| rustix::termios::tcgetwinsize(stream).ok().filter(|it| it.ws_col > 0);
        let (columns, rows) = size(out.as_fd())
            .or_else(|| size(err.as_fd()))
            .map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()));
        Self {
            interactive: out.is_terminal() && std::io::stdin().is_terminal(),
            out: reader(out.is_terminal()),
            err: reader(err.is_terminal()),
            columns,
            rows,
        }
    }
}

#[cfg(test)]
impl NoTerminal {
    pub(super) const OF_A_TEST: Self = Self(());
}

#[cfg(test)]
impl Terminal {
    /// No terminal.
    pub(super) const NONE: Self =
        Self { interactive: false, out: Reader::File, err: Reader::File, columns: 80, rows: 24 };
}
