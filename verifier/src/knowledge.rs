//! What is known: a cosigned checkpoint, leaves proven under it, and what follows from those that count.
//!
//! Everything is verified again at every use: log signature, quorum, each inclusion proof, each envelope's signature, the chain of
//! roles. What comes from the cache is believed no more than what comes from the network.

use std::collections::{BTreeMap, HashMap};

use attest::envelope::KnownKeys;
use attest::judge::{Advisories, Completeness, Judge, Leaf, Lifecycles, PackageClaims, Refusal, claims_for, completeness};
use attest::predicate::{Advisory, Kind};
use attest::{Bundle, Envelope, Purl, Statement};
use tlog::policy::{Cosigned, Unsatisfied};
use tlog::{Hash, Policy, SignedCheckpoint};

use crate::parallel;
use crate::unlogged::{self, Unlogged};

/// Why nothing can be concluded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    /// The checkpoint does not satisfy the policy.
    #[error("the checkpoint is not signed by a log of the policy")]
    NotTheLog,
    /// Too few witnesses.
    #[error("the checkpoint is not cosigned by the quorum that the policy demands")]
    NoQuorum,
    /// A proof is wrong.
    #[error(transparent)]
    Bundle(#[from] attest::bundle::BundleError),
    /// The first roles document is not there, or not the pinned one.
    #[error("the roles document pinned by roles_sha256 is not in the log's answer")]
    NoRoles,
    /// Bundles of several logs, or of two histories of one.
    #[error("the cache holds bundles of several logs, or of two histories of one")]
    Mixed,
    /// The roles are those of another log.
    #[error("the roles in the log are for {0}, which is another log")]
    OtherRoles(String),
}

/// Verified leaves and what follows from them.
pub struct Knowledge {
    checkpoint: SignedCheckpoint,
    cosigned: Cosigned,
    judge: Judge,
    /// Standing leaves by subject.
    by_subject: HashMap<String, Vec<Leaf>>,
    advisories: Advisories,
    lifecycles: Lifecycles,
    unlogged: Vec<Unlogged>,
    completeness: Completeness,
    refused: Vec<(u64, Refusal)>,
    leaves: usize,
}

/// Verifies a checkpoint: log and quorum.
///
/// # Errors
/// Which of the two is missing.
pub fn verify_checkpoint(policy: &Policy, checkpoint: &SignedCheckpoint) -> Result<Cosigned, KnowledgeError> {
    policy.verify(checkpoint).map_err(|unsatisfied| match unsatisfied {
        Unsatisfied::Log => KnowledgeError::NotTheLog,
        _ => KnowledgeError::NoQuorum,
    })
}

impl Knowledge {
    /// Verifies and judges the leaves of a bundle.
    ///
    /// # Errors
    /// See [`KnowledgeError`]. Leaves that do not count are no error.
    pub fn new(bundle: &Bundle, policy: &Policy, roles_pin: Hash) -> Result<Self, KnowledgeError> {
        Self::of(&[bundle], policy, roles_pin)
    }

    /// The same for several bundles of one log, of which each is verified under its own checkpoint; the largest tree is the head. At least
    /// one is needed.
    ///
    /// # Errors
    /// See [`KnowledgeError`].
    pub fn of(bundles: &[&Bundle], policy: &Policy, roles_pin: Hash) -> Result<Self, KnowledgeError> {
        let bundle = bundles.iter().max_by_key(|bundle| bundle.checkpoint.tree().size).ok_or(KnowledgeError::NoRoles)?;
        for other in bundles {
            verify_checkpoint(policy, &other.checkpoint)?;
            other.verify()?;
        }
        let cosigned = verify_checkpoint(policy, &bundle.checkpoint)?;
        let leaves = together(bundles, &bundle.checkpoint)?;
        let mut judge = Judge::new(roles_pin);
        let (mut standing, mut refused) = (Vec::new(), Vec::new());
        for (index, opened) in open_all(&leaves) {
            let admitted = opened.and_then(|(envelope, statement)| judge.admit(index, envelope.key(), envelope.payload_hash(), statement));
            match admitted {
                Ok(leaf) => standing.push(leaf),
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        let origin = judge.roles().current().map(|current| current.roles.origin.clone()).ok_or(KnowledgeError::NoRoles)?;
        if origin != bundle.checkpoint.checkpoint.origin {
            return Err(KnowledgeError::OtherRoles(origin));
        }
        let (void, standing): (Vec<Leaf>, Vec<Leaf>) = standing.into_iter().partition(|leaf| judge.is_void(leaf));
        let from = |leaf: &Leaf| Refusal::Compromised { from: judge.roles().compromised_from(&leaf.key).unwrap_or_default() };
        refused.extend(void.iter().map(|leaf| (leaf.index, from(leaf))));
        let advisories = Advisories::new(&judge, &standing);
        let lifecycles = Lifecycles::new(&judge, &standing);
        let completeness = completeness(&judge, &standing);
        let leaves = leaves.len();
        let mut by_subject: HashMap<String, Vec<Leaf>> = HashMap::new();
        for leaf in standing {
            by_subject.entry(leaf.statement.subject.name.clone()).or_default().push(leaf);
        }
        Ok(Self {
            checkpoint: bundle.checkpoint.clone(),
            cosigned,
            judge,
            by_subject,
            advisories,
            lifecycles,
            unlogged: Vec::new(),
            completeness,
            refused,
            leaves,
        })
    }

    /// The checkpoint to which everything is proven.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Verified cosignatures: witness to time.
    #[must_use]
    pub fn cosigned(&self) -> &Cosigned {
        &self.cosigned
    }

    /// The state after the last leaf.
    #[must_use]
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The warnings.
    #[must_use]
    pub fn advisories(&self) -> &Advisories {
        &self.advisories
    }

    /// What has reached its end of life, and what is superseded.
    #[must_use]
    pub fn lifecycles(&self) -> &Lifecycles {
        &self.lifecycles
    }

    /// Takes in warnings that came by another road than the log's.
    #[must_use]
    pub fn hearing(mut self, entries: &[Vec<u8>]) -> Self {
        self.unlogged = unlogged::hear(entries, &self.judge, self.about(Advisory::SUBJECT));
        self
    }

    /// Warnings that the log does not show.
    #[must_use]
    pub fn unlogged(&self) -> &[Unlogged] {
        &self.unlogged
    }

    /// What the newest control head says.
    #[must_use]
    pub fn completeness(&self) -> &Completeness {
        &self.completeness
    }

    /// Leaves that do not count, with the reason.
    #[must_use]
    pub fn refused(&self) -> &[(u64, Refusal)] {
        &self.refused
    }

    /// How many leaves were verified.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    /// The leaves about a subject.
    #[must_use]
    pub fn about(&self, subject: &str) -> &[Leaf] {
        self.by_subject.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Everything that is spoken about.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.by_subject.keys().map(String::as_str)
    }

    /// The claims about a package, by package file.
    #[must_use]
    pub fn claims(&self, purl: &Purl) -> Vec<PackageClaims> {
        claims_for(purl, self.about(&purl.to_string()))
    }

    /// All manifests that any claim names, by root, with their number of lines and bytes.
    #[must_use]
    pub fn manifests(&self) -> BTreeMap<Hash, attest::predicate::PackageFiles> {
        let files = |leaf: &Leaf| match &leaf.statement.predicate {
            attest::Predicate::PackageFiles(files) => Some((files.manifest, files.clone())),
            _ => None,
        };
        self.by_subject.values().flatten().filter_map(files).collect()
    }

    /// The namespaces in the roles' order, each once.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces: Vec<String> = Vec::new();
        let vendors = self.judge.roles().current().map(|current| current.roles.vendors.as_slice()).unwrap_or_default();
        for vendor in vendors {
            if !namespaces.contains(&vendor.namespace) {
                namespaces.push(vendor.namespace.clone());
            }
        }
        namespaces
    }

    /// SHA-256 of the witness policy that the foundation publishes.
    #[must_use]
    pub fn policy_digest(&self) -> Option<Hash> {
        self.judge.roles().current().map(|current| current.roles.policy)
    }

    /// Entry and key of the newest control head.
    #[must_use]
    pub fn control_head_entry(&self) -> Option<u64> {
        let heads = self.about(attest::predicate::ControlHead::SUBJECT).iter();
        heads.filter(|leaf| leaf.statement.kind() == Kind::ControlHead).map(|leaf| leaf.index).max()
    }
}

type Opened = Result<(Envelope, Statement), Refusal>;

/// All leaves by rising index, each once.
fn together<'b>(bundles: &[&'b Bundle], head: &SignedCheckpoint) -> Result<Vec<(u64, &'b [u8])>, KnowledgeError> {
    let mut leaves: BTreeMap<u64, &[u8]> = BTreeMap::new();
    for bundle in bundles {
        let same_tree = bundle.checkpoint.tree().size != head.tree().size || bundle.checkpoint.tree() == head.tree();
        if bundle.checkpoint.checkpoint.origin != head.checkpoint.origin || !same_tree {
            return Err(KnowledgeError::Mixed);
        }
        for leaf in &bundle.leaves {
            if leaves.insert(leaf.index, &leaf.leaf).is_some_and(|other| other != leaf.leaf) {
                return Err(KnowledgeError::Mixed);
            }
        }
    }
    Ok(leaves.into_iter().collect())
}

/// Parses and verifies all envelopes, on all cores: the slow part.
fn open_all(leaves: &[(u64, &[u8])]) -> Vec<(u64, Opened)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let keys = frequent_keys(leaves);
    let open = |leaves: &[(u64, &[u8])]| leaves.iter().map(|(index, leaf)| (*index, Judge::open_known(leaf, &keys))).collect();
    parallel::in_parts(leaves, threads, open)
}

/// Keys that many leaves are by, as a sample shows: these are decoded once. It only saves time; who may say what is judged later.
fn frequent_keys(leaves: &[(u64, &[u8])]) -> KnownKeys {
    let sample = leaves.iter().step_by((leaves.len() / SAMPLE).max(1));
    let envelopes: Vec<Envelope> = sample.filter_map(|(_, leaf)| Envelope::parse(leaf).ok()).collect();
    envelopes.iter().map(Envelope::key).collect()
}

/// How many leaves are looked at to find the frequent signers.
const SAMPLE: usize = 64;
