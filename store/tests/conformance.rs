//! One set of rules, run on every store.

use std::io::ErrorKind;
use std::sync::Arc;

use store::{Directory, Faulty, Lock, Memory, Reader, Store, Swap, When};

fn directory() -> (tempfile::TempDir, Directory) {
    let dir = tempfile::tempdir().unwrap();
    let store = Directory::open(dir.path()).unwrap();
    (dir, store)
}

fn on_every_store(check: impl Fn(&dyn Store)) {
    check(&Memory::new());
    let (_dir, store) = directory();
    check(&store);
    check(&Arc::new(Memory::new()));
    check(&Faulty::new(Memory::new(), u64::MAX, When::Before));
}

#[test]
fn absent_is_none_and_put_is_once() {
    on_every_store(|store| {
        assert_eq!(store.get("a/b").unwrap(), None);
        store.put("a/b", b"one").unwrap();
        store.put("a/b", b"one").unwrap();
        assert_eq!(store.put("a/b", b"two").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(store.get("a/b").unwrap().unwrap(), b"one");
        store.put("empty", b"").unwrap();
        assert_eq!(store.get("empty").unwrap().unwrap(), b"");
    });
}

#[test]
fn put_all_writes_all_and_refuses_other_bytes() {
    on_every_store(|store| {
        let objects = [("t/0/000".to_owned(), vec![0; 9000]), ("t/0/001".to_owned(), vec![1]), ("t/1/000".to_owned(), vec![2])];
        store.put_all(&objects).unwrap();
        store.put_all(&objects).unwrap();
        assert_eq!(store.get("t/1/000").unwrap().unwrap(), [2]);
        let clash = [("t/2".to_owned(), vec![]), ("t/0/001".to_owned(), vec![9])];
        assert_eq!(store.put_all(&clash).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(store.get("t/0/001").unwrap().unwrap(), [1]);
    });
}

#[test]
fn swap_compares() {
    on_every_store(|store| {
        assert_eq!(store.swap("head", Some(b"x"), b"1").unwrap(), Swap::Conflict);
        assert_eq!(store.get("head").unwrap(), None);
        assert_eq!(store.swap("head", None, b"1").unwrap(), Swap::Done);
        assert_eq!(store.swap("head", None, b"2").unwrap(), Swap::Conflict);
        assert_eq!(store.swap("head", Some(b"1"), b"2").unwrap(), Swap::Done);
        assert_eq!(store.get("head").unwrap().unwrap(), b"2");
    });
}

#[test]
fn rewrite_keeps_the_bytes() {
    on_every_store(|store| {
        assert_eq!(store.rewrite("k").unwrap_err().kind(), ErrorKind::NotFound);
        store.put("k", b"v").unwrap();
        store.rewrite("k").unwrap();
        assert_eq!(store.get("k").unwrap().unwrap(), b"v");
    });
}

#[test]
fn rewrite_makes_a_new_inode() {
    use std::os::unix::fs::MetadataExt as _;
    let (dir, store) = directory();
    store.put("k", b"v").unwrap();
    let inode = || std::fs::metadata(dir.path().join("k")).unwrap().ino();
    let before = inode();
    store.rewrite("k").unwrap();
    assert_ne!(inode(), before);
}

#[test]
fn discard_and_list() {
    on_every_store(|store| {
        for key in ["s/2", "s/10", "sx", "r/a/b", "r/a.b"] {
            store.put(key, key.as_bytes()).unwrap();
        }
        assert_eq!(store.list("s").unwrap(), ["s/10", "s/2"]);
        assert_eq!(store.list("").unwrap(), ["r/a.b", "r/a/b", "s/10", "s/2", "sx"]);
        assert_eq!(store.list("none").unwrap(), Vec::<String>::new());
        store.discard("s/2").unwrap();
        store.discard("s/2").unwrap();
        assert_eq!(store.list("s").unwrap(), ["s/10"]);
    });
}

#[test]
fn a_folder_is_discarded_when_nothing_is_in_it() {
    on_every_store(|store| {
        store.put("f/k", b"v").unwrap();
        store.discard("f").unwrap();
        assert_eq!(store.get("f/k").unwrap().unwrap(), b"v");
        store.discard("f/k").unwrap();
        store.discard("f").unwrap();
        store.discard("f").unwrap();
        store.put("f/k", b"w").unwrap();
        assert_eq!(store.list("f").unwrap(), ["f/k"]);
    });
    let (dir, store) = directory();
    store.put("f/k", b"v").unwrap();
    store.discard("f/k").unwrap();
    store.discard("f").unwrap();
    assert!(!dir.path().join("f").exists());
}

#[test]
fn keys_cannot_leave_the_store() {
    let long = "x".repeat(256);
    on_every_store(|store| {
        for key in ["", "/a", "a/", "a//b", ".", "..", "a/../b", ".tmp/x", "a b", "a\0", "ä", &long] {
            assert_eq!(store.get(key).unwrap_err().kind(), ErrorKind::InvalidInput, "{key:?}");
            assert_eq!(store.put(key, b"").unwrap_err().kind(), ErrorKind::InvalidInput, "{key:?}");
            assert_eq!(store.swap(key, None, b"").unwrap_err().kind(), ErrorKind::InvalidInput, "{key:?}");
            assert_eq!(store.discard(key).unwrap_err().kind(), ErrorKind::InvalidInput, "{key:?}");
        }
    });
}

#[test]
fn an_error_is_never_absence() {
    let (dir, store) = directory();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    assert!(store.get("d").is_err());
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("l")).unwrap();
    assert!(store.get("l").is_err());
    store.put("f", b"").unwrap();
    assert!(store.get("f/x").is_err());
}

#[test]
fn temporaries_are_removed() {
    let (dir, store) = directory();
    store.put("a", b"1").unwrap();
    assert!(store.put("a", b"2").is_err());
    std::fs::write(dir.path().join(".tmp/99-0"), b"left over").unwrap();
    store.clean().unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
    assert_eq!(store.get("a").unwrap().unwrap(), b"1");
}

#[test]
fn read_only_store_reads() {
    let (dir, store) = directory();
    store.put("a", b"1").unwrap();
    std::fs::remove_dir(dir.path().join(".tmp")).unwrap();
    let reader = Directory::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.get("a").unwrap().unwrap(), b"1");
    assert!(reader.put("b", b"2").is_err());
    assert!(!dir.path().join(".tmp").exists());
}

#[test]
fn concurrent_puts_and_swaps_have_one_winner() {
    let (_dir, store) = directory();
    let wins = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8u8)
            .map(|n| {
                let store = &store;
                scope.spawn(move || (store.put("once", &[n]).is_ok(), store.swap("head", None, &[n]).unwrap() == Swap::Done))
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(wins.iter().filter(|(put, _)| *put).count(), 1);
    assert_eq!(wins.iter().filter(|(_, swap)| *swap).count(), 1);
}

#[test]
fn the_second_lock_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let first = Lock::acquire(&path).unwrap();
    assert_eq!(Lock::acquire(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(first);
    Lock::acquire(&path).unwrap();
}

#[test]
fn faults_come_before_or_after_the_effect() {
    let before = Faulty::new(Memory::new(), 1, When::Before);
    before.put("a", b"1").unwrap();
    assert!(before.put("b", b"2").is_err());
    assert!(before.get("a").is_err(), "nothing works after the failure");

    let inner = Arc::new(Memory::new());
    let after = Faulty::new(Arc::clone(&inner), 1, When::After);
    after.put("a", b"1").unwrap();
    assert!(!after.has_failed());
    assert!(after.swap("b", None, b"2").is_err());
    assert!(after.has_failed());
    assert_eq!(inner.get("b").unwrap().unwrap(), b"2");
    assert_eq!(after.calls(), 2);
}

#[test]
fn readers_read_reuse_and_refuse() {
    let (dir, store) = directory();
    store.put("t/0/000", &[7; 9000]).unwrap();
    store.put("t/0/001", b"").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("t/0/link")).unwrap();
    std::fs::create_dir(dir.path().join("t/0/folder")).unwrap();
    for reader in [Reader::open(dir.path()).unwrap(), Reader::open(dir.path()).unwrap().from_disk()] {
        let mut bytes = b"what was there".to_vec();
        assert!(reader.read_into("t/0/000", 9000, &mut bytes).unwrap());
        assert_eq!(bytes, [7; 9000]);
        assert_eq!(reader.read_into("t/0/000", 8999, &mut bytes).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert!(reader.read_into("t/0/001", 0, &mut bytes).unwrap() && bytes.is_empty());
        assert!(!reader.read_into("t/0/002", 10, &mut bytes).unwrap() && bytes.is_empty());
        for odd in ["t/0/link", "t/0/folder", "../x", "t//0"] {
            assert!(reader.read_into(odd, 1 << 20, &mut bytes).is_err(), "{odd}");
        }
        assert!(reader.has("t/0/001").unwrap() && !reader.has("t/0/002").unwrap());
    }
    assert!(Reader::open(&dir.path().join("none")).is_err());
}

#[test]
fn readers_walk_in_order_and_stop() {
    let (dir, store) = directory();
    for key in ["t/1/000", "t/0/001", "t/0/000.p/7", "t/0/000.p/30", "t/0/x001/000", "u/0"] {
        store.put(key, key.as_bytes()).unwrap();
    }
    std::fs::write(dir.path().join("t/.hidden"), "").unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let walked = |prefix: &str, most: usize| {
        let mut keys = Vec::new();
        let end = reader.walk(prefix, &mut |key| {
            keys.push(key.to_owned());
            keys.len() < most
        });
        end.map(|()| keys)
    };
    assert_eq!(walked("t", 9).unwrap(), ["t/0/000.p/30", "t/0/000.p/7", "t/0/001", "t/0/x001/000", "t/1/000"]);
    assert_eq!(walked("t", 2).unwrap(), ["t/0/000.p/30", "t/0/000.p/7"]);
    assert_eq!(walked("none", 9).unwrap(), [""; 0]);
    assert!(walked("..", 9).is_err());
}

#[test]
fn damaged_objects_are_replaced_and_missing_ones_restored() {
    let (_dir, store) = directory();
    store.put("t/0/000", b"damaged").unwrap();
    for key in ["t/0/000", "t/9/000"] {
        store.replace_damaged(key, b"whole").unwrap();
        assert_eq!(store.get(key).unwrap().unwrap(), b"whole");
    }
    assert!(store.replace_damaged("../x", b"").is_err());
}
