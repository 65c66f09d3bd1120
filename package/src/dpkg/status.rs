//! `status`, `status.d` and the file lists beside them.

use super::{DATABASE, DpkgError, FILE, parse_list};
use crate::control::{MultiArch, is_architecture, is_package_name};
use crate::deb822::{self, Paragraph};
use crate::paths::Paths;
use crate::root::Root;

/// A package as the database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version, as written.
    pub version: String,
    /// Its architecture, such as `amd64` or `all`.
    pub architecture: String,
    /// Whether it can be installed for several architectures at once.
    pub multi_arch: MultiArch,
    /// How far its installation went.
    pub status: Status,
    /// Its configuration files with the digests that were shipped.
    pub conffiles: Vec<InstalledConffile>,
    /// Its paths below the root as its list names them (no leading slash), without the root itself.
    pub files: Paths,
    /// The list file is absent, so `files` says nothing.
    pub list_missing: bool,
}

/// The three words of a `Status` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What the administrator wants.
    pub want: Want,
    /// `reinstreq`: broken, must be installed again.
    pub broken: bool,
    /// What is there.
    pub state: State,
}

/// What the administrator wants of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Nothing known.
    Unknown,
    /// Installed.
    Install,
    /// Kept as it is.
    Hold,
    /// Removed, configuration kept.
    Deinstall,
    /// Removed with its configuration.
    Purge,
}

/// How far a package's installation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not there.
    NotInstalled,
    /// Removed; only its configuration files are left.
    ConfigFiles,
    /// Its unpacking was begun and not ended.
    HalfInstalled,
    /// Unpacked, not configured.
    Unpacked,
    /// Its configuration was begun and not ended.
    HalfConfigured,
    /// Waits for another package's trigger.
    TriggersAwaited,
    /// Was triggered.
    TriggersPending,
    /// Complete.
    Installed,
}

/// A configuration file as the database keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledConffile {
    /// Path below the root, raw bytes.
    pub path: Vec<u8>,
    /// MD5 of the shipped content in hex, or dpkg's word for an unknown one. Never proof of anything.
    pub md5: String,
    /// The installed version ships it no more.
    pub obsolete: bool,
    /// The package wants it gone.
    pub remove_on_upgrade: bool,
}

impl Status {
    /// Files are in place: installed, or only triggers are left to run.
    pub fn is_installed(&self) -> bool {
        matches!(self.state, State::Installed | State::TriggersAwaited | State::TriggersPending) && !self.broken
    }

    /// Neither installed nor cleanly gone.
    pub fn is_unfinished(&self) -> bool {
        self.broken || matches!(self.state, State::HalfInstalled | State::Unpacked | State::HalfConfigured)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let want = match words.next()? {
            "unknown" => Want::Unknown,
            "install" => Want::Install,
            "hold" => Want::Hold,
            "deinstall" => Want::Deinstall,
            "purge" => Want::Purge,
            _ => return None,
        };
        let broken = match words.next()? {
            "ok" => false,
            "reinstreq" => true,
            _ => return None,
        };
        let state = match words.next()? {
            "not-installed" => State::NotInstalled,
            "config-files" => State::ConfigFiles,
            "half-installed" => State::HalfInstalled,
            "unpacked" => State::Unpacked,
            "half-configured" => State::HalfConfigured,
            "triggers-awaited" => State::TriggersAwaited,
            "triggers-pending" => State::TriggersPending,
            "installed" => State::Installed,
            _ => return None,
        };
        words.next().is_none().then_some(Self { want, broken, state })
    }
}

impl Installed {
    /// `name` or, where several architectures can stand beside each other, `name:architecture`, as dpkg prints it.
    pub fn display_name(&self) -> String {
        if self.multi_arch == MultiArch::Same { format!("{}:{}", self.name, self.architecture) } else { self.name.clone() }
    }
}

/// Reads the packages of a `status` file (lists are not read). Those that are `not-installed` are left out.
pub fn parse_status(input: &[u8], file: &str) -> Result<Vec<Installed>, DpkgError> {
    let mut packages = Vec::new();
    for paragraph in deb822::paragraphs(input) {
        let package = paragraph.and_then(|paragraph| parse_package(&paragraph, None)).map_err(|error| located(file, &error))?;
        packages.extend(package);
    }
    Ok(packages)
}

/// All packages of a root with their lists, sorted; a package twice is refused.
pub(super) fn read(root: &Root) -> Result<Vec<Installed>, DpkgError> {
    let file = format!("{DATABASE}/status");
    let status = root.read(file.as_bytes(), FILE)?;
    let directory = format!("{DATABASE}/status.d");
    let names = root.list(directory.as_bytes())?;
    if status.is_none() && names.is_none() {
        return Err(DpkgError::NoDatabase);
    }
    let mut packages = parse_status(&status.unwrap_or_default(), &file)?;
    for package in &mut packages {
        read_list(root, package)?;
    }
    for name in names.unwrap_or_default() {
        packages.extend(read_single(root, &directory, &name)?);
    }
    packages.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
    match packages.windows(2).find(|pair| (&pair[0].name, &pair[0].architecture) == (&pair[1].name, &pair[1].architecture)) {
        Some(pair) => Err(DpkgError::malformed(&file, 0, format!("{} {} stands twice", pair[0].name, pair[0].architecture))),
        None => Ok(packages),
    }
}

/// A package of `status.d`: one paragraph without `Status`, its paths in `NAME.md5sums` (images without dpkg).
fn read_single(root: &Root, directory: &str, name: &[u8]) -> Result<Option<Installed>, DpkgError> {
    let Some(name) = std::str::from_utf8(name).ok().filter(|name| !name.ends_with(".md5sums") && !name.starts_with('.')) else {
        return Ok(None);
    };
    let file = format!("{directory}/{name}");
    let content = root.read(file.as_bytes(), FILE)?.unwrap_or_default();
    let complete = Status { want: Want::Install, broken: false, state: State::Installed };
    let paragraph = deb822::single(&content).map_err(|error| located(&file, &error))?;
    let Some(mut package) = parse_package(&paragraph, Some(complete)).map_err(|error| located(&file, &error))? else { return Ok(None) };
    let list = format!("{file}.md5sums");
    match root.read(list.as_bytes(), FILE)? {
        None => package.list_missing = true,
        Some(content) => package.files = parse_md5sums(&content, &list)?.into_iter().collect(),
    }
    Ok(Some(package))
}

fn read_list(root: &Root, package: &mut Installed) -> Result<(), DpkgError> {
    let qualified = format!("{DATABASE}/info/{}:{}.list", package.name, package.architecture);
    let plain = format!("{DATABASE}/info/{}.list", package.name);
    let (first, second) = if package.multi_arch == MultiArch::Same { (qualified, plain) } else { (plain, qualified) };
    for file in [first, second] {
        if let Some(content) = root.read(file.as_bytes(), FILE)? {
            package.files = parse_list(&content, &file)?.into_iter().collect();
            return Ok(());
        }
    }
    package.list_missing = true;
    Ok(())
}

fn parse_package(paragraph: &Paragraph<'_>, assumed: Option<Status>) -> Result<Option<Installed>, deb822::Error> {
    let status = match (paragraph.text("Status")?, assumed) {
        (None, Some(assumed)) => assumed,
        (text, _) => text.and_then(Status::parse).ok_or_else(|| paragraph.malformed("Status"))?,
    };
    let name = paragraph.required("Package")?;
    if !is_package_name(name) {
        return Err(paragraph.malformed("Package"));
    }
    if status.state == State::NotInstalled {
        return Ok(None);
    }
    let (version, architecture) = (paragraph.required("Version")?, paragraph.required("Architecture")?);
    if !version.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') {
        return Err(paragraph.malformed("Version"));
    }
    if !is_architecture(architecture) {
        return Err(paragraph.malformed("Architecture"));
    }
    let multi_arch =
        paragraph.text("Multi-Arch")?.map_or(Ok(MultiArch::No), |word| word.parse().map_err(|()| paragraph.malformed("Multi-Arch")))?;
    Ok(Some(Installed {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        multi_arch,
        status,
        conffiles: parse_conffiles(paragraph)?,
        files: Paths::default(),
        list_missing: false,
    }))
}

/// Lines `PATH MD5 [obsolete] [remove-on-upgrade]`; the path itself may hold spaces.
fn parse_conffiles(paragraph: &Paragraph<'_>) -> Result<Vec<InstalledConffile>, deb822::Error> {
    let parse = |line: &[u8]| {
        let (line, remove_on_upgrade) = without_flag(line, b" remove-on-upgrade");
        let (line, obsolete) = without_flag(line, b" obsolete");
        let at = line.iter().rposition(|byte| *byte == b' ')?;
        let path = line[..at].strip_prefix(b"/").filter(|path| !path.is_empty())?;
        let md5 = std::str::from_utf8(&line[at + 1..]).ok()?;
        Some(InstalledConffile { path: path.to_vec(), md5: md5.to_owned(), obsolete, remove_on_upgrade })
    };
    paragraph.lines("Conffiles").map(|line| parse(line).ok_or_else(|| paragraph.malformed("Conffiles"))).collect()
}

fn without_flag<'a>(line: &'a [u8], flag: &[u8]) -> (&'a [u8], bool) {
    line.strip_suffix(flag).map_or((line, false), |rest| (rest, true))
}

/// Lines `MD5  path`; only the paths are kept.
fn parse_md5sums(input: &[u8], file: &str) -> Result<Vec<Vec<u8>>, DpkgError> {
    let lines = input.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let path = |line: &[u8]| {
        let rest = line.get(32..).filter(|_| line[..32].iter().all(u8::is_ascii_hexdigit))?;
        rest.strip_prefix(b"  ").map(|path| path.strip_prefix(b"/").unwrap_or(path).to_vec()).filter(|path| !path.is_empty())
    };
    lines.map(|(at, line)| path(line).ok_or_else(|| DpkgError::malformed(file, at + 1, "not a digest and a path"))).collect()
}

fn located(file: &str, error: &deb822::Error) -> DpkgError {
    DpkgError::malformed(file, error.line, deb822::Error { line: 0, reason: error.reason.clone() }.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(extra: &str) -> Result<Vec<Installed>, DpkgError> {
        parse_status(format!("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n{extra}").as_bytes(), "status")
    }

    #[test]
    fn reads_a_package() {
        let parsed = package("Multi-Arch: same\nConffiles:\n /etc/a b 0123 obsolete\n /etc/c newconffile remove-on-upgrade\n").unwrap();
        assert_eq!(parsed[0].display_name(), "a:all");
        let flat: Vec<_> =
            parsed[0].conffiles.iter().map(|c| (c.path.as_slice(), c.md5.as_str(), c.obsolete, c.remove_on_upgrade)).collect();
        assert_eq!(flat, [(&b"etc/a b"[..], "0123", true, false), (b"etc/c", "newconffile", false, true)]);
        assert!(parsed[0].status.is_installed() && !parsed[0].status.is_unfinished());
    }

    #[test]
    fn knows_the_states() {
        for (text, installed, unfinished) in [
            ("install ok installed", true, false),
            ("install reinstreq installed", false, true),
            ("hold ok triggers-pending", true, false),
            ("install ok unpacked", false, true),
            ("purge ok half-installed", false, true),
            ("deinstall ok config-files", false, false),
        ] {
            let status = Status::parse(text).unwrap();
            assert_eq!((status.is_installed(), status.is_unfinished()), (installed, unfinished), "{text}");
        }
        for bad in ["", "install ok", "install ok here", "keep ok installed", "install bad installed", "install ok installed x"] {
            assert_eq!(Status::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn leaves_out_what_is_not_installed_and_names_bad_lines() {
        assert_eq!(parse_status(b"Package: a\nStatus: unknown ok not-installed\n", "status"), Ok(Vec::new()));
        assert_eq!(package("\nPackage: b\n"), Err(DpkgError::malformed("status", 6, "malformed: Status")));
        assert_eq!(package("Multi-Arch: x\n"), Err(DpkgError::malformed("status", 1, "malformed: Multi-Arch")));
        assert_eq!(package("Conffiles:\n etc/a 0123\n"), Err(DpkgError::malformed("status", 1, "malformed: Conffiles")));
        assert_eq!(package("junk\n"), Err(DpkgError::malformed("status", 5, "not a \"Name: value\" field")));
        let climbing = b"Package: ../../a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
        assert_eq!(parse_status(climbing, "status"), Err(DpkgError::malformed("status", 1, "malformed: Package")));
    }

    #[test]
    fn reads_digest_lists() {
        let line = format!("{}  usr/a b\n", "0".repeat(32));
        assert_eq!(parse_md5sums(line.as_bytes(), "f"), Ok(vec![b"usr/a b".to_vec()]));
        assert_eq!(parse_md5sums(b"00  usr/a\n", "f"), Err(DpkgError::malformed("f", 1, "not a digest and a path")));
    }
}
