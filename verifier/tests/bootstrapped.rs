//! A whole bootstrapped Debian root with man-db, a foreign library, path-excludes and diversions: no false alarm, and twenty of twenty
//! flipped bytes. Needs root, mmdebstrap and the machine's own apt sources; `TALLYSTICK_BOOTSTRAPPED` names a root made before.

mod world;

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use attest::manifest::{Class, Node};
use attest::predicate::{Change, Observed};
use attest::{Manifest, Purl};
use world::World;

/// Makes the root, and fetches the files of all packages in it: the bootstrap keeps those of the later ones only.
const MAKE: &str = r#"
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
mmdebstrap --quiet --variant=minbase --architectures=amd64,i386 --include=man-db,dbus,iputils-ping,zlib1g:i386,vim-tiny \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --skip=cleanup/apt/cache,cleanup/apt bookworm root "deb ${mirror:?this machine has no apt source for bookworm} bookworm main"
cd root/var/cache/apt/archives
options="-o Dir::Etc::SourceList=$OLDPWD/root/etc/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State=$OLDPWD/root/var/lib/apt
  -o Dir::State::status=$OLDPWD/root/var/lib/dpkg/status -o APT::Architecture=amd64 -o APT::Architectures::=amd64
  -o APT::Architectures::=i386 -o APT::Sandbox::User=root"
apt-get $options -q download $(dpkg-query --admindir="$OLDPWD/root/var/lib/dpkg" -W -f '${Package}:${Architecture}=${Version}\n' | sed 's/:all=/=/')
"#;

/// The root with its package files in apt's cache.
fn bootstrapped(dir: &Path) -> PathBuf {
    let made = std::env::var_os("TALLYSTICK_BOOTSTRAPPED");
    let script = made.map_or_else(|| MAKE.to_owned(), |made| format!("cp -a {} root", Path::new(&made).display()));
    world::packages::sh(dir, &script);
    dir.join("root")
}

/// What scripts of these packages change, as builders observe it.
fn observations(name: &str) -> Vec<Observed> {
    let changed = |path: &str| Observed::new(format!("./{path}"), Change::Modified);
    match name {
        "dbus" => vec![Observed {
            mode: Some("04754".into()),
            gname: Some("messagebus".into()),
            ..changed("usr/lib/dbus-1.0/dbus-daemon-launch-helper")
        }],
        "iputils-ping" => vec![Observed { caps: Some("0100000200200000000000000000000000000000".into()), ..changed("bin/ping") }],
        _ => Vec::new(),
    }
}

fn attested(world: &mut World, root: &Path) -> Vec<(Purl, Manifest)> {
    let archives = std::fs::read_dir(root.join("var/cache/apt/archives")).unwrap();
    let debs: Vec<PathBuf> =
        archives.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    assert!(debs.len() > 60, "{}", debs.len());
    let mut all = Vec::new();
    for deb in debs {
        let package = package::deb::read(std::fs::File::open(&deb).unwrap(), &package::deb::Limits::default()).unwrap();
        let control = &package.control;
        let purl = Purl::deb("debian", &control.name, &control.version, &control.architecture).unwrap();
        let observed = observations(&control.name);
        for builder in ["builder-1", "builder-2"] {
            world.claim(builder, &purl, &package.manifest);
            if !observed.is_empty() {
                world.observe(builder, &purl, &package.manifest, observed.clone());
            }
        }
        all.push((purl, package.manifest));
    }
    all
}

#[test]
#[ignore = "downloads and unpacks a Debian root, which takes minutes: run with --ignored"]
fn a_bootstrapped_root_is_clean_and_every_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let root = bootstrapped(dir.path());
    let mut world = World::new();
    let packages = attested(&mut world, &root);
    world.fill_cache(world.head());
    let outcome = world.verify(&root);
    assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{:#?}", outcome.findings(false));
    let json = outcome.json();
    println!("{} packages, files hashed by tag: {}, {}", json["packages"], json["files"], json["counts"]);
    let paths = |class: Class| {
        let fixed = packages.iter().flat_map(|(_, manifest)| manifest.entries().iter());
        fixed
            .filter(|entry| entry.class == class && matches!(entry.node, Node::File { size: 1.., .. }) && entry.hardlink.is_none())
            .map(|entry| entry.path.clone())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let fixed: Vec<Vec<u8>> = paths(Class::Fixed).into_iter().filter(|path| !path.starts_with(b"bin/sh")).collect();
    let step = fixed.len() / 20;
    let flipped: Vec<String> = fixed.iter().step_by(step).take(20).map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    flipped.iter().for_each(|path| flip(&root.join(path)));
    let outcome = world.verify(&root);
    let mut found = outcome.findings(false);
    found.sort();
    let mut expected: Vec<String> = flipped.iter().map(|path| format!("modified /{path}")).collect();
    expected.sort();
    assert_eq!((outcome.status, found), (1, expected));
    println!("20 of 20 flipped bytes found, nothing else");
}

fn flip(path: &Path) {
    let metadata = std::fs::metadata(path).unwrap();
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let position = metadata.len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(position)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    file.write_all(&[byte[0] ^ 1]).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}
