//! A whole bootstrapped Debian root, all of whose packages are attested: nothing is found in it, and each of many manipulations gets its
//! verdict and no other. Needs root, mmdebstrap and this machine's own apt sources; takes minutes: `make root-300`.

mod world;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::Purl;
use attest::predicate::{Change, Observed};
use package::deb::Limits;
use world::packages::sh;
use world::{Outcome, World};

/// A change of the root, how it is looked at, and the findings and the exit status that it must lead to.
struct Case {
    name: &'static str,
    change: &'static str,
    options: &'static [&'static str],
    found: &'static [&'static str],
    status: i32,
}

const fn case(name: &'static str, change: &'static str, found: &'static [&'static str], status: i32) -> Case {
    Case { name, change, options: &[], found, status }
}

const fn with(
    option: &'static [&'static str],
    name: &'static str,
    change: &'static str,
    found: &'static [&'static str],
    status: i32,
) -> Case {
    Case { name, change, options: option, found, status }
}

const UNOWNED: &[&str] = &["--unowned"];
const EXPECT: &[&str] = &["--expect", "LIST"];

/// What the packages' scripts change, as builders see it when they install them: package, path, and what is different.
const OBSERVED: &[(&str, &str, Differs)] = &[
    ("dbus", "usr/lib/dbus-1.0/dbus-daemon-launch-helper", |seen| seen_as(seen, "04754", "messagebus")),
    ("openssh-client", "usr/bin/ssh-agent", |seen| seen_as(seen, "02755", "_ssh")),
    ("iputils-ping", "bin/ping", |seen| seen.caps = Some("0100000200200000000000000000000000000000".into())),
];
type Differs = fn(&mut Observed);

const CASES: &[Case] = &[
    // Content.
    case("content of a binary", "printf XXXX | dd of=usr/bin/git bs=1 seek=5000 conv=notrunc status=none", &["modified /usr/bin/git"], 1),
    case(
        "content of a library",
        "printf XXXX | dd of=$(echo usr/lib/*/libz.so.1.*) bs=1 seek=5000 conv=notrunc status=none",
        &["modified LIBRARY"],
        1,
    ),
    case("content of a script", "sed -i '2i true' usr/bin/ldd", &["modified /usr/bin/ldd"], 1),
    case(
        "content of a kernel module",
        "printf X | dd of=$(find usr/lib/modules -name nfs.ko) bs=1 seek=500 conv=notrunc status=none",
        &["modified MODULE"],
        1,
    ),
    case("content of a doc", "echo >> usr/share/doc/git/copyright", &["modified /usr/share/doc/git/copyright"], 1),
    case(
        "content of a locale",
        "echo >> usr/share/locale/de/LC_MESSAGES/dpkg.mo",
        &["modified /usr/share/locale/de/LC_MESSAGES/dpkg.mo"],
        1,
    ),
    case("content appended", "echo >> usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case("content cut", "truncate -s -1 usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case("emptied", ": > usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case(
        "content of the same size and time",
        "cp -p usr/bin/ssh /tmp/tally-time; printf X | dd of=usr/bin/ssh bs=1 seek=700 conv=notrunc status=none; touch -r /tmp/tally-time usr/bin/ssh; rm /tmp/tally-time",
        &["modified /usr/bin/ssh"],
        1,
    ),
    case("a sparse file of 10 GB", "truncate -s 10G usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    // Attributes.
    case("mode", "chmod 700 usr/bin/ssh", &["mode /usr/bin/ssh"], 1),
    case("mode of a directory", "chmod 777 usr/lib/git-core", &["mode /usr/lib/git-core"], 1),
    case("setuid added", "chmod u+s usr/bin/vim.basic", &["mode /usr/bin/vim.basic"], 1),
    case("setuid removed", "chmod u-s usr/bin/su", &["mode /bin/su"], 1),
    case("setgid added", "chmod g+s usr/bin/vim.basic", &["mode /usr/bin/vim.basic"], 1),
    case("owner", "chown 33 usr/bin/ssh", &["owner /usr/bin/ssh"], 1),
    case("group", "chgrp 33 usr/bin/ssh", &["owner /usr/bin/ssh"], 1),
    case("capability added", "setcap cap_sys_admin+ep usr/bin/vim.basic", &["capability /usr/bin/vim.basic"], 1),
    // The package ships none; its script sets one. Without it the program is as it was shipped.
    case("capability removed", "setcap -r usr/bin/ping", &[], 0),
    case("capability removed, setuid in its place", "setcap -r usr/bin/ping; chmod u+s usr/bin/ping", &["mode /bin/ping"], 1),
    case("another capability", "setcap cap_sys_admin+ep usr/bin/ping", &["capability /bin/ping"], 1),
    case(
        "access list",
        "python3 -c 'import os,struct; os.setxattr(\"usr/bin/ssh\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) + b\"\".join(struct.pack(\"<HHI\", *e) for e in [(1,7,0xffffffff),(2,7,1000),(4,5,0xffffffff),(16,5,0xffffffff),(32,5,0xffffffff)]))'",
        &["capability /usr/bin/ssh"],
        1,
    ),
    // Types.
    case("target of a link", "ln -sf ssh usr/bin/git-upload-pack", &["modified /usr/bin/git-upload-pack"], 1),
    case("a file for a link", "rm usr/bin/slogin; cp -p usr/bin/ssh usr/bin/slogin", &["modified /usr/bin/slogin"], 1),
    case("a link for a file", "mkdir opt/x; mv usr/bin/ssh opt/x; ln -s ../../opt/x/ssh usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case(
        "a link to an identical file elsewhere",
        "cp -p usr/bin/ssh opt/ssh; ln -sf /opt/ssh usr/bin/slogin",
        &["modified /usr/bin/slogin"],
        1,
    ),
    case("a directory for a file", "rm usr/bin/ssh; mkdir usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case("a directory for a link", "rm usr/bin/slogin; mkdir usr/bin/slogin", &["modified /usr/bin/slogin"], 1),
    case(
        "a link for a directory",
        "mv usr/share/git-core opt; ln -s /opt/git-core usr/share/git-core",
        &["modified /usr/share/git-core"],
        1,
    ),
    case("a pipe for a file", "rm usr/bin/ssh; mkfifo usr/bin/ssh", &["modified /usr/bin/ssh"], 1),
    case("a character device for a file", "rm usr/bin/ssh; mknod usr/bin/ssh c 1 5", &["modified /usr/bin/ssh"], 1),
    case("a block device for a file", "rm usr/bin/ssh; mknod usr/bin/ssh b 7 0", &["modified /usr/bin/ssh"], 1),
    case(
        "a socket for a file",
        "rm usr/bin/ssh; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"usr/bin/ssh\")'",
        &["modified /usr/bin/ssh"],
        1,
    ),
    // Presence.
    case("a missing file", "rm usr/bin/ssh", &["missing /usr/bin/ssh"], 1),
    case("a missing doc", "rm usr/share/doc/git/copyright", &[], 0),
    case("all documentation missing", "rm -r usr/share/doc/* usr/share/man/*", &[], 0),
    case("a missing directory", "rm -r usr/share/git-core/templates/branches", &["missing /usr/share/git-core/templates/branches"], 1),
    case("a hard link broken", "cp -p usr/bin/perl t; mv t usr/bin/perl", &[], 0),
    case("a hard link to another file", "ln -f usr/bin/git usr/bin/perl", &["modified /usr/bin/perl"], 1),
    // Reading.
    case("a file changed while it is read", REWRITE, &["changed /usr/bin/git"], 2),
    case("an unreadable file", "mount --bind /proc/1/mem usr/bin/ssh", &["unreadable /usr/bin/ssh"], 2),
    // Configuration.
    case("a conffile edited", "echo >> etc/ssh/ssh_config", &[], 0),
    case("a conffile removed", "rm etc/ssh/ssh_config", &[], 0),
    case("an executable conffile edited", "echo >> etc/init.d/ssh", &["modified /etc/init.d/ssh"], 1),
    case(
        "a conffile made executable and edited",
        "chmod +x etc/ssh/ssh_config; echo >> etc/ssh/ssh_config",
        &["modified /etc/ssh/ssh_config"],
        1,
    ),
    case("a conffile that all may write to", "chmod 666 etc/ssh/ssh_config", &["mode /etc/ssh/ssh_config"], 1),
    // Tables of the machine.
    case(
        "a forged diversion over a replaced binary",
        "dpkg-divert --root=$PWD --local --add --rename --divert /usr/bin/ssh.real /usr/bin/ssh >/dev/null; printf evil > usr/bin/ssh; chmod 755 usr/bin/ssh",
        &["modified /usr/bin/ssh"],
        1,
    ),
    case(
        "a forged statoverride",
        "echo 'root root 4755 /usr/bin/vim.basic' >> var/lib/dpkg/statoverride; chmod 4755 usr/bin/vim.basic",
        &["mode /usr/bin/vim.basic"],
        1,
    ),
    with(
        UNOWNED,
        "an alternative that points elsewhere",
        "printf evil > opt/evil; chmod 755 opt/evil; ln -sf /opt/evil etc/alternatives/editor",
        &["unowned /usr/bin/editor"],
        2,
    ),
    // The database.
    with(EXPECT, "a package removed from the database", "sed -i '/^Package: vim$/,/^$/d' var/lib/dpkg/status", &["hidden VIM"], 1),
    with(
        EXPECT,
        "a package hidden with its lists",
        "sed -i '/^Package: vim$/,/^$/d' var/lib/dpkg/status; rm var/lib/dpkg/info/vim.*",
        &["hidden VIM"],
        1,
    ),
    case(
        "a version rolled back",
        "sed -i '/^Package: vim$/,/^$/s/^Version: .*/Version: 2:8.0-1/' var/lib/dpkg/status",
        &["unattested vim 2:8.0-1 amd64"],
        2,
    ),
    with(
        EXPECT,
        "a version rolled back, with a list kept elsewhere",
        "sed -i '/^Package: vim$/,/^$/s/^Version: .*/Version: 2:8.0-1/' var/lib/dpkg/status",
        &["rolled-back VIM", "unattested vim 2:8.0-1 amd64"],
        1,
    ),
    case(
        "a file list edited",
        "sed -i '/bin.ssh$/d' var/lib/dpkg/info/openssh-client.list; echo >> usr/bin/ssh",
        &["modified /usr/bin/ssh"],
        1,
    ),
    // What nobody owns.
    with(UNOWNED, "an unowned program", "printf evil > usr/bin/evil; chmod 755 usr/bin/evil", &["unowned /usr/bin/evil"], 2),
    with(
        UNOWNED,
        "an unowned program that is in a list",
        "printf evil > usr/bin/evil; chmod 755 usr/bin/evil; echo /usr/bin/evil >> var/lib/dpkg/info/vim.list",
        &["unowned /usr/bin/evil"],
        2,
    ),
    with(
        UNOWNED,
        "an unowned library",
        "printf evil > usr/lib/x86_64-linux-gnu/libevil.so.1",
        &["unowned /usr/lib/x86_64-linux-gnu/libevil.so.1"],
        2,
    ),
    with(UNOWNED, "a library that is loaded first", "printf /opt/evil.so > etc/ld.so.preload", &["unowned /etc/ld.so.preload"], 2),
    with(
        UNOWNED,
        "bytecode that is not of its source",
        "f=usr/lib/python3/dist-packages/requests/__pycache__/api.cpython-311.pyc; python3.11 -c 'import sys,marshal; p=sys.argv[1]; h=open(p,\"rb\").read(16); open(p,\"wb\").write(h+marshal.dumps(compile(\"import os\", \"\", \"exec\")))' $f",
        &["modified /usr/lib/python3/dist-packages/requests/__pycache__/api.cpython-311.pyc"],
        1,
    ),
    with(
        UNOWNED,
        "bytecode without a source, where python loads it",
        "cp usr/lib/python3/dist-packages/requests/__pycache__/api.cpython-311.pyc usr/lib/python3/dist-packages/evil.pyc",
        &["unowned /usr/lib/python3/dist-packages/evil.pyc"],
        2,
    ),
    with(
        UNOWNED,
        "a module of python that starts by itself",
        "echo import os > usr/lib/python3/dist-packages/evil.pth",
        &["unowned /usr/lib/python3/dist-packages/evil.pth"],
        2,
    ),
    // Directories.
    case("an alias that became a directory", "rm bin; cp -a usr/bin bin; printf evil > bin/ls", &["modified /bin/ls"], 1),
    case(
        "an alias that leads elsewhere",
        "cp -a usr/sbin opt/sbin; rm sbin; ln -s opt/sbin sbin; printf evil > opt/sbin/ldconfig",
        &["modified /sbin", "modified /sbin/ldconfig"],
        1,
    ),
];

/// Writes the same byte again and again, for longer than the verification takes: not the content changes, only the file.
const REWRITE: &str = r#"
timeout 60 python3 -c '
import os, time
file = os.open("usr/bin/git", os.O_RDWR)
byte = os.pread(file, 1, 0)
while os.pwrite(file, byte, 0):
    open("../begun", "w").close()
    time.sleep(0.001)
' </dev/null >/dev/null 2>&1 &
until [ -e ../begun ]; do sleep 0.1; done
"#;

/// A copy of the base that costs nothing: what is changed is written beside it.
struct Copy {
    dir: tempfile::TempDir,
}

impl Copy {
    fn of(base: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "mkdir upper work root; mount -t overlay overlay -o lowerdir={},upperdir=$PWD/upper,workdir=$PWD/work $PWD/root",
            base.display()
        );
        sh(dir.path(), &script);
        Self { dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.root()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
#[ignore = "bootstraps a Debian root of more than 300 packages: run `make root-300`"]
fn a_whole_root_is_clean_and_each_manipulation_is_found() {
    let (base, debs) = bootstrap();
    let mut world = World::new();
    let packages = attest_all(&mut world, &debs);
    assert!(packages >= 300, "{packages}");
    world.fill_cache(world.head());
    let list = Command::new("dpkg-query").args(["--admindir"]).arg(base.join("var/lib/dpkg")).arg("-W").output().unwrap().stdout;
    fs::write(world.path("list"), list).unwrap();
    for options in [&[][..], UNOWNED, EXPECT] {
        let outcome = verify(&world, &base, options);
        let json = outcome.json();
        println!("untouched {options:?}: exit {}, {} of {}, {}", outcome.status, json["packages"], json["files"], json["counts"]);
        assert_eq!((outcome.status, outcome.findings(false)), (0, Vec::new()), "{options:?}");
        assert_eq!(json["packages"]["attested"], json["packages"]["installed"]);
    }
    let wrong = CASES.iter().filter(|case| !try_one(&world, &base, case)).count();
    assert_eq!(wrong, 0, "of {} cases", CASES.len());
}

fn try_one(world: &World, base: &Path, case: &Case) -> bool {
    let copy = Copy::of(base);
    sh(&copy.root(), case.change);
    let outcome = verify(world, &copy.root(), case.options);
    let mut found = if outcome.stdout.is_empty() { vec![outcome.stderr.clone()] } else { outcome.findings(false) };
    found.sort();
    let mut expected: Vec<String> = case.found.iter().map(|text| named(text, base)).collect();
    expected.sort();
    let fits = outcome.status == case.status && found == expected;
    println!(
        "{:<4} {:<48} expected {} {:?}, seen {} {:?}",
        if fits { "ok" } else { "BAD" },
        case.name,
        case.status,
        expected,
        outcome.status,
        found.iter().take(12).collect::<Vec<_>>()
    );
    fits
}

/// With names in the place of those that carry a version.
fn named(text: &str, base: &Path) -> String {
    let ask = |script: &str| {
        let output = Command::new("bash").arg("-euc").arg(script).current_dir(base).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    match text {
        "modified MODULE" => format!("modified /{}", ask("find lib/modules/ -name nfs.ko")),
        "modified LIBRARY" => format!("modified /{}", ask("echo lib/*/libz.so.1.*")),
        text => text.replace("VIM", &ask("dpkg-query --admindir=var/lib/dpkg -W -f 'vim ${Version}' vim")),
    }
}

fn verify(world: &World, root: &Path, options: &[&str]) -> Outcome {
    let list = world.path("list");
    let mut arguments = vec!["verify", "--all", "--json", "--root", root.to_str().unwrap()];
    arguments.extend(options.iter().map(|option| if *option == "LIST" { list.to_str().unwrap() } else { option }));
    world.tally(&arguments)
}

/// Two builders claim what is in every package file, and see the same when they install it.
fn attest_all(world: &mut World, debs: &Path) -> usize {
    let mut files: Vec<PathBuf> = fs::read_dir(debs).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "deb"));
    files.sort();
    for file in &files {
        let package = package::deb::read(File::open(file).unwrap(), &Limits::default()).unwrap_or_else(|error| panic!("{error}"));
        let control = &package.control;
        let purl = Purl::deb("debian", &control.name, &control.version, &control.architecture).unwrap();
        let observed = OBSERVED.iter().filter(|(name, ..)| *name == control.name);
        let entries: Vec<Observed> = observed.map(|(_, path, change)| difference(path, *change)).collect();
        for builder in ["builder-1", "builder-2"] {
            world.claim(builder, &purl, &package.manifest);
            if !entries.is_empty() {
                world.observe(builder, &purl, &package.manifest, entries.clone());
            }
        }
    }
    files.len()
}

fn seen_as(seen: &mut Observed, mode: &str, group: &str) {
    (seen.mode, seen.gname) = (Some(mode.into()), Some(group.into()));
}

fn difference(path: &str, change: Differs) -> Observed {
    let mut observed = Observed::new(format!("./{path}"), Change::Modified);
    change(&mut observed);
    observed
}

/// The root and the files of all its packages, made once and kept.
fn bootstrap() -> (PathBuf, PathBuf) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new("bash").args(["-euc", BOOTSTRAP, "-", PACKAGES]).current_dir(tree).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let root = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let debs = root.with_extension("debs");
    (root, debs)
}

/// Kernel modules, setuid and setgid programs, capabilities, a diversion, alternatives, python and many libraries.
const PACKAGES: &str = "ffmpeg,imagemagick,git,openssh-server,man-db,iputils-ping,dbus,python3-requests,vim,linux-image-cloud-amd64";

const BOOTSTRAP: &str = r#"
root=$(.ci/root "$(. /etc/os-release; printf %s "$VERSION_CODENAME")" "$1")
exec 9>"$root.lock"
flock 9
if [ ! -e "$root.debs/ready" ]; then
    mkdir -p "$root.debs"
    cd "$root.debs"
    dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package}:${Architecture}=${Version}\n' | sed 's/:all=/=/' >names
    xargs apt-get -qq -o Dir="$root" -o Dir::State::status="$root/var/lib/dpkg/status" -o APT::Sandbox::User=root download <names >&2
    # Copied from this machine, where they may have any mode.
    chmod 644 "$root"/etc/{hostname,hosts,resolv.conf} 2>/dev/null || true
    touch ready
fi
echo "$root"
"#;
