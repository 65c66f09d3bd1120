//! The peers' readers on our log, over HTTP.

use std::path::Path;

use anyhow::ensure;
use e2e::program::run;

use crate::cases::Cases;
use crate::ours;
use crate::world::{LEAVES, World};

/// Tessera's client and fsck, its mirror tool, the Go module tools, and transparency-dev's notes.
pub fn they_read_our_log(world: &World<'_>, cases: &mut Cases) {
    let (url, key) = (world.log.url(), world.log_keys[0].encode());
    let counted = |program: &[&str]| {
        let counted = world.root.tell(&[program, &[&url, &key]].concat())?;
        ensure!(counted.trim() == LEAVES.to_string(), "it counted {counted:?} entries");
        Ok(())
    };
    cases.case("tessera client", "reads and proves every entry of our log", counted(&["/mnt/bin/tessera", "read"]));
    cases.case("tessera fsck", "accepts our log", world.root.tell(&["/mnt/bin/tessera", "fsck", &url, &key]).map(drop));
    cases.case("tessera mirror", "copies our log, and the copy passes our fsck", copied(world));
    cases.case("x/mod tlog", "reads and proves every entry of our log", counted(&["/mnt/bin/modlog"]));
    cases.case("formats", "opens our checkpoint with our witness's cosignature", opened(world, &key));
}

fn copied(world: &World<'_>) -> anyhow::Result<()> {
    world.root.tell(&["/mnt/bin/tessera-mirror", "--storage_dir", "/mnt/run/copy", "--source_url", &world.log.url()])?;
    fsck(&format!("{}/copy", world.files.url()), &world.log_keys[0].encode())
}

/// Our fsck over a log at an address.
pub fn fsck(url: &str, key: &str) -> anyhow::Result<()> {
    let output = run("tally-log", ["fsck", url, "--key", key]);
    ensure!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn opened(world: &World<'_>, key: &str) -> anyhow::Result<()> {
    std::fs::write(world.root.at("published"), ours::get(&world.log.url(), "checkpoint")?)?;
    let witness = world.witness_keys[0].encode();
    let said = world.root.run(&["/mnt/bin/cosignatures", "published", key, &witness], Path::new("/dev/null"))?;
    ensure!(said.starts_with(&format!("{LEAVES} ")), "it said {said:?}");
    Ok(())
}
