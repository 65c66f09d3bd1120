//! Small real packages, and roots with them installed by dpkg.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use attest::{Manifest, Purl};

use super::World;

/// Runs a shell script that must succeed.
pub fn sh(dir: &Path, script: &str) {
    let output = Command::new("bash").arg("-euc").arg(script).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// The packages and a root with all of them.
pub struct Base {
    dir: PathBuf,
}

pub fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(Base::make)
}

impl Base {
    /// Made once for all tests, and kept under a name that says how: a temporary directory in a static would never be removed.
    fn make() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make roots with dpkg and need root");
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = parent.join(format!("packages-{}", tlog::hash_leaf(MAKE.as_bytes()).to_hex()));
        if !dir.exists() {
            let new = tempfile::tempdir_in(parent).unwrap();
            sh(new.path(), MAKE);
            // Another test program may have been faster.
            fs::rename(new.path(), &dir).or_else(|error| dir.exists().then_some(()).ok_or(error)).unwrap();
        }
        Self { dir }
    }

    pub fn deb(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.deb"))
    }

    pub fn manifest(&self, name: &str) -> (Purl, Manifest) {
        let file = fs::File::open(self.deb(name)).unwrap();
        let package = package::deb::read(file, &package::deb::Limits::default()).unwrap();
        let control = &package.control;
        let purl = Purl::deb("debian", &control.name, &control.version, &control.architecture).unwrap();
        (purl, package.manifest)
    }

    /// A root of one's own.
    pub fn root(&self) -> Root {
        let dir = tempfile::tempdir().unwrap();
        sh(&self.dir, &format!("cp -a root/. {}", dir.path().display()));
        Root { dir }
    }

    /// A world in which two builders attest all packages.
    pub fn world(&self) -> World {
        let mut world = World::new();
        for name in NAMES {
            let (purl, manifest) = self.manifest(name);
            for builder in ["builder-1", "builder-2"] {
                world.claim(builder, &purl, &manifest);
            }
        }
        world
    }
}

pub struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn sh(&self, script: &str) {
        sh(self.path(), script);
    }
}

/// All packages, by file.
pub const NAMES: [&str; 6] = ["basic", "divertee", "diverter", "shared-amd64", "shared-i386", "taker"];

const MAKE: &str = r#"
umask 022
build() { # name arch extra-control-lines
    mkdir -p $1/DEBIAN
    printf 'Package: %s\nVersion: 1.0-1\nArchitecture: %s\nMaintainer: T <t@example.com>\nDescription: test\n%b' "${1%%-*}" "$2" "$3" > $1/DEBIAN/control
    dpkg-deb --root-owner-group -Zgzip -b $1 $1.deb > /dev/null
}
mkdir -p basic/usr/{bin,lib/basic,share/{basic,doc/basic,locale/de/LC_MESSAGES}} basic/etc/init.d basic/var/lib/basic basic/DEBIAN basic/lib
printf 'a program' > basic/usr/bin/basic; chmod 755 basic/usr/bin/basic
printf 'setuid' > basic/usr/bin/suid; chmod 4755 basic/usr/bin/suid
printf 'made setuid by a script' > basic/usr/bin/capper; chmod 755 basic/usr/bin/capper
ln -s basic basic/usr/bin/basic-link
ln basic/usr/bin/basic basic/usr/bin/basic-hard
head -c 300000 /dev/zero > basic/usr/lib/basic/lib.so
printf 'kernel module' > basic/lib/module.ko
printf 'shared' > basic/usr/share/basic/taken
printf 'outside = etc\n' > basic/usr/share/basic/conf
printf 'odd name' > basic/usr/share/basic/$'a b\xff'
printf 'free software' > basic/usr/share/doc/basic/copyright
printf 'de' > basic/usr/share/locale/de/LC_MESSAGES/basic.mo
printf 'setting = 1\n' > basic/etc/basic.conf
printf '#!/bin/sh\n' > basic/etc/init.d/basic; chmod 755 basic/etc/init.d/basic
printf '/etc/basic.conf\n/etc/init.d/basic\n/usr/share/basic/conf\n' > basic/DEBIAN/conffiles
build basic amd64 ''
mkdir -p divertee/usr/{bin,share/divertee}; printf x > divertee/usr/share/divertee/data; printf 'the old tool' > divertee/usr/bin/tool; chmod 755 divertee/usr/bin/tool; build divertee amd64 ''
mkdir -p diverter/usr/bin; printf 'the new tool' > diverter/usr/bin/tool; chmod 755 diverter/usr/bin/tool; build diverter amd64 ''
for arch in amd64 i386; do
    mkdir -p shared-$arch/usr/share/shared shared-$arch/usr/lib/$arch
    printf 'the same' > shared-$arch/usr/share/shared/data; printf $arch > shared-$arch/usr/lib/$arch/libshared.so
    build shared-$arch $arch 'Multi-Arch: same\n'
done
mkdir -p taker/usr/share/basic; printf 'taken over' > taker/usr/share/basic/taken; build taker amd64 'Replaces: basic\n'
mkdir -p root/{etc,usr/{bin,lib,sbin}} root/var/lib/dpkg/{info,updates,alternatives}
for name in bin lib sbin; do ln -s usr/$name root/$name; done
touch root/var/lib/dpkg/{status,available}; printf 'amd64\ni386\n' > root/var/lib/dpkg/arch
printf 'root:x:0:0::/:/bin/sh\nmessagebus:x:101:101::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n' > root/etc/passwd
printf 'root:x:0:\nmessagebus:x:101:\nuser:x:1000:\n' > root/etc/group
printf 'ID=debian\n' > root/etc/os-release
install() { dpkg --root=$PWD/root --force-script-chrootless --force-not-root --force-bad-path --log=/dev/null -i "$@" > dpkg.out 2>&1 || { cat dpkg.out; exit 1; }; }
install basic.deb divertee.deb shared-amd64.deb shared-i386.deb
dpkg-divert --root=$PWD/root --package diverter --add --rename --divert /usr/bin/tool.old /usr/bin/tool > /dev/null
install diverter.deb taker.deb
"#;
