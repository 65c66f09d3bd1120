//! Tessera's log on files, which publishes nothing without our witness.

use std::fs;

use anyhow::ensure;

use crate::cases::Cases;
use crate::ours;
use crate::reading::fsck;
use crate::world::World;

/// Its own client asks our witness; our fsck reads its log.
pub fn with_our_witness(world: &World<'_>, cases: &mut Cases) {
    cases.case("tessera", "publishes with our witness's cosignature", grown(world, 1, 3));
    cases.case("tessera", "grows with our witness's cosignature", grown(world, 2, 300));
    let key = client::keys::load(&world.root.at("tessera.key")).map_err(anyhow::Error::from);
    let checked = key.and_then(|key| fsck(&format!("{}/tessera", world.files.url()), &key.key().encode()));
    cases.case("tessera", "its log passes our fsck", checked);
}

fn grown(world: &World<'_>, round: usize, entries: usize) -> anyhow::Result<()> {
    let directory = world.root.at(&format!("entries-{round}"));
    fs::create_dir_all(&directory)?;
    for n in 0..entries {
        fs::write(directory.join(format!("{n:04}")), format!("entry {n} of round {round}"))?;
    }
    let witness = &world.witness_keys[0];
    fs::write(world.root.at("tessera.policy"), format!("witness w {} {}\nquorum w\n", witness.encode(), world.witness.url()))?;
    let glob = format!("/mnt/run/entries-{round}/*");
    let mut arguments =
        vec!["/mnt/bin/tessera-posix-oneshot", "--storage_dir", "/mnt/run/tessera", "--private_key", "/mnt/run/tessera.key"];
    arguments.extend(["--witness_policy_file", "tessera.policy", "--witness_timeout", "20s", "--entries", &glob]);
    world.root.tell(&arguments)?;
    let published = ours::checkpoint(&format!("{}/tessera", world.files.url()))?;
    ensure!(published.checkpoint.tree.size >= entries as u64, "it published size {}", published.checkpoint.tree.size);
    ours::cosigned(&published, witness)
}
