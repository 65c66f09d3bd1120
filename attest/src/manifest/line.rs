//! One line of a manifest: escapes, keywords in their fixed order, tags.

use std::fmt::Write as _;
use std::sync::Arc;

use tlog::Hash;

use super::{Attributes, Class, Entry, Node, ROOT_LINE};

impl Entry {
    /// Appends the line without its line feed.
    pub(super) fn encode_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(self.encode().as_bytes());
    }

    /// The line without its line feed.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut line = self.escaped_path();
        line.push_str(self.node.type_keyword());
        if let Some(Attributes { mode, uname, gname }) = self.attributes.as_deref() {
            let _ = write!(line, " mode=0{mode:03o} uname={uname} gname={gname}");
        }
        match &self.node {
            Node::File { size, sha256 } => drop(write!(line, " size={size} sha256digest={sha256}")),
            Node::Link(target) => drop(write!(line, " link={}", escape(target))),
            Node::Char(device) | Node::Block(device) => drop(write!(line, " device=0x{device:x}")),
            Node::Dir | Node::Fifo | Node::Ghost => {}
        }
        if matches!(self.class, Class::Optional | Class::NoVerify | Class::Implied) {
            line.push_str(" optional");
        }
        let _ = write!(line, " tags={}", self.class.tag());
        if let Some(caps) = &self.caps {
            let _ = write!(line, ",caps.{}", hex::encode(caps));
        }
        if let Some(group) = self.hardlink {
            let _ = write!(line, ",hardlink.{group}");
        }
        line
    }

    /// What the types do not say: which parts go together.
    pub(super) fn is_consistent(&self) -> bool {
        let implied = self.class == Class::Implied;
        let ghost = self.node == Node::Ghost;
        let file = matches!(self.node, Node::File { .. });
        implied == self.attributes.is_none()
            && (!implied || self.node == Node::Dir)
            && (!ghost || self.class == Class::NoVerify)
            && (file || (self.caps.is_none() && self.hardlink.is_none()))
            && self.caps.as_ref().is_none_or(|caps| !caps.is_empty() && caps.len() <= 64)
            && is_raw_path(&self.path)
            && !matches!(&self.node, Node::Link(target) if target.is_empty() || target.len() > MAX_PATH || target.contains(&0))
    }
}

impl Node {
    const fn type_keyword(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Ghost => " type=file",
            Self::Dir => " type=dir",
            Self::Link(_) => " type=link",
            Self::Char(_) => " type=char",
            Self::Block(_) => " type=block",
            Self::Fifo => " type=fifo",
        }
    }
}

impl Class {
    /// The tag that names the class.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Config => "config",
            Self::Optional => "optional",
            Self::NoVerify => "noverify",
            Self::Implied => "implied",
        }
    }

    fn from_tag(tag: &str) -> Option<Self> {
        [Self::Fixed, Self::Config, Self::Optional, Self::NoVerify, Self::Implied].into_iter().find(|class| class.tag() == tag)
    }
}

/// Reads one canonical line (no line feed); `None` for anything else.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<Entry> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_LINE)?;
    if line == ROOT_LINE {
        return Some(Entry::implied(Vec::new()));
    }
    let entry = read(line)?;
    (!entry.path.is_empty() && entry.is_consistent() && entry.encode() == line).then_some(entry)
}

/// Takes a line apart; the caller encodes it again and compares, so that order and spelling need no care here.
fn read(line: &str) -> Option<Entry> {
    let mut words = line.split(' ');
    let path = unescape_path(words.next()?)?;
    let mut fields = Fields::default();
    for word in words {
        fields.take(word)?;
    }
    let attributes = match (fields.mode, fields.uname, fields.gname) {
        (Some(mode), Some(uname), Some(gname)) if is_mode(mode) && is_owner(uname) && is_owner(gname) => {
            let mode = u32::from_str_radix(mode, 8).ok()?;
            Some(Arc::new(Attributes { mode, uname: uname.to_owned(), gname: gname.to_owned() }))
        }
        (None, None, None) => None,
        _ => return None,
    };
    let node = fields.node()?;
    let (class, caps, hardlink) = read_tags(fields.tags?)?;
    Some(Entry { path, node, attributes, class, caps, hardlink })
}

/// The keywords of one line.
#[derive(Default)]
struct Fields<'a> {
    node: Option<&'a str>,
    mode: Option<&'a str>,
    uname: Option<&'a str>,
    gname: Option<&'a str>,
    size: Option<&'a str>,
    sha256: Option<&'a str>,
    link: Option<&'a str>,
    device: Option<&'a str>,
    tags: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, word: &'a str) -> Option<()> {
        let (keyword, value) = match word.split_once('=') {
            Some(pair) => pair,
            None => return (word == "optional").then_some(()),
        };
        let field = match keyword {
            "type" => &mut self.node,
            "mode" => &mut self.mode,
            "uname" => &mut self.uname,
            "gname" => &mut self.gname,
            "size" => &mut self.size,
            "sha256digest" => &mut self.sha256,
            "link" => &mut self.link,
            "device" => &mut self.device,
            "tags" => &mut self.tags,
            _ => return None,
        };
        field.replace(value).is_none().then_some(())
    }

    fn node(&self) -> Option<Node> {
        let device = || u64::from_str_radix(self.device?.strip_prefix("0x")?, 16).ok();
        Some(match (self.node?, self.size, self.sha256) {
            ("file", Some(size), Some(sha256)) => Node::File { size: size.parse().ok()?, sha256: Hash::from_hex(sha256)? },
            ("file", None, None) => Node::Ghost,
            ("dir", ..) => Node::Dir,
            ("link", ..) => Node::Link(unescape(self.link?)?),
            ("char", ..) => Node::Char(device()?),
            ("block", ..) => Node::Block(device()?),
            ("fifo", ..) => Node::Fifo,
            _ => return None,
        })
    }
}

fn read_tags(tags: &str) -> Option<(Class, Option<Vec<u8>>, Option<u64>)> {
    let mut tags = tags.split(',');
    let class = Class::from_tag(tags.next()?)?;
    let (mut caps, mut hardlink) = (None, None);
    for tag in tags {
        match tag.split_once('.')? {
            ("caps", value) if caps.is_none() => caps = Some(hex::decode(value).ok()?),
            ("hardlink", value) if hardlink.is_none() => hardlink = Some(value.parse().ok().filter(|group| *group > 0)?),
            _ => return None,
        }
    }
    Some((class, caps, hardlink))
}

/// A raw path as manifests write it: `.` for the empty one, otherwise `./` and the escaped bytes.
#[must_use]
pub fn escape_path(path: &[u8]) -> String {
    if path.is_empty() { ".".to_owned() } else { format!("./{}", escape(path)) }
}

/// The inverse of [`escape_path`]; `None` for anything that it does not write.
#[must_use]
pub fn unescape_path(text: &str) -> Option<Vec<u8>> {
    if text == "." {
        return Some(Vec::new());
    }
    let path = unescape(text.strip_prefix("./")?)?;
    (!path.is_empty() && is_raw_path(&path) && escape_path(&path) == text).then_some(path)
}

/// Whether a text is a path as manifests write it.
#[must_use]
pub fn is_escaped_path(text: &str) -> bool {
    unescape_path(text).is_some()
}

/// Whether a text is the target of a symbolic link as manifests write it.
#[must_use]
pub fn is_escaped_target(text: &str) -> bool {
    unescape(text).is_some_and(|target| !target.is_empty() && target.len() <= MAX_PATH && escape(&target) == text)
}

/// Whether a text is a mode as manifests write it: `0` and three or four octal digits.
#[must_use]
pub fn is_mode(text: &str) -> bool {
    u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777 && format!("0{mode:03o}") == text)
}

/// Whether a text is a user's or group's name as manifests write it: 1 to 64 of `[A-Za-z0-9._@+-]`.
#[must_use]
pub fn is_owner(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte))
}

/// A device's number as Linux and glibc encode it: `0x103` for major 1, minor 3.
#[must_use]
pub const fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    ((major & 0xffff_f000) << 32) | ((major & 0xfff) << 8) | ((minor & 0xffff_ff00) << 12) | (minor & 0xff)
}

/// Relative, at most 4,095 bytes, no NUL, no empty, `.` or `..` component. The empty path is the root.
pub(super) fn is_raw_path(path: &[u8]) -> bool {
    let plain = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
    path.is_empty() || (path.len() <= MAX_PATH && !path.contains(&0) && path.split(|byte| *byte == b'/').all(plain))
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'/' | b'+' | b',' | b'@' | b':' | b'~' | b'%' | b'-' => {
                text.push(char::from(*byte));
            }
            _ => drop(write!(text, "\\{byte:03o}")),
        }
    }
    text
}

/// The bytes that mtree's spelling of a path stands for: `\` and three octal digits are one byte. `None` if an escape is cut short or
/// no byte. Spellings that [`Manifest`](super::Manifest) would not write are read, too.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, next)) = rest.split_first() {
        if *byte != b'\\' {
            bytes.push(*byte);
            rest = next;
            continue;
        }
        let (digits, next) = next.split_at_checked(3)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
        rest = next;
    }
    Some(bytes)
}

/// Longest path or link target in bytes (Linux's `PATH_MAX` without its NUL).
const MAX_PATH: usize = 4_095;
/// Longest line in bytes: an escaped path and an escaped link target, and the keywords.
const MAX_LINE: usize = 2 * 4 * MAX_PATH + 1_024;
