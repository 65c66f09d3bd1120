//! Building packages again from their sources, and saying whether the same files came out (`specs/rebuild.md`).

mod build;
pub mod buildinfo;
mod difference;
mod fetch;
mod record;
mod target;

use std::path::{Path, PathBuf};

use attest::Statement;
use attest::predicate::{Environment, FirstDifference, Predicate, Rebuild, RebuildResult};
use package::deb::DebPackage;
use tlog::Hash;

use crate::chain::ChainError;
use crate::claim::{self, ClaimError};
use crate::download::DownloadError;
use crate::podman::{Podman, PodmanError};
use crate::run::{Failure, Run, RunError, Site, digest};
use crate::spool::Spool;

pub use difference::first_difference;
pub use target::{Named, Target, TargetError};

use build::Built;
use fetch::{Fetched, Published};

/// Why nothing is said about a rebuild.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// Podman failed.
    #[error(transparent)]
    Podman(#[from] PodmanError),
    /// The download.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The chain of signatures.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// A published package file.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// Package, source or environment are not in the repositories.
    #[error("not to be had: {0}")]
    NotToBeHad(String),
    /// Only a record says how it was built.
    #[error("{0} was built anew without a change of its source; the entry of its changelog stands in the .buildinfo only")]
    NeedsRecord(String),
    /// A file of the source package is not the one that the signed index names.
    #[error("{0} is not the file that the signed index of sources names")]
    AlteredSource(String),
    /// The environment could not be installed, or the source not unpacked.
    #[error("the environment could not be set up: {0}")]
    Environment(String),
    /// What dpkg recorded of the build makes no sense.
    #[error("the build's own .buildinfo is refused: {0}")]
    Record(String),
    /// The statement breaks a rule.
    #[error("what came out cannot be stated: {0}")]
    Statement(String),
    /// The system failed.
    #[error("{path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A thread of this program failed.
    #[error("a worker thread failed")]
    Worker,
}

impl RebuildError {
    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Podman(error) => error.hint(),
            Self::Download(error) => error.hint(),
            Self::Chain(error) => error.hint(),
            Self::Claim(error) => error.hint(),
            Self::NotToBeHad(_) => {
                "check name, version and suite; old versions are in other archives, which `sources` in the configuration can name"
            }
            Self::NeedsRecord(_) => "give the .buildinfo file of that build instead of the package's name",
            Self::AlteredSource(_) => "the mirror may be in the middle of an update: try again; if it stays so, do not trust the mirror",
            Self::Environment(_) => "nothing was said; look at the message: a package's own dependencies may be gone from the repositories",
            Self::Record(_) => "build it without --record",
            Self::Statement(_) | Self::Worker => "report this package with the messages above",
            Self::Io { .. } => "check that the disk is not full",
        }
    }
}

/// What is said about one package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Its package URL.
    pub purl: String,
    /// SHA-256 of the published file.
    pub sha256: Hash,
    /// What came out.
    pub rebuild: Rebuild,
    /// Why there is no file, where the build failed.
    pub reason: Option<String>,
}

/// One target's results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildReport {
    /// What was asked for.
    pub target: String,
    /// Seconds from the download to the end.
    pub seconds: u64,
    /// What is said, or why nothing is.
    pub result: Result<Vec<Rebuilt>, Failure>,
}

impl Run<'_> {
    /// Builds targets again, one after the other; every statement ends in the spool, and what dpkg recorded of each build in `records`. The
    /// caller closes Podman afterwards.
    ///
    /// # Errors
    /// If nothing at all could be built; single targets fail in their report.
    pub async fn rebuild(&self, podman: &mut Podman, targets: &[Target], records: Option<&Path>) -> Result<Vec<RebuildReport>, RunError> {
        let site = self.prepare(podman).await?;
        let mut reports = Vec::new();
        for target in targets {
            let started = std::time::Instant::now();
            let own = tempfile::tempdir_in(site.scratch.path()).map_err(|source| RunError::Scratch(source.to_string()))?;
            let result = self.rebuild_one(podman, &site, target, own.path(), records).await;
            let result = match result {
                Ok(rebuilt) => self.say_rebuilt(rebuilt).map(Ok)?,
                Err(error) => Err(Failure { what: error.to_string(), hint: error.hint() }),
            };
            reports.push(RebuildReport { target: target.to_string(), seconds: started.elapsed().as_secs(), result });
        }
        Ok(reports)
    }

    fn say_rebuilt(&self, rebuilt: Vec<(Statement, Rebuilt)>) -> Result<Vec<Rebuilt>, RunError> {
        let spool = Spool::new(self.home);
        rebuilt.iter().try_for_each(|(statement, _)| self.say(&spool, statement))?;
        Ok(rebuilt.into_iter().map(|(_, rebuilt)| rebuilt).collect())
    }

    async fn rebuild_one(
        &self,
        podman: &Podman,
        site: &Site,
        target: &Target,
        scratch: &Path,
        records: Option<&Path>,
    ) -> Result<Vec<(Statement, Rebuilt)>, RebuildError> {
        let step = self.progress.step(&format!("{target}: fetching source and environment"));
        let fetched = fetch::fetch(podman, site, self.config, target, scratch).await?;
        let source = format!("{} {}", fetched.source.name, fetched.source.version);
        step.done(&format!("{target}: {source} and {} packages of its environment verified", fetched.environment.len()));
        let step = self.progress.step(&format!("{target}: building without network"));
        let built = build::build(podman, &site.image, self.config, target, &fetched, scratch).await?;
        drop(step);
        if let (Some(dir), Some(record)) = (records, &built.record) {
            record::keep(record, dir)?;
        }
        let target = target.clone();
        let compare = move || compare(&target, &fetched, &built);
        tokio::task::spawn_blocking(compare).await.map_err(|_| RebuildError::Worker)?
    }
}

/// What is said about each published file that the build was to give.
fn compare(target: &Target, fetched: &Fetched, built: &Built) -> Result<Vec<(Statement, Rebuilt)>, RebuildError> {
    let products: Vec<(DebPackage, &PathBuf)> = match &built.products {
        Ok(paths) => paths.iter().map(|path| Ok((claim::read(path)?, path))).collect::<Result<_, ClaimError>>()?,
        Err(_) => Vec::new(),
    };
    let mut said = Vec::new();
    for published in &fetched.published {
        let control = &published.control;
        let is_it = |product: &&(DebPackage, &PathBuf)| {
            product.0.control.name == control.name && product.0.control.architecture == control.architecture
        };
        let product = products.iter().find(is_it);
        // A part of the source that was not to be built this time is no failure: nothing is said.
        if product.is_none() && !is_asked_for(target, published) {
            continue;
        }
        let (result, sha256, first_difference) = outcome(published, product)?;
        let rebuild = Rebuild { sha256, first_difference, ..basis(target, fetched, built, result) };
        let statement = claim::statement(&published.claim.purl, &published.claim.file, Predicate::Rebuild(rebuild.clone()));
        let statement = statement.map_err(|error| RebuildError::Statement(error.to_string()))?;
        let (purl, sha256) = (published.claim.purl.to_string(), published.claim.file.sha256);
        said.push((statement, Rebuilt { purl, sha256, rebuild, reason: built.products.as_ref().err().cloned() }));
    }
    if said.is_empty() {
        Err(RebuildError::NotToBeHad("the repositories have none of the packages that it builds".to_owned()))
    } else {
        Ok(said)
    }
}

fn is_asked_for(target: &Target, published: &Published) -> bool {
    match target {
        Target::Package(request) => request.name == published.control.name,
        Target::Record(record) => record.binaries.contains(&published.control.name),
    }
}

type Outcome = (RebuildResult, Option<Hash>, Option<FirstDifference>);

fn outcome(published: &Published, product: Option<&(DebPackage, &PathBuf)>) -> Result<Outcome, RebuildError> {
    let Some((deb, path)) = product else { return Ok((RebuildResult::Failed, None, None)) };
    // The digest of the bytes that are compared, whatever was read before.
    let sha256 = digest(path)?;
    if sha256 == published.claim.file.sha256 && deb.sha256 == sha256 {
        return Ok((RebuildResult::Same, None, None));
    }
    Ok((RebuildResult::Different, Some(sha256), first_difference(&published.path, path)))
}

/// What is the same for all packages of one build: source and environment.
fn basis(target: &Target, fetched: &Fetched, built: &Built, result: RebuildResult) -> Rebuild {
    let source = format!("{} {}", fetched.source.name, fetched.source.version);
    let source_sha256 = fetched.source.dsc().map(|file| file.sha256);
    let Some(record) = target.record() else {
        return Rebuild { source_sha256, ..Rebuild::new(source, Environment::Derived, result) };
    };
    let differing: Vec<String> = record.installed.iter().filter(|package| !built.installed.contains(*package)).cloned().collect();
    let environment = if differing.is_empty() { Environment::Recorded } else { Environment::Differing };
    Rebuild { differing, record: Some(record.sha256), source_sha256, ..Rebuild::new(source, environment, result) }
}
