//! Values in rows and columns.

use evonic_workplace::Verdict;

use super::terminal::Paint;

/// Rows in columns as wide as their widest cell; the last column is as it is.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], paint: Paint) -> String {
    let width = |text: &str| text.chars().count();
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| width(&row[column])).chain([width(head[column])]).max().unwrap_or(0)
    });
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    paint.dim(line(head).trim_end()) + "\n" + &rows.collect::<String>()
}

/// A line of a page: what it is, and its value.
pub(super) fn label(name: &str, value: &str, paint: Paint) -> String {
    format!("{}{value}\n", paint.dim(&format!("{name:<16}")))
}

/// A verdict as the first cell of a line.
pub(super) fn verdict(verdict: Verdict, paint: Paint) -> String {
    match verdict {
        Verdict::Ok => paint.green("ok     "),
        Verdict::Warning => paint.yellow("warning"),
        Verdict::Failed => paint.red("failed "),
    }
}
