//! tlog-proofs, ours for torchwood and torchwood's for us.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use client::{LogClient, block_on};
use tlog::plan::InclusionPlan;
use tlog::{Policy, TlogProof, VerifierKey, hash_leaf};

use crate::cases::Cases;
use crate::world::{World, leaf};

/// torchwood's library and spicy on one side, our library on the other.
pub fn both_ways(world: &World<'_>, cases: &mut Cases) {
    let proof = ours(world);
    let verified = proof.and_then(|()| verify(world, "ours.entry"));
    cases.case("torchwood", "accepts our proof under our witnesses' policy", verified);
    let other = fs::write(world.root.at("other.entry"), "another entry").map_err(anyhow::Error::from);
    let refused = other.and_then(|()| match verify(world, "other.entry") {
        Ok(()) => bail!("it accepted another entry"),
        Err(_) => Ok(()),
    });
    cases.case("torchwood", "refuses our proof for another entry", refused);
    cases.case("torchwood", "its proof is accepted here", theirs(world));
    cases.case("spicy", "its proof is accepted here", spicy(world));
}

/// The proof of one leaf of our log.
fn ours(world: &World<'_>) -> anyhow::Result<()> {
    let client = LogClient::new(&world.log.url())?;
    let checkpoint = block_on(client.checkpoint())??;
    let tree = checkpoint.checkpoint.tree;
    let entry = leaf(3, 7);
    for index in 0..tree.size {
        let plan = InclusionPlan::new(&tree, index).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let tiles = block_on(client.tiles(plan.tiles()))??;
        let (hash, proof) = plan.finish(&tiles).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        if hash == hash_leaf(&entry) {
            let proof = TlogProof { extra: None, index, proof, checkpoint };
            fs::write(world.root.at("ours.proof"), proof.encode())?;
            fs::write(world.root.at("ours.entry"), entry)?;
            return Ok(());
        }
    }
    bail!("the leaf is not in the log")
}

/// torchwood reads keys of types 01 and 04 alone, and wants every log line to have signed.
fn verify(world: &World<'_>, entry: &str) -> anyhow::Result<()> {
    let policy = Policy::parse(world.policy.as_bytes()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let named = policy.witnesses().iter().filter(|line| line.key.public().len() == 32);
    let witnesses: Vec<_> = named.map(|line| (&line.name, &line.key)).collect();
    let mut text = format!("log {}\n", world.log_keys[0].encode());
    for (name, key) in &witnesses {
        text.push_str(&format!("witness {name} {}\n", key.encode()));
    }
    let names: String = witnesses.iter().map(|(name, _)| format!(" {name}")).collect();
    ensure!(witnesses.len() == 3, "three witnesses in {text}");
    fs::write(world.root.at("torchwood.policy"), format!("{text}group all-three all{names}\nquorum all-three\n"))?;
    world.root.tell(&["/mnt/bin/tlogproof", "verify", "torchwood.policy", "ours.proof", entry]).map(drop)
}

fn theirs(world: &World<'_>) -> anyhow::Result<()> {
    fs::create_dir_all(world.root.at("theirs"))?;
    world.root.tell(&["/mnt/bin/tlogproof", "make", "example.com/torchwood", "theirs"])?;
    let read = |name: &str| fs::read(world.root.at("theirs").join(name));
    accept(&String::from_utf8(read("vkey")?)?, &read("proof")?, &read("entry")?)
}

/// Our verdict under a policy that wants the log's signature alone; another entry is refused.
fn accept(key: &str, proof: &[u8], entry: &[u8]) -> anyhow::Result<()> {
    ensure!(VerifierKey::parse(key).is_ok(), "{key:?} is no key");
    let policy = Policy::parse(format!("log {key}\nquorum none\n").as_bytes()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let proof = TlogProof::parse(proof).map_err(|_| anyhow::anyhow!("it does not parse"))?;
    proof.verify(&policy, entry).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    ensure!(proof.verify(&policy, b"another").is_err(), "it proves another entry too");
    Ok(())
}

/// spicy's files are proofs without the first line that the specification has by now.
fn spicy(world: &World<'_>) -> anyhow::Result<()> {
    let root = world.root;
    fs::create_dir_all(root.at("spicy"))?;
    let spicy = |arguments: &[&str]| root.tell(&[&["spicy-torchwood", "-assets", "spicy", "-key", "spicy.key"], arguments].concat());
    spicy(&["-init", "example.com/spicy"])?;
    let entries: Vec<String> = (0..5).map(|n| format!("spicy-{n}")).collect();
    for entry in &entries {
        fs::write(root.at(entry), format!("contents of {entry}"))?;
    }
    spicy(&entries.iter().map(String::as_str).collect::<Vec<_>>())?;
    let skey = fs::read_to_string(root.at("spicy.key"))?;
    let signer = tlog::SigningKey::parse(skey.trim()).ok().context("its key file")?;
    let key = tlog::Signer::key(&signer).encode();
    for entry in &entries {
        let signature = fs::read_to_string(root.at(&format!("{entry}.spicy")))?;
        let headed = if signature.starts_with("index ") { format!("c2sp.org/tlog-proof@v1\n{signature}") } else { signature };
        accept(&key, headed.as_bytes(), &fs::read(root.at(entry))?)?;
    }
    Ok(())
}
