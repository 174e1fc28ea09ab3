//! Headers that may be given once.

use http::HeaderMap;

use crate::problem::Problem;

/// The value of a header that may be given once.
///
/// # Errors
/// 400 that names it.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &'static str,
) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::malformed(name, format!("header '{name}' is given twice")));
    }
    let refuse = |_| Problem::malformed(name, format!("header '{name}' must be visible ASCII"));
    first.map(|value| value.to_str().map_err(refuse)).transpose()
}
