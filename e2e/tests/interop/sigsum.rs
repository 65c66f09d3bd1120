//! Sigsum: its log with our witness, and its programs that submit and verify.

use std::fs;

use anyhow::Context as _;
use tlog::{Hash, VerifierKey};

use crate::cases::Cases;
use crate::root::{Peer, Root, free_address};
use crate::world::World;

/// A log in memory whose quorum is our witness.
pub struct Sigsum {
    _peer: Peer,
}

/// A new key pair as OpenSSH has it; returns the public key, raw.
pub fn key(root: &Root, name: &str) -> anyhow::Result<Vec<u8>> {
    root.tell(&["sigsum-key", "generate", "-o", name])?;
    let hex = root.tell(&["sigsum-key", "to-hex", "-k", &format!("{name}.pub")])?;
    let hex = Hash::from_hex(hex.trim()).context("a key of 32 bytes")?;
    Ok(hex.as_bytes().to_vec())
}

/// The origin and verifier key that a sigsum log with this public key has.
pub fn log_key(public: &[u8]) -> anyhow::Result<VerifierKey> {
    let origin = format!("sigsum.org/v1/tree/{}", Hash::digest(public).to_hex());
    let name = tlog::KeyName::parse(&origin).context("a key name")?;
    VerifierKey::new(name, tlog::KeyKind::Ed25519, public).map_err(|error| anyhow::anyhow!("{error:?}"))
}

impl Sigsum {
    /// Starts the log; the key was made by [`key`] under the name `sigsum-log`.
    pub fn start(root: &Root, public: &[u8], witness: &VerifierKey, witness_url: &str) -> anyhow::Result<Self> {
        let (external, internal) = (free_address()?, free_address()?);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let policy = format!("log {} http://{external}\nwitness ours {} {witness_url}\nquorum ours\n", hex(public), hex(witness.public()));
        fs::write(root.at("sigsum.policy"), policy)?;
        let mut arguments = vec!["sigsum-log-primary", "--backend=ephemeral", "--interval=1s", "--key-file=sigsum-log", "--sth-file=sth"];
        let (external_argument, internal_argument) = (format!("--external-endpoint={external}"), format!("--internal-endpoint={internal}"));
        root.tell(&["sigsum-mktree", "--mode=empty", "--sth-file=sth"])?;
        arguments.extend(["--policy-file=sigsum.policy", &external_argument, &internal_argument]);
        Ok(Self { _peer: root.start("sigsum-log", &arguments, external)? })
    }

    /// Signs a message and has it logged; the proof is `message.proof`.
    pub fn submit(&self, root: &Root) -> anyhow::Result<()> {
        fs::write(root.at("message"), "what was said\n")?;
        root.tell(&["sigsum-submit", "-k", "submitter", "-p", "sigsum.policy", "-t", "60s", "message"]).map(drop)
    }

    /// sigsum's programs accept the proof: `sigsum-verify` in Go and `sigsum-c-verify` in C.
    pub fn verify(root: &Root, program: &str) -> anyhow::Result<()> {
        let message = root.at("message");
        root.run(&[program, "-k", "submitter.pub", "-p", "sigsum.policy", "message.proof"], &message).map(drop)
    }
}

/// A sigsum log that needs our witness, and sigsum's own verifiers.
pub fn with_our_witness(world: &World<'_>, cases: &mut Cases) {
    let root = world.root;
    let started = key(root, "submitter").and_then(|_| Sigsum::start(root, &world.sigsum, &world.witness_keys[0], &world.witness.url()));
    let submitted = started.and_then(|log| {
        log.submit(root)?;
        Ok(log)
    });
    // The log stays for as long as proofs are asked for.
    let (_log, submitted) = match submitted {
        Ok(log) => (Some(log), Ok(())),
        Err(error) => (None, Err(error)),
    };
    cases.case("sigsum-log", "publishes with our witness's cosignature", submitted);
    cases.case("sigsum-verify", "accepts its proof by our witness's word", Sigsum::verify(root, "sigsum-verify"));
    cases.case("sigsum-c-verify", "accepts its proof by our witness's word", Sigsum::verify(root, "sigsum-c-verify"));
}
