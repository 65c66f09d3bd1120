//! What runs inside containers of other managers than apt: settings and scripts.

use super::{Manager, Repository};
use crate::request::Request;

/// The package manager's settings: our repositories alone. It checks no signature, because what it fetches is verified outside, whatever it
/// thinks of it; the name of the file, and its text.
pub(crate) fn settings(manager: Manager, repositories: &[Repository]) -> (&'static str, String) {
    let url = |repository: &Repository| repository.url.trim_end_matches('/').to_owned();
    let each = |line: &dyn Fn(&Repository) -> String| repositories.iter().map(line).collect::<String>();
    match manager {
        Manager::Pacman => {
            let sections = each(&|repository| format!("[{}]\nServer = {}\n", repository.name, url(repository)));
            ("pacman.conf", format!("{PACMAN_OPTIONS}{sections}"))
        }
        _ => {
            let more = "enabled=1\ngpgcheck=0\nrepo_gpgcheck=0\npkg_gpgcheck=0\nkeeppackages=1\ntype=rpm-md\n";
            ("tallystick.repo", each(&|repository| format!("[{0}]\nname={0}\nbaseurl={1}\n{more}", repository.name, url(repository))))
        }
    }
}

/// The script that downloads. Requests are made of harmless characters only ([`Request`]).
pub(crate) fn download(manager: Manager, requests: &[Request]) -> String {
    let functions = match manager {
        Manager::Zypper => ZYPPER,
        Manager::Dnf => DNF,
        Manager::Pacman => PACMAN,
        Manager::Apt | Manager::Apk => "",
    };
    let spec = |request: &Request| {
        let arch = request.architecture.as_ref().map(|arch| format!(".{arch}")).unwrap_or_default();
        let version = |sign: &str| request.version.as_ref().map(|version| format!("{sign}{version}")).unwrap_or_default();
        match manager {
            Manager::Dnf => format!("{}{}{arch}", request.name, version("-")),
            Manager::Zypper => format!("{}{arch}{}", request.name, version("=")),
            _ => format!("{}{}", request.name, version("=")),
        }
    };
    let plans: String = requests.iter().enumerate().map(|(number, request)| format!("plan {number} '{}'\n", spec(request))).collect();
    format!("{PROLOGUE}{functions}update >$C/update.log 2>&1 || {{ tail -n 3 $C/update.log >&2; exit 20; }}\n{plans}")
}

const PACMAN_OPTIONS: &str = "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\nDisableSandbox\n";
/// Packages are taken out of the manager's cache after each request, and what a request that failed left there is removed before the next: each
/// plan has all files that its package takes, and no others. What is still being fetched (`.part`) is no package.
const PROLOGUE: &str = r#"set -u
D=/var/lib/tallystick
M=/run/tallystick/setup
C=/var/tmp/tallystick
mkdir -p $D/archives $D/plans $D/errors $C
uname -m >$D/native
plan() {
  find $C/cache -type f \( -name '*.rpm*' -o -name '*.pkg.tar*' \) -exec rm -f {} + 2>/dev/null
  fetch "$2" >$C/fetch.log 2>&1 || { tail -n 6 $C/fetch.log >$D/errors/$1; return; }
  find $C/cache -type f \( -name '*.rpm' -o -name '*.pkg.tar*' \) ! -name '*.sig' ! -name '*.part' >$C/found
  while read -r file; do mv -f "$file" $D/archives/; echo "${file##*/}" >>$D/plans/$1; done <$C/found
  [ -s $D/plans/$1 ] || tail -n 6 $C/fetch.log >$D/errors/$1
}
"#;
const ZYPPER: &str = r#"mkdir -p $C/repos && cp $M/tallystick.repo $C/repos/
z() {
  zypper --non-interactive --no-gpg-checks --reposd-dir $C/repos --cache-dir $C/meta --pkg-cache-dir $C/cache "$@" </dev/null
}
update() { z refresh --force; }
fetch() { z install --download-only --force --oldpackage --no-recommends "$1"; }
"#;
const DNF: &str = r#"mkdir -p $C/repos && cp $M/tallystick.repo $C/repos/
if command -v dnf5 >/dev/null; then
  d() { dnf5 -y --setopt=reposdir=$C/repos --setopt=cachedir=$C/cache --setopt=system_cachedir=$C/cache --setopt=keepcache=1 --setopt=gpgcheck=0 --setopt=pkg_gpgcheck=0 --setopt=install_weak_deps=0 "$@"; }
else
  d() { dnf -y --setopt=reposdir=$C/repos --setopt=cachedir=$C/cache --setopt=keepcache=1 --setopt=gpgcheck=0 --setopt=install_weak_deps=0 "$@"; }
fi
update() { d makecache; }
fetch() {
  d install --downloadonly "$1" || return 1
  [ -n "$(find $C/cache -name '*.rpm')" ] || d reinstall --downloadonly "$1"
}
"#;
/// The image's own database says what is installed; it is copied, so that nothing of the image changes.
const PACMAN: &str = r#"mkdir -p $C/db $C/cache && if [ -d /var/lib/pacman/local ]; then cp -a /var/lib/pacman/local $C/db/; fi
p() { pacman --config $M/pacman.conf --dbpath $C/db --cachedir $C/cache --noconfirm "$@" </dev/null; }
update() { p -Sy; }
fetch() { p -Sw "$1"; }
"#;
/// Installs verified files, documentation and all languages too, and writes down which paths packages own: the database is no text.
pub(crate) const INSTALL_RPM: &str = r#"set -eu
[ -e "$(rpm --eval '%{_dbpath}')" ] || rpm --initdb
rpm -U --force --nosignature --includedocs --define '_install_langs all' --define '__transaction_unshare %{nil}' /run/tallystick/in/packages/*.rpm
mkdir -p /var/lib/tallystick
rpm -qla >/var/lib/tallystick/owned
"#;
/// The same for pacman, whose own settings leave nothing out here.
pub(crate) const INSTALL_PACMAN: &str = r#"set -eu
mkdir -p /var/lib/pacman /var/lib/tallystick
printf '[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\nDisableSandbox\n' >/run/tallystick/tmp/pacman.conf
pacman --config /run/tallystick/tmp/pacman.conf --noconfirm -U /run/tallystick/in/packages/*.pkg.tar*
pacman --config /run/tallystick/tmp/pacman.conf -Qlq >/var/lib/tallystick/owned
"#;

#[cfg(test)]
mod tests {
    use super::*;

    /// The script itself, with files of ours for what a manager would fetch.
    #[test]
    fn a_plan_has_its_own_packages_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        let prologue = PROLOGUE.replace("/var/lib/tallystick", "$T/out").replace("/var/tmp/tallystick", "$T/tmp");
        let fetch = r#"fetch() {
  mkdir -p $C/cache
  case "$1" in
  bad) touch $C/cache/left-1-1.x86_64.rpm $C/cache/left-1-1-any.pkg.tar.zst; return 1 ;;
  good) touch $C/cache/good-1-1.x86_64.rpm $C/cache/half-1-1.x86_64.rpm.part $C/cache/half-1-1-any.pkg.tar.zst.part $C/cache/good-1-1-any.pkg.tar.zst.sig ;;
  esac
}
"#;
        let script = format!("{prologue}{fetch}plan 0 bad\nplan 1 good\nplan 2 nothing\n");
        let status = std::process::Command::new("sh").args(["-c", &script]).env("T", dir.path()).status().unwrap();
        assert!(status.success());
        let read = |name: &str| std::fs::read_to_string(dir.path().join("out").join(name)).ok();
        assert_eq!((read("plans/0"), read("plans/1").as_deref(), read("plans/2")), (None, Some("good-1-1.x86_64.rpm\n"), None));
        assert!(read("errors/0").is_some() && read("errors/1").is_none() && read("errors/2").is_some());
        let archives: Vec<_> =
            std::fs::read_dir(dir.path().join("out/archives")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(archives, ["good-1-1.x86_64.rpm"]);
    }

    #[test]
    fn each_manager_is_asked_in_its_own_words() {
        let requests: Vec<Request> = ["a", "b=1.0-3", "c:i686=2:1-1"].iter().map(|text| text.parse().unwrap()).collect();
        let plans = |manager| -> Vec<String> {
            download(manager, &requests).lines().filter(|line| line.starts_with("plan ")).map(str::to_owned).collect()
        };
        assert_eq!(plans(Manager::Zypper), ["plan 0 'a'", "plan 1 'b=1.0-3'", "plan 2 'c.i686=2:1-1'"]);
        assert_eq!(plans(Manager::Dnf), ["plan 0 'a'", "plan 1 'b-1.0-3'", "plan 2 'c-2:1-1.i686'"]);
        assert_eq!(plans(Manager::Pacman), ["plan 0 'a'", "plan 1 'b=1.0-3'", "plan 2 'c=2:1-1'"]);
        let repositories = [Repository { name: "x".to_owned(), url: "http://a/b/".to_owned() }];
        let (name, text) = settings(Manager::Pacman, &repositories);
        assert!(name == "pacman.conf" && text.ends_with("[x]\nServer = http://a/b\n"));
        assert!(settings(Manager::Dnf, &repositories).1.starts_with("[x]\nname=x\nbaseurl=http://a/b\nenabled=1\n"));
    }
}
