//! The manifests behind claims: the log must have each, and it must be the one that the claims name.

use std::collections::HashMap;

use attest::manifest::tree_of;
use attest::predicate::PackageFiles;
use attest::{Manifest, Predicate, Statement};
use client::{FetchError, LogClient};
use tlog::Hash;

use super::alert::{Alert, Kind};
use super::claims::Short;
use crate::cache::CacheError;
use crate::copy::Copy;
use crate::manifests::fits;
use crate::sync::SyncError;

/// Manifests that were checked, by root, with the size that the first claim gave.
pub struct Manifests {
    checked: HashMap<Short, (u64, u64)>,
    /// Where they are kept, if the copy is to be whole.
    kept: Option<Copy>,
}

/// A claim whose manifest is not checked yet.
struct Wanted<'s> {
    index: u64,
    subject: &'s str,
    package: Hash,
    files: &'s PackageFiles,
}

impl Manifests {
    /// None checked yet.
    #[must_use]
    pub fn new(kept: Option<Copy>) -> Self {
        Self { checked: HashMap::new(), kept }
    }

    /// A claim whose manifest was checked by an earlier process.
    pub fn remember(&mut self, statement: &Statement) {
        if let Predicate::PackageFiles(files) = &statement.predicate {
            self.checked.entry(Short::of(&files.manifest)).or_insert((files.lines, files.bytes));
        }
    }

    /// Fetches the manifests of these claims that were not checked before, and keeps them if they are to be kept.
    ///
    /// # Errors
    /// If the network fails, or they cannot be written. Nothing counts as checked then.
    pub async fn check<'s>(
        &mut self,
        log: &LogClient,
        claims: impl Iterator<Item = (u64, &'s Statement)>,
    ) -> Result<Vec<Alert>, SyncError> {
        let mut new: HashMap<Short, (u64, u64)> = HashMap::new();
        let (mut alerts, mut wanted) = (Vec::new(), Vec::new());
        for (index, statement) in claims {
            let Predicate::PackageFiles(files) = &statement.predicate else { continue };
            let (root, size) = (Short::of(&files.manifest), (files.lines, files.bytes));
            let subject = statement.subject.name.as_str();
            match self.checked.get(&root).or_else(|| new.get(&root)) {
                Some(known) if *known == size => {}
                Some(_) => alerts.push(Alert::new(
                    Kind::ManifestWrong,
                    &[index],
                    Some(subject),
                    "an earlier claim gives its manifest another size",
                )),
                None => {
                    new.insert(root, size);
                    wanted.push(Wanted { index, subject, package: statement.subject.digest.sha256, files });
                }
            }
        }
        for some in wanted.chunks(AT_A_TIME) {
            alerts.extend(self.fetch(log, some).await?);
        }
        self.checked.extend(new);
        Ok(alerts)
    }

    async fn fetch(&self, log: &LogClient, wanted: &[Wanted<'_>]) -> Result<Vec<Alert>, SyncError> {
        let missing: Vec<&Wanted<'_>> = wanted.iter().filter(|wanted| !self.is_kept(wanted)).collect();
        let roots: Vec<Hash> = missing.iter().map(|wanted| wanted.files.manifest).collect();
        let mut alerts = Vec::new();
        for (wanted, answer) in missing.into_iter().zip(log.manifests(&roots).await) {
            let alert = |kind, text: &str| Alert::new(kind, &[wanted.index], Some(wanted.subject), text);
            match answer {
                Err(FetchError::Status { status: 404, .. }) => {
                    alerts.push(alert(Kind::ManifestMissing, "the log does not have the manifest that the entry claims"))
                }
                Err(FetchError::TooLarge { .. }) => alerts.push(alert(Kind::ManifestWrong, "the log serves a manifest that is too large")),
                Err(error) => return Err(error.into()),
                Ok(text) => match wrong(&text, wanted) {
                    Some(why) => alerts.push(alert(Kind::ManifestWrong, &why)),
                    None => self.keep(wanted, &text)?,
                },
            }
        }
        Ok(alerts)
    }

    fn is_kept(&self, wanted: &Wanted<'_>) -> bool {
        let text = self.kept.as_ref().and_then(|copy| copy.read(&name(wanted)).ok());
        text.is_some_and(|text| wrong(&text, wanted).is_none())
    }

    fn keep(&self, wanted: &Wanted<'_>, text: &[u8]) -> Result<(), CacheError> {
        self.kept.as_ref().map_or(Ok(()), |copy| copy.put(&name(wanted), text))
    }
}

fn name(wanted: &Wanted<'_>) -> String {
    format!("manifest/{}", wanted.files.manifest)
}

/// Why a text is not the manifest that a claim names.
fn wrong(text: &[u8], wanted: &Wanted<'_>) -> Option<String> {
    if !fits(text, wanted.files) {
        return Some(format!("the log serves another manifest, whose root is {}", tree_of(text).root));
    }
    match Manifest::parse(text) {
        Ok(manifest) if *manifest.package() == wanted.package => None,
        Ok(manifest) => Some(format!("the manifest is of the package file {}", manifest.package())),
        Err(error) => Some(format!("the manifest is malformed: {error}")),
    }
}

/// Manifests in memory at a time.
const AT_A_TIME: usize = 64;
