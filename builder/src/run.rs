//! One run of `attest`: from package names to statements in the spool, in an order that no maintainer script can disturb.
//!
//! All claims are computed, signed and on disk before the first package is installed anywhere. Whatever a script then does, it does to
//! its own container, and what was claimed stands.

mod error;
mod observing;
mod verify;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use attest::{Envelope, Statement};
use tlog::{Hash, Signer};
use tokio::sync::OnceCell;

use crate::chain::{Catalogue, Keyring, Lists};
use crate::claim::Claim;
use crate::config::{BOOTSTRAP, Config};
use crate::distro::{self, Index, Manager, RsaKeys};
use crate::download::{self, Downloaded, Order};
use crate::home::Home;
use crate::image;
use crate::observe::{Installation, Tree};
use crate::podman::{Group, Podman, Settings};
use crate::progress::{Phase, Progress};
use crate::record::Record;
use crate::request::Request;
use crate::sources::{self, Source};
use crate::spool::Spool;

pub use error::RunError;
pub(crate) use verify::digest;
use verify::{Verified, verify, verify_foreign};

/// Why one package was not attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub what: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// What was said about one package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Its package URL.
    pub purl: String,
    /// SHA-256 of the package file.
    pub sha256: Hash,
    /// Root of its manifest.
    pub manifest: Hash,
    /// Lines of its manifest.
    pub lines: u64,
    /// Entries of the observation, `None` where none was wanted, or why it failed.
    pub observed: Option<Result<usize, Failure>>,
}

/// One package's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageReport {
    /// What was asked for.
    pub request: Request,
    /// What became of it.
    pub result: Result<Attested, Failure>,
}

impl PackageReport {
    /// Whether everything that was wanted was said.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.failure().is_none()
    }

    /// Why something that was wanted was not said.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match &self.result {
            Err(failure) | Ok(Attested { observed: Some(Err(failure)), .. }) => Some(&failure.what),
            Ok(_) => None,
        }
    }
}

/// Everything that one run works with.
pub struct Run<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The builder's directory, whose lock the caller holds.
    pub home: &'a Home,
    /// The builder's key.
    pub signer: &'a dyn Signer,
    /// Where progress goes.
    pub progress: &'a Progress,
    /// What was said before, where nothing is to be said or done twice.
    pub record: Option<&'a Record>,
    /// Set when no further package is to be installed; those under way are finished.
    pub halt: &'a AtomicBool,
}

/// What all packages of a run have in common: made once by [`Run::prepare`].
pub struct Site {
    pub(crate) keyring: Keyring,
    pub(crate) image: String,
    pub(crate) sources: Vec<Source>,
    pub(crate) scratch: tempfile::TempDir,
    /// apt's lists as the last download left them: the next one fetches what has changed.
    lists: Mutex<Option<PathBuf>>,
    baseline: OnceCell<Arc<Tree>>,
    /// What the repositories of other managers than apt list.
    index: tokio::sync::Mutex<Option<Arc<Index>>>,
}

impl Site {
    /// The sources that packages come from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }
}

/// How to reach Podman for a builder.
#[must_use]
pub fn podman_settings(config: &Config, home: &Home) -> Settings {
    Settings {
        socket: config.container.socket.clone(),
        runtime: config.container.runtime.clone(),
        dir: home.dir().to_owned(),
        label: home.dir().display().to_string(),
        group: Group::of(config.container.memory),
        reserve: config.container.reserve,
    }
}

/// A package whose claim is on disk.
struct Ready {
    claim: Claim,
    installation: Installation,
}

impl Run<'_> {
    /// Attests packages: every statement ends in the spool. The caller closes Podman afterwards, whatever the result.
    ///
    /// # Errors
    /// If nothing at all could be attested; single packages fail in their report.
    pub async fn attest(&self, podman: &mut Podman, requests: &[Request]) -> Result<Vec<PackageReport>, RunError> {
        let site = self.prepare(podman).await?;
        self.attest_at(podman, &site, requests).await
    }

    /// Attests packages of apk, which takes no container: the builder fetches and reads them, and nothing of them is run.
    ///
    /// # Errors
    /// If no index can be had or verified; single packages fail in their report.
    pub async fn attest_fetched(&self, requests: &[Request]) -> Result<Vec<PackageReport>, RunError> {
        self.attest_offered(&self.offered().await?, requests).await
    }

    /// What the signed indexes of apk's repositories offer.
    pub(crate) async fn offered(&self) -> Result<Vec<distro::Offered>, RunError> {
        let Config { repositories, suite, keyring, keyring_sha256, .. } = self.config;
        let keys = RsaKeys::open(keyring, keyring_sha256.as_deref().and_then(Hash::from_hex))?;
        Ok(distro::fetch_apk(repositories, suite, &keys).await?)
    }

    pub(crate) async fn attest_offered(&self, offered: &[distro::Offered], requests: &[Request]) -> Result<Vec<PackageReport>, RunError> {
        let scratch = self.home.scratch()?;
        let step = self.progress.step("fetching and hashing packages");
        let (mut ready, mut reports) = (Vec::new(), Vec::new());
        for request in requests {
            match distro::claim_apk(offered, request, &self.config.vendors, scratch.path()).await {
                Ok(claim) => {
                    let installation = Installation { files: Vec::new(), architectures: Vec::new(), faketime: None };
                    ready.push((request.clone(), Ready { claim, installation }));
                }
                Err((what, hint)) => reports.push(PackageReport { request: request.clone(), result: Err(Failure { what, hint }) }),
            }
        }
        step.done(&format!("{} of {} packages verified and hashed", ready.len(), requests.len()));
        self.spool_claims(&ready)?;
        reports.extend(ready.into_iter().map(|(request, ready)| report(request, &ready.claim, None)));
        reports.sort_by_key(|report| requests.iter().position(|request| *request == report.request));
        Ok(reports)
    }

    /// Finds or makes the image, and how containers start; reads keyring and sources.
    ///
    /// # Errors
    /// If any of these cannot be had.
    pub async fn prepare(&self, podman: &mut Podman) -> Result<Site, RunError> {
        let pinned = self.config.keyring_sha256.as_deref().and_then(Hash::from_hex);
        let keyring = Keyring::open(&self.config.keyring, pinned)?;
        let image = image::pinned(podman, self.config, self.home, self.progress).await?;
        podman.adapt(&image).await?;
        let scratch = self.home.scratch()?;
        let sources = self.sources(podman, &image, scratch.path()).await?;
        Ok(Site {
            keyring,
            image,
            sources,
            scratch,
            lists: Mutex::default(),
            baseline: OnceCell::new(),
            index: tokio::sync::Mutex::default(),
        })
    }

    /// Everything that the repositories offer for the image's architecture, by their signed indexes.
    ///
    /// # Errors
    /// If they cannot be downloaded or verified.
    pub async fn catalogue(&self, podman: &Podman, site: &Site) -> Result<Catalogue, RunError> {
        // It says which architecture the image has; apt's lists come with it.
        let downloaded = self.download(podman, site, &[], site.scratch.path()).await?;
        if let Some(index) = self.index(site).await? {
            return Ok(index.catalogue(self.config.manager, &downloaded.native, client::now()));
        }
        let (sources, keyring) = (site.sources.clone(), site.keyring.clone());
        let work = move || {
            let architectures = BTreeSet::from([downloaded.native.clone()]);
            Catalogue::verify(&Lists { dir: &downloaded.lists, sources: &sources, architectures: &architectures }, &keyring, client::now())
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RunError::Worker)??)
    }

    /// Attests packages at a prepared site.
    ///
    /// # Errors
    /// If nothing at all could be attested; single packages fail in their report. A package that was left out because the run is to halt
    /// has none.
    pub async fn attest_at(&self, podman: &Podman, site: &Site, requests: &[Request]) -> Result<Vec<PackageReport>, RunError> {
        let scratch = self.home.scratch()?;
        let step = self.progress.step("downloading packages in a container");
        let downloaded = self.download(podman, site, requests, scratch.path()).await?;
        step.done(&format!("downloaded with image {}", image::short(&site.image)));
        let (ready, states) = self.claim(downloaded, site, requests).await?;
        let spool = Spool::new(self.home);
        states.iter().try_for_each(|state| self.say(&spool, state))?;
        let mut reports = Vec::new();
        let mut waiting = Vec::new();
        for (request, result) in ready {
            match result {
                Ok(ready) => waiting.push((request, ready)),
                Err(failure) => reports.push(PackageReport { request, result: Err(failure) }),
            }
        }
        self.spool_claims(&waiting)?;
        reports.extend(self.observe_all(podman, site, waiting, scratch.path()).await?);
        reports.sort_by_key(|report| requests.iter().position(|request| *request == report.request));
        Ok(reports)
    }

    async fn download(&self, podman: &Podman, site: &Site, requests: &[Request], scratch: &Path) -> Result<Downloaded, RunError> {
        let started = Instant::now();
        let lists = site.lists.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let job = Order { keyring: &site.keyring, sources: &site.sources, requests, lists: lists.as_deref() };
        let downloaded = download::download(podman, &site.image, self.config, &job, scratch).await?;
        download::keep_lists(&downloaded, site.scratch.path(), &site.lists)?;
        self.progress.took(Phase::Download, started.elapsed());
        Ok(downloaded)
    }

    /// Configured sources; else the machine's for a bootstrapped image, and its own for any other.
    async fn sources(&self, podman: &Podman, image: &str, scratch: &Path) -> Result<Vec<Source>, RunError> {
        if self.config.manager != Manager::Apt {
            return Ok(Vec::new());
        }
        if let Some(file) = &self.config.sources {
            return Ok(sources::of_file(file)?);
        }
        if self.config.image == BOOTSTRAP {
            return Ok(image::machine_sources(self.config)?);
        }
        let dir = download::apt_directory(podman, image, self.config, scratch).await?;
        Ok(sources::of_image(&dir, &self.config.suite)?)
    }

    /// Verifies everything that was downloaded and computes the claims, outside of any container.
    async fn claim(&self, downloaded: Downloaded, site: &Site, requests: &[Request]) -> Result<(Vec<Verified>, Vec<Statement>), RunError> {
        let started = Instant::now();
        let step = self.progress.step("verifying signatures and hashing packages");
        let (vendors, sources, keyring) = (self.config.vendors.clone(), site.sources.clone(), site.keyring.clone());
        let index = self.index(site).await?;
        let manager = self.config.manager;
        let work = move || match index {
            Some(index) => verify_foreign(manager, &downloaded, &index, &vendors),
            None => verify(&downloaded, &sources, &keyring, &vendors, client::now()),
        };
        let (claims, states) = tokio::task::spawn_blocking(work).await.map_err(|_| RunError::Worker)??;
        self.progress.took(Phase::Hash, started.elapsed());
        step.done(&format!(
            "{} of {} packages verified and hashed",
            claims.iter().filter(|(_, claim)| claim.is_ok()).count(),
            requests.len()
        ));
        Ok((claims, states))
    }

    /// The verified indexes of other managers than apt, whose lists come out of the container. Read anew only where a repository signs something
    /// else than before.
    async fn index(&self, site: &Site) -> Result<Option<Arc<Index>>, RunError> {
        let Config { manager, repositories, suite, .. } = self.config;
        if *manager == Manager::Apt {
            return Ok(None);
        }
        let (keyring, scratch) = (&site.keyring, site.scratch.path());
        let mut known = site.index.lock().await;
        if let Some(index) = &*known
            && distro::are_unchanged(*manager, repositories, index.repositories(), keyring, scratch).await?
        {
            return Ok(Some(Arc::clone(index)));
        }
        let index = Arc::new(Index::fetch(*manager, repositories, suite, keyring, scratch).await?);
        *known = Some(Arc::clone(&index));
        Ok(Some(index))
    }

    fn spool_claims(&self, ready: &[(Request, Ready)]) -> Result<(), RunError> {
        let started = Instant::now();
        let spool = Spool::new(self.home);
        for (_, Ready { claim, .. }) in ready {
            spool.keep_manifest(&claim.file.manifest.root(), &claim.manifest)?;
            for statement in [&claim.files, &claim.origin].into_iter().chain(&claim.source) {
                // A newer index would make another origin of the same file, which says nothing new.
                if self.record.is_none_or(|record| !record.holds(statement)) {
                    self.say(&spool, statement)?;
                }
            }
        }
        self.progress.took(Phase::Spool, started.elapsed());
        Ok(())
    }

    pub(crate) fn say(&self, spool: &Spool, statement: &Statement) -> Result<(), RunError> {
        let envelope = Envelope::sign(statement.encode(), self.signer).map_err(|error| RunError::Sign(error.to_string()))?;
        spool.add(&envelope)?;
        self.record.map_or(Ok(()), |record| record.said(Hash::digest(&envelope.encode()), statement))?;
        Ok(())
    }
}

fn report(request: Request, claim: &Claim, observed: Option<Result<usize, Failure>>) -> PackageReport {
    let manifest = claim.file.manifest.root();
    let lines = claim.manifest.iter().filter(|byte| **byte == b'\n').count() as u64;
    let attested = Attested { purl: claim.purl.to_string(), sha256: claim.file.sha256, manifest, lines, observed };
    PackageReport { request, result: Ok(attested) }
}
