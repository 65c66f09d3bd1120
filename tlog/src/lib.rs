//! The core of a transparency log, as bytes and mathematics.
//!
//! In scope: RFC 6962 trees ([`merkle`], [`tile`], [`bundle`], [`plan`], [`prover`], [`edge`], [`growth`]), the C2SP text formats ([`note`],
//! [`checkpoint`], [`cosignature`], [`tlog_proof`], [`policy`]) and the bodies that logs and witnesses exchange ([`witness`]).
//! Out of scope: everything that needs the outside world. There is no IO here, no clock, no randomness, no thread and no
//! logging; time and tiles come as arguments. The crate is `no_std`, so a stray `std::fs` does not compile.
//!
//! Every parser works the same way: limits first, then parse, re-encode, compare, and refuse what differs. Therefore two
//! different byte strings never mean the same thing.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bundle;
pub mod checkpoint;
pub mod comparison;
pub mod cosignature;
pub mod edge;
pub mod evidence;
pub mod extension;
pub mod growth;
pub mod hash;
pub mod key;
pub mod merkle;
pub mod mirror;
mod multiples;
pub mod note;
pub mod plan;
pub mod policy;
mod proof;
pub mod prover;
mod quorum;
mod range;
mod say;
mod signing;
mod text;
pub mod tile;
pub mod tlog_proof;
pub mod witness;

pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use comparison::{Comparison, Relation};
pub use edge::{Batch, Edge};
pub use extension::Extension;
pub use growth::Growth;
pub use hash::{Hash, hash_children, hash_leaf};
pub use key::{KeyId, KeyKind, KeyName, Signer, SigningKey, VerifierKey};
pub use merkle::{ConsistencyProof, InclusionProof, SubtreeProof, Tree};
pub use note::{Note, SignatureLine};
pub use policy::Policy;
pub use prover::Prover;
pub use tile::{BundleId, Tile};
pub use tlog_proof::TlogProof;
