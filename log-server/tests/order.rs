//! The order in which a round changes the disk, read from `specs/lifecycle.md` and compared with what the store is asked to do.

mod kit;

use std::path::Path;
use std::sync::{Arc, Mutex};

use kit::World;
use kit::watched::{Answers, leaves};
use store::disk::{Disk, Fate, Recorder};
use store::{Call, Directory};

/// The step of the page that a changed path belongs to.
fn step(path: &str, is_gone: bool) -> Option<&'static str> {
    match path {
        "state/committed" => Some("Commit"),
        "public/checkpoint" => Some("Publish"),
        _ if path.starts_with("state/stage/") => Some(if is_gone { "Finish" } else { "Stage" }),
        _ if path.starts_with("public/tile/") => Some("Spread"),
        _ => None,
    }
}

#[test]
fn a_round_changes_the_disk_in_the_order_of_the_page() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/lifecycle.md")).unwrap();
    let table = page.split("## A round").nth(1).and_then(|rest| rest.split("## Crash points").next()).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    // The steps that say that they write, swap or discard something.
    let changing = ["is written to", "are written to", "is swapped", "are written", "is discarded"];
    let expected: Vec<&str> = rows.filter(|(_, what)| changing.iter().any(|word| what.contains(word))).map(|(name, _)| name).collect();
    assert_eq!(expected, ["Stage", "Commit", "Spread", "Publish", "Finish"]);

    let dir = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(Directory::open(dir.path()).unwrap()));
    let (seen, root) = (Arc::new(Mutex::new(Vec::new())), dir.path().to_owned());
    let steps = seen.clone();
    // A change counts when its directory is synced: the next step must not begin before.
    let unsynced = Mutex::new(Vec::<(std::path::PathBuf, &str)>::new());
    let plan = move |_, call: &Call<'_>, _: &Disk| {
        let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let mut unsynced = unsynced.lock().unwrap();
        match *call {
            Call::Rename(_, to) => {
                if let Some(step) = step(&relative(to), false) {
                    assert!(unsynced.iter().all(|(_, before)| *before == step), "{step} begins while {unsynced:?} may be lost");
                    unsynced.push((to.parent().unwrap().to_owned(), step));
                    steps.lock().unwrap().push(step);
                }
            }
            Call::SyncDirectory(directory) => unsynced.retain(|(parent, _)| parent != directory),
            Call::Remove(path) => steps.lock().unwrap().extend(step(&relative(path), true)),
            _ => {}
        }
        Fate::Happens
    };
    let recorder = Arc::new(Recorder::new(Disk::new(dir.path()), Box::new(plan)));
    let world = World { store: Arc::new(Directory::open_watched(dir.path(), Some(recorder)).unwrap()), ..world };
    let mut log = world.open().unwrap();
    log.settle();
    let answers = Answers::default();
    for numbers in [0..3, 3..255, 255..300] {
        seen.lock().unwrap().clear();
        answers.submit(&mut log, leaves(numbers));
        let mut steps = seen.lock().unwrap().clone();
        steps.dedup();
        assert_eq!(steps, expected);
    }
}
