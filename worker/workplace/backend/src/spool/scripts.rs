//! The scripts that run on other machines. Each file says what it does.

pub(super) const COMMON: &str = include_str!("common.sh");
pub(super) const SHOW: &str = include_str!("show.sh");
pub(super) const WATCH: &str = include_str!("watch.sh");
pub(super) const LAUNCH: &str = include_str!("launch.sh");
pub(super) const FOLLOW: &str = include_str!("follow.sh");
pub(super) const KILL: &str = include_str!("kill.sh");
pub(super) const OUTPUT: &str = include_str!("output.sh");
pub(super) const TIDY: &str = include_str!("tidy.sh");

/// Joins pieces of a script, without their indentation, empty lines and comments.
pub(super) fn join(pieces: &[&str]) -> String {
    let mut text = String::new();
    for line in pieces.iter().flat_map(|piece| piece.lines()).map(str::trim_start) {
        if !line.is_empty() && !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
