//! Where everything lies in a log's directory: the one place that builds paths and keys.
//!
//! `public/` is what a static server may show; `state/` (committed checkpoint, staging), `keys/`, `log.toml`, `index.redb`
//! and `lock` lie beside it. Store keys are relative to the directory.

use tlog::tile::BundleId;
use tlog::{Hash, Tile, Tree};

/// The committed checkpoint: the log's own signatures only. Replacing it is the point of no return of a round.
pub const COMMITTED: &str = "state/committed";
/// The published, cosigned checkpoint.
pub const PUBLISHED: &str = "public/checkpoint";
/// Says that the log is frozen, and where to go instead.
pub const FROZEN: &str = "public/frozen";
/// The folder of staged rounds.
pub const STAGES: &str = "state/stage";
/// The folder of manifests.
pub const MANIFESTS: &str = "public/manifest";
/// The folder of hash tiles and entry bundles.
pub const TILES: &str = "public/tile";
/// The settings, beside the store's keys.
pub const SETTINGS: &str = "log.toml";
/// The derived index; deleting it costs time only.
pub const INDEX: &str = "index.redb";
/// Locked by the one server that may run on the directory.
pub const LOCK: &str = "lock";
/// The folder of the two signing keys, 0700.
pub const KEYS: &str = "keys";

/// The staged objects of the round that leads to `tree`.
#[must_use]
pub fn stage(tree: &Tree) -> String {
    format!("{STAGES}/{}-{}", tree.size, tree.root)
}

/// How far the scrub has come; a cache.
pub const SCRUB: &str = "scrub.state";
/// What the scrub has found damaged.
pub const DAMAGED: &str = "scrub.damaged";

/// A public object by its path.
#[must_use]
pub fn public(path: &str) -> String {
    format!("public/{path}")
}

/// A hash tile.
#[must_use]
pub fn tile(tile: &Tile) -> String {
    format!("public/{}", tile.path())
}

/// An entry bundle.
#[must_use]
pub fn bundle(bundle: &BundleId) -> String {
    format!("public/{}", bundle.path())
}

/// A manifest, named by its root.
#[must_use]
pub fn manifest(root: &Hash) -> String {
    format!("{MANIFESTS}/{root}")
}
