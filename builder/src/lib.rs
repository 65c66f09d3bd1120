//! The builder: attests what packages contain, from clean containers.
//!
//! One run goes through these steps, in this order (`specs/builder.md`): an image is pinned ([`image`]); packages are downloaded in a
//! container by its own apt ([`download`]) and copied out; outside it, every file's chain to a signature is verified ([`chain`]) and
//! every claim is computed ([`claim`]); only then are packages installed, each in a container of its own, and observed from outside
//! ([`observe`]). What is said goes through a spool on disk ([`spool`]) to the log ([`submit`]). The service ([`service`]) does the same for
//! whatever is new in the repositories.

pub mod chain;
pub mod claim;
pub mod cli;
pub mod config;
pub mod distro;
pub mod download;
pub mod home;
pub mod image;
pub mod observe;
pub mod podman;
pub mod progress;
pub mod rebuild;
pub mod rebuilderd;
pub mod record;
pub mod request;
pub mod run;
pub mod service;
pub mod sources;
pub mod spool;
pub mod submit;
pub mod watch;
