//! The system calls of the directory store, in order: no write is reported as done before file and directory are synced.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use store::{Call, Directory, Store, Swap, Watch};

/// Writes down what is called, with the paths below its root.
struct Recorder {
    root: std::path::PathBuf,
    calls: Mutex<Vec<String>>,
}

impl Recorder {
    fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(&self.root).unwrap().to_str().unwrap();
        if below.starts_with(".tmp/") { "temporary".to_owned() } else { format!("/{below}") }
    }
}

impl Watch for Recorder {
    fn call(&self, call: Call<'_>, effect: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let text = match call {
            Call::Create(_) | Call::Write(..) | Call::Read(_) | Call::Remove(_) => None,
            Call::SyncFile(path) => Some(format!("sync {}", self.name(path))),
            Call::CreateDirectory(path) => Some(format!("mkdir {}", self.name(path))),
            Call::SyncDirectory(path) => Some(format!("sync dir {}", self.name(path))),
            Call::Rename(_, to) => Some(format!("rename {}", self.name(to))),
        };
        self.calls.lock().unwrap().extend(text);
        effect()
    }
}

struct Watched {
    store: Directory,
    recorder: Arc<Recorder>,
    _dir: tempfile::TempDir,
}

fn watched() -> Watched {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder { root: dir.path().to_owned(), calls: Mutex::default() });
    let store = Directory::open_watched(dir.path(), Some(recorder.clone())).unwrap();
    recorder.calls.lock().unwrap().clear();
    Watched { store, recorder, _dir: dir }
}

impl Watched {
    fn calls(&self, work: impl FnOnce(&Directory)) -> Vec<String> {
        work(&self.store);
        std::mem::take(&mut self.recorder.calls.lock().unwrap())
    }
}

#[test]
fn a_put_syncs_the_file_each_new_directory_and_the_name() {
    let watched = watched();
    let first = watched.calls(|store| store.put("a/b/k", b"v").unwrap());
    let made = ["mkdir /a", "sync dir /", "mkdir /a/b", "sync dir /a"];
    assert_eq!(first, [&["sync temporary"], &made[..], &["rename /a/b/k", "sync dir /a/b"]].concat());
    let second = watched.calls(|store| store.put("a/b/l", b"v").unwrap());
    assert_eq!(second, ["sync temporary", "rename /a/b/l", "sync dir /a/b"], "the directories are durable by now");
}

#[test]
fn the_same_put_again_makes_the_stored_file_durable() {
    let watched = watched();
    watched.store.put("a/k", b"v").unwrap();
    watched.calls(|_| {});
    assert_eq!(watched.calls(|store| store.put("a/k", b"v").unwrap()), ["sync /a/k", "sync dir /a"]);
}

#[test]
fn objects_of_one_round_share_the_sync_of_their_directory_alone() {
    let watched = watched();
    let objects = ["a/1", "b/2", "a/3"].map(|key| (key.to_owned(), key.as_bytes().to_vec()));
    let calls = watched.calls(|store| store.put_all(&objects).unwrap());
    let last_rename = calls.iter().rposition(|call| call.starts_with("rename")).unwrap();
    assert_eq!(calls[last_rename + 1..], ["sync dir /a", "sync dir /b"]);
    assert_eq!(calls.iter().filter(|call| *call == "sync temporary").count(), 3);
}

#[test]
fn replacing_syncs_the_new_file_before_it_gets_the_name_and_the_name_after() {
    let watched = watched();
    watched.store.put("a/k", b"1").unwrap();
    watched.calls(|_| {});
    let replaced = ["sync temporary", "rename /a/k", "sync dir /a"];
    assert_eq!(watched.calls(|store| assert_eq!(store.swap("a/k", Some(b"1"), b"2").unwrap(), Swap::Done)), replaced);
    assert_eq!(watched.calls(|store| store.rewrite("a/k").unwrap()), replaced);
    assert_eq!(watched.calls(|store| assert_eq!(store.swap("a/k", Some(b"1"), b"3").unwrap(), Swap::Conflict)), Vec::<String>::new());
}

/// Holds up the rename to one key until another key was swapped.
struct Gate(Mutex<mpsc::Receiver<()>>);

impl Watch for Gate {
    fn call(&self, call: Call<'_>, effect: &mut dyn FnMut() -> std::io::Result<()>) -> std::io::Result<()> {
        if matches!(call, Call::Rename(_, to) if to.ends_with("slow")) {
            self.0.lock().unwrap().recv_timeout(Duration::from_secs(30)).map_err(std::io::Error::other)?;
        }
        effect()
    }
}

#[test]
fn swaps_of_different_keys_do_not_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (passed, gate) = mpsc::channel();
    let store = Directory::open_watched(dir.path(), Some(Arc::new(Gate(Mutex::new(gate))))).unwrap();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| store.swap("slow", None, b"1"));
        assert_eq!(store.swap("quick", None, b"1").unwrap(), Swap::Done);
        passed.send(()).unwrap();
        assert_eq!(slow.join().unwrap().unwrap(), Swap::Done);
    });
}
