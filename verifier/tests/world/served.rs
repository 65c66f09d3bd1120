//! A world whose log is served, and a root that is synced for.

use super::packages::{Root, base};
use super::server::Server;
use super::{Outcome, World, key};
use tlog::KeyKind;

pub const RULES: &str = "builders = 2\nmax_age = \"1h\"\n";

pub fn served() -> (World, Root, Server) {
    let world = base().world();
    let server = Server::start();
    world.configure_log(RULES, &server.url);
    server.show(&world.leaves, &world.head(), &world.manifests);
    (world, base().root(), server)
}

pub fn sync(world: &World, root: &Root, more: &[&str]) -> Outcome {
    world.tally(&[&["sync", "--root", root.path().to_str().unwrap()], more].concat())
}

/// The same log up to some entry, then another one.
pub fn forked(world: &World, at: usize, more: usize) -> Vec<Vec<u8>> {
    let mut leaves = world.leaves[..at].to_vec();
    let other =
        attest::Envelope::sign(attest::Envelope::parse(&world.leaves[1]).unwrap().payload().to_vec(), &key("other", KeyKind::Ed25519));
    leaves.extend(std::iter::repeat_n(other.unwrap().encode(), more));
    leaves
}
