//! The ten predicates. Each has one file with its members, bounds and meaning; `specs/statement.md` lists them.

mod advisory;
mod control_head;
mod install_observation;
mod lifecycle;
mod package_files;
mod package_origin;
mod package_source;
mod rebuild;
mod repository_state;
mod roles_leaf;

pub use advisory::{Action, Advisory, Affected, Severity};
pub use control_head::ControlHead;
pub use install_observation::{Change, FullList, InstallObservation, Observed};
pub use lifecycle::{Lifecycle, Stage};
pub use package_files::PackageFiles;
pub use package_origin::PackageOrigin;
pub use package_source::PackageSource;
pub use rebuild::{Differs, Environment, FirstDifference, Imported, Rebuild, RebuildResult};
pub use repository_state::RepositoryState;
pub use roles_leaf::{RolesLeaf, RolesSignature};

use serde::{Serialize, de::DeserializeOwned};
use tlog::Hash;

use crate::json;
use crate::statement::{MAX_BYTES, Raw, Statement, StatementError, Subject, TYPE};

/// Which predicate a statement has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The claim: what a package file contains.
    PackageFiles,
    /// What an installation in a clean container changed or generated.
    InstallObservation,
    /// How the package file follows from a signed repository index.
    PackageOrigin,
    /// The current index of a repository.
    RepositoryState,
    /// The result of building a package again.
    Rebuild,
    /// A warning, or its withdrawal.
    Advisory,
    /// A new roles document.
    Roles,
    /// The newest roles version and advisory number.
    ControlHead,
    /// End of life, supersession.
    Lifecycle,
    /// From which source package a package was built.
    PackageSource,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::PackageFiles,
        Self::InstallObservation,
        Self::PackageOrigin,
        Self::RepositoryState,
        Self::Rebuild,
        Self::Advisory,
        Self::Roles,
        Self::ControlHead,
        Self::Lifecycle,
        Self::PackageSource,
    ];

    /// The short name with its version, such as `package-files/v1`: what `/lookup` takes after `type:`.
    #[must_use]
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::PackageFiles => "package-files/v1",
            Self::InstallObservation => "install-observation/v1",
            Self::PackageOrigin => "package-origin/v1",
            Self::RepositoryState => "repository-state/v1",
            Self::Rebuild => "rebuild/v1",
            Self::Advisory => "advisory/v1",
            Self::Roles => "roles/v1",
            Self::ControlHead => "control-head/v1",
            Self::Lifecycle => "lifecycle/v1",
            Self::PackageSource => "package-source/v1",
        }
    }

    /// The inverse of [`Kind::short_name`].
    #[must_use]
    pub fn from_short_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.short_name() == name)
    }

    /// The predicate type.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{URI_PREFIX}{}", self.short_name())
    }

    /// The inverse of [`Kind::uri`].
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::from_short_name(uri.strip_prefix(URI_PREFIX)?)
    }

    pub(crate) fn parse_statement(self, bytes: &[u8]) -> Result<Statement, StatementError> {
        match self {
            Self::PackageFiles => parse_raw(self, bytes, Predicate::PackageFiles),
            Self::InstallObservation => parse_raw(self, bytes, Predicate::InstallObservation),
            Self::PackageOrigin => parse_raw(self, bytes, Predicate::PackageOrigin),
            Self::RepositoryState => parse_raw(self, bytes, Predicate::RepositoryState),
            Self::Rebuild => parse_raw(self, bytes, Predicate::Rebuild),
            Self::Advisory => parse_raw(self, bytes, Predicate::Advisory),
            Self::Roles => parse_raw(self, bytes, Predicate::Roles),
            Self::ControlHead => parse_raw(self, bytes, Predicate::ControlHead),
            Self::Lifecycle => parse_raw(self, bytes, Predicate::Lifecycle),
            Self::PackageSource => parse_raw(self, bytes, Predicate::PackageSource),
        }
    }
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// See [`PackageFiles`].
    PackageFiles(PackageFiles),
    /// See [`InstallObservation`].
    InstallObservation(InstallObservation),
    /// See [`PackageOrigin`].
    PackageOrigin(PackageOrigin),
    /// See [`RepositoryState`].
    RepositoryState(RepositoryState),
    /// See [`Rebuild`].
    Rebuild(Rebuild),
    /// See [`Advisory`].
    Advisory(Advisory),
    /// See [`RolesLeaf`].
    Roles(RolesLeaf),
    /// See [`ControlHead`].
    ControlHead(ControlHead),
    /// See [`Lifecycle`].
    Lifecycle(Lifecycle),
    /// See [`PackageSource`].
    PackageSource(PackageSource),
}

impl Predicate {
    /// Which one.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::PackageFiles(_) => Kind::PackageFiles,
            Self::InstallObservation(_) => Kind::InstallObservation,
            Self::PackageOrigin(_) => Kind::PackageOrigin,
            Self::RepositoryState(_) => Kind::RepositoryState,
            Self::Rebuild(_) => Kind::Rebuild,
            Self::Advisory(_) => Kind::Advisory,
            Self::Roles(_) => Kind::Roles,
            Self::ControlHead(_) => Kind::ControlHead,
            Self::Lifecycle(_) => Kind::Lifecycle,
            Self::PackageSource(_) => Kind::PackageSource,
        }
    }

    /// For predicates that mean "now": the sequence number and the SHA-256 of the payload before (`None` for the first).
    #[must_use]
    pub const fn chain(&self) -> Option<(u64, Option<Hash>)> {
        match self {
            Self::Advisory(advisory) => Some((advisory.sequence, advisory.previous)),
            Self::ControlHead(head) => Some((head.sequence, head.previous)),
            Self::Lifecycle(lifecycle) => Some((lifecycle.sequence, lifecycle.previous)),
            Self::RepositoryState(state) => match state.sequence {
                Some(sequence) => Some((sequence, state.previous)),
                None => None,
            },
            _ => None,
        }
    }

    pub(crate) fn encode_statement(&self, subject: &Subject) -> Vec<u8> {
        let kind = self.kind();
        match self {
            Self::PackageFiles(predicate) => encode_raw(kind, predicate, subject),
            Self::InstallObservation(predicate) => encode_raw(kind, predicate, subject),
            Self::PackageOrigin(predicate) => encode_raw(kind, predicate, subject),
            Self::RepositoryState(predicate) => encode_raw(kind, predicate, subject),
            Self::Rebuild(predicate) => encode_raw(kind, predicate, subject),
            Self::Advisory(predicate) => encode_raw(kind, predicate, subject),
            Self::Roles(predicate) => encode_raw(kind, predicate, subject),
            Self::ControlHead(predicate) => encode_raw(kind, predicate, subject),
            Self::Lifecycle(predicate) => encode_raw(kind, predicate, subject),
            Self::PackageSource(predicate) => encode_raw(kind, predicate, subject),
        }
    }

    pub(crate) fn check(&self, subject: &Subject) -> Result<(), StatementError> {
        match self {
            Self::PackageFiles(predicate) => subject.check_package().and_then(|()| predicate.check()),
            Self::InstallObservation(predicate) => subject.check_package().and_then(|()| predicate.check()),
            Self::PackageOrigin(predicate) => subject.check_package().and_then(|()| predicate.check()),
            Self::RepositoryState(predicate) => predicate.check(subject),
            Self::Rebuild(predicate) => subject.check_package().and_then(|()| predicate.check()),
            Self::Advisory(predicate) => predicate.check(subject),
            Self::Roles(predicate) => predicate.check(subject),
            Self::ControlHead(predicate) => predicate.check(subject),
            Self::Lifecycle(predicate) => predicate.check(subject),
            Self::PackageSource(predicate) => subject.check_package().and_then(|()| predicate.check(subject)),
        }
    }
}

fn parse_raw<P>(kind: Kind, bytes: &[u8], wrap: fn(P) -> Predicate) -> Result<Statement, StatementError>
where
    P: Serialize + DeserializeOwned,
{
    let raw: Raw<P> = json::parse(bytes, MAX_BYTES)?;
    if raw.statement_type != TYPE || raw.predicate_type != kind.uri() {
        return Err(StatementError::Malformed);
    }
    let [subject] = raw.subject;
    Ok(Statement { subject, predicate: wrap(raw.predicate) })
}

fn encode_raw<P: Serialize>(kind: Kind, predicate: &P, subject: &Subject) -> Vec<u8> {
    let statement_type = TYPE.to_owned();
    json::encode(&Raw { statement_type, predicate, predicate_type: kind.uri(), subject: [subject.clone()] })
}

/// Whether a number is one that JSON can carry.
pub(crate) const fn is_integer(number: u64) -> bool {
    number <= json::MAX_INTEGER
}

/// Whether a text is one line of 1 to `max` bytes that shows what it says: no control characters, no line or paragraph
/// separators, nothing that changes the direction of writing.
pub(crate) fn is_line(text: &str, max: usize) -> bool {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.is_empty() && text.len() <= max && !text.chars().any(hidden)
}

/// The subject of a statement in a log's one chain of its kind: the kind's name, and the digest of the canonical predicate.
pub(crate) fn chained_subject(name: &str, predicate: &impl Serialize) -> Subject {
    Subject::new(name.to_owned(), Hash::digest(&json::encode(predicate)))
}

/// Checks such a subject, and that sequence and previous belong together.
pub(crate) fn check_chained(subject: &Subject, own: &Subject, sequence: u64, previous: Option<Hash>) -> Result<(), StatementError> {
    subject.check_own(&own.name, own.digest.sha256)?;
    if is_chain(sequence, previous) {
        return Ok(());
    }
    Err(StatementError::BadPredicate("sequence from 1, the first without previous"))
}

/// Whether sequence and previous belong together: the first is number 1 and has none before it.
pub(crate) fn is_chain(sequence: u64, previous: Option<Hash>) -> bool {
    is_integer(sequence) && sequence >= 1 && (sequence == 1) == previous.is_none()
}

const URI_PREFIX: &str = "https://tallystick.dev/";
