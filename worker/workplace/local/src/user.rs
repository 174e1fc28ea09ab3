//! Who commands are: the service's user, and another one where that is root.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use evonic_runner::Level;
use evonic_shared::config;
use nix::unistd::User;
use rustix::process::{getegid, geteuid};

/// The account that the package makes for commands of a service that is root.
const ACCOUNT: &str = "evonic-agent";

/// `nobody` and `nogroup`.
const NOBODY: (u32, u32) = (65534, 65534);

/// The user and group that commands get; [`None`] for the service's own.
///
/// # Errors
/// A sentence about `workplace.user`.
pub(super) fn of_commands(settings: &config::Workplace) -> Result<Option<(u32, u32)>, String> {
    let own = (geteuid().as_raw(), getegid().as_raw());
    let wanted = match settings.user.as_deref() {
        None if own.0 == 0 => account(ACCOUNT).unwrap_or(NOBODY),
        None => own,
        Some(named) => parse(named)
            .or_else(|| account(named))
            .ok_or_else(|| format!("there is no user {named:?} on this machine"))?,
    };
    match wanted {
        wanted if wanted.0 == own.0 => Ok(None),
        wanted if own.0 == 0 => Ok(Some(wanted)),
        _ => Err("only root can run commands as another user".to_owned()),
    }
}

/// Who they are, where that is not the service's user, and whether they get to their root: the end
/// of a sentence.
pub(super) fn describe(user: Option<(u32, u32)>, level: Level, root: &Path) -> String {
    let Some(user) = user else { return String::new() };
    let missing = match user == NOBODY && account(ACCOUNT).is_none() {
        true => format!(": there is no account {ACCOUNT}"),
        false => String::new(),
    };
    // In namespaces bwrap makes the way.
    let closed = match closed_above(root, user) {
        Some(folder) if level != Level::Namespaces => format!(
            "; {} is closed to that user, so no command starts: workplace.root has to be elsewhere",
            folder.display()
        ),
        _ => String::new(),
    };
    format!("; as user {} and group {}{missing}{closed}", user.0, user.1)
}

/// The first folder above this one that a user cannot pass.
fn closed_above(folder: &Path, (user, group): (u32, u32)) -> Option<PathBuf> {
    let above: Vec<&Path> = folder.ancestors().skip(1).collect();
    let is_closed = |folder: &&Path| {
        let Ok(found) = fs::metadata(folder) else { return false };
        let pass = match (found.uid() == user, found.gid() == group) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        found.mode() & pass == 0
    };
    above.into_iter().rev().find(is_closed).map(Path::to_owned)
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (user, group) = text.split_once(':')?;
    Some((user.parse().ok()?, group.parse().ok()?))
}

fn account(name: &str) -> Option<(u32, u32)> {
    let user = User::from_name(name).ok()??;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use evonic_shared::config::Config;

    use super::*;

    fn of(user: Option<&str>) -> Result<Option<(u32, u32)>, String> {
        let mut config = Config::defaults("/nowhere".into(), "/nowhere".into());
        config.workplace.user = user.map(str::to_owned);
        of_commands(&config.workplace)
    }

    #[test]
    fn commands_of_root_are_root_only_when_that_is_said() {
        if geteuid().is_root() {
            assert!(of(None).unwrap().is_some_and(|(user, _)| user != 0));
            assert_eq!(of(Some("root")), Ok(None));
            assert_eq!(of(Some("12:34")), Ok(Some((12, 34))));
            assert_eq!(of(Some("nobody")).unwrap().map(|(user, _)| user), Some(65534));
        } else {
            assert_eq!(of(None), Ok(None));
            assert!(of(Some("root")).unwrap_err().contains("only root"));
        }
        assert!(of(Some("no-such-user")).unwrap_err().contains("no-such-user"));
    }

    #[test]
    fn it_is_said_who_commands_are_when_they_are_not_the_service() {
        let describe = |user| describe(user, Level::Landlock, Path::new("/usr/bin"));
        assert_eq!(describe(None), "");
        assert_eq!(describe(Some((12, 34))), "; as user 12 and group 34");
        let nobody = describe(Some(NOBODY));
        assert_eq!(nobody.contains("there is no account"), account(ACCOUNT).is_none(), "{nobody}");
    }

    #[test]
    fn a_root_that_commands_do_not_get_to_is_told() {
        let closed = tempfile::tempdir().expect("a folder");
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        let root = closed.path().join("root");
        fs::create_dir(&root).expect("a folder");
        let said = describe(Some((12, 34)), Level::Landlock, &root);
        assert!(said.contains(&format!("{} is closed", closed.path().display())), "{said}");
        assert!(!describe(Some((12, 34)), Level::Namespaces, &root).contains("closed"));
        let own = (geteuid().as_raw(), getegid().as_raw());
        assert_eq!(closed_above(&root, own), None);
    }
}
