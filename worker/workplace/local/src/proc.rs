//! What commands need to be seen of `/proc`, which a unit may hide parts of.

use std::fs;

use evonic_backend::error::os_message;
use evonic_runner::process::BOOT_ID;

const ADVICE: &str = "remove ProcSubset= from the unit, or mount a whole /proc for the service";

/// What is read, and what is not to be had without it.
const NEEDED: [(&str, &str); 3] = [
    ("/proc/self/stat", "no command is started without it"),
    ("/proc/sys/kernel/overflowuid", "commands get no namespaces without it"),
    (BOOT_ID, "a command that a start of the machine ended may pass for one that runs"),
];

/// A sentence for each part that this process cannot read.
fn hidden() -> Vec<String> {
    hidden_of(&NEEDED)
}

/// What this process sees of it, in a sentence, and what to do where that is not enough.
#[must_use]
pub fn describe() -> (String, Option<&'static str>) {
    let hidden = hidden();
    if hidden.is_empty() {
        return ("/proc shows what commands need".to_owned(), None);
    }
    (hidden.join("; "), Some(ADVICE))
}

fn hidden_of(needed: &[(&str, &str)]) -> Vec<String> {
    let sentence = |(path, without): &(&str, &str)| {
        let error = fs::read(path).err()?;
        Some(format!("{path} cannot be read ({}): {without}", os_message(&error)))
    };
    needed.iter().filter_map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_is_hidden_has_a_sentence() {
        assert_eq!(describe().1, None);
        let there = ("/proc/self/stat", "it is there");
        let hidden = hidden_of(&[there, ("/proc/none", "nothing is done without it")]);
        let sentence =
            "/proc/none cannot be read (No such file or directory): nothing is done without it";
        assert_eq!(hidden, [sentence]);
    }
}
