//! Names that change while the service's own tools look at them.

use std::thread;

use super::{Ends, Stage, TIMEOUT};
use crate::poll;

/// What names are exchanged, and the script that does it.
const RACE: &str = include_str!("../race.sh");

/// Whether anything outside was written meanwhile.
const RACED: &str = "[ -e \"$OUT/race/new\" ] || ! grep -qx \"$MARK-raced\" \"$OUT/race/secret\" || \
                     ! grep -qx \"$MARK-raced\" \"$OUT/race/file\"";

impl Stage<'_> {
    /// A command exchanges names in the workplace with links that lead out, as fast as it can, while
    /// the service's own tools read, write, list and search there; what got through.
    ///
    /// # Panics
    /// When a command cannot be run.
    #[must_use]
    pub fn race(&self) -> Vec<String> {
        self.sh(RACE);
        thread::scope(|scope| {
            let racing = scope.spawn(|| self.inside.chat("$ bash race.sh"));
            let ends = Ends(self.inside.path(&self.folders.root.join("raced")));
            poll::until(
                "names are exchanged",
                TIMEOUT,
                || self.sh("cat \"$ROOT/racing\" 2>/dev/null || true"),
                |said| said.contains("begun").then_some(()),
            );
            let steps = "read race\nread folder/secret\nwrite race \"x\"\nwrite folder/file \"x\"\n\
                         write folder/new \"x\"\nlist folder\nsearch evonic-escape in folder\n\
                         search evonic-escape in race\n";
            let said = self.inside.chat(&format!("on failure continue\n{}", steps.repeat(10)));
            drop(ends);
            let _said = racing.join().expect("no panic");
            let mut through = Vec::new();
            if said.contains(&format!("{}-raced", self.mark)) {
                through.push(format!("race: something outside was read: {said}"));
            }
            if !said.contains("80 ") && !said.contains("failed:") && !said.contains("done:") {
                through.push(format!("race: nothing was tried: {said}"));
            }
            if self.succeeds(RACED) {
                through.push("race: something outside was written".to_owned());
            }
            through
        })
    }
}
