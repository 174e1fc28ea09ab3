//! The table of keys: each is written once, as a field of a [`section!`].
//!
//! One line makes the field, its documentation, default, bounds and variable, and the code that
//! reads it. Defaults and bounds are TOML values and are read like those of a file.

/// The value of a key that neither the file nor the environment has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fallback {
    /// This TOML value.
    Is(&'static str),
    /// Computed from other keys or the environment, as this text describes.
    Computed(&'static str),
    /// None, with the meaning of this text.
    Absent(&'static str),
    /// It must be given.
    Required,
}

/// A key of a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its last segment.
    pub(super) name: &'static str,
    /// Its type's name, for people.
    pub(super) type_name: &'static str,
    /// What to write, for people.
    pub(super) hint: &'static str,
    /// Its default.
    pub(super) fallback: Fallback,
    /// The least and the greatest value, as TOML.
    pub(super) within: Option<(&'static str, &'static str)>,
    /// The variable that overrides the file.
    pub(super) variable: Option<&'static str>,
    /// Its documentation, line by line.
    pub(super) doc: &'static [&'static str],
}

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// `fd`; empty for keys before the first table; a segment [`ANY_NAME`] stands for any name.
    pub(super) path: &'static str,
    /// Its documentation, line by line.
    pub(super) about: &'static [&'static str],
    /// Its keys, in the order in which they are documented.
    pub(super) keys: &'static [Key],
}

/// The segment of a section's path that stands for the operator's name.
pub(super) const ANY_NAME: &str = "NAME";

/// Joins a section's path and a key's name.
pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Declares a section: a struct, its keys, and how it is read.
///
/// Each key is `name: Type = FALLBACK, from "VARIABLE", within LEAST to MOST;`. The fallback is
/// `is(TOML)`, `computed("text", expression)`, `absent("text")` or `required()`; the
/// expression may use the section's inputs and the keys above it. Fields that are no key of this
/// table follow in `with { name: Type = expression; }`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident ($reader:ident, $path:ident $(, $input:ident: $input_type:ty)*) at $place:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $fallback:ident($($value:tt)*)
                    $(, from $variable:literal)? $(, within $least:literal to $most:literal)?;
            )*
        }
        $(with {
            $( $(#[doc = $more_doc:literal])+ $more:ident: $more_type:ty = $expression:expr; )+
        })?
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                ///
                #[doc = concat!(
                    "Default: ", $crate::config::table::fallback_text!($fallback($($value)*)), "."
                )]
                pub $key: $type,
            )*
            $($( $(#[doc = $more_doc])+ pub $more: $more_type, )+)?
        }

        impl $name {
            pub(in crate::config) const SECTION: $crate::config::table::Section =
                $crate::config::table::Section {
                    path: $place,
                    about: &[$($about),+],
                    keys: &[$($crate::config::table::Key {
                        name: stringify!($key),
                        type_name: <$type as $crate::config::setting::Setting>::NAME,
                        hint: <$type as $crate::config::setting::Setting>::HINT,
                        fallback: $crate::config::table::fallback!($fallback($($value)*)),
                        within: $crate::config::table::optional!(
                            $((stringify!($least), stringify!($most)))?
                        ),
                        variable: $crate::config::table::optional!($($variable)?),
                        doc: &[$($doc),+],
                    }),*],
                };

            pub(in crate::config) fn read(
                $reader: &mut $crate::config::reader::Reader<'_>,
                $path: &str,
                $($input: $input_type),*
            ) -> Self {
                let mut keys = Self::SECTION.keys.iter();
                $(
                    let key = keys.next().expect("the table has an entry for each field");
                    let $key: $type = $reader.get(
                        $path, key, || $crate::config::table::fallback_value!($fallback($($value)*)),
                    );
                )*
                $($( let $more: $more_type = $expression; )+)?
                Self { $($key,)* $($($more,)+)? }
            }
        }
    };
}

/// A section's fallback as data.
macro_rules! fallback {
    (is($($value:tt)+)) => {
        $crate::config::table::Fallback::Is(stringify!($($value)+))
    };
    (computed($text:literal, $value:expr)) => {
        $crate::config::table::Fallback::Computed($text)
    };
    (absent($text:literal)) => {
        $crate::config::table::Fallback::Absent($text)
    };
    (required()) => {
        $crate::config::table::Fallback::Required
    };
}

/// A section's fallback as text.
macro_rules! fallback_text {
    (is($($value:tt)+)) => {
        concat!("`", stringify!($($value)+), "`")
    };
    (computed($text:literal, $value:expr)) => {
        $text
    };
    (absent($text:literal)) => {
        concat!("none, ", $text)
    };
    (required()) => {
        "none, it must be given"
    };
}

/// A section's fallback as a value. A missing required key is an error, so its value is never used.
macro_rules! fallback_value {
    (is($($value:tt)+)) => {
        $crate::config::setting::constant(stringify!($($value)+))
    };
    (computed($text:literal, $value:expr)) => {
        $value
    };
    (absent($text:literal)) => {
        None
    };
    (required()) => {
        Default::default()
    };
}

/// `Some` of what was given, or `None`.
macro_rules! optional {
    () => {
        None
    };
    ($given:expr) => {
        Some($given)
    };
}

pub(super) use {fallback, fallback_text, fallback_value, optional, section};
