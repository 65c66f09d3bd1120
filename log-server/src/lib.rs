//! The Tallystick log server: takes in what builders attest, keeps it in an append-only tree of tiles, and publishes nothing
//! that a quorum of witnesses has not cosigned.
//!
//! The life of an entry, and every point at which a crash may fall, is in `specs/lifecycle.md`; what clients see is in
//! `specs/log.md` and `specs/submit.md`. In short: [`http`] admits and queues ([`pool`]), the one [`sequencer`] judges in
//! order ([`gate`]), grows and checks the tree ([`verify`]), stages and commits it ([`ledger`]), has it cosigned ([`quorum`],
//! [`witnesses`]) and publishes it; [`recover`] runs the same steps after a crash.

pub mod cli;
pub mod clock;
pub mod collect;
pub mod config;
mod connections;
mod descriptors;
pub mod entries;
pub mod frozen;
pub mod fsck;
pub mod gate;
pub mod http;
pub mod index;
pub mod init;
pub mod keys;
pub mod layout;
pub mod ledger;
pub mod metrics;
mod operate;
pub mod pool;
mod propose;
pub mod prover;
pub mod quorum;
pub mod rates;
pub mod recover;
pub mod reload;
pub mod repair;
pub mod restore;
pub mod roles;
pub mod room;
pub mod scrub;
pub mod sequencer;
pub mod server;
pub mod shared;
pub mod stage;
pub mod telemetry;
mod upload;
pub mod verify;
pub mod witnesses;

pub use server::{Config, Server, build};
