//! A root that tries to lead its reader astray.

use package::root::{FileKind, Root, RootError, RootReason};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn fail<T>(path: &[u8], reason: RootReason) -> Result<T, RootError> {
    Err(RootError { path: path.to_vec(), reason })
}

fn unexpected<T>(path: &[u8], kind: FileKind) -> Result<T, RootError> {
    fail(path, RootReason::Unexpected(kind))
}

#[test]
fn links_stay_inside() {
    let outer = tempfile::tempdir().unwrap();
    let top = outer.path().join("root");
    fs::create_dir_all(top.join("etc")).unwrap();
    fs::write(outer.path().join("secret"), "outside").unwrap();
    fs::write(top.join("etc/passwd"), "inside").unwrap();
    symlink("/etc", top.join("absolute")).unwrap();
    symlink("../../../../../..", top.join("up")).unwrap();
    symlink("../secret", top.join("escape")).unwrap();
    symlink("loop", top.join("loop")).unwrap();
    symlink("/proc/self/root", top.join("magic")).unwrap();
    let root = Root::open(&top).unwrap();

    assert_eq!(root.read(b"absolute/passwd", 100), Ok(Some(b"inside".to_vec())));
    assert_eq!(root.read(b"/up/etc/passwd", 100), Ok(Some(b"inside".to_vec())));
    assert_eq!(root.read(b"up/secret", 100), Ok(None));
    assert_eq!(root.stat_target(b"escape"), Ok(None));
    assert_eq!(root.read(b"escape", 100), unexpected(b"escape", FileKind::Link));
    assert_eq!(root.read_link(b"escape"), Ok(Some(b"../secret".to_vec())));
    assert_eq!(root.stat_target(b"magic/etc"), Ok(None));
    assert_eq!(root.stat(b"loop/x"), fail(b"loop/x", RootReason::System(40)));
    assert_eq!(root.read(b"etc/passwd", 5), fail(b"etc/passwd", RootReason::TooLarge(5)));
    assert_eq!(root.read(b"etc/passwd/x", 5), Ok(None));
    assert_eq!(root.list(b"etc"), Ok(Some(vec![b"passwd".to_vec()])));
    assert_eq!(root.list(b"none"), Ok(None));
    assert_eq!(root.read_link(b"etc"), unexpected(b"etc", FileKind::Directory));
    for bad in [&b"../secret"[..], b"etc/../../secret", b"a\0b", &[b'a'; 5000]] {
        assert_eq!(root.stat(bad), fail(bad, RootReason::BadPath));
    }
    let all: Vec<_> = root.list(b"").unwrap().unwrap();
    assert_eq!(all.len(), 6);
}

/// The machine's own root has magic links; they are refused, not followed.
#[test]
fn magic_links_are_refused() {
    let root = Root::open(Path::new("/")).unwrap();
    assert_eq!(root.stat(b"proc/self/root/etc"), fail(b"proc/self/root/etc", RootReason::System(40)));
}

#[test]
fn only_regular_files_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path();
    let root = Root::open(top).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, top.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = UnixListener::bind(top.join("socket")).unwrap();
    fs::create_dir(top.join("directory")).unwrap();
    for (name, kind) in [("pipe", FileKind::Fifo), ("socket", FileKind::Socket), ("directory", FileKind::Directory)] {
        assert_eq!(root.open_file(name.as_bytes()).map(|_| ()), unexpected(name.as_bytes(), kind));
    }
    let null = rustix::fs::makedev(1, 3);
    if rustix::fs::mknodat(rustix::fs::CWD, top.join("null"), rustix::fs::FileType::CharacterDevice, 0o600.into(), null).is_ok() {
        assert_eq!(root.open_file(b"null").map(|_| ()), unexpected(b"null", FileKind::Char));
        assert_eq!(root.stat(b"null").unwrap().unwrap().device, 0x103);
    }
}

#[test]
fn a_file_that_changes_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a"), "before").unwrap();
    let root = Root::open(directory.path()).unwrap();
    let mut file = root.open_file(b"a").unwrap().unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!((content.as_str(), file.meta().size, file.has_changed().unwrap()), ("before", 6, false));
    assert_eq!(file.capability().unwrap(), None);
    fs::OpenOptions::new().append(true).open(directory.path().join("a")).unwrap().write_all(b"!").unwrap();
    assert!(file.has_changed().unwrap());
}

/// Directories are swapped for links to the outside while we read: we never see what is there.
#[test]
fn a_race_never_leads_outside() {
    let outer = tempfile::tempdir().unwrap();
    let (top, outside) = (outer.path().join("root"), outer.path().join("outside"));
    for (directory, content) in [(top.join("real"), "inside"), (outside.clone(), "outside")] {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), content).unwrap();
    }
    symlink("../outside", top.join("link")).unwrap();
    symlink(&outside, top.join("absolute")).unwrap();
    let root = Root::open(&top).unwrap();
    let done = AtomicBool::new(false);
    let mut inside = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let place = |name: &str| top.join(name);
            while !done.load(Ordering::Relaxed) {
                for other in ["link", "absolute"] {
                    fs::rename(place("real"), place("dir")).unwrap();
                    fs::rename(place("dir"), place("real")).unwrap();
                    fs::rename(place(other), place("dir")).unwrap();
                    fs::rename(place("dir"), place(other)).unwrap();
                }
            }
        });
        for tries in 0..2_000_000 {
            if tries >= 20_000 && inside > 0 {
                break;
            }
            if let Ok(Some(content)) = root.read(b"dir/file", 100) {
                assert_eq!(content, b"inside");
                inside += 1;
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(inside > 0, "the race was never won by the reader");
}
