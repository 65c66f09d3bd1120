//! Verifies what is installed against what independent builders attested, offline.
pub mod accept;
pub mod config;
pub mod exit;
pub mod finding;
pub mod hash;
pub mod survey;
pub mod time;
