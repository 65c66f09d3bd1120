//! The package managers under test: how each is called, and how its repositories are made.

use std::path::PathBuf;

use crate::yard::Yard;

/// A package manager.
pub struct Manager {
    pub name: &'static str,
    /// What `tally setup` calls it.
    pub setup: &'static str,
    /// Commands, to which package names are added.
    pub install: &'static str,
    pub local: &'static str,
    pub remove: &'static str,
    pub upgrade: &'static str,
    /// `rpm` or `alpm`.
    pub kind: &'static str,
    /// Its status where the gate stops it.
    pub stopped: i32,
}

pub const DNF4: Manager = Manager {
    name: "dnf 4",
    setup: "dnf",
    install: "dnf-3 -y -q install",
    local: "dnf-3 -y -q install",
    remove: "dnf-3 -y -q remove",
    upgrade: "dnf-3 -y -q --refresh upgrade",
    kind: "rpm",
    stopped: 1,
};

pub const DNF5: Manager = Manager {
    name: "dnf 5",
    install: "dnf5 -y install",
    local: "dnf5 -y install",
    remove: "dnf5 -y remove",
    upgrade: "dnf5 -y --refresh upgrade",
    ..DNF4
};

pub const ZYPPER: Manager = Manager {
    name: "zypper",
    setup: "zypper",
    install: "zypper --non-interactive --no-gpg-checks install",
    local: "zypper --non-interactive --no-gpg-checks install",
    remove: "zypper --non-interactive remove",
    upgrade: "zypper --non-interactive --no-gpg-checks update",
    kind: "rpm",
    // It is killed.
    stopped: 137,
};

pub const PACMAN: Manager = Manager {
    name: "pacman",
    setup: "pacman",
    install: "pacman -Sy --noconfirm",
    local: "pacman -U --noconfirm",
    remove: "pacman -R --noconfirm",
    upgrade: "pacman -Syu --noconfirm",
    kind: "alpm",
    stopped: 1,
};

impl Manager {
    /// Builds a package in the root with the root's tools, and gives its file.
    pub fn build(&self, yard: &Yard, name: &str, version: u32) -> PathBuf {
        let script = if self.kind == "rpm" { RPM } else { ALPM };
        yard.must(&script.replace("@NAME@", name).replace("@VERSION@", &version.to_string()));
        PathBuf::from(if self.kind == "rpm" {
            format!("/build/{name}-{version}-1.noarch.rpm")
        } else {
            format!("/build/{name}-{version}-1-any.pkg.tar.zst")
        })
    }

    /// Puts package files into a repository, in place of what it has.
    pub fn publish(&self, yard: &Yard, repository: &str, files: &[&PathBuf]) {
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let script = if self.kind == "rpm" { RPM_REPOSITORY } else { ALPM_REPOSITORY };
        yard.must(&script.replace("REPOSITORY", repository).replace("FILES", &files.join(" ")));
        if self.setup == "zypper" {
            yard.must("zypper --non-interactive --no-gpg-checks --gpg-auto-import-keys refresh");
        }
    }

    /// The version of a package that is installed.
    pub fn installed(&self, yard: &Yard, name: &str) -> Option<String> {
        // Debian 12's rpm has a database for each user, where libzypp has the machine's.
        let database = if self.setup == "zypper" { "--dbpath /var/lib/rpm" } else { "" };
        let rpm = || format!("rpm {database} -q --qf '%{{VERSION}}' {name}");
        let command = if self.kind == "rpm" { rpm() } else { format!("pacman -Q {name}") };
        let outcome = yard.run(&command);
        (outcome.status == 0).then(|| outcome.stdout.trim().trim_start_matches(name).trim().trim_end_matches("-1").to_owned())
    }
}

const RPM: &str = r#"
set -eu; mkdir -p /build/top; cd /build; cat >@NAME@.spec <<'END'
Name: @NAME@
Version: @VERSION@
Release: 1
Summary: made for a test
License: none
BuildArch: noarch
AutoReqProv: no
%description
Made for a test.
%install
mkdir -p %{buildroot}/usr/share/@NAME@; echo @NAME@ @VERSION@ >%{buildroot}/usr/share/@NAME@/data
%files
/usr/share/@NAME@
END
rpmbuild --quiet -bb --define '_rpmformat 4' --define '_topdir /build/top' --define '_rpmdir /build' @NAME@.spec
mv noarch/*.rpm .
"#;
const RPM_REPOSITORY: &str = r#"
set -eu; rm -rf /srv/REPOSITORY; mkdir -p /srv/REPOSITORY; for file in FILES; do cp "$file" /srv/REPOSITORY; done; createrepo_c -q /srv/REPOSITORY
for place in /etc/yum.repos.d /etc/zypp/repos.d; do
mkdir -p $place; printf '[REPOSITORY]\nname=REPOSITORY\nbaseurl=file:///srv/REPOSITORY\nenabled=1\ngpgcheck=0\nautorefresh=1\n' >$place/REPOSITORY.repo
done
"#;
const ALPM: &str = r#"
set -eu; mkdir -p /build/@NAME@; cd /build/@NAME@; cat >PKGBUILD <<'END'
pkgname=@NAME@
pkgver=@VERSION@
pkgrel=1
arch=(any)
options=(!strip)
package() { mkdir -p "$pkgdir/usr/share/@NAME@"; echo @NAME@ @VERSION@ >"$pkgdir/usr/share/@NAME@/data"; }
END
chmod 777 .; PKGEXT=.pkg.tar.zst PKGDEST=/build setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/build makepkg --force --nodeps --nosign
"#;
const ALPM_REPOSITORY: &str = r#"
set -eu; rm -rf /srv/REPOSITORY; mkdir -p /srv/REPOSITORY /var/lib/pacman; for file in FILES; do cp "$file" /srv/REPOSITORY; done; repo-add -q /srv/REPOSITORY/REPOSITORY.db.tar.gz /srv/REPOSITORY/*.zst
[ -e /etc/pacman.conf.new ] || printf '[options]\nArchitecture = auto\nSigLevel = Never\n' >/etc/pacman.conf.new
grep -q '^.REPOSITORY.$' /etc/pacman.conf.new || printf '[REPOSITORY]\nServer = file:///srv/REPOSITORY\n' >>/etc/pacman.conf.new
cp /etc/pacman.conf.new /etc/pacman.conf
"#;
