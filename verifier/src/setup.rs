//! What every judging command opens first: the configuration, the policies, the cache.

use std::path::Path;
use std::time::Duration;

use attest::Bundle;
use client::{LogClient, block_on};
use package::root::Root;
use tlog::Policy;
use tlog::evidence::Evidence;

use crate::accept::Accept;
use crate::advise::AdviseError;
use crate::cache::{Cache, CacheLock};
use crate::config::{Config, Rules};
use crate::coverage::Coverage;
use crate::failure::Failure;
use crate::follow::FollowError;
use crate::full::Mirror;
use crate::knowledge::Knowledge;
use crate::sync::{SyncError, Syncer};

/// The files that every judging command reads.
pub struct Setup {
    /// Where things are.
    pub config: Config,
    /// What is demanded.
    pub rules: Rules,
    /// What the administrator has judged.
    pub accept: Accept,
    /// Keys of the log and its witnesses, and the quorum.
    pub policy: Policy,
    /// What is known here.
    pub cache: Cache,
}

impl Setup {
    /// Reads all of them.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let config = Config::load(path)?;
        let rules = Rules::load(&config.policy)?;
        let accept = rules.accept.as_deref().map_or_else(|| Ok(Accept::default()), Accept::load)?;
        let policy = load_policy(&config.witness_policy)?;
        let cache = Cache::new(&config.cache);
        Ok(Self { config, rules, accept, policy, cache })
    }

    /// What the cache knows, verified; and what was asked for it.
    ///
    /// # Errors
    /// If there is none, or what it holds does not verify.
    pub fn knowledge(&self) -> Result<(Knowledge, Coverage), Failure> {
        let (known, coverage) = self.cache.known()?;
        let asides = self.cache.asides()?;
        let bundles: Vec<&Bundle> = std::iter::once(&known).chain(&asides).collect();
        Ok((self.hearing(Knowledge::of(&bundles, &self.policy, self.config.roles_sha256)?)?, coverage))
    }

    /// With the warnings that came by another road than the log's.
    ///
    /// # Errors
    /// If one cannot be read: it may be the one that matters.
    pub fn hearing(&self, knowledge: Knowledge) -> Result<Knowledge, Failure> {
        Ok(knowledge.hearing(&self.cache.unlogged()?))
    }

    /// Namespaces to look in: the root's own distribution first.
    #[must_use]
    pub fn namespaces(&self, knowledge: &Knowledge, root: &Path) -> Vec<String> {
        let mut namespaces = if self.rules.vendors.is_empty() { knowledge.namespaces() } else { self.rules.vendors.clone() };
        let id = distribution(root);
        namespaces.sort_by_key(|namespace| Some(namespace) != id.as_ref());
        namespaces
    }

    /// The log over the network.
    ///
    /// # Errors
    /// If its address cannot be used.
    pub fn log(&self) -> Result<LogClient, Failure> {
        Ok(LogClient::new(&self.config.log)?)
    }

    /// Asks the log about names that follow from what it says about itself, and takes the answer with all that is kept here.
    ///
    /// # Errors
    /// If nothing can be asked or read; the inner error is that of asking, where evidence has not been kept yet.
    pub fn ask(
        &self,
        log: &LogClient,
        names: impl FnOnce(&Syncer<'_>, &Knowledge) -> Vec<String>,
    ) -> Result<Result<Knowledge, SyncError>, Failure> {
        let lock = self.cache.lock(PATIENCE)?;
        let full = Mirror::new(&self.cache).is_begun();
        let syncer = self.syncer(log, &lock, full);
        let asides = self.cache.asides()?;
        let ask = async {
            let control = syncer.learn(&syncer.held()?, &[]).await?;
            let names = names(&syncer, &syncer.know(&control)?);
            let held = syncer.learn(&control, &names).await?;
            let bundles: Vec<&Bundle> = held.bundle.iter().chain(&asides).collect();
            Ok(Knowledge::of(&bundles, &self.policy, self.config.roles_sha256)?)
        };
        block_on(ask).map_err(|error| Failure::Other(error.into()))
    }

    /// Everything that asks the log asks it under this configuration.
    #[must_use]
    pub fn syncer<'a>(&'a self, log: &'a LogClient, lock: &'a CacheLock, full: bool) -> Syncer<'a> {
        let Self { config, rules, policy, cache, .. } = self;
        let mirror = full.then(|| Mirror::new(cache));
        let (vendors, repositories) = (rules.vendors.as_slice(), &rules.repositories);
        Syncer { log, policy, roles_pin: config.roles_sha256, vendors, repositories, cache, lock, mirror }
    }

    /// A fork's evidence goes into the cache; the message names the file.
    pub fn keep_evidence(&self, error: SyncError) -> Failure {
        match error {
            SyncError::Follow(FollowError::Fork(evidence)) => self.convicted(&evidence),
            error => Failure::Sync(error),
        }
    }

    /// Why something was not said; a fork's evidence is kept.
    pub fn not_said(&self, error: AdviseError) -> Failure {
        match error {
            AdviseError::Sync(error) => self.keep_evidence(error),
            error => Failure::Advise(error),
        }
    }

    /// Keeps the evidence of a fork, and makes it the reason to end.
    pub fn convicted(&self, evidence: &Evidence) -> Failure {
        match self.cache.keep_evidence(evidence) {
            Ok(path) => Failure::Fork(path),
            // It has forked all the same.
            Err(error) => {
                tracing::error!("the evidence could not be kept: {error}");
                Failure::Sync(SyncError::Follow(FollowError::Fork(Box::new(evidence.clone()))))
            }
        }
    }
}

/// Reads a witness policy.
///
/// # Errors
/// If it cannot be read, or which line is refused.
pub fn load_policy(path: &Path) -> Result<Policy, Failure> {
    let bytes = client::cli::read_limited(path, Policy::MAX_BYTES as u64)?;
    let refuse = |error: tlog::policy::PolicyError| Failure::WitnessPolicy {
        path: path.display().to_string(),
        line: error.line,
        reason: error.reason,
    };
    Policy::parse(&bytes).map_err(refuse)
}

/// `ID` of os-release. It only decides which vendor is asked first.
fn distribution(root: &Path) -> Option<String> {
    let root = Root::open(root).ok()?;
    let read = |path: &[u8]| root.read(path, 1 << 16).ok().flatten();
    let text = String::from_utf8(read(b"usr/lib/os-release").or_else(|| read(b"etc/os-release"))?).ok()?;
    text.lines().find_map(|line| line.strip_prefix("ID=")).map(|id| id.trim_matches('"').to_owned())
}

/// How long to wait for another program that writes to the cache.
pub const PATIENCE: Duration = Duration::from_secs(10);
