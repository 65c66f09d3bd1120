//! One attested entry against what stands at its path. Pure: what was seen and what may explain it come as arguments.

use std::sync::Arc;

use attest::manifest::{Attributes, Class, Entry, Node};
use attest::predicate::{Change, Observed};
use package::accounts::Accounts;

use crate::config::{Allowed, encode_hex};
use crate::finding::{Finding, Kind, printable};
use crate::hash::{Content, Outcome};
use crate::survey::{Inode, Seen, SeenNode};

/// What was seen at a path, with the outcome of reading it where it is a regular file that had to be read.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What `lstat` shows.
    pub seen: &'a Seen,
    /// What reading gave.
    pub read: Option<&'a Outcome>,
}

/// What may explain a difference of one path.
#[derive(Clone, Copy, Debug)]
pub struct Reasons<'a> {
    /// Entries on which enough builders agree, of this package and path.
    pub observed: &'a [Observed],
    /// States that the policy allows at this path.
    pub allowed: &'a [Allowed],
    /// The local dpkg-statoverride of this path.
    pub statoverride: Option<&'a Attributes>,
    /// Names of owners.
    pub owners: &'a Accounts,
    /// The package manager says that it left this path out.
    pub left_out: bool,
}

impl<'a> Reasons<'a> {
    /// Nothing explains anything: what has no finding then has none in any case.
    #[must_use]
    pub fn none(owners: &'a Accounts) -> Self {
        Self { observed: &[], allowed: &[], statoverride: None, owners, left_out: false }
    }
}

/// Compares; the findings have neither package nor path nor attestors yet. Empty: exactly as attested.
#[must_use]
pub fn compare(entry: &Entry, sight: Sight<'_>, reasons: &Reasons<'_>) -> Vec<Finding> {
    match sight.seen {
        Seen::Unreadable(why) => vec![Finding::new(Kind::Unreadable, format!("it cannot be looked at: {why}"))],
        Seen::Absent => absent(entry, reasons),
        Seen::There(inode) if entry.class == Class::NoVerify => unverified(entry, inode, sight.read, reasons),
        Seen::There(inode) => present(entry, inode, sight.read, reasons),
    }
}

fn absent(entry: &Entry, reasons: &Reasons<'_>) -> Vec<Finding> {
    let removed = reasons.observed.iter().any(|observed| observed.change == Change::Missing);
    let finding = match entry.class {
        // What a package implies is only a way to what it ships; if that is absent, too, it is found by itself.
        Class::NoVerify | Class::Implied => return Vec::new(),
        _ if removed => Finding::new(Kind::Explained, "absent, as builders observed after installing the package"),
        Class::Optional => Finding::new(Kind::NotInstalled, "documentation and translations may be left out"),
        // Only what nothing can run without being missed: an absent program or library may be the attack.
        Class::Fixed | Class::Config if reasons.left_out && !is_program(entry) => Finding::new(
            Kind::NotInstalled,
            "the package manager says that it left it out (NoExtract, or the file's state in rpm's database)",
        ),
        Class::Config if is_etc(&entry.path) => Finding::new(Kind::ModifiedConfig, "a configuration file that was removed"),
        Class::Config | Class::Fixed => {
            let digest = digest_of("absent");
            Finding { digest, ..Finding::new(Kind::Missing, "it is not there").differs(describe(&entry.node), "nothing") }
        }
    };
    vec![finding]
}

/// What a package says is not to be verified is compared all the same, where it ships something, and told; only rights that were added
/// count.
fn unverified(entry: &Entry, inode: &Inode, read: Option<&Outcome>, reasons: &Reasons<'_>) -> Vec<Finding> {
    let attested = entry.attributes.as_ref().map_or(0, |attributes| attributes.mode);
    let added = matches!(inode.node, SeenNode::File(_)) && inode.mode & !attested & 0o6000 != 0;
    if entry.node == Node::Ghost {
        let kind = Node::File { size: 0, sha256: tlog::Hash::EMPTY };
        let file = Entry { node: kind, ..entry.clone() };
        return if added { attributes(&file, inode, None, reasons) } else { Vec::new() };
    }
    let told = |finding: Finding| {
        let counts = matches!(finding.kind, Kind::Capability | Kind::Unreadable | Kind::Changed) || (finding.kind == Kind::Mode && added);
        let is_content = finding.kind.class() == crate::finding::Class::Integrity && !counts;
        let why = format!("{}; the package says that it is not to be verified", finding.why);
        if is_content { Finding { kind: Kind::NoVerify, why, ..finding } } else { finding }
    };
    let mut findings = present(entry, inode, read, reasons);
    // What was edited has its rights looked at all the same.
    if matches!(inode.node, SeenNode::File(_)) && findings.iter().any(|finding| finding.kind == Kind::Modified) {
        let content = match read {
            Some(Outcome::Read(content)) => Some(content),
            _ => None,
        };
        findings.extend(attributes(entry, inode, content, reasons));
    }
    findings.into_iter().map(told).collect()
}

/// Whether a file runs or is loaded.
fn is_program(entry: &Entry) -> bool {
    let runs = entry.attributes.as_ref().is_some_and(|attributes| attributes.mode & 0o111 != 0);
    let library = entry.path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.windows(3).any(|part| part == b".so"));
    entry.node != Node::Dir && (runs || library) && !matches!(entry.node, Node::Link(_))
}

fn present(entry: &Entry, inode: &Inode, read: Option<&Outcome>, reasons: &Reasons<'_>) -> Vec<Finding> {
    let content = match (&entry.node, &inode.node, read) {
        (Node::File { .. }, SeenNode::File(_), Some(Outcome::Changed)) => {
            return vec![Finding::new(Kind::Changed, "it changed while it was read; verify again")];
        }
        (Node::File { .. }, SeenNode::File(_), Some(Outcome::Unreadable(why))) => {
            return vec![Finding::new(Kind::Unreadable, format!("it cannot be read: {why}"))];
        }
        (_, _, Some(Outcome::Read(content))) => Some(content),
        _ => None,
    };
    let mut findings: Vec<Finding> = substance(entry, inode, content, reasons).into_iter().collect();
    // What is something else altogether has no mode to compare.
    if findings.iter().all(|finding| finding.kind != Kind::Modified) && same_type(&entry.node, &inode.node) {
        findings.extend(attributes(entry, inode, content, reasons));
    }
    findings
}

/// Type, content, target and device number.
fn substance(entry: &Entry, inode: &Inode, content: Option<&Content>, reasons: &Reasons<'_>) -> Option<Finding> {
    let found = describe_seen(&inode.node, content);
    let differs = |why: &str| {
        let digest = content.map_or_else(|| digest_of(&found), |content| Some(content.digest));
        Some(Finding { digest, ..Finding::new(Kind::Modified, why).differs(describe(&entry.node), found.clone()) })
    };
    match (&entry.node, &inode.node) {
        (Node::File { size, sha256 }, SeenNode::File(seen)) => {
            if size == seen && content.is_some_and(|content| content.digest == *sha256.as_bytes()) {
                return None;
            }
            let executable = entry.attributes.as_ref().is_some_and(|attributes| attributes.mode & 0o111 != 0) || inode.mode & 0o111 != 0;
            match (entry.class, executable, is_etc(&entry.path)) {
                (Class::Config, false, true) => edited(differs("a configuration file that was edited")),
                (Class::Config, true, _) => differs("its content differs; a configuration file that is executed is not for editing unseen"),
                (Class::Config, false, false) => differs("its content differs; a configuration file outside /etc is not for editing"),
                _ => differs("its content differs"),
            }
        }
        (Node::Dir, SeenNode::Dir) | (Node::Fifo, SeenNode::Fifo) | (Node::Ghost, _) => None,
        (Node::Link(target), SeenNode::Link(seen)) if target == seen => None,
        (Node::Char(device), SeenNode::Char(seen)) | (Node::Block(device), SeenNode::Block(seen)) if device == seen => None,
        (Node::Dir, SeenNode::Link(target)) if is_alias(&entry.path, target) => {
            Some(Finding::new(Kind::Explained, format!("a link to {}, as on all systems with a merged /usr", printable(target))))
        }
        (Node::Link(_) | Node::Dir, SeenNode::Link(target)) if is_observed_link(target, reasons) => {
            Some(Finding::new(Kind::Explained, "its target is the one that builders observed after installing the package"))
        }
        (Node::Link(_), SeenNode::Link(_)) if entry.class == Class::Config && is_etc(&entry.path) => {
            edited(differs("a configuration link that was changed"))
        }
        (Node::Link(_), SeenNode::Link(_)) => differs("the link leads elsewhere"),
        (Node::Char(_) | Node::Block(_), SeenNode::Char(_) | SeenNode::Block(_)) => differs("it is another device"),
        _ => differs("something else stands there"),
    }
}

fn edited(finding: Option<Finding>) -> Option<Finding> {
    finding.map(|finding| Finding { kind: Kind::ModifiedConfig, ..finding })
}

/// Mode, owner, group, capability and access list: exactly as attested, or exactly as one explanation has it.
fn attributes(entry: &Entry, inode: &Inode, content: Option<&Content>, reasons: &Reasons<'_>) -> Vec<Finding> {
    let Some(attested) = &entry.attributes else { return Vec::new() };
    if inode.mounted && inode.node == SeenNode::Dir {
        return Vec::new();
    }
    let attested = State { attributes: Arc::clone(attested), caps: entry.caps.clone().unwrap_or_default() };
    let seen = Actual { inode, caps: content.map(|content| &*content.caps), owners: reasons.owners };
    let mut findings = if seen.is(&attested) { Vec::new() } else { differing(entry, &attested, &seen, reasons) };
    if content.is_some_and(|content| content.acl) {
        let why = "it has an access list, which no package carries; getfacl shows whom it lets in";
        findings
            .push(Finding { digest: digest_of("acl"), ..Finding::new(Kind::Capability, why).differs("no access list", "an access list") });
    }
    findings
}

fn differing(entry: &Entry, attested: &State, seen: &Actual<'_>, reasons: &Reasons<'_>) -> Vec<Finding> {
    if let Some(why) = explanation(attested, seen, reasons) {
        return vec![Finding::new(Kind::Explained, why).differs(attested.to_string(), seen.to_string())];
    }
    let mut kinds = seen.differing_kinds(attested);
    if entry.class == Class::Config && is_etc(&entry.path) && kinds == [Kind::Mode] && seen.inode.mode & !attested.attributes.mode == 0 {
        let why = "permissions of a configuration file were taken away";
        return vec![Finding::new(Kind::ModifiedConfig, why).differs(attested.to_string(), seen.to_string())];
    }
    kinds.dedup();
    let finding = |kind| {
        let why = why_attribute(kind, attested, seen, reasons);
        let digest = digest_of(&seen.to_string());
        Finding { digest, ..Finding::new(kind, why).differs(attested.to_string(), seen.to_string()) }
    };
    kinds.into_iter().map(finding).collect()
}

fn why_attribute(kind: Kind, attested: &State, seen: &Actual<'_>, reasons: &Reasons<'_>) -> String {
    let added = seen.inode.mode & !attested.attributes.mode;
    let what = match kind {
        Kind::Mode if added & 0o4000 != 0 => "setuid was added",
        Kind::Mode if added & 0o2000 != 0 => "setgid was added",
        Kind::Mode if added & 0o002 != 0 => "everybody may write to it",
        Kind::Mode => "its permissions differ",
        Kind::Owner => "its owner or group differs",
        _ => "its capabilities differ",
    };
    let overridden =
        reasons.statoverride.is_some_and(|wanted| seen.is(&State { attributes: Arc::new(wanted.clone()), caps: attested.caps.clone() }));
    let note = if overridden { "; the local dpkg-statoverride that asks for it does not excuse it, since it adds rights" } else { "" };
    format!("{what}, and neither builders nor the policy explain it{note}")
}

/// The first explanation that fits the whole state; parts of different ones are never put together.
fn explanation(attested: &State, seen: &Actual<'_>, reasons: &Reasons<'_>) -> Option<String> {
    let observed = reasons.observed.iter().filter(|observed| observed.change == Change::Modified);
    if observed.filter_map(|observed| attested.overlay(observed)).any(|state| seen.is(&state)) {
        return Some("as builders observed after installing the package".to_owned());
    }
    let allowed = |allowed: &Allowed| State {
        attributes: Arc::new(Attributes { mode: allowed.mode, uname: allowed.owner.clone(), gname: allowed.group.clone() }),
        caps: allowed.caps.clone(),
    };
    if reasons.allowed.iter().map(allowed).any(|state| seen.is(&state)) {
        return Some("as the policy allows".to_owned());
    }
    let wanted = State { attributes: Arc::new(reasons.statoverride?.clone()), caps: attested.caps.clone() };
    (seen.is(&wanted) && wanted.adds_no_rights(attested)).then(|| "a local dpkg-statoverride that adds no rights".to_owned())
}

/// Mode, owner and capabilities of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    attributes: Arc<Attributes>,
    caps: Vec<u8>,
}

impl State {
    /// With what was observed put over it.
    fn overlay(&self, observed: &Observed) -> Option<Self> {
        let mode = match &observed.mode {
            Some(mode) => u32::from_str_radix(mode, 8).ok()?,
            None => self.attributes.mode,
        };
        let uname = observed.uname.clone().unwrap_or_else(|| self.attributes.uname.clone());
        let gname = observed.gname.clone().unwrap_or_else(|| self.attributes.gname.clone());
        let caps = match &observed.caps {
            Some(caps) => crate::config::decode_hex(caps)?,
            None => self.caps.clone(),
        };
        Some(Self { attributes: Arc::new(Attributes { mode, uname, gname }), caps })
    }

    /// Whether nobody can do more than under `before`: no new setuid, setgid or writers; the owner root or the old one, and the old one
    /// where the file runs as its owner; no other group where the file runs as its group, nor, but for root, where the group may write.
    fn adds_no_rights(&self, before: &Self) -> bool {
        let (new, old) = (&self.attributes, &before.attributes);
        let owner = new.uname == old.uname || (new.uname == "root" && new.mode & 0o4000 == 0);
        let group = new.gname == old.gname || (new.mode & 0o2000 == 0 && (new.mode & 0o0020 == 0 || new.gname == "root"));
        new.mode & !old.mode & 0o6022 == 0 && owner && group && self.caps == before.caps
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Attributes { mode, uname, gname } = &*self.attributes;
        write!(f, "mode {mode:04o} {uname}:{gname}{}", show_caps(&self.caps))
    }
}

/// What an inode has.
struct Actual<'a> {
    inode: &'a Inode,
    /// `None` where they were not read (anything but regular files).
    caps: Option<&'a [u8]>,
    owners: &'a Accounts,
}

impl Actual<'_> {
    fn is(&self, state: &State) -> bool {
        self.differing_kinds(state).is_empty()
    }

    fn differing_kinds(&self, state: &State) -> Vec<Kind> {
        let Attributes { mode, uname, gname } = &*state.attributes;
        // A link's own mode is always 0777 and means nothing.
        let mode = matches!(self.inode.node, SeenNode::Link(_)) || *mode == self.inode.mode;
        let owner = is_account(uname, self.inode.uid, |name| self.owners.user_id(name))
            && is_account(gname, self.inode.gid, |name| self.owners.group_id(name));
        let caps = self.caps.is_none_or(|caps| caps == state.caps);
        [(mode, Kind::Mode), (owner, Kind::Owner), (caps, Kind::Capability)]
            .into_iter()
            .filter(|(same, _)| !same)
            .map(|(_, kind)| kind)
            .collect()
    }
}

impl std::fmt::Display for Actual<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, group) = (self.owners.user(self.inode.uid), self.owners.group(self.inode.gid));
        write!(f, "mode {:04o} {user}:{group}{}", self.inode.mode, show_caps(self.caps.unwrap_or_default()))
    }
}

fn show_caps(caps: &[u8]) -> String {
    if caps.is_empty() { String::new() } else { format!(" capability {}", encode_hex(caps)) }
}

fn same_type(node: &Node, seen: &SeenNode) -> bool {
    matches!(
        (node, seen),
        (Node::File { .. }, SeenNode::File(_))
            | (Node::Dir, SeenNode::Dir)
            | (Node::Link(_), SeenNode::Link(_))
            | (Node::Char(_), SeenNode::Char(_))
            | (Node::Block(_), SeenNode::Block(_))
            | (Node::Fifo, SeenNode::Fifo)
    )
}

/// Directories that are links wherever /usr is merged, and the two of /var that are links everywhere.
fn is_alias(path: &[u8], target: &[u8]) -> bool {
    let target = target.strip_prefix(b"/").unwrap_or(target);
    match path {
        b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32" | b"libo32" => target.strip_prefix(b"usr/") == Some(path),
        b"var/run" => target == b"run" || target == b"../run",
        b"var/lock" => target == b"run/lock" || target == b"../run/lock",
        _ => false,
    }
}

fn is_observed_link(target: &[u8], reasons: &Reasons<'_>) -> bool {
    let escaped = escape(target);
    reasons.observed.iter().any(|observed| observed.change == Change::Modified && observed.link.as_deref() == Some(escaped.as_str()))
}

/// Whether a name, a decimal number or dpkg's `#` and a number means this id.
fn is_account(name: &str, id: u32, known: impl Fn(&str) -> Option<u32>) -> bool {
    known(name).or_else(|| name.strip_prefix('#').unwrap_or(name).parse().ok()) == Some(id)
}

/// Escapes a link's target as manifests do.
fn escape(target: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/+,@:~%-".contains(&byte);
    target.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("\\{byte:03o}") }).collect()
}

fn is_etc(path: &[u8]) -> bool {
    path.starts_with(b"etc/")
}

/// What is attested, for people.
#[must_use]
pub fn describe(node: &Node) -> String {
    match node {
        Node::File { size, sha256 } => format!("a file of {size} bytes, sha256 {sha256}"),
        Node::Dir => "a directory".to_owned(),
        Node::Link(target) => format!("a link to {}", printable(target)),
        Node::Char(device) => format!("character device 0x{device:x}"),
        Node::Block(device) => format!("block device 0x{device:x}"),
        Node::Fifo => "a named pipe".to_owned(),
        Node::Ghost => "anything".to_owned(),
    }
}

/// What is there, for people.
#[must_use]
pub fn describe_seen(node: &SeenNode, content: Option<&Content>) -> String {
    match (node, content) {
        (SeenNode::File(size), Some(content)) => format!("a file of {size} bytes, sha256 {}", encode_hex(&content.digest)),
        (SeenNode::File(size), None) => format!("a file of {size} bytes"),
        (SeenNode::Dir, _) => "a directory".to_owned(),
        (SeenNode::Link(target), _) => format!("a link to {}", printable(target)),
        (SeenNode::Char(device), _) => format!("character device 0x{device:x}"),
        (SeenNode::Block(device), _) => format!("block device 0x{device:x}"),
        (SeenNode::Fifo, _) => "a named pipe".to_owned(),
        (SeenNode::Socket, _) => "a socket".to_owned(),
    }
}

fn digest_of(text: &str) -> Option<[u8; 32]> {
    Some(*tlog::Hash::digest(text.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mode, owner and group as attested, as the local override has them, and whether that adds no rights.
    const OVERRIDES: [(&str, &str, bool); 12] = [
        ("2755 root mail", "2755 root root", false),
        ("6755 daemon daemon", "6755 root daemon", false),
        ("4755 daemon root", "0755 root root", true),
        ("0775 root mail", "0775 root root", true),
        ("2755 root mail", "2755 root games", false),
        ("0775 root mail", "0775 root games", false),
        ("2755 root mail", "0755 root games", true),
        ("0755 root mail", "0750 root games", true),
        ("0755 daemon root", "0755 root root", true),
        ("0755 root root", "0755 daemon root", false),
        ("0755 root mail", "2755 root root", false),
        ("4755 root root", "0755 root root", true),
    ];

    fn state(text: &str) -> State {
        let words: Vec<&str> = text.split(' ').collect();
        let mode = u32::from_str_radix(words[0], 8).unwrap();
        let attributes = Attributes { mode, uname: words[1].into(), gname: words[2].into() };
        State { attributes: Arc::new(attributes), caps: Vec::new() }
    }

    #[test]
    fn a_local_override_adds_no_rights_or_is_none() {
        for (attested, local, expected) in OVERRIDES {
            assert_eq!(state(local).adds_no_rights(&state(attested)), expected, "{attested} to {local}");
        }
        let capable = State { caps: vec![1], ..state("0755 root root") };
        assert!(!capable.adds_no_rights(&state("0755 root root")) && capable.adds_no_rights(&capable));
    }
}
