//! The peers' readers on our log, over HTTP.

use std::path::Path;

use anyhow::ensure;
use e2e::Program;
use e2e::program::run;
use tlog::Hash;

use crate::cases::Cases;
use crate::ours;
use crate::world::{LEAVES, World};

/// The log that our mirror holds, and how many entries it has.
const MIRRORED: &str = "example.com/mirrored";
const HELD: u64 = 40;

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

/// The same readers on what our mirror holds of a log that demands it.
pub fn they_read_our_mirror(world: &World<'_>, cases: &mut Cases) {
    let mirrored = mirrored(world);
    let asked = |word: &str| match &mirrored {
        Ok((_log, mirror, key)) => {
            let url = format!("{}/{}", mirror.url(), Hash::digest(MIRRORED.as_bytes()).to_hex());
            world.root.tell(&["/mnt/bin/tessera", word, &url, key])
        }
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    let counted = |said: String| {
        ensure!(said.trim() == HELD.to_string(), "it counted {said:?} entries");
        Ok(())
    };
    cases.case("tessera client", "reads and proves every entry that our mirror holds", asked("read").and_then(counted));
    cases.case("tessera fsck", "accepts our mirror's copy", asked("fsck").map(drop));
}

fn mirrored(world: &World<'_>) -> anyhow::Result<(Program, Program, String)> {
    let (log_dir, mirror_dir) = (world.root.at("mirrored"), world.root.at("mirror"));
    let log_keys = ours::init("tally-log", &log_dir, &["--origin", MIRRORED, "--open"])?;
    let keys = ours::init("tally-witness", &mirror_dir, &["--name", "tally.example/mirror", "--mirror"])?;
    let listed: Vec<_> = log_keys.iter().map(|key| (MIRRORED, key.clone())).collect();
    let mirror = ours::cosigner_over("mirror", &mirror_dir, &listed)?;
    let log = ours::log(&log_dir, &ours::policy(&log_keys, &[("mirror", &*keys, &mirror.url())]))?;
    (0..HELD).try_for_each(|n| ours::add(&log.url(), format!("held {n}").into_bytes()).map(drop))?;
    let published = ours::checkpoint(&log.url())?;
    keys.iter().try_for_each(|key| ours::cosigned(&published, key))?;
    Ok((log, mirror, log_keys[0].encode()))
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
