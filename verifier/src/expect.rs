//! A list of packages kept off the machine (`--expect`), against packages that are hidden or rolled back.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use attest::version::{compare_apk, compare_debian, compare_rpm};
use package::installed::{Database, Installed, Manager};

use crate::finding::{Finding, Kind};

/// One line: `name[:arch] version`, as `dpkg-query -W` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    name: String,
    arch: Option<String>,
    version: String,
}

/// Reads a list; empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// The number of the first line that is not a name and a version.
pub fn parse(text: &str) -> Result<Vec<Expected>, usize> {
    let mut list = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(version), None) = (words.next(), words.next(), words.next()) else { return Err(index + 1) };
        let (name, arch) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch.to_owned())));
        list.push(Expected { name: name.to_owned(), arch, version: version.to_owned() });
    }
    Ok(list)
}

/// Reads a list from a file.
///
/// # Errors
/// If it cannot be read or a line makes no sense.
pub fn load(path: &Path) -> anyhow::Result<Vec<Expected>> {
    let text = String::from_utf8(client::cli::read_limited(path, 16 << 20)?)?;
    parse(&text).map_err(|line| anyhow::anyhow!("{}, line {line}: not a package name and a version", path.display()))
}

/// Compares the list with the database; an empty list expects nothing.
#[must_use]
pub fn compare_if_given(list: &[Expected], database: &Database) -> Vec<Finding> {
    if list.is_empty() { Vec::new() } else { compare(list, database) }
}

/// Compares the list with the database.
#[must_use]
pub fn compare(list: &[Expected], database: &Database) -> Vec<Finding> {
    let mut findings: Vec<Finding> = list.iter().filter_map(|expected| expected.compare(database)).collect();
    let unexpected = database.packages.iter().filter(|installed| !list.iter().any(|expected| expected.names(installed)));
    findings.extend(unexpected.map(|installed| {
        let label = installed.to_string();
        Finding::new(Kind::PackageState, "installed, and not in the list of expected packages").of(&label)
    }));
    findings
}

impl fmt::Display for Expected {
    /// As a line of a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arch = self.arch.as_deref().map(|arch| format!(":{arch}")).unwrap_or_default();
        write!(f, "{}{arch} {}", self.name, self.version)
    }
}

impl Expected {
    fn names(&self, installed: &Installed) -> bool {
        self.name == installed.name && self.arch.as_ref().is_none_or(|arch| *arch == installed.architecture)
    }

    fn compare(&self, database: &Database) -> Option<Finding> {
        let label = format!("{} {}", self.name, self.version);
        let mut found = database.packages.iter().filter(|installed| self.names(installed)).peekable();
        if found.peek().is_none() {
            let why = "the list kept elsewhere has it, the database of installed packages does not";
            return Some(Finding::new(Kind::Hidden, why).of(&label));
        }
        let order: Vec<(&Installed, Ordering)> = found.map(|installed| (installed, order(installed, &self.version))).collect();
        if order.iter().any(|(_, order)| *order == Ordering::Equal) {
            return None;
        }
        let (installed, order) = order.first()?;
        let differs = |kind, why: &str| Some(Finding::new(kind, why).of(&label).differs(self.version.clone(), installed.version.clone()));
        match order {
            Ordering::Less => differs(Kind::RolledBack, "an older version is installed than the list kept elsewhere says"),
            _ => differs(Kind::PackageState, "a newer version is installed than the list kept elsewhere says"),
        }
    }
}

/// By the rules of the package's manager; rpm's list has the epoch before a colon where there is one.
fn order(installed: &Installed, expected: &str) -> Ordering {
    match installed.manager {
        Manager::Dpkg => compare_debian(&installed.version, expected),
        Manager::Alpm => compare_rpm(&installed.version, expected),
        Manager::Apk => compare_apk(&installed.version, expected),
        Manager::Rpm if installed.epoch == 0 => compare_rpm(&installed.version, expected),
        Manager::Rpm => compare_rpm(&format!("{}:{}", installed.epoch, installed.version), expected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let list = parse("# mine\nattr\t1:2.5\nlibc6:i386 2.36-9\n\n").unwrap();
        assert_eq!(list[1], Expected { name: "libc6".into(), arch: Some("i386".into()), version: "2.36-9".into() });
        assert_eq!(list[0].arch, None);
        assert_eq!(parse(" # indented\n"), Ok(Vec::new()));
        assert_eq!(parse("a 1\nb\n"), Err(2));
        assert_eq!(parse("a 1 2\n"), Err(1));
    }
}
