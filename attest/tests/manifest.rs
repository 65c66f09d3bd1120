//! Manifests: making, reading, refusing, proving.

mod common;

use attest::manifest::{
    Attributes, Class, Manifest, ManifestBuilder, ManifestError, Node, device_number, parse_line, unescape_path, verify_line,
};
use attest::predicate::PackageFiles;
use common::hash;
use proptest::prelude::*;

fn root(mode: u32) -> Attributes {
    Attributes { mode, uname: "root".into(), gname: "root".into() }
}

fn file(content: &str) -> Node {
    Node::File { size: content.len() as u64, sha256: hash(content) }
}

fn sample() -> Manifest {
    let mut builder = ManifestBuilder::new(hash("package"));
    let mut push = |path: &[u8], node, mode, class| builder.push(path, node, root(mode), class, None).expect("good");
    push(b"./", Node::Dir, 0o755, Class::Fixed);
    push(b"./usr/", Node::Dir, 0o755, Class::Fixed);
    push(b"./usr/bin/b", file("b"), 0o755, Class::Fixed);
    push(b"./usr/a b", Node::Link(b"../x y".to_vec()), 0o777, Class::Fixed);
    push(b"./usr/share/doc/x", file("x"), 0o644, Class::Optional);
    push(b"./etc/c.conf", file("c"), 0o640, Class::Config);
    push(b"./dev/null", Node::Char(device_number(1, 3)), 0o666, Class::Fixed);
    push(b"./dev/sda", Node::Block(device_number(8, 0)), 0o660, Class::Fixed);
    push(b"./run/fifo", Node::Fifo, 0o600, Class::Fixed);
    push("./usr/Zoë\n".as_bytes(), file("z"), 0o4755, Class::Fixed);
    push(b"./usr/bin-x", file("dash"), 0o755, Class::Fixed);
    push(b"./var/ghost", Node::Ghost, 0o644, Class::NoVerify);
    builder.push(b"usr/bin/ping", file("ping"), root(0o755), Class::Fixed, Some(vec![1, 0, 0, 2])).expect("good");
    builder.push_hardlink(b"./usr/bin/a", b"./usr/bin/b", Class::Fixed).expect("good");
    builder.finish().expect("good")
}

#[test]
fn the_text_is_as_the_page_says() {
    let (b, c, d, p, x, z) = (hash("b"), hash("c"), hash("dash"), hash("ping"), hash("x"), hash("z"));
    let expected = format!(
        "#mtree package-sha256={}\n\
         . type=dir optional tags=implied\n\
         ./dev type=dir optional tags=implied\n\
         ./dev/null type=char mode=0666 uname=root gname=root device=0x103 tags=fixed\n\
         ./dev/sda type=block mode=0660 uname=root gname=root device=0x800 tags=fixed\n\
         ./etc type=dir optional tags=implied\n\
         ./etc/c.conf type=file mode=0640 uname=root gname=root size=1 sha256digest={c} tags=config\n\
         ./run type=dir optional tags=implied\n\
         ./run/fifo type=fifo mode=0600 uname=root gname=root tags=fixed\n\
         ./usr type=dir mode=0755 uname=root gname=root tags=fixed\n\
         ./usr/Zo\\303\\253\\012 type=file mode=04755 uname=root gname=root size=1 sha256digest={z} tags=fixed\n\
         ./usr/a\\040b type=link mode=0777 uname=root gname=root link=../x\\040y tags=fixed\n\
         ./usr/bin type=dir optional tags=implied\n\
         ./usr/bin-x type=file mode=0755 uname=root gname=root size=4 sha256digest={d} tags=fixed\n\
         ./usr/bin/a type=file mode=0755 uname=root gname=root size=1 sha256digest={b} tags=fixed,hardlink.1\n\
         ./usr/bin/b type=file mode=0755 uname=root gname=root size=1 sha256digest={b} tags=fixed,hardlink.1\n\
         ./usr/bin/ping type=file mode=0755 uname=root gname=root size=4 sha256digest={p} tags=fixed,caps.01000002\n\
         ./usr/share type=dir optional tags=implied\n\
         ./usr/share/doc type=dir optional tags=implied\n\
         ./usr/share/doc/x type=file mode=0644 uname=root gname=root size=1 sha256digest={x} optional tags=optional\n\
         ./var type=dir optional tags=implied\n\
         ./var/ghost type=file mode=0644 uname=root gname=root optional tags=noverify\n",
        hash("package")
    );
    let manifest = sample();
    assert_eq!(String::from_utf8(manifest.encode()), Ok(expected));
    assert_eq!(Manifest::parse(&manifest.encode()), Ok(manifest));
}

#[test]
fn one_line_is_proven_alone() {
    let manifest = sample();
    let tree = PackageFiles::of(&manifest).tree();
    assert_eq!((tree.size, tree.root), (22, manifest.root()));
    for entry in manifest.entries() {
        let mut proof = manifest.prove(&entry.path).expect("there");
        assert_eq!(verify_line(&tree, &proof).as_ref(), Ok(entry));
        proof.line.push(b'x');
        assert_eq!(verify_line(&tree, &proof), Err(ManifestError::BadLine(usize::try_from(proof.index).expect("small") + 1)));
    }
    assert_eq!(manifest.prove(b"usr/none"), None);
    assert_eq!(manifest.entry(b"usr/bin/ping").and_then(|entry| entry.caps.clone()), Some(vec![1, 0, 0, 2]));
}

#[test]
fn a_later_entry_wins_unless_one_is_a_directory() {
    let mut builder = ManifestBuilder::new(hash("package"));
    builder.push(b"./a", file("first"), root(0o644), Class::Fixed, None).expect("good");
    builder.push(b"a", Node::Link(b"b".to_vec()), root(0o777), Class::Fixed, None).expect("good");
    assert_eq!(builder.push(b"./a/", Node::Dir, root(0o755), Class::Fixed, None), Err(ManifestError::Conflict));
    let manifest = builder.finish().expect("good");
    assert_eq!(manifest.entry(b"a").map(|entry| &entry.node), Some(&Node::Link(b"b".to_vec())));
}

#[test]
fn a_group_that_lost_its_members_is_no_group() {
    let mut builder = ManifestBuilder::new(hash("package"));
    builder.push(b"a", file("a"), root(0o644), Class::Fixed, None).expect("good");
    builder.push_hardlink(b"b", b"a", Class::Optional).expect("good");
    builder.push_hardlink(b"c", b"b", Class::Fixed).expect("good");
    builder.push(b"z", file("z"), root(0o644), Class::Fixed, None).expect("good");
    builder.push_hardlink(b"y", b"z", Class::Fixed).expect("good");
    builder.push(b"z", file("z"), root(0o644), Class::Fixed, None).expect("good");
    let manifest = builder.finish().expect("good");
    let groups: Vec<_> = manifest.entries().iter().map(|entry| entry.hardlink).collect();
    assert_eq!(groups, [None, Some(1), Some(1), Some(1), None, None]);
}

#[test]
fn bad_entries_are_refused() {
    let mut builder = ManifestBuilder::new(hash("package"));
    for path in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/./b", "./.", "././a", "a\0b", "./..", "a//", &"x/".repeat(2_100)] {
        let error = builder.push(path.as_bytes(), file("x"), root(0o644), Class::Fixed, None);
        assert_eq!(error, Err(ManifestError::BadPath), "{path:?}");
    }
    let mut push = |node, attributes, class, caps| builder.push(b"x", node, attributes, class, caps);
    let owner = |name: &str| Attributes { mode: 0o644, uname: name.into(), gname: "root".into() };
    assert_eq!(push(file("x"), owner(""), Class::Fixed, None), Err(ManifestError::BadOwner));
    assert_eq!(push(file("x"), owner("a b"), Class::Fixed, None), Err(ManifestError::BadOwner));
    assert_eq!(push(file("x"), owner(&"a".repeat(65)), Class::Fixed, None), Err(ManifestError::BadOwner));
    assert_eq!(push(file("x"), root(0o10000), Class::Fixed, None), Err(ManifestError::BadMode));
    assert_eq!(push(Node::Ghost, root(0o644), Class::Fixed, None), Err(ManifestError::Conflict));
    assert_eq!(push(Node::Dir, root(0o755), Class::Implied, None), Err(ManifestError::Conflict));
    assert_eq!(push(Node::Dir, root(0o755), Class::Fixed, Some(vec![1])), Err(ManifestError::Conflict));
    assert_eq!(push(Node::Link(Vec::new()), root(0o777), Class::Fixed, None), Err(ManifestError::Conflict));
    assert_eq!(builder.push(b"./", file("x"), root(0o644), Class::Fixed, None), Err(ManifestError::Conflict));
    builder.push(b"l", Node::Link(b"d".to_vec()), root(0o777), Class::Fixed, None).expect("good");
    assert_eq!(builder.push_hardlink(b"h", b"l", Class::Fixed), Err(ManifestError::BadHardLink));
    assert_eq!(builder.push_hardlink(b"h", b"none", Class::Fixed), Err(ManifestError::BadHardLink));
    assert_eq!(builder.push_hardlink(b"l", b"l", Class::Fixed), Err(ManifestError::BadHardLink));
    builder.push(b"l/below", file("x"), root(0o644), Class::Fixed, None).expect("good so far");
    assert_eq!(builder.finish(), Err(ManifestError::Conflict));
}

#[test]
fn other_texts_are_refused() {
    let good = String::from_utf8(sample().encode()).expect("ASCII");
    let refused = |from: &str, to: &str| Manifest::parse(good.replacen(from, to, 1).as_bytes()).expect_err(to);
    assert_eq!(Manifest::parse(b""), Err(ManifestError::BadHeader));
    assert_eq!(refused("#mtree", "# mtree"), ManifestError::BadHeader);
    assert_eq!(refused("package-sha256=", "package-sha256=0"), ManifestError::BadHeader);
    assert_eq!(refused(". type=dir optional", ". type=dir"), ManifestError::BadHeader);
    for (from, to) in [
        ("./dev type=dir", "./dev  type=dir"),
        ("./dev type=dir optional tags=implied", "./dev type=dir optional tags=implied "),
        ("./dev type=dir optional tags=implied", "./dev type=dir tags=implied"),
        ("./dev type=dir optional tags=implied", "./dev type=dir optional tags=fixed"),
        ("./dev type", "/dev type"),
        ("./dev type", "dev type"),
        ("./dev type", "./de\\166 type"),
        ("./dev type", "./. type"),
        ("./dev type", "./.. type"),
        ("./dev type", "./ type"),
    ] {
        assert_eq!(refused(from, to), ManifestError::BadLine(3), "{to}");
    }
    for (from, to) in [
        ("mode=0666 uname=root gname=root device=0x103", "mode=666 uname=root gname=root device=0x103"),
        ("mode=0666 uname=root gname=root device=0x103", "mode=010666 uname=root gname=root device=0x103"),
        ("mode=0666 uname=root gname=root device=0x103", "uname=root mode=0666 gname=root device=0x103"),
        ("mode=0666 uname=root gname=root device=0x103", "mode=0666 uname=root device=0x103"),
        ("device=0x103", "device=0x0103"),
        ("device=0x103", "device=0xA3"),
        ("device=0x103", "device=259"),
        ("device=0x103", "device=0x103 nlink=1"),
        ("device=0x103", "device=0x103 device=0x103"),
        ("device=0x103 tags=fixed", "device=0x103 tags=fixed,caps.00"),
        ("device=0x103 tags=fixed", "device=0x103 tags=other"),
        ("device=0x103 tags=fixed", "device=0x103"),
    ] {
        assert_eq!(refused(from, to), ManifestError::BadLine(4), "{to}");
    }
    assert_eq!(refused("size=1 ", "size=01 "), ManifestError::BadLine(7));
    assert_eq!(refused("size=1 ", ""), ManifestError::BadLine(7));
    assert_eq!(refused("caps.01000002", "caps.0100000A"), ManifestError::BadLine(17));
    assert_eq!(refused("caps.01000002", "caps."), ManifestError::BadLine(17));
    assert_eq!(refused("tags=fixed,hardlink.1\n", "tags=fixed\n"), ManifestError::BadLine(16));
    assert_eq!(refused("tags=fixed,hardlink.1\n", "tags=fixed,hardlink.2\n"), ManifestError::BadLine(15));
    assert_eq!(refused("tags=fixed,hardlink.1\n", "tags=fixed,hardlink.0\n"), ManifestError::BadLine(15));
    assert_eq!(refused("./usr/bin/b type=file mode=0755", "./usr/bin/b type=file mode=0750"), ManifestError::BadLine(16));
    assert_eq!(Manifest::parse(good.strip_suffix('\n').expect("a line feed").as_bytes()), Err(ManifestError::BadLine(22)));
}

#[test]
fn order_and_parents_are_checked() {
    let good = String::from_utf8(sample().encode()).expect("ASCII");
    let mut lines: Vec<&str> = good.lines().collect();
    lines.swap(3, 4);
    assert_eq!(Manifest::parse((lines.join("\n") + "\n").as_bytes()), Err(ManifestError::BadOrder(5)));
    lines.swap(3, 4);
    lines.insert(4, lines[3]);
    assert_eq!(Manifest::parse((lines.join("\n") + "\n").as_bytes()), Err(ManifestError::BadOrder(5)));
    lines.remove(4);
    lines.remove(2);
    assert_eq!(Manifest::parse((lines.join("\n") + "\n").as_bytes()), Err(ManifestError::BadOrder(3)));
}

#[test]
fn limits_come_first() {
    assert_eq!(Manifest::parse(&vec![b'\n'; 1_000_001]), Err(ManifestError::TooLarge));
    assert_eq!(Manifest::parse(&vec![b'x'; (64 << 20) + 1]), Err(ManifestError::TooLarge));
    assert_eq!(parse_line(format!("./{} type=dir optional tags=implied", "x".repeat(4_096)).as_bytes()), None);
    assert_eq!(parse_line(&vec![b'x'; 40_000]), None);
    assert_eq!(unescape_path("./\\12"), None);
    assert_eq!(unescape_path("./\\777"), None);
    assert_eq!(unescape_path("./\\+12"), None);
}

#[test]
fn a_hundred_thousand_lines_are_read() {
    let mut builder = ManifestBuilder::new(hash("package"));
    for number in (0..100_000).rev() {
        let path = format!("./usr/share/{}/{number}", number % 100);
        builder.push(path.as_bytes(), file("x"), root(0o644), Class::Fixed, None).expect("good");
    }
    let manifest = builder.finish().expect("good");
    assert_eq!(manifest.entries().len(), 100_000 + 103);
    assert_eq!(Manifest::parse(&manifest.encode()).map(|read| read.root()), Ok(manifest.root()));
}

fn any_path() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::collection::vec(1_u8.., 1..4), 1..4).prop_map(|parts| parts.join(&b'/'))
}

proptest! {
    #[test]
    fn what_the_builder_makes_is_read_back(paths in proptest::collection::vec((any_path(), any::<bool>()), 0..20)) {
        let mut builder = ManifestBuilder::new(hash("package"));
        for (path, directory) in paths {
            let node = if directory { Node::Dir } else { file("x") };
            let _ = builder.push(&path, node, root(0o755), Class::Fixed, None);
        }
        if let Ok(manifest) = builder.finish() {
            prop_assert_eq!(Manifest::parse(&manifest.encode()), Ok(manifest));
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(mut paths in proptest::collection::vec(any_path(), 1..20).prop_shuffle()) {
        let make = |paths: &[Vec<u8>]| {
            let mut builder = ManifestBuilder::new(hash("package"));
            paths.iter().for_each(|path| { let _ = builder.push(path, file("x"), root(0o755), Class::Fixed, None); });
            builder.finish()
        };
        let first = make(&paths);
        paths.reverse();
        prop_assert_eq!(make(&paths), first);
    }

    #[test]
    fn any_line_that_is_read_is_written_the_same(line in "\\./[a-c/\\\\0-7]{1,8} type=(file|dir|link)( mode=0[0-7]{3} uname=root gname=root)?( link=[a/.]{1,3})?( optional)? tags=(fixed|implied|optional)") {
        if let Some(entry) = parse_line(line.as_bytes()) {
            prop_assert_eq!(entry.encode(), line);
        }
    }
}
