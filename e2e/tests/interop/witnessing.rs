//! Their witnesses and our log; our witness and their logs.

use anyhow::{bail, ensure};
use client::http::FetchError;
use client::witness::WitnessClient;
use client::{block_on, keys};
use tlog::witness::AddCheckpoint;
use tlog::{Checkpoint, ConsistencyProof, Hash, SignedCheckpoint, Tree, VerifierKey};

use crate::cases::Cases;
use crate::litewitness::{Litewitness, PATIENCE};
use crate::ours;
use crate::world::{LEAVES, World};

/// litewitness and Sunlight's witness cosign our log, and no second history.
pub fn they_cosign_our_log(world: &World<'_>, cases: &mut Cases) {
    let published = ours::checkpoint(&world.log.url());
    let by = |key: &VerifierKey| match &published {
        Ok(published) => ours::cosigned(published, key),
        Err(error) => bail!("our log shows no checkpoint: {error}"),
    };
    cases.case("litewitness", "cosigns our log", by(&world.litewitness.key));
    cases.case("sunlight", "its witness cosigns our log", by(&world.sunlight.witness));
    let whole = || {
        let size = ours::checkpoint(&world.log.url())?.checkpoint.tree.size;
        ensure!(size == LEAVES, "our log has {size} leaves and not {LEAVES}");
        Litewitness::lists(world.root, ours::ORIGIN, size)
    };
    cases.case("witnessctl", "lists our log at its published size", whole());
    let lite = ours::url(world.litewitness.address);
    cases.case("litewitness", "cosigns no second history of our log", refuses_fork(world, &lite));
    cases.case("sunlight", "its witness cosigns no second history of our log", refuses_fork(world, &world.sunlight.witness_url()));
    cases.case("litewitness", "is understood when it names another size", names_size(world, &lite));
    cases.case("sunlight", "is understood when it names another size", names_size(world, &world.sunlight.witness_url()));
}

/// The published size with another root, signed with our log's own keys.
fn refuses_fork(world: &World<'_>, url: &str) -> anyhow::Result<()> {
    let size = ours::checkpoint(&world.log.url())?.checkpoint.tree.size;
    let tree = Tree { size, root: Hash::digest(b"another history") };
    let checkpoint = Checkpoint { origin: ours::ORIGIN.to_owned(), tree, extensions: Vec::new() };
    let mut lines = Vec::new();
    for file in std::fs::read_dir(world.root.at("log").join("keys"))? {
        let signer = keys::load(&file?.path())?;
        lines.push(checkpoint.sign(&*signer, 1_800_000_000).map_err(|error| anyhow::anyhow!("{error:?}"))?);
    }
    let forked = SignedCheckpoint::new(checkpoint, lines);
    let request = AddCheckpoint { old_size: size, proof: ConsistencyProof(Vec::new()), checkpoint: forked.note };
    match block_on(WitnessClient::new(url, PATIENCE)?.add_checkpoint(&request))? {
        Err(FetchError::Status { status: 409 | 422, .. }) => Ok(()),
        other => bail!("it answered {other:?}"),
    }
}

/// A request from size 1, which it left behind, is answered with the size that it has.
fn names_size(world: &World<'_>, url: &str) -> anyhow::Result<()> {
    let published = ours::checkpoint(&world.log.url())?;
    let size = published.checkpoint.tree.size;
    let request =
        AddCheckpoint { old_size: 1, proof: ConsistencyProof(vec![Hash::EMPTY]), checkpoint: own_lines(published, &world.log_keys).note };
    match block_on(WitnessClient::new(url, PATIENCE)?.add_checkpoint(&request))?? {
        client::witness::AddAnswer::OtherSize(named) if named == size => Ok(()),
        other => bail!("it answered {other:?} and not size {size}"),
    }
}

/// A checkpoint with the lines of these keys alone: witnesses limit what they read.
pub fn own_lines(mut signed: SignedCheckpoint, keys: &[VerifierKey]) -> SignedCheckpoint {
    signed.note.lines.retain(|line| keys.iter().any(|key| line.is_by(key)));
    signed
}

/// Our witness cosigns Sunlight's log, and again when it has grown.
pub fn we_cosign_their_logs(world: &World<'_>, cases: &mut Cases) {
    cases.case("sunlight", "our witness cosigns its log", sunlight(world, 0, 2));
    cases.case("sunlight", "our witness follows its log as it grows", sunlight(world, 2, 5));
}

fn sunlight(world: &World<'_>, from: usize, to: usize) -> anyhow::Result<()> {
    for n in from..to {
        world.sunlight.add(world.root, n)?;
    }
    let cosigned = ours::feed(&world.witness.url(), &format!("{}/ct", world.files.url()))?;
    ensure!(cosigned.checkpoint.tree.size == to as u64, "its log has size {}", cosigned.checkpoint.tree.size);
    world.witness_keys.iter().try_for_each(|key| ours::cosigned(&cosigned, key))
}
