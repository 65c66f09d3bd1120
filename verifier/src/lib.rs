//! Verifies what is installed against what independent builders attested, offline.
//!
//! In scope: the user's program `tally`. What is known comes into the [`cache`] by [`sync`] or [`import`] and is verified at every use
//! ([`knowledge`]); packages are weighed ([`subject`]), their files looked at and read ([`scene`]) and compared ([`mod@compare`]); the
//! [`report`] holds the findings and the exit status. Out of scope: following the whole log as an auditor, changing anything on a root.
pub mod accept;
pub mod advise;
pub mod archive;
pub mod audit;
pub mod bytecode;
pub mod cache;
pub mod check;
pub mod cli;
pub mod compare;
pub mod config;
pub mod copy;
pub mod coverage;
pub mod daily;
pub mod exit;
pub mod expect;
pub mod export;
pub mod failure;
pub mod finding;
pub mod follow;
pub mod full;
pub mod gate;
pub mod hash;
pub mod head;
pub mod import;
pub mod install;
pub mod knowledge;
pub mod manifests;
pub mod merge;
pub mod metrics;
pub mod outdated;
pub mod parallel;
pub mod progress;
pub mod proofs;
pub mod rebuilt;
pub mod render;
pub mod repo;
pub mod report;
pub mod roles;
pub mod run;
pub mod scene;
pub mod setup;
pub mod story;
pub mod subject;
pub mod survey;
pub mod sync;
pub mod syslog;
pub mod time;
pub mod unlogged;
pub mod verdict;
pub mod verify;
pub mod views;
pub mod walk;
pub mod warnings;
