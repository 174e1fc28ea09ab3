//! `/proc/PID/smaps` (`proc_pid_smaps(5)`). Each mapping is a line
//! `start-end perms offset dev inode path` and lines of fields, `Anonymous:` among them.

/// Start and length of the private, read-only mappings of files without a page of their own.
pub(super) fn clean_mappings(
    lines: impl Iterator<Item = impl AsRef<str>>,
) -> impl Iterator<Item = (usize, usize)> {
    let mut candidate = None;
    lines.filter_map(move |line| {
        let line = line.as_ref();
        if let Some(size) = line.strip_prefix("Anonymous:") {
            return candidate.take().filter(|_| size.trim() == "0 kB");
        }
        if let Some((mapping, is_fixed)) = parse(line) {
            candidate = is_fixed.then_some(mapping);
        }
        None
    })
}

/// The first line of a mapping: start and length, and whether it is of a file, private, and not
/// writable. [`None`] for any other line.
fn parse(line: &str) -> Option<((usize, usize), bool)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    let (permissions, inode) = (fields.next()?, fields.nth(2)?);
    let is_fixed = !permissions.contains('w') && permissions.ends_with('p') && inode != "0";
    Some(((start, length), is_fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00001000-00003000 r--p 00000000 fe:00 12   /usr/bin/evonic-supervisor
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00003000-00004000 r-xp 00002000 fe:00 12   /usr/bin/evonic-supervisor
Anonymous:             0 kB
00004000-00005000 r--p 00003000 fe:00 12   /usr/bin/evonic-supervisor
Anonymous:             4 kB
00005000-00006000 rw-p 00004000 fe:00 12   /usr/bin/evonic-supervisor
Anonymous:             0 kB
00007000-00008000 r--s 00000000 fe:00 13   /shared
Anonymous:             0 kB
7ffd1000-7ffd2000 r-xp 00000000 00:00 0   [vdso]
Anonymous:             0 kB
";

    #[test]
    fn only_what_the_file_has_is_given_back() {
        let found: Vec<_> = clean_mappings(SMAPS.lines()).collect();
        assert_eq!(found, [(0x1000, 0x2000), (0x3000, 0x1000)]);
        for nonsense in ["", "Anonymous: 0 kB", "9-1 r-xp 0 0 1 x\nAnonymous: 0 kB", "a-b"] {
            assert_eq!(clean_mappings(nonsense.lines()).count(), 0, "{nonsense}");
        }
    }
}
