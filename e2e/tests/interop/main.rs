//! The peers' own programs, unchanged, against ours: `make interop`. Each case prints a line; the last one is the sum.

mod bastion;
mod cases;
mod files;
mod golang;
mod litewitness;
mod load;
mod ours;
mod proofs;
mod reading;
mod root;
mod sigsum;
mod sumdb;
mod sunlight;
mod tessera;
mod witnessing;
mod world;

use cases::Cases;
use root::Root;
use world::World;

#[test]
#[ignore = "needs a Debian root with the peers' programs: make interop"]
fn the_peers_own_programs() {
    let root = Root::from_environment().expect("make interop says where the root is");
    golang::build(&root).expect("the Go programs are built");
    let world = World::start(&root).expect("everybody starts");
    let mut cases = Cases::default();
    witnessing::they_cosign_our_log(&world, &mut cases);
    reading::they_read_our_log(&world, &mut cases);
    reading::they_read_our_mirror(&world, &mut cases);
    tessera::with_our_witness(&world, &mut cases);
    witnessing::we_cosign_their_logs(&world, &mut cases);
    sigsum::with_our_witness(&world, &mut cases);
    sigsum::their_witness(&world, &mut cases);
    proofs::both_ways(&world, &mut cases);
    sumdb::fed(&world, &mut cases);
    bastion::both_ways(&world, &mut cases);
    load::hundred_logs(&world, &mut cases);
    drop(world);
    assert!(cases.finish(), "see the lines that begin with FAILED");
}
