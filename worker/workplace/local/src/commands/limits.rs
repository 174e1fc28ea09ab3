//! What one command may use of the machine.

use evonic_runner::spec::Limits;
use evonic_shared::config;

/// Those that are configured.
pub(super) fn of(settings: &config::Workplace) -> Limits {
    Limits {
        processes: settings.max_processes.into(),
        memory_bytes: settings.max_memory_bytes,
        file_bytes: settings.max_file_bytes,
        open_files: settings.max_open_files.into(),
        // A part of a second is a whole one.
        cpu_seconds: settings
            .max_cpu_time
            .map(|time| u64::try_from(time.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)),
    }
}

/// What `evonic doctor` says of them.
pub(crate) fn describe(settings: &config::Workplace) -> String {
    let config::Workplace {
        max_processes, max_memory_bytes, max_file_bytes, max_open_files, ..
    } = settings;
    let time =
        settings.max_cpu_time.map_or("no limit of".to_owned(), |time| format!("{time:?} of"));
    let (memory, file) = (max_memory_bytes >> 20, max_file_bytes >> 20);
    format!(
        "a command's processes may have {memory} MiB of memory, {max_open_files} open files, files \
         of {file} MiB and {time} processor time each; {max_processes} processes of the user; no \
         core dumps"
    )
}
