//! Types of values: how each is read from TOML and written as TOML.

use std::{
    net::SocketAddr,
    path::{Component, Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use toml::{Value, de::DeValue};

/// A type that a key may have.
pub(super) trait Setting: Sized + PartialOrd {
    /// The type's name, for people.
    const NAME: &'static str;

    /// What to write, for people.
    const HINT: &'static str;

    /// Reads a value; relative paths are below `folder`. The error is a sentence.
    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String>;

    /// The value as TOML; [`None`] for an absent one.
    fn write(&self) -> Option<Value>;
}

/// Reads a default or a bound.
pub(super) fn constant<T: Setting>(text: &str) -> T {
    let value = DeValue::parse(text).expect("defaults and bounds are TOML values");
    T::read(value.get_ref(), Path::new("/")).expect("defaults and bounds have their key's type")
}

/// The value, if it is text.
pub(super) fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    match value {
        DeValue::String(text) => Ok(text),
        other => Err(found(other)),
    }
}

/// A list of texts, each parsed.
pub(super) fn parsed<T: FromStr<Err = String>>(
    value: &DeValue<'_>,
    folder: &Path,
) -> Result<Vec<T>, String> {
    Vec::<String>::read(value, folder)?.iter().map(|text| text.parse()).collect()
}

/// What [`parsed`] reads.
pub(super) fn texts<T: ToString>(values: &[T]) -> Value {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().into()
}

/// What the value is, instead of the key's type.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?} is text"),
        DeValue::Integer(number) => format!("{number} is a whole number"),
        DeValue::Float(number) => format!("{number} is a number with a fraction"),
        DeValue::Boolean(value) => format!("{value} is a truth value"),
        DeValue::Datetime(time) => format!("{time} is a date or time"),
        DeValue::Array(_) => "this is a list".to_owned(),
        DeValue::Table(_) => "this is a table".to_owned(),
    }
}

fn whole<T: TryFrom<i64>>(value: &DeValue<'_>, most: i64) -> Result<T, String> {
    let DeValue::Integer(number) = value else { return Err(found(value)) };
    // TOML's whole numbers have 63 bits.
    let whole = i64::from_str_radix(number.as_str(), number.radix()).ok();
    whole
        .and_then(|whole| T::try_from(whole).ok())
        .ok_or_else(|| format!("{number} is not between 0 and {most}"))
}

impl Setting for u32 {
    const NAME: &'static str = "whole number";
    const HINT: &'static str = "a whole number";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        whole(value, u32::MAX.into())
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for u64 {
    const NAME: &'static str = "whole number";
    const HINT: &'static str = "a whole number";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        whole(value, i64::MAX)
    }

    fn write(&self) -> Option<Value> {
        i64::try_from(*self).ok().map(Value::from)
    }
}

impl Setting for f64 {
    const NAME: &'static str = "number";
    const HINT: &'static str = "a number";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        let number = match value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => {
                i32::from_str_radix(number.as_str(), number.radix()).ok().map(f64::from)
            }
            other => return Err(found(other)),
        };
        number
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| "it is not finite".to_owned())
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for bool {
    const NAME: &'static str = "`true` or `false`";
    const HINT: &'static str = "`true` or `false`";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| found(value))
    }

    fn write(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for String {
    const NAME: &'static str = "text";
    const HINT: &'static str = "text in quotes";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        let text = text(value)?;
        match text {
            "" => Err("it is empty".to_owned()),
            _ if text.contains('\0') => Err("it contains a NUL".to_owned()),
            _ => Ok(text.to_owned()),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Setting for Vec<String> {
    const NAME: &'static str = "list of texts";
    const HINT: &'static str = "a list such as [\"one\", \"two\"]";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        let DeValue::Array(entries) = value else { return Err(found(value)) };
        entries.iter().map(|entry| String::read(entry.get_ref(), folder)).collect()
    }

    fn write(&self) -> Option<Value> {
        Some(self.clone().into())
    }
}

impl Setting for Duration {
    const NAME: &'static str = "duration";
    const HINT: &'static str = "text such as \"10s\", \"250ms\" or \"1m 30s\"";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        let text = text(value)?;
        humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))
    }

    fn write(&self) -> Option<Value> {
        Some(humantime::format_duration(*self).to_string().into())
    }
}

impl Setting for SocketAddr {
    const NAME: &'static str = "address and port";
    const HINT: &'static str = "text such as \"127.0.0.1:8420\" or \"[::1]:8420\"";

    fn read(value: &DeValue<'_>, _: &Path) -> Result<Self, String> {
        let text = text(value)?;
        text.parse().map_err(|_| format!("{text:?} is no address and port"))
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

impl Setting for PathBuf {
    const NAME: &'static str = "path";
    const HINT: &'static str = "a path in quotes, in full or relative to the file's folder";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        let text = String::read(value, folder)?;
        if text.starts_with('~') {
            return Err(format!("{text:?}: `~` is not expanded here"));
        }
        Ok(folder.join(text).components().filter(|part| *part != Component::CurDir).collect())
    }

    fn write(&self) -> Option<Value> {
        Some(self.display().to_string().into())
    }
}

impl Setting for Vec<PathBuf> {
    const NAME: &'static str = "list of paths";
    const HINT: &'static str = "a list of paths such as [\"/one\", \"two\"]";

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        let DeValue::Array(entries) = value else { return Err(found(value)) };
        entries.iter().map(|entry| PathBuf::read(entry.get_ref(), folder)).collect()
    }

    fn write(&self) -> Option<Value> {
        self.iter().map(PathBuf::write).collect::<Option<Vec<_>>>().map(Value::Array)
    }
}

impl<T: Setting> Setting for Option<T> {
    const NAME: &'static str = T::NAME;
    const HINT: &'static str = T::HINT;

    fn read(value: &DeValue<'_>, folder: &Path) -> Result<Self, String> {
        T::read(value, folder).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}
