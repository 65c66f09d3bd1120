//! The bytes of a verdict's statement: canonical JSON (`specs/vsa.md`). Fields stand in the order of their JSON names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tlog::Hash;

/// An in-toto Statement v1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    /// What is said.
    pub predicate: Predicate,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
    /// What it is said of.
    pub subject: Vec<Described>,
}

/// What is said of the subjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Predicate {
    /// Of the type [`SVR`].
    Svr(Svr),
    /// Of the type [`VSA`].
    Vsa(Vsa),
}

/// A Simple Verification Result: which properties hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Svr {
    #[serde(rename = "https://tallystick.dev/verdict/v1")]
    pub(super) verdict: Verdict,
    pub(super) properties: Vec<String>,
    #[serde(rename = "timeCreated")]
    pub(super) time: String,
    pub(super) verifier: SvrVerifier,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SvrVerifier {
    pub(super) id: String,
    pub(super) policies: Vec<Described>,
}

/// A Verification Summary: passed or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vsa {
    #[serde(rename = "https://tallystick.dev/verdict/v1")]
    pub(super) verdict: Verdict,
    pub(super) policy: Policy,
    #[serde(rename = "resourceUri")]
    pub(super) resource: String,
    #[serde(rename = "timeVerified")]
    pub(super) time: String,
    #[serde(rename = "verificationResult")]
    pub(super) result: String,
    #[serde(rename = "verifiedLevels")]
    pub(super) levels: Vec<String>,
    pub(super) verifier: VsaVerifier,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VsaVerifier {
    pub(super) id: String,
    pub(super) version: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) digest: Digest,
    pub(super) uri: String,
}

/// A name and a digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    pub(super) digest: Digest,
    /// What it is called.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Digest {
    pub(super) sha256: String,
}

/// What both forms say beyond their own fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub(super) builders: u64,
    pub(super) checkpoint: Checkpoint,
    /// How often each kind of finding was made.
    pub counts: BTreeMap<String, u64>,
    /// The exit status.
    pub exit: u8,
    pub(super) packages: Packages,
    pub(super) policies: Vec<Described>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fresh: Option<String>,
    pub(super) origin: String,
    pub(super) root: String,
    pub(super) size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Packages {
    pub(super) attested: u64,
    pub(super) installed: u64,
    pub(super) judged: u64,
}

impl Described {
    pub(super) fn new(name: &str, sha256: &Hash) -> Self {
        Self { digest: Digest { sha256: sha256.to_hex() }, name: name.to_owned() }
    }
}

/// The predicate's type.
pub const SVR: &str = "https://in-toto.io/attestation/svr/v0.2";
/// The predicate's type.
pub const VSA: &str = "https://slsa.dev/verification_summary/v1";
/// The type of all statements.
pub(super) const STATEMENT: &str = "https://in-toto.io/Statement/v1";
