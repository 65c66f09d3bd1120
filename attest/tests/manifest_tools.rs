//! The stock tools read our manifests: `bsdtar` lists one, NetBSD's `mtree` verifies one against files (both are Debian
//! packages: libarchive-tools, mtree-netbsd). dpkg's way with repeated paths is looked at, too. Needs root for owners.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use attest::Hash;
use attest::manifest::{Attributes, Class, Manifest, ManifestBuilder, Node, device_number};
use common::hash;

fn root(mode: u32) -> Attributes {
    Attributes { mode, uname: "root".into(), gname: "root".into() }
}

fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().expect("the tool is installed");
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

/// A directory tree and its manifest: files, a link, hard links, capabilities, names with spaces and other bytes.
fn unpacked(dir: &Path) -> Manifest {
    fs::create_dir_all(dir.join("usr/bin")).expect("made");
    let mut builder = ManifestBuilder::new(hash("package"));
    for (path, content, mode) in
        [("usr/bin/x", "hello", 0o755), ("usr/bin/ping", "ping", 0o4755), ("usr/a b", "", 0o600), ("usr/Zoë,+@~%:x", "z", 0o644)]
    {
        fs::write(dir.join(path), content).expect("written");
        fs::set_permissions(dir.join(path), fs::Permissions::from_mode(mode)).expect("set");
        let caps = (path == "usr/bin/ping").then(|| vec![1, 0, 0, 2, 0, 32, 0, 0]);
        let node = Node::File { size: content.len() as u64, sha256: Hash::digest(content.as_bytes()) };
        builder.push(path.as_bytes(), node, root(mode), Class::Fixed, caps).expect("good");
    }
    fs::hard_link(dir.join("usr/bin/x"), dir.join("usr/bin/y")).expect("linked");
    builder.push_hardlink(b"usr/bin/y", b"usr/bin/x", Class::Fixed).expect("good");
    symlink("a b", dir.join("usr/link")).expect("linked");
    builder.push(b"usr/link", Node::Link(b"a b".to_vec()), root(0o777), Class::Fixed, None).expect("good");
    builder.push(b"usr/share/doc/none", Node::File { size: 1, sha256: hash("x") }, root(0o644), Class::Optional, None).expect("good");
    builder.finish().expect("good")
}

#[test]
fn bsdtar_lists_a_manifest() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut builder = ManifestBuilder::new(hash("package"));
    builder.push(b"./dev/null", Node::Char(device_number(1, 3)), root(0o666), Class::Fixed, None).expect("good");
    builder.push(b"./dev/x", Node::Block(device_number(259, 70_000)), root(0o660), Class::Fixed, None).expect("good");
    builder.push(b"./run/f", Node::Fifo, root(0o600), Class::Fixed, None).expect("good");
    builder.push(b"./usr/l", Node::Link(b"a b".to_vec()), root(0o777), Class::Fixed, None).expect("good");
    let caps = Some(vec![1, 0, 0, 2]);
    builder.push(b"./usr/a b[*]?", Node::File { size: 7, sha256: hash("x") }, root(0o4755), Class::Config, caps).expect("good");
    builder.push(b"./var/ghost", Node::Ghost, root(0o644), Class::NoVerify, None).expect("good");
    let file = dir.path().join("m.mtree");
    fs::write(&file, builder.finish().expect("good").encode()).expect("written");
    let (good, listing) = run(Command::new("bsdtar").arg("-tvf").arg(&file));
    assert!(good, "{listing}");
    let words: Vec<String> =
        listing.lines().map(|line| line.split_whitespace().filter(|word| !word.contains(':')).collect::<Vec<_>>().join(" ")).collect();
    let listed = |start: &str, end: &str| words.iter().any(|line| line.starts_with(start) && line.ends_with(end));
    assert!(listed("crw-rw-rw- 0 root root 1,3 ", " ./dev/null"), "{listing}");
    assert!(listed("brw-rw---- 0 root root 259,70000 ", " ./dev/x"), "{listing}");
    assert!(listed("prw------- 0 root root ", " ./run/f"), "{listing}");
    assert!(listed("lrwxrwxrwx 0 root root ", " ./usr/l -> a b"), "{listing}");
    assert!(listed("-rwsr-xr-x 0 root root 7 ", " ./usr/a b[*]?"), "{listing}");
    assert_eq!(words.len(), 11, "{listing}");
}

#[test]
fn mtree_verifies_a_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = dir.path().join("root");
    let manifest = unpacked(&tree);
    let spec = dir.path().join("m.mtree");
    fs::write(&spec, manifest.encode()).expect("written");
    let verify = || run(Command::new("mtree").arg("-f").arg(&spec).arg("-p").arg(&tree));
    assert_eq!(verify(), (true, String::new()));
    fs::write(tree.join("usr/bin/x"), "hellO").expect("written");
    let (good, said) = verify();
    assert!(!good && said.contains("usr/bin/x") && said.contains("sha256"), "{said}");
    fs::write(tree.join("usr/bin/x"), "hello").expect("written");
    fs::set_permissions(tree.join("usr/bin/ping"), fs::Permissions::from_mode(0o755)).expect("set");
    let (good, said) = verify();
    assert!(!good && said.contains("usr/bin/ping"), "{said}");
    fs::set_permissions(tree.join("usr/bin/ping"), fs::Permissions::from_mode(0o4755)).expect("set");
    fs::remove_file(tree.join("usr/a b")).expect("removed");
    // mtree says so, but its exit status does not.
    assert_eq!(verify().1.trim_end(), "missing: ./usr/a b");
}

/// A tar archive by Python, in which one path stands twice, packed as a .deb and unpacked by dpkg.
const TWICE: &str = "
import io, sys, tarfile
def data():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        for name, content in [('./', None), ('./twice', b'first'), ('./link', b'first'), ('./twice', b'second'), ('./link', 'twice')]:
            info = tarfile.TarInfo(name)
            if content is None: info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str): info.type, info.linkname = tarfile.SYMTYPE, content
            else: info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()
def control():
    out, text = io.BytesIO(), b'Package: twice\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n'
    with tarfile.open(fileobj=out, mode='w') as tar:
        info = tarfile.TarInfo('./control'); info.size = len(text); tar.addfile(info, io.BytesIO(text))
    return out.getvalue()
with open(sys.argv[1], 'wb') as deb:
    deb.write(b'!<arch>\\n')
    for name, body in [('debian-binary', b'2.0\\n'), ('control.tar', control()), ('data.tar', data())]:
        deb.write(('%-16s%-12d%-6d%-6d%-8s%-10d`\\n' % (name, 0, 0, 0, '100644', len(body))).encode() + body + b'\\n' * (len(body) % 2))
";

#[test]
fn the_later_of_two_entries_wins_with_dpkg_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let (deb, tree) = (dir.path().join("twice.deb"), dir.path().join("root"));
    fs::create_dir_all(tree.join("var/lib/dpkg/info")).expect("made");
    fs::create_dir_all(tree.join("var/lib/dpkg/updates")).expect("made");
    for file in ["status", "available"] {
        fs::write(tree.join("var/lib/dpkg").join(file), "").expect("written");
    }
    let (made, said) = run(Command::new("python3").arg("-c").arg(TWICE).arg(&deb));
    assert!(made, "{said}");
    let instdir = format!("--root={}", tree.display());
    let (unpacked, said) = run(Command::new("dpkg").args([&instdir, "--force-not-root", "--unpack"]).arg(&deb));
    assert!(unpacked, "{said}");
    assert_eq!(fs::read_to_string(tree.join("twice")).expect("there"), "second");
    assert_eq!(fs::read_link(tree.join("link")).expect("a link"), Path::new("twice"));
    let mut builder = ManifestBuilder::new(hash("package"));
    let file = |content: &str| Node::File { size: content.len() as u64, sha256: hash(content) };
    for (path, node) in
        [("./twice", file("first")), ("./link", file("first")), ("./twice", file("second")), ("./link", Node::Link(b"twice".to_vec()))]
    {
        builder.push(path.as_bytes(), node, root(0o644), Class::Fixed, None).expect("good");
    }
    let manifest = builder.finish().expect("good");
    assert_eq!(manifest.entry(b"twice").map(|entry| &entry.node), Some(&file("second")));
    assert_eq!(manifest.entry(b"link").map(|entry| &entry.node), Some(&Node::Link(b"twice".to_vec())));
}
