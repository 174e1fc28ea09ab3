//! Files written anew: whole or not at all, with what the old one had beside its content; in place
//! only for who allows it.
//!
//! SFTP knows owner and mode. Access control list, extended attributes and other names are known to
//! the host's own programs, by a script (see [`KeepRequest`]), where the login shell runs any.

use evonic_sftp::{Attributes, Error};

use super::{
    files::{WriteTarget, beside, checked, create, open, write_target},
    sftp::{File, Sftp, failed},
    shell::Remote,
};
use evonic_backend::{
    Change, KeepAnswer, KeepRequest, RemotePath, Result, Rewrite, Stage, WorkplaceError, Written,
};

/// Of a draft that gets its rights later.
pub(super) const PRIVATE: u32 = 0o600;

/// A file that is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing<'w> {
    pub(super) remote: &'w Remote,
    pub(super) sftp: &'w Sftp,
    /// As the caller wrote it, for errors.
    pub(super) shown: &'w str,
    pub(super) rewrite: Rewrite,
}

impl Writing<'_> {
    /// Writes a file. `unless_changed`: only if it still has this content.
    pub(super) async fn write(
        &self,
        path: &RemotePath,
        content: &[u8],
        unless_changed: Option<&[u8]>,
    ) -> Result<Written> {
        let Self { sftp, shown, .. } = *self;
        let target = write_target(sftp, path, shown).await?;
        if target.existing.is_some() {
            self.may_be_written(&target).await?;
        }
        let draft = beside(&target.path, &format!(".evonic-{:016x}", fastrand::u64(..)));
        let mode = target.existing.map(|_| PRIVATE);
        let created = match target.existing {
            // Its folder is there.
            Some(_) => sftp.create_new(draft.as_bytes(), mode).await.map_err(Some),
            None => {
                let made = create(sftp, &draft, shown, |draft| sftp.create_new(draft, mode)).await;
                Ok(made?)
            }
        };
        let file = match created {
            Ok(file) => file,
            Err(error) => {
                return self.without_draft(&target, content, unless_changed, error).await;
            }
        };
        let written = self.replace(&target, file, &draft, content, unless_changed).await;
        if !matches!(&written, Ok(Some(_))) {
            // The first error is reported; that this one may follow from it is not news.
            let _left = sftp.remove(draft.as_bytes()).await;
        }
        match written? {
            Some(written) => Ok(written),
            None => self.overwrite(&target, content, unless_changed).await,
        }
    }

    /// Renaming over a file asks nothing of the file: a read-only one would be replaced.
    pub(super) async fn may_be_written(&self, target: &WriteTarget) -> Result<()> {
        match self.sftp.open_to_write(target.path.as_bytes()).await {
            Err(error) if error.is_denied() => {
                Err(failed(self.sftp, Stage::Write, self.shown)(error))
            }
            // A program that runs cannot be opened so, and can be replaced.
            Err(error) if !error.is_status() => {
                Err(failed(self.sftp, Stage::Write, self.shown)(error))
            }
            _ => Ok(()),
        }
    }

    /// No draft can be made beside the file.
    async fn without_draft(
        &self,
        target: &WriteTarget,
        content: &[u8],
        unless_changed: Option<&[u8]>,
        error: Option<Error>,
    ) -> Result<Written> {
        let Some(error) = error else { return Err(WorkplaceError::changed(self.shown)) };
        if !error.is_denied() {
            return checked(self.sftp, &target.path, self.shown, Err(error)).await;
        }
        match self.rewrite {
            Rewrite::Whole => Err(self.unreplaceable(target, error)),
            Rewrite::OrInPlace => self.overwrite(target, content, unless_changed).await,
        }
    }

    pub(super) fn unreplaceable(&self, target: &WriteTarget, error: Error) -> WorkplaceError {
        let folder = target.path.parent().map_or_else(|| ".".to_owned(), |f| f.to_string());
        WorkplaceError::unreplaceable(self.shown, folder, &error.into())
    }

    /// Puts the draft in the file's place; nothing, when that is to be written in place.
    async fn replace(
        &self,
        target: &WriteTarget,
        file: File,
        draft: &RemotePath,
        content: &[u8],
        unless_changed: Option<&[u8]>,
    ) -> Result<Option<Written>> {
        let Self { sftp, shown, .. } = *self;
        let mut writer = file.write_from(0);
        let filled = async {
            writer.write(content).await?;
            writer.flush().await
        };
        let filled = filled.await;
        checked(sftp, &target.path, shown, filled).await?;
        let kept = match &target.existing {
            Some(existing) => self.keep(target, existing, writer.file(), draft, None).await?,
            None => KeepAnswer::Kept(Written::default()),
        };
        let KeepAnswer::Kept(written) = kept else { return Ok(None) };
        let synced = writer.file().sync().await;
        checked(sftp, &target.path, shown, synced).await?;
        if let Some(before) = unless_changed {
            self.unchanged(&target.path, before).await?;
        }
        match self.rename(target, draft).await {
            Ok(()) => Ok(Some(written)),
            Err(error) if self.rewrite == Rewrite::OrInPlace && is_of_folder(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives the draft the file's name.
    pub(super) async fn rename(&self, target: &WriteTarget, draft: &RemotePath) -> Result<()> {
        let renamed = self.sftp.rename(draft.as_bytes(), target.path.as_bytes()).await;
        match renamed {
            // Something is mounted on it, the folder is sticky: the server says no more than that.
            Err(error)
                if target.existing.is_some() && (error.is_denied() || error.is_unspecific()) =>
            {
                Err(self.unreplaceable(target, error))
            }
            renamed => checked(self.sftp, &target.path, self.shown, renamed).await,
        }
    }

    /// Gives a draft what the file has beside its content; with `wanted`, that mode instead.
    pub(super) async fn keep(
        &self,
        target: &WriteTarget,
        existing: &Attributes,
        file: &File,
        draft: &RemotePath,
        wanted: Option<u32>,
    ) -> Result<KeepAnswer> {
        let Self { remote, sftp, shown, rewrite } = *self;
        if let (Ok(path), Ok(draft)) = (remote.utf8(&target.path), remote.utf8(draft))
            && remote.shell_works().await?
        {
            let (mode, then) = (existing.mode, "");
            let (file, draft) = (path.as_str(), draft.as_str());
            return KeepRequest { shown, file, draft, mode, wanted, rewrite, then }
                .run(remote)
                .await;
        }
        let kept = keep_by_sftp(file, existing, wanted).await;
        let kept = checked(sftp, &target.path, shown, kept).await?;
        if rewrite == Rewrite::OrInPlace && !kept.not_kept.is_empty() {
            return Ok(KeepAnswer::InPlace);
        }
        Ok(KeepAnswer::Kept(kept))
    }

    /// Writes over the bytes of a file.
    async fn overwrite(
        &self,
        target: &WriteTarget,
        content: &[u8],
        unless_changed: Option<&[u8]>,
    ) -> Result<Written> {
        let Self { sftp, shown, .. } = *self;
        if let Some(before) = unless_changed {
            self.unchanged(&target.path, before).await?;
        }
        let written = async {
            let file = sftp.open_to_write(target.path.as_bytes()).await?;
            let mut writer = file.write_from(0);
            writer.write(content).await?;
            writer.flush().await?;
            writer.file().set_size(content.len() as u64).await?;
            writer.file().sync().await
        };
        let written = written.await;
        checked(sftp, &target.path, shown, written).await?;
        Ok(Written::in_place())
    }

    async fn unchanged(&self, path: &RemotePath, before: &[u8]) -> Result<()> {
        let Self { sftp, shown, .. } = *self;
        let (file, found) = open(sftp, path, shown).await?;
        let now = file.read_all(found.size, before.len() as u64).await;
        if checked(sftp, path, shown, now).await? == before {
            return Ok(());
        }
        Err(WorkplaceError::changed(shown))
    }

    /// See [`evonic_backend::Backend::edit`].
    pub(super) async fn edit(
        &self,
        path: &RemotePath,
        limit_bytes: u64,
        change: Change,
    ) -> Result<Written> {
        let Self { sftp, shown, .. } = *self;
        let (file, found) = open(sftp, path, shown).await?;
        let before = file.read_all(found.size, limit_bytes).await;
        let before = before.map_err(failed(sftp, Stage::Read, shown))?;
        if before.len() as u64 > limit_bytes {
            let (path, size_bytes) = (shown.to_owned(), found.size);
            return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
        }
        match change(&before) {
            Some(content) => self.write(path, &content, Some(&before)).await,
            None => Ok(Written::default()),
        }
    }
}

fn is_of_folder(error: &WorkplaceError) -> bool {
    matches!(error, WorkplaceError::Path { .. })
}

/// Gives a new file what SFTP knows of the one that it replaces: owner where permitted, and mode.
/// Another user's file sets no user, and another group gets no more than everybody has.
async fn keep_by_sftp(
    file: &File,
    existing: &Attributes,
    wanted: Option<u32>,
) -> Result<Written, Error> {
    let mut written = Written::default();
    let mut mode = wanted.unwrap_or(existing.mode) & 0o7777;
    if let Some((user, group)) = existing.owner {
        let own = file.stat().await?.owner;
        if own != Some((user, group)) && file.set_owner(user, group).await.is_err() {
            // The group alone may be one of ours.
            if let Some((own, _)) = own {
                let _kept = file.set_owner(own, group).await;
            }
            let now = file.stat().await?.owner;
            let same =
                |of: fn((u32, u32)) -> u32| now.is_some_and(|now| of(now) == of((user, group)));
            if !same(|(user, _)| user) {
                mode &= !0o4000;
            }
            if !same(|(_, group)| group) {
                mode &= !0o2070 | (mode & 0o007) << 3;
            }
            written.not_kept.push(format!("its owner (user {user}, group {group} before)"));
        }
    }
    file.set_mode(mode).await?;
    Ok(written)
}
