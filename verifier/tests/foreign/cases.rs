//! What is done to a root of rpm, pacman or apk, and what must be found then.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::path::Path;

use attest::Purl;
use attest::roles::{RoleKey, Vendor};
use package::deb::Limits;
use package::rpm::RpmPackage;
use tlog::{KeyKind, Signer as _};

use crate::world::packages::sh;
use crate::world::{self, World};

/// A change of a root, and the findings and the exit status that it must lead to.
pub struct Case {
    name: &'static str,
    change: &'static str,
    found: &'static [&'static str],
    status: i32,
}

const fn case(name: &'static str, change: &'static str, found: &'static [&'static str], status: i32) -> Case {
    Case { name, change, found, status }
}

/// Builders attest packages of every kind, of a vendor that is named once for each.
pub fn world() -> World {
    let world = World::with_roles(|roles| {
        for kind in ["rpm", "alpm", "apk"] {
            roles.vendors.push(Vendor { kind: kind.into(), namespace: "example".into(), origin: "Example".into() });
        }
        let scopes = ["pkg:deb/debian/*", "pkg:rpm/example/*", "pkg:alpm/example/*", "pkg:apk/example/*"];
        let names = ["builder-1", "builder-2", "builder-3"];
        roles.builders =
            names.iter().map(|name| RoleKey::active(world::key(name, KeyKind::Ed25519).key().clone(), &scopes).unwrap()).collect();
    });
    world.configure("builders = 2\nmax_age = \"1h\"\n");
    world
}

/// Runs each case on a copy of a root, prints what was expected and what was seen, and counts what differs.
pub fn try_all(world: &World, base: &Path, cases: &[Case]) {
    let mut wrong = 0;
    for case in cases {
        let copy = tempfile::tempdir().unwrap();
        let root = copy.path().join("root");
        sh(base, &format!("cp -a {} {}", base.display(), root.display()));
        sh(&root, case.change);
        let outcome = world.verify(&root);
        let mut found = if outcome.stdout.is_empty() { Vec::new() } else { outcome.findings(false) };
        found.sort();
        let fits = outcome.status == case.status && found == case.found;
        wrong += usize::from(!fits);
        println!(
            "{:<4} {:<44} expected {} {:?}, seen {} {found:?}",
            if fits { "ok" } else { "BAD" },
            case.name,
            case.status,
            case.found,
            outcome.status
        );
        if !fits {
            println!("{}{}", outcome.stdout, outcome.stderr);
        }
    }
    assert_eq!(wrong, 0, "of {} cases", cases.len());
}

/// What a package file holds, and what it is called.
pub fn rpm(path: &Path) -> (Purl, RpmPackage) {
    let rpm = package::rpm::read(File::open(path).unwrap(), &Limits::default()).unwrap();
    let identity = &rpm.identity;
    let purl = Purl::rpm("example", &identity.name, &identity.version, &identity.architecture, identity.epoch).unwrap();
    (purl, rpm)
}

/// What names no database: the same for all kinds of them.
pub const RPM_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r usr/bin/sample t; printf 'a_program' >usr/bin/sample; touch -r t usr/bin/sample; rm t",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("library appended to", "echo >>usr/lib/sample/libsample.so.1", &["modified /usr/lib/sample/libsample.so.1"], 1),
    case("kernel module cut", "truncate -s 3 lib/modules/sample.ko", &["modified /lib/modules/sample.ko"], 1),
    case("mode", "chmod 777 usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid added", "chmod u+s usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid removed", "chmod u-s usr/bin/suid", &["mode /usr/bin/suid"], 1),
    case("owner", "chown 2 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("group", "chgrp 12 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("capability removed", "setcap -r usr/bin/capable", &["capability /usr/bin/capable"], 1),
    case("capability added", "setcap cap_setuid=ep usr/bin/sample", &["capability /usr/bin/sample"], 1),
    case("link leads elsewhere", "ln -sfn suid usr/bin/link", &["modified /usr/bin/link"], 1),
    case("file for a link", "rm usr/bin/link; cp usr/bin/sample usr/bin/link", &["modified /usr/bin/link"], 1),
    case("link for a file", "mv usr/bin/sample usr/bin/x; ln -s x usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("directory for a file", "rm usr/bin/sample; mkdir usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("pipe for a file", "rm usr/bin/sample; mkfifo usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("program missing", "rm usr/bin/sample", &["missing /usr/bin/sample"], 1),
    case("odd name missing", "rm usr/lib/sample/a*b*", &["missing /usr/lib/sample/a b\\377"], 1),
    case("directory's mode", "chmod 755 srv/sample", &["mode /srv/sample"], 1),
    case("documentation changed", "echo x >>usr/share/doc/sample/README", &["modified /usr/share/doc/sample/README"], 1),
    case("documentation removed", "rm usr/share/doc/sample/README", &[], 0),
    case("translation changed", "echo x >>usr/share/locale/de/sample.mo", &["modified /usr/share/locale/de/sample.mo"], 1),
    case("translation removed", "rm usr/share/locale/de/sample.mo usr/lib/sample/de.txt", &[], 0),
    case("licence removed", "rm usr/lib/sample/LICENSE", &["missing /usr/lib/sample/LICENSE"], 1),
    case("configuration edited", "echo x >>etc/sample.conf", &[], 0),
    case("configuration kept, .rpmnew beside it", "echo x >>etc/sample.d/kept.conf; echo y >etc/sample.d/kept.conf.rpmnew", &[], 0),
    case("configuration removed", "rm etc/sample.d/kept.conf etc/sample.d/away.conf", &[], 0),
    case("executable configuration edited", "echo x >>etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("configuration outside /etc edited", "echo x >>usr/share/sample/settings", &["modified /usr/share/sample/settings"], 1),
    case("masked file edited", "echo x >>usr/lib/sample/cache", &[], 0),
    case("masked file setuid", "chmod u+s usr/lib/sample/cache", &["mode /usr/lib/sample/cache"], 1),
    case(
        "masked file edited and setuid",
        "echo x >>usr/lib/sample/cache; chmod u+s usr/lib/sample/cache",
        &["mode /usr/lib/sample/cache"],
        1,
    ),
    case(
        "masked file edited, a capability",
        "echo x >>usr/lib/sample/cache; setcap cap_sys_admin+ep usr/lib/sample/cache",
        &["capability /usr/lib/sample/cache"],
        1,
    ),
    case("ghosts filled", "mkdir -p var/log/sample run/sample; echo x >var/log/sample/log; echo x >run/sample/state", &[], 0),
    case(
        "ghost setuid",
        "mkdir -p var/log/sample; echo x >var/log/sample/log; chmod 4755 var/log/sample/log",
        &["mode /var/log/sample/log"],
        1,
    ),
    case("hard link broken, content kept", "cp -p usr/lib/sample/two t; mv t usr/lib/sample/two", &[], 0),
    case("hard link to another file", "ln -f usr/bin/suid usr/lib/sample/two", &["modified /usr/lib/sample/two"], 1),
];

/// What happens to a database of SQLite.
pub const SQLITE_CASES: &[Case] = &[
    case("digest in the database changed", FORGE, &["unattested installable 1.0~rc1-2.fc40 x86_64"], 2),
    case(
        "database emptied",
        "python3 -c \"import sqlite3; c = sqlite3.connect('var/lib/rpm/rpmdb.sqlite'); c.execute('delete from Packages'); c.commit()\"",
        &[],
        16,
    ),
    case("database cut", "truncate -s 5000 var/lib/rpm/rpmdb.sqlite", &[], 16),
    case("second database planted", "mkdir -p usr/lib/sysimage/rpm; cp var/lib/rpm/rpmdb.sqlite usr/lib/sysimage/rpm", &[], 16),
];

/// A changed program, and its digest in the database changed with it: rpm itself calls it clean.
const FORGE: &str = r#"
python3 - <<'PYTHON'
import hashlib, sqlite3
old, new = (hashlib.sha256(text).hexdigest().encode() for text in (b"a program", b"A program"))
database = sqlite3.connect("var/lib/rpm/rpmdb.sqlite")
for number, blob in database.execute("select hnum, blob from Packages").fetchall():
    database.execute("update Packages set blob = ? where hnum = ?", (blob.replace(old, new), number))
database.commit()
PYTHON
printf 'A program' >usr/bin/sample
"#;

/// What happens to one of ndb.
pub const NDB_CASES: &[Case] = &[
    case("digest in the database changed", FORGE_NDB, &["unattested installable 1.0~rc1-2.fc40 x86_64"], 2),
    case("a byte of the database changed", "printf X | dd of=var/lib/rpm/Packages.db bs=1 seek=9000 conv=notrunc status=none", &[], 16),
    case(
        "database emptied",
        "python3 -c \"f = open('var/lib/rpm/Packages.db', 'r+b'); f.seek(32); f.write((b'Slot' + bytes(12)) * 254)\"",
        &[],
        16,
    ),
    case("database cut", "truncate -s 5008 var/lib/rpm/Packages.db", &[], 16),
    case("second database planted", "mkdir -p usr/lib/sysimage/rpm; cp var/lib/rpm/Packages.db usr/lib/sysimage/rpm", &[], 16),
    case("database of another kind planted", "printf x >var/lib/rpm/rpmdb.sqlite", &[], 16),
];

/// The same forgery as of SQLite's, with the checksum made right.
const FORGE_NDB: &str = r#"
python3 - <<'PYTHON'
import hashlib, struct, zlib
old, new = (hashlib.sha256(text).hexdigest().encode() for text in (b"a program", b"A program"))
file = open("var/lib/rpm/Packages.db", "r+b")
data = bytearray(file.read().replace(old, new))
for at in range(32, 4096, 16):
    magic, package, start, blocks = struct.unpack("<4sIII", data[at:at + 16])
    if blocks:
        end = (start + blocks) * 16 - 12
        data[end:end + 4] = struct.pack("<I", zlib.adler32(data[start * 16:end]))
file.seek(0)
file.write(data)
PYTHON
printf 'A program' >usr/bin/sample
"#;

/// What happens to one of Berkeley's.
pub const BDB_CASES: &[Case] = &[
    case("digest in the database changed", FORGE_BDB, &["unattested installable 1.0~rc1-2.fc40 x86_64"], 2),
    case(
        "database emptied",
        "rm var/lib/rpm/Packages; printf 'VERSION=3\\ntype=hash\\nHEADER=END\\nDATA=END\\n' | db_load var/lib/rpm/Packages",
        &[],
        16,
    ),
    case("database cut", "truncate -s -1 var/lib/rpm/Packages", &[], 16),
    case("database of another kind planted", "printf x >var/lib/rpm/Packages.db", &[], 16),
];

const FORGE_BDB: &str = r#"
python3 - <<'PYTHON'
import hashlib
old, new = (hashlib.sha256(text).hexdigest().encode() for text in (b"a program", b"A program"))
data = open("var/lib/rpm/Packages", "rb").read()
assert old in data
open("var/lib/rpm/Packages", "wb").write(data.replace(old, new))
PYTHON
printf 'A program' >usr/bin/sample
"#;

pub const PACMAN_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r usr/bin/sample t; printf 'a_program' >usr/bin/sample; touch -r t usr/bin/sample; rm t",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("appended to", "echo >>usr/lib/sample/one", &["modified /usr/lib/sample/one", "modified /usr/lib/sample/two"], 1),
    case("cut", "truncate -s 5 usr/lib/sample/zeros", &["modified /usr/lib/sample/zeros"], 1),
    case("mode", "chmod 777 usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid added", "chmod u+s usr/bin/sample", &["mode /usr/bin/sample"], 1),
    case("setuid removed", "chmod u-s usr/bin/suid", &["mode /usr/bin/suid"], 1),
    case("owner", "chown 2 usr/bin/sample", &["owner /usr/bin/sample"], 1),
    case("owner of a directory", "chown 0 srv/sample; chmod 2750 srv/sample", &["owner /srv/sample"], 1),
    case("capability removed", "setcap -r usr/bin/capable", &["capability /usr/bin/capable"], 1),
    case("capability added", "setcap cap_setuid=ep usr/bin/sample", &["capability /usr/bin/sample"], 1),
    case("link leads elsewhere", "ln -sfn suid usr/bin/link", &["modified /usr/bin/link"], 1),
    case("link for a file", "mv usr/bin/sample usr/bin/x; ln -s x usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case("directory for a file", "rm usr/bin/sample; mkdir usr/bin/sample", &["modified /usr/bin/sample"], 1),
    case(
        "socket for a file",
        "rm usr/bin/sample; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('usr/bin/sample')\"",
        &["modified /usr/bin/sample"],
        1,
    ),
    case("program missing", "rm usr/bin/sample", &["missing /usr/bin/sample"], 1),
    case("odd name missing", "rm usr/lib/sample/a*b*", &["missing /usr/lib/sample/a b\\377"], 1),
    case("documentation changed", "echo x >>usr/share/doc/sample/README", &["modified /usr/share/doc/sample/README"], 1),
    case("documentation removed", "rm usr/share/doc/sample/README", &[], 0),
    case("backup file edited, .pacnew beside it", "echo x >>etc/sample.conf; echo y >etc/sample.conf.pacnew", &[], 0),
    case("backup file removed", "rm etc/sample.conf", &[], 0),
    case("file of /etc without backup edited", "echo x >>etc/other.conf", &["modified /etc/other.conf"], 1),
    case(
        "NoExtract over a program",
        "sed -i 's|^NoExtract =|& usr/bin/sample|' etc/pacman.conf; rm usr/bin/sample",
        &["missing /usr/bin/sample"],
        1,
    ),
    case("NoExtract file put there after all", "echo x >usr/lib/sample/empty", &["modified /usr/lib/sample/empty"], 1),
    case(
        "version rolled back in the database",
        "cd var/lib/pacman/local; mv sample-* sample-1:0.9-1; sed -i 's/^1:1.0rc1-2$/1:0.9-1/' */desc",
        &["unattested sample 1:0.9-1 x86_64"],
        2,
    ),
    case("database's directory renamed alone", "cd var/lib/pacman/local; mv sample-* sample-1:0.9-1", &[], 16),
    case("database emptied", "rm -r var/lib/pacman/local/sample-*", &[], 16),
    case("pacman at work", "touch var/lib/pacman/db.lck", &[], 12),
];

pub const APK_CASES: &[Case] = &[
    case("program changed", "printf 'A program' >usr/bin/sample", &["modified /usr/bin/hard", "modified /usr/bin/sample"], 1),
    case(
        "size and time kept",
        "touch -r etc/apk/keep t; printf y >etc/apk/keep; touch -r t etc/apk/keep; rm t",
        &["modified /etc/apk/keep"],
        1,
    ),
    case("appended to", "echo >>etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("cut", "truncate -s 3 usr/share/man/man1/sample.1.gz", &["modified /usr/share/man/man1/sample.1.gz"], 1),
    case("mode", "chmod 777 etc/init.d/sample", &["mode /etc/init.d/sample"], 1),
    case("setuid added", "chmod u+s etc/init.d/sample", &["mode /etc/init.d/sample"], 1),
    case("owner of a directory", "chown 0 var/sample; chmod 2750 var/sample", &["owner /var/sample"], 1),
    case("group of a directory", "chgrp 0 var/sample; chmod 2750 var/sample", &["owner /var/sample"], 1),
    case("capability added", "setcap cap_setuid=ep etc/init.d/sample", &["capability /etc/init.d/sample"], 1),
    case("link leads elsewhere", "ln -sfn sample usr/bin/link", &["modified /usr/bin/link"], 1),
    case("directory for a file", "rm etc/init.d/sample; mkdir etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("pipe for a file", "rm etc/init.d/sample; mkfifo etc/init.d/sample", &["modified /etc/init.d/sample"], 1),
    case("program missing", "rm usr/bin/link", &["missing /usr/bin/link"], 1),
    case("documentation removed", "rm usr/share/man/man1/sample.1.gz", &[], 0),
    case("configuration edited, .apk-new beside it", "echo x >>etc/sample.conf; echo y >etc/sample.conf.apk-new", &[], 0),
    case("configuration of apk edited", "echo x >>etc/apk/keep", &["modified /etc/apk/keep"], 1),
    case("hard link broken, content kept", "cp -p usr/bin/hard t; mv t usr/bin/hard", &[], 0),
    case("version rolled back in the database", "sed -i 's/^V:.*/V:0.9-r0/' lib/apk/db/installed", &["unattested sample 0.9-r0 x86_64"], 2),
    case("another release said", "echo 3.21.0 >etc/alpine-release", &["unattested sample 1.0-r2 x86_64"], 2),
    case(
        "a file taken out of the list",
        "sed -i '/^R:sample$/d' lib/apk/db/installed; echo >>etc/init.d/sample",
        &["modified /etc/init.d/sample"],
        1,
    ),
    case("database emptied", ": >lib/apk/db/installed", &[], 16),
    case("database cut", "truncate -s -3 lib/apk/db/installed", &[], 16),
    case("database that leads elsewhere", "echo F:../x >>lib/apk/db/installed", &[], 16),
];
