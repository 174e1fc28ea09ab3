//! What commands need to be seen of `/proc`, which a unit may hide parts of.

use std::fs;

use evonic_runner::process::BOOT_ID;

/// What to do about what is hidden.
pub const ADVICE: &str = "remove ProcSubset= from the unit, or mount a whole /proc for the service";

/// What is read, and what is not to be had without it.
const NEEDED: [(&str, &str); 3] = [
    ("/proc/self/stat", "no command is started without it"),
    ("/proc/sys/kernel/overflowuid", "commands get no namespaces without it"),
    (BOOT_ID, "a command that a start of the machine ended may pass for one that runs"),
];

/// A sentence for each part that this process cannot read.
#[must_use]
pub fn hidden() -> Vec<String> {
    hidden_of(&NEEDED)
}

fn hidden_of(needed: &[(&str, &str)]) -> Vec<String> {
    let sentence = |(path, without): &(&str, &str)| {
        let error = fs::read(path).err()?;
        Some(format!("{path} cannot be read ({}): {without}", message(&error)))
    };
    needed.iter().filter_map(sentence).collect()
}

/// The kernel's own words, without a number.
fn message(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_is_hidden_has_a_sentence() {
        assert_eq!(hidden(), Vec::<String>::new());
        let there = ("/proc/self/stat", "it is there");
        let hidden = hidden_of(&[there, ("/proc/none", "nothing is done without it")]);
        let sentence =
            "/proc/none cannot be read (No such file or directory): nothing is done without it";
        assert_eq!(hidden, [sentence]);
    }
}
