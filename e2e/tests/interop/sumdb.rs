//! A checksum database as the Go module tools serve it, which never calls a witness: ours feeds itself.

use std::fs;

use anyhow::ensure;
use e2e::program::run;
use tlog::{Hash, VerifierKey};

use crate::cases::Cases;
use crate::ours;
use crate::root::free_address;
use crate::world::World;

const ORIGIN: &str = "go.sum database tree";

/// Our feeder follows it as it grows over a tile's edge.
pub fn fed(world: &World<'_>, cases: &mut Cases) {
    cases.case("x/mod sumdb", "our feeder cosigns a checksum database as it grows", follow(world));
}

fn follow(world: &World<'_>) -> anyhow::Result<()> {
    let (root, address) = (world.root, free_address()?);
    let listen = address.to_string();
    let _server = root.start("sumdb", &["/mnt/bin/sumdb", &listen, "/mnt/run/sumdb.vkey"], address)?;
    let key = fs::read_to_string(root.at("sumdb.vkey"))?;
    ensure!(VerifierKey::parse(&key).is_ok(), "{key:?} is no key");
    let directory = root.at("feeder");
    ours::init("tally-witness", &directory, &["--name", "feeder.example/witness"])?;
    let (dir, list) = (directory.to_string_lossy().into_owned(), root.at("feeder.logs"));
    fs::write(&list, format!("logs/v0\n\nvkey {key}\norigin {ORIGIN}\nqpd 86400\ncontact x\nurl http://{address}\n"))?;
    for (from, to) in [(0, 5), (5, 300)] {
        for n in from..to {
            ours::get(&ours::url(address), &format!("lookup/example.com/m@v1.0.{n}"))?;
        }
        let fed = run("tally-witness", ["feed", "--dir", &dir, "--logs", &list.to_string_lossy(), "--once"]);
        ensure!(fed.status.success(), "{}", String::from_utf8_lossy(&fed.stderr));
        let known = fs::read_to_string(directory.join("state").join(Hash::digest(ORIGIN.as_bytes()).to_hex()).join("known"))?;
        ensure!(known.contains(&format!("{ORIGIN}\n{to}\n")), "it has {known}");
    }
    Ok(())
}
