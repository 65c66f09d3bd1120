//! Serving from behind a firewall: C2SP https-bastion, both ends, `specs/bastion.md`.
//!
//! A backend ([`backend`]) dials the bastion and answers HTTP/2 on the connection that it opened; the bastion ([`server`]) passes requests on
//! to whoever proved to hold the Ed25519 key whose hash begins the path. A bastion can withhold and observe; it can forge nothing, because
//! what a witness says is signed.

pub mod allow;
pub mod backend;
mod certificate;
pub mod command;
mod key_hash;
pub mod server;
mod tls;

pub use key_hash::KeyHash;
pub use tls::{Identity, backend_config, bastion_config, public_config};

/// The ALPN protocol of the connection between backend and bastion.
const ALPN: &[u8] = b"bastion/0";
