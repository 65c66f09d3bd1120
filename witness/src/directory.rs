//! A witness's directory: keys, state, evidence, the lock, and the marker that tells a copy from the original.
//!
//! ```text
//! DIR/keys/cosignature   type 04, mode 0600      DIR/state/<id>/known, hold
//! DIR/keys/subtree       type 06, mode 0600      DIR/evidence/<id>/<digest>
//! DIR/keys/bastion       type 01, mode 0600      DIR/lock
//! DIR/marker             where DIR was made      DIR/role, DIR/mirror/<id>/…   a mirror's: that it is one, and its copies
//! ```

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use client::cli::Advice;
use client::keys;
use custody::Place;
use store::{Directory as FileStore, Lock, Store};
use tlog::{KeyKind, KeyName, VerifierKey};

use crate::bastion::Identity;
use crate::state::States;
use crate::{Hold, Role, Signers};

/// An opened directory; nobody else can open it until this is dropped.
pub struct Directory {
    path: PathBuf,
    store: Arc<FileStore>,
    _lock: Lock,
}

impl Directory {
    /// Makes a witness or a mirror: its directory and two keys, whose verifier keys are returned, type 04 first. That one may be elsewhere.
    ///
    /// # Errors
    /// If the name cannot be a key's, there are keys already, or the key is not where it is said to be.
    pub fn init(path: &Path, name: &str, role: Role, place: Option<&Place>) -> anyhow::Result<[VerifierKey; 2]> {
        let name = KeyName::parse(name).filter(|name| name.as_str().len() <= 255).ok_or_else(|| {
            Advice::new(
                format!("{name:?} cannot be a witness's name"),
                "use 1 to 255 bytes without spaces and plus signs, such as witness.example.org",
            )
        })?;
        let keys = path.join(KEYS);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&keys).with_context(|| format!("creating {}", keys.display()))?;
        let directory = Self::open(path)?;
        if let Some(there) = [COSIGNATURE_KEY, SUBTREE_KEY].iter().find(|file| keys.join(file).exists()) {
            let what = format!("{} holds a witness already: its key {there} is there", path.display());
            return Err(Advice::new(what, "choose another directory; a witness's keys are never overwritten").into());
        }
        if role == Role::Mirror {
            // Before there is a key: never can one of a mirror's keys be taken for a witness's.
            directory.store.put(ROLE, MIRROR).context("writing the role")?;
        }
        directory.check_role(role)?;
        let cosignature = custody::bring_or_create(place, &keys.join(COSIGNATURE_KEY), &name, KeyKind::CosignatureV1)?;
        let made = [cosignature, keys::create(&keys.join(SUBTREE_KEY), &name, KeyKind::MlDsa44)?];
        directory.mark().context("writing the marker")?;
        Ok(made)
    }

    /// Opens a directory and takes its lock.
    ///
    /// # Errors
    /// If there is no witness, or another process holds the lock.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.join(KEYS).is_dir() {
            return Err(Advice::new(
                format!("{} holds no witness", path.display()),
                "make one with: tally-witness init --dir DIR --name NAME",
            )
            .into());
        }
        let lock = Lock::acquire(&path.join("lock")).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                let what = format!("another process is using {}", path.display());
                anyhow::Error::from(Advice::new(what, "stop it first: two witnesses on one state would sign two histories"))
            }
            _ => anyhow::Error::from(error).context(format!("locking {}", path.display())),
        })?;
        let store = FileStore::open(path).with_context(|| format!("opening {}", path.display()))?;
        store.clean().context("removing what an interrupted write left")?;
        Ok(Self { path: path.to_owned(), store: Arc::new(store), _lock: lock })
    }

    /// Whether this directory's keys were made for this role.
    ///
    /// # Errors
    /// If they were made for another one.
    pub fn check_role(&self, role: Role) -> anyhow::Result<()> {
        let made_for = match self.store.get(ROLE).context("reading the role")? {
            None => Role::Witness,
            Some(text) if text == MIRROR => Role::Mirror,
            Some(_) => {
                return Err(
                    Advice::new("the file role is damaged", "if the keys are a mirror's, write the word mirror and a line feed").into()
                );
            }
        };
        if made_for == role {
            return Ok(());
        }
        let what = match made_for {
            Role::Mirror => "the keys here are a mirror's: what they sign says that all entries are held",
            Role::Witness => "the keys here are a witness's: what they sign says nothing of entries",
        };
        Err(Advice::new(what, "make another directory with tally-witness init, with --mirror for a mirror").into())
    }

    /// The store of state and evidence.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Reads the two keys.
    ///
    /// # Errors
    /// If a key file is missing, damaged or open to others.
    pub fn signers(&self) -> Result<Signers, keys::KeyFileError> {
        let load = |file| custody::load(&self.path.join(KEYS).join(file));
        Ok(Signers { cosignature: load(COSIGNATURE_KEY)?, subtree: load(SUBTREE_KEY)? })
    }

    /// The key by which bastions know this witness: one of its own, so that no key signs for two purposes. Made at the first use.
    ///
    /// # Errors
    /// If the key file cannot be made or read.
    pub fn bastion_identity(&self) -> anyhow::Result<Identity> {
        let path = self.path.join(KEYS).join(BASTION_KEY);
        if !path.exists() {
            let own = keys::load(&self.path.join(KEYS).join(SUBTREE_KEY))?;
            keys::create(&path, own.key().name(), KeyKind::Ed25519)?;
        }
        let signer = Arc::from(keys::load(&path)?);
        Identity::new(signer).with_context(|| format!("{} does not hold an Ed25519 key", path.display()))
    }

    /// Whether this is the directory that was marked, or a copy of it: [`Hold::Moved`].
    ///
    /// A restored or copied directory has a marker file with another inode number or birth time than the one that it names. (A restored
    /// disk image has not: `specs/witness.md` section 6 says what is left for that.)
    ///
    /// # Errors
    /// What reading gave.
    pub fn check_marker(&self) -> io::Result<Option<Hold>> {
        let Some(mut file) = open_if_there(&self.marker())? else {
            // A witness that never signed has nothing that could be old.
            return Ok((!States::new(self.store()).is_empty()?).then_some(Hold::Moved));
        };
        let mut text = String::new();
        let expected = marker_text(&file.metadata()?);
        (&mut file).take(4096).read_to_string(&mut text)?;
        Ok((text != expected).then_some(Hold::Moved))
    }

    /// Marks this directory as the one whose state is current.
    ///
    /// # Errors
    /// What writing gave.
    pub fn mark(&self) -> io::Result<()> {
        let path = self.marker();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Written in place: the file states its own inode, so it cannot be made elsewhere and renamed. Cut short, it is a copy's.
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let text = marker_text(&file.metadata()?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(&self.path)?.sync_all()
    }

    fn marker(&self) -> PathBuf {
        self.path.join("marker")
    }
}

/// What a marker file with this metadata must say. The machine's ID is left out where there is none.
fn marker_text(metadata: &Metadata) -> String {
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let born = born.map_or_else(|| "unknown".to_owned(), |time| time.as_nanos().to_string());
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    format!("tallystick/witness-marker/v1\ninode {}\nborn {born}\nmachine {}\n", metadata.ino(), machine.trim())
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

const ROLE: &str = "role";
const MIRROR: &[u8] = b"mirror\n";
const KEYS: &str = "keys";
const COSIGNATURE_KEY: &str = "cosignature";
const SUBTREE_KEY: &str = "subtree";
const BASTION_KEY: &str = "bastion";
