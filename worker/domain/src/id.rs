//! Identifiers: a prefix that names the resource, and a UUID version 7 in 32 hexadecimal digits.

use serde::{Deserialize, Serialize};

/// An identifier that does not have the form of its resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an identifier of this resource is {prefix}_ and 32 hexadecimal digits")]
pub struct InvalidId {
    prefix: &'static str,
}

/// The ways from and to text of a type around a checked [`String`] that has [`std::str::FromStr`].
macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The whole text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use text;

macro_rules! id {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// A new one; later ones sort after earlier ones (UUID version 7, RFC 9562).
            #[must_use]
            #[allow(clippy::new_without_default, reason = "an identifier has no default")]
            pub fn new() -> Self {
                Self(format!(concat!($prefix, "_{}"), uuid::Uuid::now_v7().simple()))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text
                    .strip_prefix(concat!($prefix, "_"))
                    .ok_or(InvalidId { prefix: $prefix })?;
                let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if digits.len() == 32 && digits.bytes().all(lower_hex) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { prefix: $prefix })
                }
            }
        }

        text!($name);
    };
}

id!(AgentId, "agt", "Identifies an agent.");
id!(SessionId, "ses", "Identifies a session.");
id!(MessageId, "msg", "Identifies a message.");
id!(TurnId, "trn", "Identifies a turn.");
id!(WorkplaceId, "wpl", "Identifies a workplace.");
id!(BudgetId, "bdg", "Identifies a budget.");
id!(KeyId, "key", "Identifies a key; says nothing about its secret.");
