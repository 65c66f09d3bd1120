//! What a header says about the package's files, and the lines that follow from it (`specs/rpm.md`, section 4).

use super::header::Header;
use super::{Refusal, caps};
use crate::{deb, owner, payload};
use attest::Hash;
use attest::manifest::{Attributes, Class, Manifest, ManifestBuilder, Node, device_number};
use std::collections::HashMap;

/// One file of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileRecord {
    /// Below the root, without slash; empty for the root itself.
    pub(super) path: Vec<u8>,
    /// Type and permission bits.
    pub(super) mode: u32,
    /// Bytes: of a file's content, of a link's target.
    pub(super) size: u64,
    /// The digest of a file's content, raw; empty where there is none.
    pub(super) digest: Vec<u8>,
    /// The target of a symbolic link.
    pub(super) target: Vec<u8>,
    /// Device number of a device: major in the high byte.
    pub(super) device: u32,
    /// For names of one file: the number of the first of them; its own otherwise.
    pub(super) first: usize,
    /// For names of one file: whether the archive's content stands with this one, the last.
    pub(super) last: bool,
    flags: u64,
    verify: u64,
    translated: bool,
    user: String,
    group: String,
    caps: Vec<u8>,
}

/// Reads all of them, in the header's order.
pub(super) fn parse(header: &Header, limits: &deb::Limits) -> Result<Vec<FileRecord>, Refusal> {
    let paths = paths(header)?;
    if paths.len() as u64 > limits.entries {
        return Err(deb::Refusal::TooMany { what: "files", limit: limits.entries }.into());
    }
    let columns = Columns::read(header, paths.len())?;
    let mut records = Vec::with_capacity(paths.len());
    let mut known: HashMap<Vec<u8>, usize> = HashMap::with_capacity(paths.len());
    let mut inodes: HashMap<(u64, u64), usize> = HashMap::new();
    for (at, path) in paths.into_iter().enumerate() {
        let mut record = columns.record(at, path, limits)?;
        if known.insert(record.path.clone(), at).is_some() {
            return Err(path_error(&record.path, "stands twice in the header"));
        }
        record.first = at;
        if record.is_linked() && columns.inodes[at] != 0 {
            record.first = *inodes.entry((columns.devices[at], columns.inodes[at])).or_insert(at);
        }
        records.push(record);
    }
    settle_links(&mut records)?;
    Ok(records)
}

/// The paths of a header, in its order: absolute, joined from their directories.
pub(super) fn paths(header: &Header) -> Result<Vec<Vec<u8>>, Refusal> {
    let (names, directories) = (header.texts(BASENAMES)?, header.texts(DIRNAMES)?);
    let indexes = header.numbers(DIRINDEXES, 32)?;
    if names.len() != indexes.len() {
        return Err(Refusal::Tag(DIRINDEXES, "has another number of values than there are files"));
    }
    if names.is_empty() && !header.texts(OLD_FILENAMES)?.is_empty() {
        return Err(Refusal::Tag(OLD_FILENAMES, "names files as rpm did before version 4"));
    }
    let join = |(name, index): (&&[u8], &u64)| {
        let directory = usize::try_from(*index).ok().and_then(|index| directories.get(index));
        directory.map(|directory| [*directory, *name].concat()).ok_or(Refusal::Tag(DIRINDEXES, "names a directory that is not there"))
    };
    names.iter().zip(&indexes).map(join).collect()
}

/// The manifest that these files make.
pub(super) fn manifest(records: &[FileRecord], package: Hash, contents: &[Option<Hash>]) -> Result<Manifest, Refusal> {
    let mut builder = ManifestBuilder::new(package);
    for (record, sha256) in records.iter().zip(contents) {
        if record.path.is_empty() {
            continue;
        }
        let class = record.class();
        if record.first < records.len() && !std::ptr::eq(record, &records[record.first]) {
            builder.push_hardlink(&record.path, &records[record.first].path, class)?;
            continue;
        }
        let attributes = Attributes { mode: record.permissions(), uname: record.user.clone(), gname: record.group.clone() };
        let caps = Some(record.caps.clone()).filter(|caps| !caps.is_empty() && !record.is_ghost());
        builder.push(&record.path, record.node(*sha256)?, attributes, class, caps)?;
    }
    Ok(builder.finish()?)
}

impl FileRecord {
    /// Owned by the package, but not in its payload.
    pub(super) fn is_ghost(&self) -> bool {
        self.flags & GHOST != 0
    }

    /// A regular file with content in the payload.
    pub(super) fn is_linked(&self) -> bool {
        self.kind() == S_IFREG && !self.is_ghost()
    }

    pub(super) fn kind(&self) -> u32 {
        self.mode & S_IFMT
    }

    /// Bytes that the payload holds for it where the archive does not say so itself.
    pub(super) fn stored(&self) -> u64 {
        match self.kind() {
            S_IFREG if self.last => self.size,
            S_IFLNK => self.size,
            _ => 0,
        }
    }

    fn permissions(&self) -> u32 {
        if self.kind() == S_IFLNK && !self.is_ghost() { 0o777 } else { self.mode & 0o7777 }
    }

    fn node(&self, sha256: Option<Hash>) -> Result<Node, Refusal> {
        let device = device_number(self.device >> 8, self.device & 0xff);
        Ok(match self.kind() {
            S_IFDIR => Node::Dir,
            _ if self.is_ghost() => Node::Ghost,
            S_IFREG => Node::File { size: self.size, sha256: sha256.ok_or_else(|| disagrees(&self.path, "whether it is there"))? },
            S_IFLNK => Node::Link(self.target.clone()),
            S_IFCHR => Node::Char(device),
            S_IFBLK => Node::Block(device),
            _ => Node::Fifo,
        })
    }

    /// The first that holds: see `specs/rpm.md`, section 4.
    fn class(&self) -> Class {
        let unverified = match self.kind() {
            S_IFREG => self.verify & VERIFY_DIGEST == 0,
            S_IFLNK => self.verify & VERIFY_LINK == 0,
            _ => false,
        };
        match self.kind() {
            _ if self.is_ghost() || unverified => Class::NoVerify,
            S_IFREG | S_IFLNK if self.flags & CONFIG != 0 => Class::Config,
            _ if self.flags & (DOC | README | MISSING_OK | ARTIFACT) != 0 || self.translated => Class::Optional,
            _ if payload::is_optional(&self.path) => Class::Optional,
            _ => Class::Fixed,
        }
    }
}

/// Names of one file agree in what the file is; the content stands with the last of them.
fn settle_links(records: &mut [FileRecord]) -> Result<(), Refusal> {
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        last.insert(record.first, at);
        let first = &records[record.first];
        let same = (first.mode, first.size, &first.digest) == (record.mode, record.size, &record.digest)
            && (&first.user, &first.group, &first.caps) == (&record.user, &record.group, &record.caps);
        if !same {
            return Err(disagrees(&record.path, "the names of one file"));
        }
    }
    for (at, record) in records.iter_mut().enumerate() {
        record.last = last.get(&record.first) == Some(&at);
    }
    Ok(())
}

/// The header's lists, each as long as the list of files.
struct Columns<'a> {
    modes: Vec<u64>,
    sizes: Vec<u64>,
    devices_of: Vec<u64>,
    digests: Vec<&'a [u8]>,
    targets: Vec<&'a [u8]>,
    flags: Vec<u64>,
    verify: Vec<u64>,
    users: Vec<&'a [u8]>,
    groups: Vec<&'a [u8]>,
    devices: Vec<u64>,
    inodes: Vec<u64>,
    languages: Vec<&'a [u8]>,
    caps: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn read(header: &'a Header, files: usize) -> Result<Self, Refusal> {
        let texts = |tag, needed: bool| {
            let found = header.texts(tag)?;
            if found.is_empty() && !needed { Ok(vec![&b""[..]; files]) } else { fit(tag, found, files) }
        };
        let numbers = |tag, bits, absent: Option<u64>| {
            let found = header.numbers(tag, bits)?;
            match absent {
                Some(value) if found.is_empty() => Ok(vec![value; files]),
                _ => fit(tag, found, files),
            }
        };
        let long = header.numbers(LONG_SIZES, 64)?;
        Ok(Self {
            modes: numbers(MODES, 16, None)?,
            sizes: if long.is_empty() { numbers(SIZES, 32, None)? } else { fit(LONG_SIZES, long, files)? },
            devices_of: numbers(RDEVS, 16, Some(0))?,
            digests: texts(DIGESTS, true)?,
            targets: texts(TARGETS, true)?,
            flags: numbers(FLAGS, 32, Some(0))?,
            verify: numbers(VERIFY, 32, Some(u64::MAX))?,
            users: texts(USERS, true)?,
            groups: texts(GROUPS, true)?,
            devices: numbers(DEVICES, 32, Some(1))?,
            inodes: numbers(INODES, 32, Some(0))?,
            languages: texts(LANGUAGES, false)?,
            caps: texts(CAPS, false)?,
        })
    }

    fn record(&self, at: usize, path: Vec<u8>, limits: &deb::Limits) -> Result<FileRecord, Refusal> {
        let refuse = |why| path_error(&path, why);
        let below = path.strip_prefix(b"/").ok_or_else(|| refuse("is not absolute"))?;
        let below = if below.is_empty() { Vec::new() } else { payload::relative(below)? };
        let mode = u32::try_from(self.modes[at]).unwrap_or(0);
        let digest = hex::decode(self.digests[at]).map_err(|_| refuse("its digest is not hexadecimal"))?;
        let caps = std::str::from_utf8(self.caps[at]).ok().and_then(caps::parse).ok_or_else(|| refuse("its capabilities are malformed"))?;
        let name = |name: &[u8], what| {
            Some(name).filter(|name| !name.is_empty()).and_then(|name| owner::user(name, 0)).ok_or_else(|| refuse(what))
        };
        let record = FileRecord {
            mode,
            size: self.sizes[at],
            digest,
            target: self.targets[at].to_vec(),
            device: u32::try_from(self.devices_of[at]).unwrap_or(0),
            first: at,
            last: true,
            flags: self.flags[at],
            verify: self.verify[at],
            translated: !self.languages[at].is_empty(),
            user: name(self.users[at], "its owner's name is malformed")?,
            group: name(self.groups[at], "its group's name is malformed")?,
            caps,
            path: below,
        };
        check(&record, limits).map_err(refuse)?;
        Ok(record)
    }
}

fn check(record: &FileRecord, limits: &deb::Limits) -> Result<(), &'static str> {
    let kind = record.kind();
    if record.path.is_empty() && kind != S_IFDIR {
        return Err("the root of the package is no directory");
    }
    if record.path.len() > limits.path || record.target.len() > limits.path {
        return Err("is too long, or its target is");
    }
    if !record.caps.is_empty() && kind != S_IFREG {
        return Err("a capability on something that is no file");
    }
    match kind {
        _ if record.is_ghost() => Ok(()),
        S_IFLNK if record.target.is_empty() || record.size != record.target.len() as u64 => Err("a link whose size is not its target's"),
        S_IFREG | S_IFDIR | S_IFLNK | S_IFCHR | S_IFBLK | S_IFIFO => Ok(()),
        _ => Err("is neither file, directory, link, device nor pipe"),
    }
}

fn fit<T>(tag: u32, found: Vec<T>, files: usize) -> Result<Vec<T>, Refusal> {
    if found.len() == files { Ok(found) } else { Err(Refusal::Tag(tag, "has another number of values than there are files")) }
}

pub(super) fn disagrees(path: &[u8], what: &'static str) -> Refusal {
    Refusal::Disagrees { path: path.to_vec(), what }
}

pub(super) fn path_error(path: &[u8], why: &'static str) -> Refusal {
    deb::Refusal::Path { path: path.to_vec(), why }.into()
}

const S_IFMT: u32 = 0o170_000;
pub(super) const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
pub(super) const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

const OLD_FILENAMES: u32 = 1027;
const SIZES: u32 = 1028;
const MODES: u32 = 1030;
const RDEVS: u32 = 1033;
const DIGESTS: u32 = 1035;
const TARGETS: u32 = 1036;
const FLAGS: u32 = 1037;
const USERS: u32 = 1039;
const GROUPS: u32 = 1040;
const VERIFY: u32 = 1045;
const DEVICES: u32 = 1095;
const INODES: u32 = 1096;
const LANGUAGES: u32 = 1097;
const DIRINDEXES: u32 = 1116;
const BASENAMES: u32 = 1117;
const DIRNAMES: u32 = 1118;
const LONG_SIZES: u32 = 5008;
const CAPS: u32 = 5010;

const CONFIG: u64 = 1;
const DOC: u64 = 1 << 1;
const MISSING_OK: u64 = 1 << 3;
const GHOST: u64 = 1 << 6;
const README: u64 = 1 << 8;
const ARTIFACT: u64 = 1 << 12;
const VERIFY_DIGEST: u64 = 1;
const VERIFY_LINK: u64 = 1 << 2;
