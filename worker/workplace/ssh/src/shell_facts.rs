//! What a login shell reports of the user.

use evonic_backend::{Home, Result, Stage, WorkplaceError};

/// What a login shell reports, or why it runs no command.
pub(super) type Facts = Result<ShellFacts, String>;

/// What a login shell reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ShellFacts {
    /// Its `$HOME`.
    pub(super) home: Vec<u8>,
    /// That folder, without links; empty when it cannot be entered.
    real: Vec<u8>,
    /// Where it starts, without links.
    at: Vec<u8>,
    /// Where spools can be; empty for nowhere.
    pub(super) spools: Vec<u8>,
    /// Whether that is not the home, since nothing can be written there.
    pub(super) elsewhere: bool,
}

impl ShellFacts {
    /// What was printed between the marks; [`None`] when it is not whole.
    pub(super) fn parse(out: &[u8], mark: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        let mut whole = false;
        for part in split(out, mark).skip(1) {
            let equals = part.iter().position(|&byte| byte == b'=')?;
            let (name, value) = (&part[..equals], &part[equals + 1..]);
            match name {
                b"home" => facts.home = value.to_vec(),
                b"real" => facts.real = value.to_vec(),
                b"at" => facts.at = value.to_vec(),
                b"spools" => facts.spools = value.to_vec(),
                b"elsewhere" => facts.elsewhere = !value.is_empty(),
                b"end" => whole = true,
                _ => return None,
            }
        }
        whole.then_some(facts)
    }

    /// Whether files (by SFTP) and commands are in the same folders.
    ///
    /// # Errors
    /// [`WorkplaceError::Refused`] when there is no home, or when they are not.
    pub(super) fn agree(&self, host: &str, home: &Home) -> Result<()> {
        let refused = |said: String| WorkplaceError::refused(host, Stage::Home, said);
        let named = String::from_utf8_lossy(&self.home).into_owned();
        let by_sftp = home.path().as_bytes();
        if self.real.is_empty() && self.home != by_sftp {
            return Err(refused(format!(
                "the user's home {named} does not exist, or cannot be entered; make it, or give \
                 the user another one (usermod --home)"
            )));
        }
        if [&self.home, &self.real, &self.at].iter().any(|path| path.as_slice() == by_sftp) {
            return Ok(());
        }
        Err(refused(format!(
            "SFTP says that the home is {}, the login shell says {named}: files would not be where \
             commands are; is SFTP confined to a folder (ChrootDirectory)?",
            home.path()
        )))
    }
}

/// The parts between the marks.
fn split<'a>(bytes: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        match bytes.windows(mark.len()).position(|window| window == mark) {
            Some(at) => {
                rest = Some(&bytes[at + mark.len()..]);
                Some(&bytes[..at])
            }
            None => rest.take(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_no_answer() {
        let out = b"Hi <m home=\n<m>home=/h\nx<m>real=/r<m>at=/<m>spools=/s<m>elsewhere=<m>end=bye";
        let facts = ShellFacts::parse(out, b"<m>").unwrap();
        assert_eq!((&facts.home[..], &facts.real[..]), (&b"/h\nx"[..], &b"/r"[..]));
        assert!(!facts.elsewhere);
        assert_eq!(ShellFacts::parse(b"This account is not available.", b"<m>"), None);
        assert_eq!(ShellFacts::parse(b"<m>home=/h<m>re", b"<m>"), None);
    }

    #[test]
    fn homes_agree_or_the_reason_is_told() {
        let home = Home::from_sftp_realpath(b"/data/h").unwrap();
        let facts = |home: &str, real: &str, at: &str| ShellFacts {
            home: home.into(),
            real: real.into(),
            at: at.into(),
            spools: Vec::new(),
            elsewhere: false,
        };
        assert!(facts("/data/h", "/data/h", "/data/h").agree("x", &home).is_ok());
        assert!(facts("/home/link", "/data/h", "/data/h").agree("x", &home).is_ok());
        assert!(facts("/elsewhere", "/elsewhere", "/data/h").agree("x", &home).is_ok());
        let chroot = facts("/home/u", "/home/u", "/home/u").agree("x", &home).unwrap_err();
        assert!(matches!(&chroot, WorkplaceError::Refused { source, .. }
            if source.0.contains("ChrootDirectory")));
        let none = facts("/none", "", "/").agree("x", &Home::from_sftp_realpath(b"/").unwrap());
        assert!(matches!(&none, Err(WorkplaceError::Refused { source, .. })
            if source.0.contains("/none does not exist")));
    }
}
