//! Making a new log: directory, keys, settings and the checkpoint of the empty tree.

use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use client::cli::Advice;
use custody::Place;
use store::Directory;
use tlog::{KeyName, VerifierKey};

use crate::clock::Clock;
use crate::config::Settings;
use crate::keys::LogKeys;
use crate::{layout, recover};

/// Makes the log with new keys and returns its verifier keys, Ed25519 first. A directory that holds one already is left alone.
pub fn init(dir: &Path, origin: &str, open: bool, clock: &dyn Clock) -> anyhow::Result<Vec<VerifierKey>> {
    init_with(dir, origin, open, None, clock)
}

/// The same with an Ed25519 key that is somewhere already.
pub fn init_with(dir: &Path, origin: &str, open: bool, place: Option<&Place>, clock: &dyn Clock) -> anyhow::Result<Vec<VerifierKey>> {
    let name = KeyName::parse(origin).filter(|name| name.as_str().len() <= 255);
    let name = name.ok_or_else(|| {
        Advice::new(format!("{origin:?} cannot name a log"), "use a name like example.com/log: 1 to 255 bytes, no spaces, no plus")
    })?;
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let keys = dir.join(layout::KEYS);
    if let Err(error) = DirBuilder::new().mode(0o700).create(&keys) {
        let what = format!("creating {}: {error}", keys.display());
        return Err(Advice::new(what, "a log is made once, in a directory of its own; choose another one").into());
    }
    let verifier_keys = LogKeys::create(dir, &name, place).inspect_err(|_| {
        // What was made is empty, or holds a new key that signed nothing: the same directory can be tried again.
        let _ = fs::remove_dir_all(&keys);
    })?;
    let store = Directory::open(dir).context("opening the directory")?;
    for folder in ["public", "state"] {
        fs::create_dir_all(dir.join(folder)).with_context(|| format!("creating {folder}"))?;
    }
    recover::create(&store, &LogKeys::load(dir)?, clock.now())?;
    let settings = Settings::new(origin, open, verifier_keys.iter().map(VerifierKey::encode).collect());
    write_settings(dir, &settings)?;
    Ok(verifier_keys)
}

/// Last of all, so that a half-made log is no log.
pub(crate) fn write_settings(dir: &Path, settings: &Settings) -> anyhow::Result<()> {
    let path = dir.join(layout::SETTINGS);
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.write_all(settings.encode().as_bytes())?;
        file.sync_all()?;
        fs::File::open(dir)?.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}
