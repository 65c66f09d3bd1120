//! What the entries of a Tallystick log say, and how they are judged.
//!
//! In scope: the codecs of everything that stands inside a leaf or beside it ([`envelope`], [`statement`] with its
//! predicates, [`manifest`], [`roles`], package URLs in [`purl`], the offline [`bundle`]) and the pure judging of leaves
//! ([`judge`]), which the log uses to admit, verifiers to believe and auditors to compare.
//! Out of scope: files, sockets, clocks and randomness. Times come as arguments; whoever fetches or stores is elsewhere.
//!
//! Every parser works the same way: limits first, then parse, re-encode, compare, and refuse what differs. Therefore two
//! different byte strings never mean the same thing. One page in `specs/` describes each format.

pub mod bundle;
pub mod day;
pub mod envelope;
pub mod json;
pub mod judge;
pub mod manifest;
pub mod predicate;
pub mod purl;
pub mod roles;
pub mod statement;
pub mod version;

pub use bundle::Bundle;
pub use envelope::Envelope;
pub use judge::Judge;
pub use manifest::Manifest;
pub use predicate::Predicate;
pub use purl::{Purl, Scope};
pub use roles::{Roles, RolesChain, SignedRoles};
pub use statement::{Statement, Subject};
pub use tlog::Hash;
