//! Manifests: what a package file contains, as text that `bsdtar` and `mtree` read (`specs/manifest.md`).
//!
//! ```text
//! #mtree package-sha256=<64 hex>
//! . type=dir optional tags=implied
//! ./usr/bin/jq type=file mode=0755 uname=root gname=root size=30968 sha256digest=<hex> tags=fixed
//! ```
//!
//! A manifest is a pure function of the package file's bytes. Its root is the RFC 6962 tree hash over the lines without
//! their line feeds, the header (and with it the package file's digest) being leaf 0.

mod build;
mod line;

pub use build::ManifestBuilder;
pub use line::{device_number, escape_path, is_escaped_path, is_escaped_target, is_mode, is_owner, parse_line, unescape, unescape_path};

use std::fmt;
use std::sync::Arc;

use tlog::{Hash, InclusionProof, Tree, hash_leaf};

/// Largest manifest in bytes, 64 MiB.
pub const MAX_BYTES: usize = 64 << 20;

/// Most lines, the header included.
pub const MAX_LINES: usize = 1_000_000;

/// Why a manifest or one of its parts was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestError {
    /// Over 64 MiB or 1,000,000 lines.
    TooLarge,
    /// The first line is not `#mtree package-sha256=<64 hex>`, or the second is not the root.
    BadHeader,
    /// A line (from 1) is not the canonical line of an entry.
    BadLine(usize),
    /// A line (from 1) is out of order, repeats a path, or its parent directory is missing or not a directory.
    BadOrder(usize),
    /// A path is absolute, empty, too long, or has an empty or `..` component.
    BadPath,
    /// An owner's name holds other characters than `[A-Za-z0-9._@+-]`, or is empty or longer than 64.
    BadOwner,
    /// A mode has other bits than 07777.
    BadMode,
    /// One path is a directory and something else, or lies below something that is not a directory.
    Conflict,
    /// A hard link to a path that is not a regular file before it.
    BadHardLink,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("the manifest has more than 64 MiB or 1,000,000 lines"),
            Self::BadHeader => f.write_str("the manifest does not begin with its header and the root directory"),
            Self::BadLine(line) => write!(f, "line {line} of the manifest is not canonical"),
            Self::BadOrder(line) => write!(f, "line {line} of the manifest is out of order, repeated or without a parent directory"),
            Self::BadPath => f.write_str("a path is absolute, empty, too long or contains an empty or .. component"),
            Self::BadOwner => f.write_str("an owner's name contains unexpected characters"),
            Self::BadMode => f.write_str("a mode has other bits than 07777"),
            Self::Conflict => f.write_str("one path is a directory and something else"),
            Self::BadHardLink => f.write_str("a hard link leads to nothing that came before it"),
        }
    }
}

impl std::error::Error for ManifestError {}

/// How strictly an entry binds an installed system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Must be there, unchanged.
    Fixed,
    /// A configuration file: may be edited by the administrator.
    Config,
    /// Documentation, manual pages, translations: may be absent, but not changed.
    Optional,
    /// The package itself says that its content is not to be verified.
    NoVerify,
    /// A parent directory that the package file does not name.
    Implied,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// SHA-256 of the content.
        sha256: Hash,
    },
    /// A directory.
    Dir,
    /// A symbolic link with its raw target.
    Link(Vec<u8>),
    /// A character device; the number as Linux encodes it ([`device_number`]).
    Char(u64),
    /// A block device.
    Block(u64),
    /// A named pipe.
    Fifo,
    /// A path that the package owns without shipping it (only [`Class::NoVerify`]).
    Ghost,
}

/// Permissions and owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attributes {
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// User name; where the package file names none, the decimal number.
    pub uname: String,
    /// Group name; where the package file names none, the decimal number.
    pub gname: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Raw bytes, relative to the root, without leading `./`; empty for the root itself.
    pub path: Vec<u8>,
    /// What is there.
    pub node: Node,
    /// Permissions and owner; absent exactly for [`Class::Implied`]. A package has few different ones, which its entries share.
    pub attributes: Option<Arc<Attributes>>,
    /// How strictly it binds.
    pub class: Class,
    /// The raw value of `security.capability`, if the package carries one.
    pub caps: Option<Vec<u8>>,
    /// Number of the group of hard links that a file belongs to, from 1 in order of the groups' first paths.
    pub hardlink: Option<u64>,
}

/// A whole manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    package: Hash,
    entries: Vec<Entry>,
}

impl Manifest {
    /// Reads a manifest: every line canonical, sorted, with all parent directories.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        check_size(text)?;
        let (header, rest) = split_line(text).ok_or(ManifestError::BadHeader)?;
        let package = parse_header(header).ok_or(ManifestError::BadHeader)?;
        let (root, rest) = split_line(rest).ok_or(ManifestError::BadHeader)?;
        if root != ROOT_LINE.as_bytes() {
            return Err(ManifestError::BadHeader);
        }
        // Exactly as many as there will be: a machine has a hundred thousand of them in memory at once.
        let mut entries = Vec::with_capacity(1 + lines(rest).count());
        entries.push(Entry::implied(Vec::new()));
        build::read_entries(rest, &mut entries)?;
        Ok(Self { package, entries })
    }

    /// The text.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(200 * (self.entries.len() + 1));
        text.extend_from_slice(header(&self.package).as_bytes());
        text.push(b'\n');
        for entry in &self.entries {
            entry.encode_to(&mut text);
            text.push(b'\n');
        }
        text
    }

    /// SHA-256 of the package file.
    #[must_use]
    pub const fn package(&self) -> &Hash {
        &self.package
    }

    /// The same entries for another package file: what a package is that was signed again.
    #[must_use]
    pub fn with_package(&self, package: Hash) -> Self {
        Self { package, entries: self.entries.clone() }
    }

    /// All entries, the root directory first; entry `i` is leaf `i + 1` of the manifest's tree.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this raw path (without leading `./`).
    #[must_use]
    pub fn entry(&self, path: &[u8]) -> Option<&Entry> {
        let found = self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()?;
        self.entries.get(found)
    }

    /// Number of lines and root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        tree_of(&self.encode())
    }

    /// The root: the manifest's name.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree().root
    }

    /// The line of one path with its proof, to be checked by [`verify_line`] on a device that has nothing else.
    #[must_use]
    pub fn prove(&self, path: &[u8]) -> Option<LineProof> {
        let index = self.entries.binary_search_by(|entry| entry.path.as_slice().cmp(path)).ok()?;
        let text = self.encode();
        let leaves: Vec<Hash> = lines(&text).map(hash_leaf).collect();
        let line = lines(&text).nth(index + 1)?.to_vec();
        Some(LineProof { index: index as u64 + 1, line, proof: InclusionProof::of(&leaves, index + 1)? })
    }
}

/// One line of a manifest with the proof that it stands under the manifest's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProof {
    /// Number of the line, from 0 (the header).
    pub index: u64,
    /// The line without its line feed.
    pub line: Vec<u8>,
    /// From the line to the root.
    pub proof: InclusionProof,
}

/// Reads the entry of a line that is proven to stand under `tree` ([`crate::predicate::PackageFiles::tree`]).
pub fn verify_line(tree: &Tree, proof: &LineProof) -> Result<Entry, ManifestError> {
    let number = usize::try_from(proof.index).unwrap_or(usize::MAX).saturating_add(1);
    proof.proof.verify(tree, proof.index, &hash_leaf(&proof.line)).map_err(|_| ManifestError::BadLine(number))?;
    parse_line(&proof.line).ok_or(ManifestError::BadLine(number))
}

/// Number of lines and root of a manifest's text, whatever the lines say: to check a content address before parsing.
#[must_use]
pub fn tree_of(text: &[u8]) -> Tree {
    let leaves: Vec<Hash> = lines(text).map(hash_leaf).collect();
    Tree::of(&leaves)
}

impl Entry {
    fn implied(path: Vec<u8>) -> Self {
        Self { path, node: Node::Dir, attributes: None, class: Class::Implied, caps: None, hardlink: None }
    }

    /// The path as manifests write it: `.` or `./usr/a\040b`.
    #[must_use]
    pub fn escaped_path(&self) -> String {
        escape_path(&self.path)
    }
}

fn check_size(text: &[u8]) -> Result<(), ManifestError> {
    if text.len() > MAX_BYTES || text.iter().filter(|byte| **byte == b'\n').count() > MAX_LINES {
        return Err(ManifestError::TooLarge);
    }
    Ok(())
}

/// The lines without their line feeds; a last line without one counts too.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n')
}

/// The next line without its line feed, and what follows.
fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn header(package: &Hash) -> String {
    format!("{HEADER}{package}")
}

fn parse_header(line: &[u8]) -> Option<Hash> {
    Hash::from_hex(std::str::from_utf8(line).ok()?.strip_prefix(HEADER)?)
}

const HEADER: &str = "#mtree package-sha256=";
const ROOT_LINE: &str = ". type=dir optional tags=implied";
