//! The records of a pax extended header that matter to a package; unknown ones are refused.

use super::sparse::Map;
use crate::deb::Refusal;

/// Values that replace or add to a header's.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub uname: Option<Vec<u8>>,
    pub gname: Option<Vec<u8>>,
    pub capability: Option<Vec<u8>>,
    pub sparse: SparseKeys,
}

/// GNU's three ways (0.0, 0.1 and 1.0) to tell a sparse file.
#[derive(Debug, Default)]
pub(super) struct SparseKeys {
    pub name: Option<Vec<u8>>,
    version: (Option<u64>, Option<u64>),
    size: Option<u64>,
    count: Option<u64>,
    map: Option<Vec<u64>>,
    pairs: Vec<u64>,
}

impl Records {
    /// `"<length> <key>=<value>\n"` again and again; a key twice is refused, an empty value means "as if absent".
    /// Keys of `passed_over` are as good as absent.
    pub fn parse(mut body: &[u8], passed_over: &[&str]) -> Result<Self, Refusal> {
        let mut records = Self::default();
        let mut seen = Vec::new();
        while !body.is_empty() {
            let (key, value, rest) = record(body)?;
            let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
            if seen.contains(&key) && !repeats {
                return Err(Refusal::Tar("a pax key stands twice"));
            }
            if seen.len() > KEYS && !repeats {
                return Err(Refusal::TooMany { what: "pax keys", limit: KEYS as u64 });
            }
            if !repeats {
                seen.push(key);
            }
            if !passed_over.iter().any(|known| is_key(known, key)) {
                records.apply(key, value)?;
            }
            body = rest;
        }
        Ok(records)
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let bytes = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"uname" => self.uname = bytes(),
            b"gname" => self.gname = bytes(),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"SCHILY.xattr.security.capability" => self.capability = bytes(),
            b"mtime" | b"atime" | b"ctime" | b"comment" | b"SCHILY.dev" | b"SCHILY.ino" | b"SCHILY.nlink" => {}
            b"LIBARCHIVE.creationtime" | b"SCHILY.fflags" => {}
            _ if key.starts_with(b"SCHILY.xattr.") => {}
            _ => return self.sparse.apply(key, value),
        }
        Ok(())
    }
}

impl SparseKeys {
    /// True when any sparse key was seen.
    pub fn is_used(&self) -> bool {
        let numbers = self.version.0.or(self.version.1).or(self.size).or(self.count);
        self.name.is_some() || self.map.is_some() || !self.pairs.is_empty() || numbers.is_some()
    }

    /// True for format 1.0; another version than 0.0, 0.1 and 1.0 is refused.
    pub fn map_is_in_data(&self) -> Result<bool, Refusal> {
        match self.version {
            (Some(1), Some(0)) => Ok(true),
            (None, None) | (Some(0), Some(0 | 1)) => Ok(false),
            _ => Err(Refusal::Tar("an unknown sparse version")),
        }
    }

    /// The expanded size.
    pub fn size(&self) -> Result<u64, Refusal> {
        self.size.ok_or(Refusal::Tar("a sparse file without its size"))
    }

    /// The map of formats 0.0 and 0.1.
    pub fn map(self) -> Result<Map, Refusal> {
        let size = self.size()?;
        let numbers = match (self.map, self.pairs.is_empty()) {
            (Some(map), true) => map,
            (None, _) => self.pairs,
            (Some(_), false) => return Err(Refusal::Tar("two sparse maps in one header")),
        };
        if numbers.len() % 2 == 1 || self.count != Some(numbers.len() as u64 / 2) {
            return Err(Refusal::Tar("a sparse map does not fit its count"));
        }
        Ok(Map { size, segments: numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect() })
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match key {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.major" => self.version.0 = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.version.1 = Some(decimal(value)?),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" if self.size.is_some() => return Err(Refusal::Tar("a pax key stands twice")),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.size = Some(decimal(value)?),
            b"GNU.sparse.numblocks" => self.count = Some(decimal(value)?),
            b"GNU.sparse.map" => self.map = Some(value.split(|byte| *byte == b',').map(decimal).collect::<Result<_, _>>()?),
            b"GNU.sparse.offset" if self.pairs.len().is_multiple_of(2) => self.pairs.push(decimal(value)?),
            b"GNU.sparse.numbytes" if self.pairs.len() % 2 == 1 => self.pairs.push(decimal(value)?),
            _ => return Err(Refusal::Tar("an unknown pax key")),
        }
        Ok(())
    }
}

fn is_key(known: &str, key: &[u8]) -> bool {
    if known.ends_with('.') { key.starts_with(known.as_bytes()) } else { key == known.as_bytes() }
}

type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn record(body: &[u8]) -> Result<Record<'_>, Refusal> {
    let malformed = Refusal::Tar("a malformed pax record");
    let space = body.iter().take(12).position(|byte| *byte == b' ').ok_or(malformed.clone())?;
    let length = usize::try_from(decimal(&body[..space])?).map_err(|_| malformed.clone())?;
    let record = body.get(space + 1..length).ok_or(malformed.clone())?;
    let record = record.strip_suffix(b"\n").ok_or(malformed.clone())?;
    let equals = record.iter().position(|byte| *byte == b'=').ok_or(malformed)?;
    Ok((&record[..equals], &record[equals + 1..], &body[length..]))
}

/// One to nineteen digits without sign or leading zeros.
pub(super) fn decimal(digits: &[u8]) -> Result<u64, Refusal> {
    let canonical = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
    if !canonical {
        return Err(Refusal::Tar("a malformed number in a pax header"));
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Keys in one header.
const KEYS: usize = 1000;
