//! An error with its causes in one line: `outer: cause: root`.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    iter::successors,
};

/// Displays an error and every [`Error::source`] below it, separated by `: `.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a (dyn Error + 'static));

impl Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        causes(self.0).skip(1).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

/// The error itself, then each of its causes, the root last.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |&error: &&'a (dyn Error + 'static)| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl Display for Layer {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn each_cause_stands_once_and_in_order() {
        let root = Layer("no such file", None);
        assert_eq!(ErrorChain(&root).to_string(), "no such file");
        let outer =
            Layer("cannot start", Some(Box::new(Layer("cannot read x", Some(root.into())))));
        assert_eq!(ErrorChain(&outer).to_string(), "cannot start: cannot read x: no such file");
        assert_eq!(causes(&outer).count(), 3);
    }
}
