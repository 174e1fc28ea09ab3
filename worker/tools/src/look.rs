//! What an interrupted change of a file left: found out by looking, where that is exact.

use super::{
    Answer, Inner, Loss, ToolResult,
    answer::sentence,
    arguments::{EditFile, WriteFile},
    figures,
    file::EDIT_BYTES,
};

impl Inner {
    /// Files are written whole or not at all. What is there now says whether that happened.
    pub(super) async fn look_written(&self, arguments: WriteFile) -> Answer {
        let WriteFile { path, content } = arguments;
        let bytes = figures::of(content.len() as u64, "byte", "bytes");
        let same = self.look(&path, move |there| there == content.as_bytes()).await;
        match same {
            Ok(true) => ToolResult::ok(format!("wrote {bytes} to {path}")).into(),
            Ok(false) => {
                let why = format!("{path} has other content now than was to be written");
                Answer::Lost(Loss::because(why))
            }
            Err(why) => Answer::Lost(Loss::because(why)),
        }
    }

    /// An edit leaves no trace that only it could have left: what is there is told.
    pub(super) async fn look_edited(&self, arguments: EditFile) -> Answer {
        let EditFile { path, old, new, .. } = arguments;
        let times = |count: usize| figures::of(count as u64, "time", "times");
        let found = self.look(&path, move |there| {
            let there = String::from_utf8_lossy(there);
            let new = if new.is_empty() { 0 } else { there.matches(&new).count() };
            (there.matches(&old).count(), new)
        });
        let why = match found.await {
            Ok((old, new)) => {
                format!("old occurs {} in {path} now, and new {}", times(old), times(new))
            }
            Err(why) => why,
        };
        Answer::Lost(Loss::because(why))
    }

    /// Looks at a file's content and leaves it as it is; `Err` says why that cannot be done.
    async fn look<T: Send + 'static>(
        &self,
        path: &str,
        look: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, String> {
        let (keep, kept) = std::sync::mpsc::channel();
        let change = Box::new(move |there: &[u8]| {
            // Its reader is this very function.
            let _read = keep.send(look(there));
            None
        });
        let looked = self.workplace.edit(path, EDIT_BYTES, change).await;
        looked.map_err(|error| sentence(&error))?;
        kept.recv().map_err(|_| format!("{path} was not looked at"))
    }
}
