//! What to type after a finding.

use package::installed::Manager;

use super::printable;
use crate::finding::{Finding, Kind};

/// What decides which command is the right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// The package manager whose packages they all are; `None` where there are several, or where it is not that of this machine.
    pub manager: Option<Manager>,
    /// Whether package files were judged, and not what is installed.
    pub files: bool,
}

/// The command to type next.
#[must_use]
pub fn next(finding: &Finding, ground: Ground) -> Option<String> {
    let Ground { manager, files } = ground;
    // Repositories are named with slashes, packages are not.
    if finding.package.as_deref().is_some_and(|package| package.contains('/')) {
        return repository_next(finding);
    }
    let name = finding.package.as_deref().and_then(|package| package.split([' ', ':']).next());
    if files && matches!(finding.kind, Kind::Modified | Kind::Unreadable) {
        return Some(format!("{}, then download it again", clean(manager)));
    }
    if files && finding.kind == Kind::Warned {
        return Some("take a version that nobody warns of".to_owned());
    }
    match finding.kind {
        Kind::Modified | Kind::Missing | Kind::Mode | Kind::Owner | Kind::Capability => {
            let path = std::str::from_utf8(finding.path.as_deref()?).ok()?;
            Some(format!("tally explain {}, then {}", quote(path), reinstall(manager, name?)))
        }
        Kind::Unreadable | Kind::Changed => Some(format!("tally verify {}", name?)),
        Kind::StaleHead | Kind::StaleRoles | Kind::StaleControlHead | Kind::CacheIncomplete => Some("tally sync".to_owned()),
        Kind::Unattested | Kind::TooFewBuilders => Some("tally sync, or ask a builder to attest it".to_owned()),
        Kind::TooFewRebuilders => Some("tally sync, or ask a rebuilder to build it again".to_owned()),
        Kind::BuilderConflict | Kind::Dissent => Some(format!("tally verify --verbose {}, and tell the log's foundation", name?)),
        Kind::Warned | Kind::Outdated => Some(upgrade(manager, name?)),
        Kind::EndOfLife | Kind::Superseded => Some("replace it, or move to a release that is maintained".to_owned()),
        Kind::SourceUnknown => Some("tally sync, or ask a builder to state its source".to_owned()),
        Kind::Unowned => Some(format!("find out who put it there: ls -l {}", quote(std::str::from_utf8(finding.path.as_deref()?).ok()?))),
        Kind::ClockBehind => Some("timedatectl status".to_owned()),
        Kind::Hidden | Kind::RolledBack => Some(query(manager, name?)),
        _ => None,
    }
}

fn repository_next(finding: &Finding) -> Option<String> {
    match finding.kind {
        Kind::StaleState => Some("refresh from another mirror; if it stays so, tell the repository's admin".to_owned()),
        Kind::EndOfLife => Some("move to a release that is maintained".to_owned()),
        Kind::Unregistered | Kind::Unattested | Kind::TooFewBuilders => Some("wait some minutes, then refresh and check again".to_owned()),
        _ => None,
    }
}

fn reinstall(manager: Option<Manager>, name: &str) -> String {
    match manager {
        Some(Manager::Dpkg) => format!("apt-get install --reinstall {name}"),
        Some(Manager::Rpm) => format!("dnf reinstall {name} (zypper install --force {name})"),
        Some(Manager::Alpm) => format!("pacman -S {name}"),
        Some(Manager::Apk) => format!("apk fix {name}"),
        None => format!("install {name} again"),
    }
}

fn upgrade(manager: Option<Manager>, name: &str) -> String {
    match manager {
        Some(Manager::Dpkg) => format!("apt-get install --only-upgrade {name}"),
        Some(Manager::Rpm) => format!("dnf upgrade {name} (zypper update {name})"),
        // Of one package alone it would be a partial upgrade, which Arch does not support.
        Some(Manager::Alpm) => "pacman -Syu".to_owned(),
        Some(Manager::Apk) => format!("apk upgrade {name}"),
        None => format!("upgrade {name}"),
    }
}

/// How downloaded package files are thrown away.
fn clean(manager: Option<Manager>) -> &'static str {
    match manager {
        Some(Manager::Dpkg) => "apt-get clean",
        Some(Manager::Rpm) => "dnf clean packages (zypper clean)",
        Some(Manager::Alpm) => "pacman -Sc",
        Some(Manager::Apk) => "apk cache clean",
        None => "delete the file",
    }
}

fn query(manager: Option<Manager>, name: &str) -> String {
    match manager {
        Some(Manager::Dpkg) => format!("dpkg -s {name}"),
        Some(Manager::Rpm) => format!("rpm -qi {name}"),
        Some(Manager::Alpm) => format!("pacman -Qi {name}"),
        Some(Manager::Apk) => format!("apk info --all {name}"),
        None => format!("ask the package manager about {name}"),
    }
}

/// A word for a shell.
fn quote(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+,@:~%-".contains(&byte);
    if text.bytes().all(plain) { text.to_owned() } else { format!("'{}'", printable(text.as_bytes()).replace('\'', "'\\''")) }
}
