//! Sigsum: its log with our witness, its witness with our log, and its programs that submit and verify.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::block_on;
use client::http::FetchError;
use client::witness::WitnessClient;
use e2e::Program;
use tlog::witness::AddCheckpoint;
use tlog::{Checkpoint, ConsistencyProof, Hash, KeyKind, KeyName, SignedCheckpoint, Signer as _, SigningKey, Tree, VerifierKey};

use crate::cases::Cases;
use crate::litewitness::PATIENCE;
use crate::ours;
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

/// A log of ours that sigsum-witness cosigns: it takes logs whose origin is made of their key, as all of sigsum's are, and so ours is
/// made with a key that exists before it.
struct Named {
    _witness: Peer,
    witness: VerifierKey,
    witness_url: String,
    log: Program,
    signer: SigningKey,
}

impl Named {
    fn start(root: &Root) -> anyhow::Result<Self> {
        let signer = named_key()?;
        let key_file = root.at("named.key");
        fs::write(&key_file, format!("{}\n", &*signer.encode()))?;
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
        let origin = signer.key().name().as_str();
        ours::init("tally-log", &root.at("named"), &["--origin", origin, "--open", "--key", key_file.to_str().context("text")?])?;
        fs::write(root.at("named.pub"), openssh(signer.key().public()))?;
        let public = key(root, "sigsum-witness-key")?;
        let witness = ours::cosigner(&format!("sigsum.org/v1/witness/{}", Hash::digest(&public).to_hex()), &public)?;
        let address = free_address()?;
        let at = address.to_string();
        let arguments = ["sigsum-witness", "-k", "sigsum-witness-key", "--log-key", "named.pub", "--state-file", "sigsum-state", &at];
        let peer = root.start("sigsum-witness", &arguments, address)?;
        let witness_url = ours::url(address);
        let policy = ours::policy(&[signer.key().clone()], &[("sigsum", std::slice::from_ref(&witness), &witness_url)]);
        let log = ours::log(&root.at("named"), &policy)?;
        Ok(Self { _witness: peer, witness, witness_url, log, signer })
    }

    fn is_cosigned(&self) -> anyhow::Result<()> {
        for n in 0..3 {
            ensure!(ours::add(&self.log.url(), format!("leaf {n}").into_bytes())? == n, "another index than {n}");
            let published = ours::checkpoint(&self.log.url())?;
            ensure!(published.checkpoint.tree.size == n + 1, "published is size {}", published.checkpoint.tree.size);
            ours::cosigned(&published, &self.witness)?;
        }
        Ok(())
    }

    /// Another tree of the published size, under our log's own key.
    fn refuses_fork(&self) -> anyhow::Result<()> {
        let size = ours::checkpoint(&self.log.url())?.checkpoint.tree.size;
        let tree = Tree { size, root: Hash::digest(b"another history") };
        let checkpoint = Checkpoint { origin: self.signer.key().name().as_str().to_owned(), tree, extensions: Vec::new() };
        let line = checkpoint.sign(&self.signer, 0).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let request = AddCheckpoint {
            old_size: size,
            proof: ConsistencyProof(Vec::new()),
            checkpoint: SignedCheckpoint::new(checkpoint, vec![line]).note,
        };
        match block_on(WitnessClient::new(&self.witness_url, PATIENCE)?.add_checkpoint(&request))? {
            Err(FetchError::Status { status: 409 | 422, .. }) => Ok(()),
            other => bail!("it answered {other:?}"),
        }
    }
}

/// Named by its own public half.
fn named_key() -> anyhow::Result<SigningKey> {
    let seed = *Hash::digest(b"a log of ours, as sigsum names them").as_bytes();
    let make = |name: KeyName| SigningKey::from_seed(name, KeyKind::Ed25519, &seed).map_err(|error| anyhow::anyhow!("{error:?}"));
    let nameless = make(KeyName::parse("nameless").context("a name")?)?;
    make(log_key(nameless.key().public())?.name().clone())
}

/// A public key as OpenSSH writes it.
fn openssh(public: &[u8]) -> String {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes(), bytes].concat();
    format!("ssh-ed25519 {} interop\n", STANDARD.encode([part(b"ssh-ed25519"), part(public)].concat()))
}

/// sigsum-witness cosigns our log as it grows, and no second history.
pub fn their_witness(world: &World<'_>, cases: &mut Cases) {
    let (cosigned, refused) = match Named::start(world.root) {
        Ok(named) => (named.is_cosigned(), named.refuses_fork()),
        Err(error) => (Err(error), Err(anyhow::anyhow!("it does not cosign"))),
    };
    cases.case("sigsum-witness", "cosigns our log as it grows", cosigned);
    cases.case("sigsum-witness", "cosigns no second history of our log", refused);
}
