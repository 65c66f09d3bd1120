//! `tally-witness`: a cosigner after C2SP tlog-witness, `specs/witness.md`.
//!
//! In scope: `add-checkpoint`, `sign-subtree`, the monitoring GET, many logs from one list, cosignatures of both kinds, and what keeps
//! a witness honest against its own operator's mistakes: state before signature, refusal of restored state, evidence of split views.
//! With [`mirror`] it is a C2SP tlog-mirror: it keeps the entries, too, and cosigns when it has them. Out of scope: judging what a log says.

pub mod accept;
pub mod ask;
pub mod bastion;
pub mod cli;
pub mod decide;
pub mod directory;
pub mod feed;
pub mod http;
mod known;
pub mod logs;
pub mod metrics;
pub mod mirror;
pub mod server;
mod service;
pub mod split;
pub mod state;
pub mod subtree;

pub use decide::{Hold, Refusal, Submission};
pub use known::{Damaged, Known};
pub use logs::{Log, Logs};
pub use service::{Clock, Failure, Health, Role, Signers, Witness};
