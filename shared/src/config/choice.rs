//! Keys whose value is one of a few words.

use std::path::Path;

use toml::de::DeValue;

use super::setting::{Setting, quoted, text};

/// Declares an enum of words, and how it is read and written.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident, $words:literal, $hint:literal {
            $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl $name {
            /// Its word in the configuration.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl Setting for $name {
            const NAME: &'static str = $words;
            const HINT: &'static str = $hint;

            fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
                match text(value)? {
                    $( $word => Ok(Self::$variant), )+
                    other => Err(format!("{other:?} is none of these")),
                }
            }

            fn write(&self) -> Option<String> {
                Some(quoted(self.word()))
            }
        }
    };
}

choice! {
    /// Where a trusted proxy says whose request it passes on.
    ForwardedHeader, "`\"x-forwarded-for\"` or `\"forwarded\"`", "\"x-forwarded-for\" or \"forwarded\"" {
        /// `X-Forwarded-For`.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

choice! {
    /// The form of the log.
    LogFormat, "`\"auto\"`, `\"text\"`, `\"json\"` or `\"journal\"`",
        "\"auto\", \"text\", \"json\" or \"journal\"" {
        /// As its reader wants it.
        Auto = "auto",
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
        /// journald's own protocol: fields with priorities.
        Journal = "journal",
    }
}
