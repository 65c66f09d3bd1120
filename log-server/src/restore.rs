//! `restore`: a log's directory made anew from a backup of it or from any mirror, with every byte checked on the way
//! (`specs/operate.md`). Entries are read and nothing else is believed: tiles are computed from them, and their root must be the
//! one that the log has signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use client::cli::Advice;
use store::{Directory, Lock, Store};
use tlog::{BundleId, Edge, Hash, SignedCheckpoint, Tree, bundle};

use crate::fsck::Source;
use crate::init::write_settings;
use crate::keys::{LogKeys, OwnCheckpoint};
use crate::server::{load_keys, read_settings};
use crate::stage::Stage;
use crate::{layout, roles};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Size and root of the log's tree.
    pub tree: Tree,
    /// Manifests that its entries claim.
    pub manifests: usize,
}

/// Makes the log in `dir` from the objects of `source`. Keys and `log.toml` are taken from `identity`, a log's directory or a copy of
/// just these. If `identity` also holds a committed tree that is newer than the published one, that is restored.
///
/// An interrupted restore goes on where it stopped when it is run again.
pub fn restore(dir: &Path, source: &dyn Source, identity: &Path) -> anyhow::Result<Restored> {
    let settings = read_settings(identity)?;
    let keys = load_keys(identity, &settings)?;
    let published = source.checkpoint().map_err(|why| anyhow::anyhow!("checkpoint: {why}"))?;
    let head = own(&keys, &published, "the checkpoint")?;
    let backup = Backup::open(source, identity, &keys, head)?;
    begin(dir)?;
    let _lock = Lock::acquire(&dir.join(layout::LOCK)).with_context(|| format!("locking {}", dir.display()))?;
    let store = Directory::open(dir).with_context(|| format!("opening {}", dir.display()))?;
    store.clean().with_context(|| format!("cleaning {}", dir.display()))?;
    let claims = entries(&store, &backup)?;
    manifests(&store, source, &claims)?;
    copy_keys(identity, dir)?;
    store.put(layout::COMMITTED, &committed(&keys, &backup.head)).context("writing the committed checkpoint")?;
    store.put(layout::PUBLISHED, &published).context("writing the published checkpoint")?;
    // Last of all: until it is there, this is no log.
    write_settings(dir, &settings)?;
    Ok(Restored { tree: backup.head.tree(), manifests: claims.len() })
}

/// A source, and what only a copy of the log's own directory has: the committed tree with its staged objects.
struct Backup<'a> {
    source: &'a dyn Source,
    head: OwnCheckpoint,
    staged: BTreeMap<BundleId, Vec<u8>>,
}

impl<'a> Backup<'a> {
    fn open(source: &'a dyn Source, identity: &Path, keys: &LogKeys, head: OwnCheckpoint) -> anyhow::Result<Self> {
        let mut backup = Self { source, head, staged: BTreeMap::new() };
        let Ok(store) = Directory::open_read_only(identity) else { return Ok(backup) };
        let Some(bytes) = store.get(layout::COMMITTED).context("reading the committed checkpoint")? else { return Ok(backup) };
        let committed = own(keys, &bytes, layout::COMMITTED)?;
        if committed.tree().size <= backup.head.tree().size {
            return Ok(backup);
        }
        let key = layout::stage(&committed.tree());
        if let Some(bytes) = store.get(&key).with_context(|| format!("reading {key}"))? {
            let stage =
                Stage::parse(&bytes).map_err(|why| anyhow::anyhow!("{key} is not the staging file of the committed tree: {why:?}"))?;
            backup.staged = stage.bundles.into_iter().collect();
        }
        backup.head = committed;
        Ok(backup)
    }

    fn bundle(&self, id: BundleId) -> anyhow::Result<Vec<u8>> {
        match self.staged.get(&id) {
            Some(bytes) => Ok(bytes.clone()),
            None => {
                let mut bytes = Vec::new();
                self.source.bundle(id, &mut bytes).map_err(|why| damaged(&id.path(), &why.to_string()))?;
                Ok(bytes)
            }
        }
    }
}

fn own(keys: &LogKeys, note: &[u8], what: &str) -> anyhow::Result<OwnCheckpoint> {
    keys.open(note).map_err(|why| {
        let hint = "give the directory with the keys and the log.toml of the log that is to be restored";
        Advice::new(format!("{what} is not signed by this log's two keys: {why:?}"), hint).into()
    })
}

/// Only what an interrupted restore leaves may be there: objects, and no log.
fn begin(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    if [layout::SETTINGS, layout::COMMITTED].iter().any(|name| dir.join(name).exists()) {
        let hint = "restore into a new directory; put it in the place of the old one when it is complete";
        return Err(Advice::new(format!("{} holds a log already", dir.display()), hint).into());
    }
    Ok(())
}

/// Copies the entries, grows the tree over them, and returns the roots of the manifests that they claim.
fn entries(store: &dyn Store, backup: &Backup<'_>) -> anyhow::Result<BTreeSet<Hash>> {
    let tree = backup.head.tree();
    let (mut edge, mut claims, mut objects) = (Edge::empty(), BTreeSet::new(), Vec::new());
    for id in BundleId::all(tree.size) {
        let bytes = backup.bundle(id)?;
        let leaves = bundle::parse(&bytes, id.width()).map_err(|_| damaged(&id.path(), "is not a bundle of its entries"))?;
        claims.extend(leaves.iter().filter_map(|leaf| Some(roles::parts(leaf)?.claimed()?.manifest)));
        let batch = edge.append(&leaves).map_err(|_| damaged(&id.path(), "cannot be appended"))?;
        objects.extend(batch.tiles.into_iter().filter(|(tile, _)| !tile.is_partial()).map(|(tile, bytes)| (layout::tile(&tile), bytes)));
        objects.push((layout::bundle(&id), bytes));
        edge = batch.edge;
        if objects.len() >= AT_ONCE {
            write(store, &std::mem::take(&mut objects))?;
            tracing::info!("restored {} of {} entries", edge.tree().size, tree.size);
        }
    }
    objects.extend(edge.tiles().into_iter().map(|(tile, bytes)| (layout::tile(&tile), bytes)));
    write(store, &objects)?;
    if edge.tree() != tree {
        let what = format!("the entries give the root {}, and the log has signed {} for size {}", edge.tree().root, tree.root, tree.size);
        return Err(
            Advice::new(what, "entries were changed: `tally-log fsck` of the source names the damage; restore from another one").into()
        );
    }
    Ok(claims)
}

fn manifests(store: &dyn Store, source: &dyn Source, claims: &BTreeSet<Hash>) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for root in claims {
        let name = format!("manifest/{root}");
        source.manifest(root, &mut text).map_err(|why| damaged(&name, &why.to_string()))?;
        if attest::manifest::tree_of(&text).root != *root {
            return Err(damaged(&name, "its root is not its name"));
        }
        store.put(&layout::manifest(root), &text).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

fn write(store: &dyn Store, objects: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    store.put_all(objects).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            let hint = "an earlier restore read something else, which was damaged, or another log: remove this directory and begin anew";
            Advice::new(error.to_string(), hint).into()
        }
        _ => anyhow::Error::new(error).context("writing the entries"),
    })
}

/// The committed checkpoint carries the log's own signatures alone.
fn committed(keys: &LogKeys, head: &OwnCheckpoint) -> Vec<u8> {
    let mut signed: SignedCheckpoint = head.signed.clone();
    let own = keys.verifier_keys();
    signed.note.lines.retain(|line| own.iter().any(|key| line.is_by(key)));
    signed.encode().into_bytes()
}

fn copy_keys(identity: &Path, dir: &Path) -> anyhow::Result<()> {
    let (from, to) = (identity.join(layout::KEYS), dir.join(layout::KEYS));
    DirBuilder::new().mode(0o700).recursive(true).create(&to).with_context(|| format!("creating {}", to.display()))?;
    for file in LogKeys::FILES {
        let path = to.join(file);
        let copy = || {
            fs::copy(from.join(file), &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            File::open(&path)?.sync_all()
        };
        copy().with_context(|| format!("copying the key {file}"))?;
    }
    File::open(&to).and_then(|directory| directory.sync_all()).context("syncing keys/")
}

fn damaged(object: &str, why: &str) -> anyhow::Error {
    Advice::new(format!("{object}: {why}"), "the source is damaged or incomplete; restore from another one, or run this again").into()
}

/// Objects that are written together.
const AT_ONCE: usize = 64;
