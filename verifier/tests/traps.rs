//! What installed packages are like without anything being wrong, each as the real tools make it: no false alarm, and no cover for what is
//! wrong. Others of these are in `verify.rs`, `foreign.rs` and `whole.rs`. Needs root, dpkg, rpm, pacman, bsdtar, setcap and binutils.

#[path = "foreign/cases.rs"]
mod cases;
mod world;

use std::fs::File;
use std::path::PathBuf;

use attest::predicate::{Change, Observed};
use attest::{Manifest, Purl};
use package::deb::Limits;
use world::packages::sh;
use world::{Outcome, World};

/// A directory with an empty root, and a world whose builders attest what it is given.
struct Yard {
    dir: tempfile::TempDir,
    world: World,
}

impl Yard {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests make roots with package managers and need root");
        let yard = Self { dir: tempfile::tempdir().unwrap(), world: cases::world() };
        yard.sh(ROOT);
        yard
    }

    fn sh(&self, script: &str) {
        sh(self.dir.path(), script);
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn attest(&mut self, purl: &Purl, manifest: &Manifest) {
        for builder in ["builder-1", "builder-2"] {
            self.world.claim(builder, purl, manifest);
        }
        self.world.fill_cache(self.world.head());
    }

    /// Builds a package from the tree `NAME` with dpkg-deb, and has it attested.
    fn deb(&mut self, name: &str, version: &str) -> (Purl, Manifest) {
        self.sh(&format!(
            "mkdir -p {name}/DEBIAN; printf 'Package: {name}\\nVersion: {version}\\nArchitecture: amd64\\nMaintainer: T <t@example.com>\\nDescription: test\\n' >{name}/DEBIAN/control
             dpkg-deb --root-owner-group -Zgzip -b {name} {name}.deb >/dev/null"
        ));
        let file = File::open(self.dir.path().join(format!("{name}.deb"))).unwrap();
        let package = package::deb::read(file, &Limits::default()).unwrap();
        let purl = Purl::deb("debian", name, version, "amd64").unwrap();
        self.attest(&purl, &package.manifest);
        (purl, package.manifest)
    }

    fn install(&self, options: &str, name: &str) {
        self.sh(&format!(
            "dpkg --root=$PWD/root --force-script-chrootless --force-not-root --force-bad-path {options} --log=/dev/null -i {name}.deb >dpkg.out 2>&1 || {{ cat dpkg.out; exit 1; }}"
        ));
    }

    fn verify(&self, more: &[&str]) -> Outcome {
        let root = self.root();
        self.world.tally(&[&["verify", "--all", "--json", "--root", root.to_str().unwrap()], more].concat())
    }

    #[track_caller]
    fn expect(&self, status: i32, findings: &[&str]) {
        self.told(&["--unowned"], status, findings);
    }

    #[track_caller]
    fn told(&self, options: &[&str], status: i32, findings: &[&str]) {
        let outcome = self.verify(options);
        assert_eq!(
            (outcome.status, outcome.findings(false)),
            (status, findings.iter().map(|text| (*text).into()).collect()),
            "{outcome:?}"
        );
    }

    #[track_caller]
    fn explained(&self, finding: &str) {
        let found = self.verify(&["--unowned"]).findings(true);
        assert!(found.contains(&finding.to_owned()), "{finding}: {found:?}");
    }
}

const ROOT: &str = r"
mkdir -p root/{etc,usr/{bin,lib,sbin}} root/var/lib/dpkg/{info,updates,alternatives}
for name in bin lib sbin; do ln -s usr/$name root/$name; done
touch root/var/lib/dpkg/{status,available}
printf 'root:x:0:0::/:/bin/sh\n' >root/etc/passwd; printf 'root:x:0:\n' >root/etc/group; printf 'ID=debian\n' >root/etc/os-release
";

#[test]
fn the_own_version_beside_an_edited_conffile() {
    let mut yard = Yard::new();
    yard.sh("umask 022; mkdir -p a/etc/init.d a/DEBIAN; echo one >a/etc/a.conf; echo '#!/bin/sh' >a/etc/init.d/a; chmod 755 a/etc/init.d/a
             printf '/etc/a.conf\\n/etc/init.d/a\\n' >a/DEBIAN/conffiles");
    yard.deb("a", "1.0-1");
    yard.install("", "a");
    yard.expect(0, &[]);
    yard.sh("echo mine >>root/etc/a.conf; echo true >>root/etc/init.d/a; echo two >a/etc/a.conf; echo : >>a/etc/init.d/a");
    yard.deb("a", "2.0-1");
    yard.install("--force-confold", "a");
    yard.sh("test -e root/etc/a.conf.dpkg-dist && test -x root/etc/init.d/a.dpkg-dist");
    yard.expect(1, &["modified /etc/init.d/a"]);
    yard.explained("modified-config /etc/a.conf");
    yard.explained("explained /etc/init.d/a.dpkg-dist");
    // It is as attested, or it is nobody's.
    yard.sh("echo evil >>root/etc/init.d/a.dpkg-dist");
    yard.expect(1, &["modified /etc/init.d/a", "unowned /etc/init.d/a.dpkg-dist"]);
    yard.sh("cp -a a/etc/init.d/a root/etc/init.d/a; rm root/etc/init.d/a.dpkg-dist");
    yard.expect(0, &[]);
}

#[test]
fn what_dpkg_was_told_to_leave_out() {
    let mut yard = Yard::new();
    yard.sh("umask 022; mkdir -p a/usr/{bin,share/{doc/a,man/man1,locale/de}}; echo x >a/usr/bin/a; chmod 755 a/usr/bin/a
             for file in doc/a/copyright doc/a/README man/man1/a.1 locale/de/a.mo; do echo x >a/usr/share/$file; done");
    yard.deb("a", "1.0-1");
    let excludes = "--path-exclude=/usr/share/doc/* --path-include=/usr/share/doc/*/copyright --path-exclude=/usr/share/man/* --path-exclude=/usr/share/locale/*";
    yard.install(excludes, "a");
    yard.sh("test ! -e root/usr/share/doc/a/README && test -e root/usr/share/doc/a/copyright");
    yard.expect(0, &[]);
    yard.explained("not-installed /usr/share/man/man1/a.1");
    // What runs is missed, whatever dpkg was told.
    yard.install("--path-exclude=/usr/bin/*", "a");
    yard.sh("rm -f root/usr/bin/a");
    yard.expect(1, &["missing /usr/bin/a"]);
}

#[test]
fn alternatives_are_as_good_as_what_they_lead_to() {
    let mut yard = Yard::new();
    yard.sh("umask 022; mkdir -p a/usr/bin; for name in one two; do echo $name >a/usr/bin/$name; chmod 755 a/usr/bin/$name; done");
    yard.deb("a", "1.0-1");
    yard.install("", "a");
    yard.sh("for name in one two; do update-alternatives --root $PWD/root --log /dev/null --quiet --install /usr/bin/any any /usr/bin/$name 10; done
             test \"$(readlink root/usr/bin/any)\" = /etc/alternatives/any");
    yard.expect(0, &[]);
    yard.explained("explained /usr/bin/any");
    yard.sh("update-alternatives --root $PWD/root --log /dev/null --quiet --set any /usr/bin/two");
    yard.expect(0, &[]);
    yard.sh("mkdir -p root/opt; echo evil >root/opt/evil; chmod 755 root/opt/evil; ln -sfn /opt/evil root/etc/alternatives/any");
    yard.expect(2, &["unowned /usr/bin/any"]);
}

/// As iputils-ping does: a capability where setcap is there, else setuid.
#[test]
fn a_capability_that_a_script_sets() {
    let mut yard = Yard::new();
    yard.sh("umask 022; mkdir -p a/usr/bin a/DEBIAN; echo ping >a/usr/bin/ping; chmod 755 a/usr/bin/ping
             printf '#!/bin/sh\\nsetcap cap_net_raw+ep $DPKG_ROOT/usr/bin/ping || chmod u+s $DPKG_ROOT/usr/bin/ping\\n' >a/DEBIAN/postinst; chmod 755 a/DEBIAN/postinst");
    let (purl, manifest) = yard.deb("a", "1.0-1");
    yard.install("", "a");
    yard.sh("getcap root/usr/bin/ping | grep -q cap_net_raw");
    yard.expect(1, &["capability /usr/bin/ping"]);
    let mut seen = Observed::new("./usr/bin/ping".to_owned(), Change::Modified);
    seen.caps = Some("0100000200200000000000000000000000000000".to_owned());
    for builder in ["builder-1", "builder-2"] {
        yard.world.observe(builder, &purl, &manifest, vec![seen.clone()]);
    }
    yard.world.fill_cache(yard.world.head());
    yard.expect(0, &[]);
    yard.explained("explained /usr/bin/ping");
    // Neither another capability, nor the script's other way, which nobody saw, nor the content.
    for (change, found) in [
        ("setcap cap_sys_admin+ep root/usr/bin/ping", "capability /usr/bin/ping"),
        ("setcap -r root/usr/bin/ping; chmod u+s root/usr/bin/ping", "mode /usr/bin/ping"),
        ("chmod 755 root/usr/bin/ping; echo >>root/usr/bin/ping; setcap cap_net_raw+ep root/usr/bin/ping", "modified /usr/bin/ping"),
    ] {
        yard.sh(change);
        yard.expect(1, &[found]);
    }
}

#[test]
fn what_prelink_did_is_said_and_not_believed() {
    let mut yard = Yard::new();
    yard.sh("umask 022; mkdir -p a/usr/bin; cp /usr/bin/true a/usr/bin/a; cp /usr/bin/false a/usr/bin/b; chmod 755 a/usr/bin/*");
    yard.deb("a", "1.0-1");
    yard.install("", "a");
    yard.expect(0, &[]);
    // The section in which prelink keeps the file as it was: with it the old content could be made again, if one believed it.
    yard.sh("objcopy --add-section .gnu.prelink_undo=a/usr/bin/a root/usr/bin/a; chmod 755 root/usr/bin/a; echo >>root/usr/bin/b");
    yard.expect(1, &["modified /usr/bin/a", "modified /usr/bin/b"]);
    let json = yard.verify(&[]).json();
    let why = |path: &str| json["findings"].as_array().unwrap().iter().find(|one| one["path"] == path).unwrap()["why"].to_string();
    assert!(why("/usr/bin/a").contains("it was prelinked") && !why("/usr/bin/b").contains("prelinked"), "{json}");
}

/// Builds an rpm package of one script that fills the build root, and has it attested.
fn rpm(yard: &mut Yard, name: &str, version: &str, files: &str, script: &str) {
    let spec = format!(
        "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: test\nLicense: none\nAutoReqProv: no\nBuildArch: noarch\n%description\ntest\n%install\nmkdir -p %{{buildroot}}\ncd %{{buildroot}}\numask 022\n{script}\n%files\n%defattr(-,root,root)\n{files}\n"
    );
    std::fs::write(yard.dir.path().join(format!("{name}.spec")), spec).unwrap();
    yard.sh(&format!(
        "rpmbuild --quiet -bb --define \"_topdir $PWD/top\" --define \"_rpmdir $PWD\" --define '_rpmfilename {name}-{version}.rpm' --define '__os_install_post %{{nil}}' \\
             --define '_build_id_links none' --define 'debug_package %{{nil}}' {name}.spec >build.log 2>&1 || {{ cat build.log; exit 1; }}"
    ));
    let (purl, package) = cases::rpm(&yard.dir.path().join(format!("{name}-{version}.rpm")));
    for builder in ["builder-1", "builder-2"] {
        yard.world.claim_rpm(builder, &purl, &package);
    }
    yard.world.fill_cache(yard.world.head());
}

fn rpm_install(yard: &Yard, options: &str, files: &str) {
    let rpm = "timeout 60 rpm --root $PWD/root --dbpath /var/lib/rpm --nodeps --noscripts";
    yard.sh(&format!("{rpm} {options} {files} >rpm.out 2>&1 || {{ cat rpm.out; exit 1; }}"));
}

/// A yard without dpkg.
fn rpm_yard() -> Yard {
    let yard = Yard::new();
    yard.sh("rm -r root/var/lib/dpkg");
    yard
}

#[test]
fn a_file_of_rpm_that_another_package_replaced() {
    let mut yard = rpm_yard();
    let script = |text: &str| format!("mkdir -p usr/lib/both usr/bin; echo {text} >usr/lib/both/data; echo {text} >usr/bin/{text}");
    rpm(&mut yard, "first", "1", "/usr/lib/both/data\n/usr/bin/first", &script("first"));
    rpm(&mut yard, "second", "1", "/usr/lib/both/data\n/usr/bin/second", &script("second"));
    rpm_install(&yard, "-i", "first-1.rpm");
    rpm_install(&yard, "-i --replacefiles", "second-1.rpm");
    yard.sh("rpm --root $PWD/root --dbpath /var/lib/rpm -q --state first | grep -q ^replaced && grep -q second root/usr/lib/both/data");
    yard.expect(0, &[]);
    yard.sh("echo neither >root/usr/lib/both/data");
    let outcome = yard.verify(&[]);
    assert!(outcome.status == 1 && outcome.findings(false) == ["modified /usr/lib/both/data"], "{outcome:?}");
}

/// Paths that the administrator excluded, or that lie on a share: rpm keeps a state for each file.
#[test]
fn what_rpm_did_not_put_there() {
    let mut yard = rpm_yard();
    let script = "mkdir -p usr/lib/data usr/net usr/bin; for file in usr/lib/data/a usr/net/b usr/bin/c; do echo x >$file; done; chmod 755 usr/bin/c";
    rpm(&mut yard, "a", "1", "/usr/lib/data/a\n/usr/net/b\n/usr/bin/c", script);
    rpm_install(&yard, "-i --excludepath=/usr/lib/data --define '_netsharedpath /usr/net'", "a-1.rpm");
    yard.sh("test ! -e root/usr/lib/data/a && test ! -e root/usr/net/b && test -e root/usr/bin/c
             rpm --root $PWD/root --dbpath /var/lib/rpm -q --state a | grep -q '^not installed' && rpm --root $PWD/root --dbpath /var/lib/rpm -q --state a | grep -q '^net shared'");
    yard.expect(0, &[]);
    yard.explained("not-installed /usr/lib/data/a");
    yard.explained("not-installed /usr/net/b");
    // What stands there all the same is judged, and what is said to be there is missed.
    yard.sh("mkdir -p root/usr/net; echo evil >root/usr/net/b; rm root/usr/bin/c");
    yard.expect(1, &["modified /usr/net/b", "missing /usr/bin/c"]);
}

/// A program is missed, whatever rpm was told.
#[test]
fn a_program_that_rpm_did_not_put_there() {
    let mut yard = rpm_yard();
    rpm(&mut yard, "a", "1", "/usr/bin/c", "mkdir -p usr/bin; echo x >usr/bin/c; chmod 755 usr/bin/c");
    rpm_install(&yard, "-i --excludepath=/usr/bin", "a-1.rpm");
    yard.expect(1, &["missing /usr/bin/c"]);
}

#[test]
fn the_own_version_beside_an_edited_configuration_of_rpm() {
    let mut yard = rpm_yard();
    let script = |text: &str| format!("mkdir -p etc/init.d; echo {text} >etc/a.conf; echo {text} >etc/init.d/a; chmod 755 etc/init.d/a");
    let files = "%config(noreplace) /etc/a.conf\n%config(noreplace) /etc/init.d/a";
    rpm(&mut yard, "a", "1", files, &script("one"));
    rpm(&mut yard, "a", "2", files, &script("two"));
    rpm_install(&yard, "-i", "a-1.rpm");
    yard.sh("echo mine >>root/etc/a.conf; echo mine >>root/etc/init.d/a");
    rpm_install(&yard, "-U", "a-2.rpm");
    yard.sh("test -e root/etc/a.conf.rpmnew && test -x root/etc/init.d/a.rpmnew");
    yard.expect(1, &["modified /etc/init.d/a"]);
    yard.explained("modified-config /etc/a.conf");
    yard.explained("explained /etc/init.d/a.rpmnew");
}

#[test]
fn the_own_version_beside_an_edited_backup_of_pacman() {
    let mut yard = rpm_yard();
    yard.sh("printf '[options]\\nArchitecture = x86_64\\nSigLevel = Never\\nLocalFileSigLevel = Never\\n' >pacman.conf; mkdir -p root/var/lib/pacman cache; cp pacman.conf root/etc/pacman.conf");
    for version in ["1-1", "2-1"] {
        yard.sh(&format!(
            "rm -rf tree; mkdir -p tree/etc/init.d && cd tree; umask 022
             printf 'pkgname = a\\npkgbase = a\\npkgver = {version}\\npkgdesc = test\\nurl = \\nbuilddate = 1700000000\\npackager = N <n@example.org>\\nsize = 10\\narch = any\\nlicense = none\\nbackup = etc/a.conf\\nbackup = etc/init.d/a\\n' >.PKGINFO
             echo {version} >etc/a.conf; echo {version} >etc/init.d/a; chmod 755 etc/init.d/a
             bsdtar -czf .MTREE --format=mtree --options='!all,use-set,type,uid,gid,mode,time,size,md5,sha256,link' .PKGINFO etc
             bsdtar -cf - .MTREE .PKGINFO etc | zstd -q -c >../a-{version}.pkg.tar.zst"
        ));
        let file = File::open(yard.dir.path().join(format!("a-{version}.pkg.tar.zst"))).unwrap();
        let package = package::alpm::read(file, &Limits::default()).unwrap();
        yard.attest(&Purl::alpm("example", "a", version, "any").unwrap(), &package.manifest);
        let options = "--root $PWD/root --dbpath $PWD/root/var/lib/pacman --config pacman.conf --cachedir cache --logfile /dev/null --hookdir $PWD/cache --gpgdir cache";
        yard.sh(&format!(
            "LC_ALL=C timeout 60 pacman {options} --noconfirm --noscriptlet -U a-{version}.pkg.tar.zst >pacman.out 2>&1 || {{ cat pacman.out; exit 1; }}"
        ));
        if version == "1-1" {
            yard.expect(0, &[]);
            yard.sh("echo mine >>root/etc/a.conf; echo mine >>root/etc/init.d/a");
        }
    }
    yard.sh("test -e root/etc/a.conf.pacnew && test -x root/etc/init.d/a.pacnew");
    yard.expect(1, &["modified /etc/init.d/a"]);
    yard.explained("modified-config /etc/a.conf");
    yard.explained("explained /etc/init.d/a.pacnew");
}
