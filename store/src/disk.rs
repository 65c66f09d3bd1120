//! A model disk: it follows a directory store's calls and keeps apart what the system shows and what the disk is certain to have, so
//! that a test can ask what a power cut may leave.
//!
//! Certain is what was fsynced: a file's bytes, and the names in a directory. Everything else may be there after a cut or not, each
//! name by itself and in any order, and a file that was not fsynced may be empty, cut short, zeros, or torn at a sector. That is more
//! than any one file system does. A rename is atomic for the name that it gives; the old name may survive beside it. After a
//! failed fsync of a file its bytes never reach the disk, however often it is synced again: Linux marks the pages clean.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Call, Watch};

/// What a disk may hold after a cut: paths below the store's root, with bytes for files and `None` for directories.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Image(BTreeMap<PathBuf, Option<Arc<[u8]>>>);

impl Image {
    /// Writes it into an empty directory.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        // In order of their names, directories come before what is in them.
        self.0.iter().try_for_each(|(path, bytes)| match bytes {
            None => fs::create_dir(root.join(path)),
            Some(bytes) => fs::write(root.join(path), bytes),
        })
    }
}

/// The model. Names are relative to the store's root.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
    files: Vec<Inode>,
    /// What the system shows.
    shown: BTreeMap<PathBuf, Node>,
    /// What is certain.
    certain: BTreeMap<PathBuf, Node>,
    /// Changes of names that no fsync of their directory has made certain, oldest first; `None` removes.
    pending: Vec<(PathBuf, Option<Node>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
struct Inode {
    bytes: Arc<[u8]>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsynced,
    Synced,
    /// An fsync failed.
    Lost,
}

impl Disk {
    /// An empty disk below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), files: Vec::new(), shown: BTreeMap::new(), certain: BTreeMap::new(), pending: Vec::new() }
    }

    /// The disk that a cut left, below another root.
    #[must_use]
    pub fn after(image: &Image, root: &Path) -> Self {
        let mut disk = Self::new(root);
        for (path, bytes) in &image.0 {
            let node = bytes.as_ref().map_or(Node::Directory, |bytes| disk.add(bytes.clone(), State::Synced));
            disk.shown.insert(path.clone(), node);
        }
        disk.certain = disk.shown.clone();
        disk
    }

    /// A call took effect.
    pub fn apply(&mut self, call: &Call<'_>) {
        match *call {
            Call::Create(path) => {
                let node = self.add(Arc::from([]), State::Unsynced);
                self.name(path, Some(node));
            }
            Call::Write(path, bytes) => self.with_file(path, |file| file.bytes = Arc::from(bytes)),
            Call::SyncFile(path) => self.with_file(path, |file| {
                if file.state == State::Unsynced {
                    file.state = State::Synced;
                }
            }),
            Call::CreateDirectory(path) => self.name(path, Some(Node::Directory)),
            Call::SyncDirectory(path) => self.sync_directory(path),
            Call::Rename(from, to) => {
                let node = self.shown.get(&self.relative(from)).copied();
                self.name(to, node);
                self.name(from, None);
            }
            Call::Remove(path) => self.name(path, None),
            Call::Read(_) => {}
        }
    }

    /// A call failed: an fsync that fails loses the file's bytes for good, anything else did nothing.
    pub fn fail(&mut self, call: &Call<'_>) {
        if let Call::SyncFile(path) = *call {
            self.with_file(path, |file| {
                if file.state == State::Unsynced {
                    file.state = State::Lost;
                }
            });
        }
    }

    /// What a power cut now may leave: nothing or all that is not certain, all but one change, one change alone, every beginning,
    /// and `more` other choices; each with the files that were not fsynced in five states. Each image once.
    #[must_use]
    pub fn cuts(&self, more: u64) -> BTreeSet<Image> {
        let count = self.pending.len();
        let mut chosen: Vec<Vec<bool>> = vec![vec![true; count]];
        chosen.extend((0..count).map(|end| (0..count).map(|n| n < end).collect()));
        chosen.extend((0..count).map(|one| (0..count).map(|n| n == one).collect()));
        chosen.extend((0..count).map(|one| (0..count).map(|n| n != one).collect()));
        chosen.extend((0..more).map(|seed| (0..count as u64).map(|n| is_chosen(seed, n)).collect()));
        let states = [Torn::Whole, Torn::Empty, Torn::Half, Torn::Zeros, Torn::Sector];
        chosen.iter().flat_map(|chosen| states.map(|torn| self.image(chosen, torn))).collect()
    }

    fn image(&self, chosen: &[bool], torn: Torn) -> Image {
        let mut names = self.certain.clone();
        for ((path, node), _) in self.pending.iter().zip(chosen).filter(|(_, is_chosen)| **is_chosen) {
            set(&mut names, path, *node);
        }
        let is_there = |path: &Path| path.ancestors().skip(1).all(|above| above == Path::new("") || names.contains_key(above));
        let files = names.iter().filter(|(path, _)| is_there(path)).map(|(path, node)| (path.clone(), self.bytes(*node, torn)));
        Image(files.collect())
    }

    fn bytes(&self, node: Node, torn: Torn) -> Option<Arc<[u8]>> {
        let Node::File(number) = node else { return None };
        let file = self.files.get(number)?;
        Some(if file.state == State::Synced { file.bytes.clone() } else { torn.of(&file.bytes) })
    }

    fn add(&mut self, bytes: Arc<[u8]>, state: State) -> Node {
        self.files.push(Inode { bytes, state });
        Node::File(self.files.len() - 1)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        let path = self.relative(path);
        if self.shown.get(&path).copied() == node {
            return;
        }
        set(&mut self.shown, &path, node);
        self.pending.push((path, node));
    }

    fn with_file(&mut self, path: &Path, change: impl FnOnce(&mut Inode)) {
        if let Some(Node::File(number)) = self.shown.get(&self.relative(path)).copied()
            && let Some(file) = self.files.get_mut(number)
        {
            change(file);
        }
    }

    fn sync_directory(&mut self, path: &Path) {
        let directory = self.relative(path);
        let (synced, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|(path, _)| path.parent() == Some(directory.as_path()));
        self.pending = pending;
        for (path, node) in synced {
            set(&mut self.certain, &path, node);
        }
    }
}

fn set(names: &mut BTreeMap<PathBuf, Node>, path: &Path, node: Option<Node>) {
    match node {
        Some(node) => drop(names.insert(path.to_owned(), node)),
        None => drop(names.remove(path)),
    }
}

/// Any spread of choices will do.
fn is_chosen(seed: u64, n: u64) -> bool {
    let mut x = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x.wrapping_mul(0x94d0_49bb_1331_11eb) >> 63 == 1
}

/// What became of a file that was not fsynced.
#[derive(Clone, Copy, Debug)]
enum Torn {
    Whole,
    Empty,
    Half,
    Zeros,
    /// The first sector is there, the second holds something else.
    Sector,
}

impl Torn {
    fn of(self, bytes: &Arc<[u8]>) -> Arc<[u8]> {
        match self {
            Self::Whole => bytes.clone(),
            Self::Empty => Arc::from([]),
            Self::Half => bytes.iter().take(bytes.len() / 2).copied().collect(),
            Self::Zeros => vec![0; bytes.len()].into(),
            Self::Sector => bytes.iter().enumerate().map(|(n, byte)| if (n / SECTOR).is_multiple_of(2) { *byte } else { !*byte }).collect(),
        }
    }
}

const SECTOR: usize = 512;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It happens.
    Happens,
    /// It does nothing and fails with this error number.
    FailsBefore(i32),
    /// It takes effect and fails with it all the same.
    FailsAfter(i32),
}

/// Decides about call `number` (from 0), knowing the disk as it is before it.
pub type Plan = Box<dyn Fn(u64, &Call<'_>, &Disk) -> Fate + Send + Sync>;

/// A watch that follows a store on a model disk and asks a plan about each call.
pub struct Recorder {
    state: Mutex<(u64, Disk)>,
    plan: Plan,
}

impl Recorder {
    /// Follows a store on `disk`.
    #[must_use]
    pub fn new(disk: Disk, plan: Plan) -> Self {
        Self { state: Mutex::new((0, disk)), plan }
    }

    /// The disk as it is now, and the number of calls so far.
    #[must_use]
    pub fn disk(&self) -> (u64, Disk) {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Disk)> {
        // A panic of the plan fails the test that made it; the model is of no more use then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Recorder {
    fn call(&self, call: Call<'_>, effect: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        let (number, disk) = &mut *state;
        let fate = (self.plan)(*number, &call, disk);
        *number += 1;
        if let Fate::FailsBefore(number) = fate {
            disk.fail(&call);
            return Err(io::Error::from_raw_os_error(number));
        }
        effect()?;
        match fate {
            Fate::FailsAfter(number) => {
                // A failed fsync has no good outcome that anybody may rely on.
                if matches!(call, Call::SyncFile(_)) {
                    disk.fail(&call)
                } else {
                    disk.apply(&call)
                }
                Err(io::Error::from_raw_os_error(number))
            }
            _ => {
                disk.apply(&call);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, Store};

    const EIO: i32 = 5;

    fn recorded(work: impl Fn(&Directory), fate: impl Fn(u64, &Call<'_>) -> Fate + Send + Sync + 'static) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::new(Disk::new(dir.path()), Box::new(move |n, call, _| fate(n, call))));
        work(&Directory::open_watched(dir.path(), Some(recorder.clone())).unwrap());
        recorder.disk().1
    }

    /// The bytes of `key` after each possible cut; `None` where it is gone.
    fn outcomes(disk: &Disk, key: &str) -> BTreeSet<Option<Vec<u8>>> {
        let bytes = |image: &Image| image.0.get(Path::new(key)).and_then(Option::as_ref).map(|bytes| bytes.to_vec());
        disk.cuts(8).iter().map(bytes).collect()
    }

    #[test]
    fn what_a_put_returned_survives_every_cut() {
        let disk = recorded(|store| store.put("a/b/c", &[7; 2000]).unwrap(), |_, _| Fate::Happens);
        assert_eq!(outcomes(&disk, "a/b/c"), BTreeSet::from([Some(vec![7; 2000])]));
    }

    #[test]
    fn before_the_directorys_fsync_a_cut_leaves_all_or_nothing() {
        let unsynced = |_, call: &Call<'_>| match call {
            Call::SyncDirectory(path) if path.ends_with("a") => Fate::FailsBefore(EIO),
            _ => Fate::Happens,
        };
        let disk = recorded(|store| assert!(store.put("a/b", b"new").is_err()), unsynced);
        assert_eq!(outcomes(&disk, "a/b"), BTreeSet::from([None, Some(b"new".to_vec())]));
    }

    #[test]
    fn without_the_files_fsync_a_cut_leaves_anything() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(dir.path());
        let (temporary, path) = (dir.path().join("t"), dir.path().join("f"));
        for call in [Call::Create(&temporary), Call::Write(&temporary, &[7; 1024]), Call::Rename(&temporary, &path)] {
            disk.apply(&call);
        }
        disk.apply(&Call::SyncDirectory(dir.path()));
        let found = outcomes(&disk, "f");
        assert_eq!(found.len(), 5, "whole, empty, half, zeros, torn");
        disk.apply(&Call::SyncFile(&path));
        assert_eq!(outcomes(&disk, "f").len(), 1);
    }

    #[test]
    fn after_a_failed_fsync_another_one_proves_nothing_and_a_rewrite_does() {
        let first_fsync = |n, call: &Call<'_>| match call {
            Call::SyncFile(_) if n < 10 => Fate::FailsAfter(EIO),
            _ => Fate::Happens,
        };
        let disk = recorded(
            |store| {
                assert!(store.put("f", b"value").is_err(), "it is not placed after a failed fsync");
                store.put("f", b"value").unwrap();
                store.rewrite("f").unwrap();
            },
            first_fsync,
        );
        assert_eq!(outcomes(&disk, "f"), BTreeSet::from([Some(b"value".to_vec())]));
        let dir = tempfile::tempdir().unwrap();
        let (mut disk, path) = (Disk::new(dir.path()), dir.path().join("f"));
        disk.apply(&Call::Create(&path));
        disk.apply(&Call::Write(&path, b"value"));
        disk.apply(&Call::SyncDirectory(dir.path()));
        disk.fail(&Call::SyncFile(&path));
        disk.apply(&Call::SyncFile(&path));
        assert!(outcomes(&disk, "f").len() > 1);
    }

    #[test]
    fn a_directory_made_by_a_process_that_ended_is_made_durable_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let ends = |n: u64| move |number, _: &Call<'_>, _: &Disk| if number < n { Fate::Happens } else { Fate::FailsBefore(EIO) };
        // Calls 0 and 1 make and sync `.tmp`; the store reads, removes, writes, syncs, makes `a`, and ends before it syncs the root.
        let first = Arc::new(Recorder::new(Disk::new(dir.path()), Box::new(ends(8))));
        let store = Directory::open_watched(dir.path(), Some(first.clone())).unwrap();
        assert!(store.put("a/b", b"value").is_err());
        assert!(dir.path().join("a").is_dir());
        let second = Arc::new(Recorder::new(first.disk().1, Box::new(ends(u64::MAX))));
        let store = Directory::open_watched(dir.path(), Some(second.clone())).unwrap();
        store.put("a/b", b"value").unwrap();
        assert_eq!(outcomes(&second.disk().1, "a/b"), BTreeSet::from([Some(b"value".to_vec())]));
    }
}
