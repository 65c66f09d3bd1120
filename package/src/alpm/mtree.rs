//! `.MTREE`: what makepkg says about each file of a package, and what pacman keeps of it after installing (`specs/alpm.md`, section 2).

use crate::tarball::Refusal;
use attest::Hash;
use attest::manifest::unescape;
use std::collections::BTreeMap;

/// One entry of such a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// `file`, `dir`, `link`, ...
    pub kind: String,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner's number.
    pub uid: Option<u64>,
    /// Group's number.
    pub gid: Option<u64>,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// SHA-256 of a file's content.
    pub sha256: Option<Hash>,
    /// Target of a link.
    pub link: Option<Vec<u8>>,
}

/// Reads a list (uncompressed): raw paths below the root to entries.
pub fn parse(input: &[u8]) -> Result<BTreeMap<Vec<u8>, Listed>, Refusal> {
    let body = input.strip_suffix(b"\n").ok_or(Refusal::Mtree(0, "its last line is cut"))?;
    let mut defaults = Listed { kind: "file".to_owned(), ..Listed::default() };
    let mut entries = BTreeMap::new();
    for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        let refuse = |why| Refusal::Mtree(number, why);
        let text = std::str::from_utf8(line).map_err(|_| refuse("bytes that should be escaped"))?;
        let mut words = text.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            None => {}
            Some(word) if word.starts_with('#') => {}
            Some("/set") => words.try_for_each(|word| defaults.apply(word)).map_err(refuse)?,
            Some("/unset") => words.try_for_each(|word| defaults.forget(word)).map_err(refuse)?,
            Some(path) => {
                let path = unescape(path).and_then(|path| path.strip_prefix(b"./").map(<[u8]>::to_vec));
                let path = path.ok_or_else(|| refuse("a path that does not begin with \"./\", or is badly escaped"))?;
                let mut entry = defaults.clone();
                words.try_for_each(|word| entry.apply(word)).map_err(refuse)?;
                if entries.insert(path, entry).is_some() {
                    return Err(refuse("a path that stands twice"));
                }
            }
        }
    }
    Ok(entries)
}

impl Listed {
    fn apply(&mut self, word: &str) -> Result<(), &'static str> {
        let (key, value) = word.split_once('=').ok_or("a keyword without value")?;
        let number = |radix| u64::from_str_radix(value, radix).map_err(|_| "a malformed number");
        match key {
            "type" => self.kind = value.to_owned(),
            "mode" => self.mode = Some(u32::try_from(number(8)?).map_err(|_| "a malformed number")?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "size" => self.size = Some(number(10)?),
            "sha256digest" => self.sha256 = Some(Hash::from_hex(value).ok_or("a malformed digest")?),
            "link" => self.link = Some(unescape(value).ok_or("a badly escaped link")?),
            "time" | "md5digest" => {}
            _ => return Err("an unknown keyword"),
        }
        Ok(())
    }

    fn forget(&mut self, word: &str) -> Result<(), &'static str> {
        match word {
            "type" => "file".clone_into(&mut self.kind),
            "mode" => self.mode = None,
            "uid" => self.uid = None,
            "gid" => self.gid = None,
            _ => return Err("an unknown keyword"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_escapes() {
        let list = parse(b"#mtree\n/set type=file uid=0 gid=7 mode=644\n./a\\040b\\377 time=1.0 size=4\n./d type=dir mode=755\n/unset mode\n./l type=link link=x\\040y\n")
            .unwrap();
        assert_eq!((list[&b"a b\xff"[..]].size, list[&b"a b\xff"[..]].mode, list[&b"d"[..]].mode), (Some(4), Some(0o644), Some(0o755)));
        assert_eq!((list[&b"l"[..]].mode, list[&b"l"[..]].link.as_deref(), list[&b"l"[..]].gid), (None, Some(&b"x y"[..]), Some(7)));
    }

    #[test]
    fn refusals() {
        for (input, line) in [
            (&b"./a size=1"[..], 0),
            (b"a size=1\n", 1),
            (b"./a\\9 size=1\n", 1),
            (b"#\n./a size\n", 2),
            (b"./a size=-1\n", 1),
            (b"./a nlink=1\n", 1),
            (b"./a sha256digest=00\n", 1),
            (b"./a size=1\n./a size=1\n", 2),
            (b"/unset size\n", 1),
            (b"./\xff size=1\n", 1),
        ] {
            assert!(matches!(parse(input), Err(Refusal::Mtree(at, _)) if at == line), "{}", input.escape_ascii());
        }
    }
}
