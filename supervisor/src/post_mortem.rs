//! Post-mortems of workers: `STATE_DIR/post-mortems/GENERATION-REASON.json`.

use std::{
    io,
    path::{Path, PathBuf},
};

use evonic_process::{file, folder};
use evonic_shared::{reason::Reason, status::PostMortem};

use crate::disk::FileError;

/// Post-mortems that are kept.
pub const KEPT: usize = 50;

pub fn file_name(generation: u64, reason: Reason) -> String {
    format!("{generation}-{reason}.json")
}

/// Writes a post-mortem and removes the oldest beyond [`KEPT`].
///
/// # Errors
/// [`FileError`] when it cannot be written; removing an old one is tried again next time.
pub fn keep(state_dir: &Path, post_mortem: &PostMortem) -> Result<(), FileError> {
    let folder = state_dir.join("post-mortems");
    let path = folder.join(file_name(post_mortem.census.generation, post_mortem.reason));
    let write = || {
        folder::Folder::open(&folder, folder::PRIVATE).map_err(io::Error::other)?;
        let mut text = serde_json::to_vec_pretty(post_mortem)?;
        text.push(b'\n');
        file::replace(&path, &text, folder::FILE)
    };
    write().map_err(FileError::new("keep the post-mortem", &path))?;
    for old in oldest(&folder).unwrap_or_default() {
        // The next post-mortem tries again.
        let _ = std::fs::remove_file(old);
    }
    Ok(())
}

/// Surplus post-mortems by generation, and half-written ones. Files with other names stay.
fn oldest(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut torn = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((generation, rest)) = name.split_once('-') else { continue };
        let Ok(generation) = generation.parse::<u64>() else { continue };
        if rest.ends_with(".json") {
            all.push((generation, path));
        } else if rest.ends_with(".json.new") {
            torn.push(path);
        }
    }
    all.sort_unstable();
    let surplus = all.len().saturating_sub(KEPT);
    Ok(all.into_iter().take(surplus).map(|(_, path)| path).chain(torn).collect())
}

#[cfg(test)]
mod tests {
    use evonic_shared::status::{Census, Descriptors, FORMAT};

    use super::*;

    fn post_mortem(generation: u64) -> PostMortem {
        PostMortem {
            format: FORMAT,
            reason: Reason::FdThreshold,
            detail: "408 descriptors open, threshold 400".into(),
            culprit: "file grew by 380".into(),
            fd: Descriptors {
                open: 408,
                owned: [].into(),
                baseline: Some(20),
                budget: Some(300),
                unexplained: Some(388),
                threshold: 400,
                ceiling: 1600,
                unexplained_limit: 64,
                limit: 16_384,
                per_second: 50.0,
                seconds_to_threshold: None,
            },
            census: Census {
                format: FORMAT,
                at: "1970-01-01T00:00:00.000Z".into(),
                generation,
                pid: 1,
                open: 408,
                kinds: vec![],
                top: vec![],
            },
            ready: None,
        }
    }

    #[test]
    fn the_last_ones_stay_and_strange_files_are_left_alone() {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().join("post-mortems");
        keep(state.path(), &post_mortem(1)).unwrap();
        std::fs::write(folder.join("notes.txt"), "mine").unwrap();
        std::fs::write(folder.join("1-crash.json.new"), "{").unwrap();
        for generation in 2..=60 {
            keep(state.path(), &post_mortem(generation)).unwrap();
        }
        let mut kept: Vec<u64> = std::fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_suffix("-fd_threshold.json")?.parse().ok()
            })
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, (11..=60).collect::<Vec<_>>());
        assert!(folder.join("notes.txt").exists());
        assert!(!folder.join("1-crash.json.new").exists());
        let text = std::fs::read(folder.join(file_name(60, Reason::FdThreshold))).unwrap();
        assert_eq!(serde_json::from_slice::<PostMortem>(&text).unwrap(), post_mortem(60));
    }
}
