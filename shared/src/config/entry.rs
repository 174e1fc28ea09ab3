//! One key of a resolved configuration, and where its value comes from.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer};

/// One key of a resolved configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its whole path: `fd.threshold`, `models.gpt.base_url`.
    pub key: String,
    /// Its value; none where it is absent and means something by that.
    pub value: Option<toml::Value>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was not given.
    Default,
    /// A line of the file.
    File {
        /// The file as it was named.
        name: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Variable(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line } => write!(f, "{}:{line}", name.display()),
            Origin::Variable(name) => write!(f, "${name}"),
        }
    }
}

/// As displayed.
impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
