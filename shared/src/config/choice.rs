//! Keys whose value is one of a few names.

use std::path::Path;

use toml::{Value, de::DeValue};

use super::setting::{Setting, text};
use crate::named::named;

/// Declares an enum of names, and how it is read and written.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident, $type_name:literal, $hint:literal {
            $( $(#[doc = $doc:literal])+ $variant:ident = $text:literal, )+
        }
    ) => {
        named! {
            $(#[doc = $about])+
            $name {
                $( $(#[doc = $doc])+ $variant = $text, )+
            }
        }

        impl Setting for $name {
            const NAME: &'static str = $type_name;
            const HINT: &'static str = $hint;

            fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
                let given = text(value)?;
                let known = Self::ALL.into_iter().find(|known| known.name() == given);
                known.ok_or_else(|| format!("{given:?} is none of these"))
            }

            fn write(&self) -> Option<Value> {
                Some(self.name().into())
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
    /// What a model's endpoint speaks.
    ModelKind, "`\"openai\"` or `\"anthropic\"`", "\"openai\" or \"anthropic\"" {
        /// Chat Completions, as OpenAI has them and many others do.
        OpenAi = "openai",
        /// Messages, as Anthropic has them.
        Anthropic = "anthropic",
    }
}

choice! {
    /// The field of a Chat Completions request that bounds its reply.
    MaxTokensField, "`\"max_tokens\"` or `\"max_completion_tokens\"`",
        "\"max_tokens\" or \"max_completion_tokens\"" {
        /// The first one, which most endpoints know.
        MaxTokens = "max_tokens",
        /// The one that OpenAI's reasoning models want.
        MaxCompletionTokens = "max_completion_tokens",
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

choice! {
    /// What happens to a tool call whose outcome cannot be known.
    Lost, "`\"report\"`, `\"retry\"` or `\"fail\"`", "\"report\", \"retry\" or \"fail\"" {
        /// The agent gets what is known.
        Report = "report",
        /// It is run again, and the result says so.
        Retry = "retry",
        /// The turn fails.
        Fail = "fail",
    }
}

choice! {
    /// What keeps commands inside of a local workplace.
    Sandbox, "`\"auto\"`, `\"namespaces\"`, `\"landlock\"` or `\"none\"`",
        "\"auto\", \"namespaces\", \"landlock\" or \"none\"" {
        /// The best that this machine can do, of those below.
        Auto = "auto",
        /// Namespaces of their own by bubblewrap, with Landlock and seccomp inside.
        Namespaces = "namespaces",
        /// Landlock and seccomp.
        Landlock = "landlock",
        /// Nothing: they may do what their user may.
        None = "none",
    }
}

choice! {
    /// What commands of a local workplace reach of the network.
    CommandNetwork, "`\"host\"` or `\"none\"`", "\"host\" or \"none\"" {
        /// All that the machine does.
        Host = "host",
        /// Nothing but themselves.
        None = "none",
    }
}
