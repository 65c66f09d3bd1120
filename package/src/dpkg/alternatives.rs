//! Groups of `update-alternatives`: which link stands for which file.

use super::{DATABASE, DpkgError};
use crate::root::Root;

/// One group: a master link with its slaves and the choices for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The group's name, that of its link in `etc/alternatives`.
    pub name: String,
    /// The best choice is taken by itself.
    pub automatic: bool,
    /// The master's public link, below the root.
    pub link: Vec<u8>,
    /// The slaves: name and public link.
    pub slaves: Vec<(String, Vec<u8>)>,
    /// What can be chosen.
    pub choices: Vec<Choice>,
}

/// One choice of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The file that the master stands for, below the root.
    pub file: Vec<u8>,
    /// The highest is taken where nothing else is set.
    pub priority: i64,
    /// For every slave its file, empty where this choice has none.
    pub slaves: Vec<Vec<u8>>,
}

impl Alternative {
    /// Every link of the group: the public ones and those in `etc/alternatives`.
    pub fn links(&self) -> impl Iterator<Item = Vec<u8>> {
        let private = |name: &str| [b"etc/alternatives/", name.as_bytes()].concat();
        let slaves = self.slaves.iter().flat_map(move |(name, link)| [link.clone(), private(name)]);
        [self.link.clone(), private(&self.name)].into_iter().chain(slaves)
    }

    /// Reads the file of one group.
    pub fn parse(name: &str, input: &[u8], file: &str) -> Result<Self, DpkgError> {
        let mut lines = Lines { rest: input.split(|byte| *byte == b'\n').collect(), at: 0, file };
        let automatic = match lines.next()? {
            b"auto" => true,
            b"manual" => false,
            _ => return Err(lines.malformed("neither auto nor manual")),
        };
        let link = lines.path()?;
        let mut slaves = Vec::new();
        while let Some(name) = lines.unless_empty()? {
            slaves.push((String::from_utf8(name.to_vec()).map_err(|_| lines.malformed("not UTF-8"))?, lines.path()?));
        }
        let mut choices = Vec::new();
        while let Some(path) = lines.unless_empty()? {
            choices.push(lines.choice(path, slaves.len())?);
        }
        Ok(Self { name: name.to_owned(), automatic, link, slaves, choices })
    }
}

/// All groups of a root, by name.
pub(super) fn read(root: &Root) -> Result<Vec<Alternative>, DpkgError> {
    let directory = format!("{DATABASE}/alternatives");
    let mut groups = Vec::new();
    for name in root.list(directory.as_bytes())?.unwrap_or_default() {
        let Some(name) = std::str::from_utf8(&name).ok().filter(|name| !name.ends_with(".dpkg-tmp")) else { continue };
        let file = format!("{directory}/{name}");
        if let Some(content) = root.read(file.as_bytes(), LIMIT)? {
            groups.push(Alternative::parse(name, &content, &file)?);
        }
    }
    Ok(groups)
}

struct Lines<'a> {
    rest: Vec<&'a [u8]>,
    at: usize,
    file: &'a str,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a [u8], DpkgError> {
        let line = self.rest.get(self.at).copied();
        self.at += 1;
        line.ok_or_else(|| self.malformed("ends too early"))
    }

    fn unless_empty(&mut self) -> Result<Option<&'a [u8]>, DpkgError> {
        self.next().map(|line| (!line.is_empty()).then_some(line))
    }

    fn path(&mut self) -> Result<Vec<u8>, DpkgError> {
        let line = self.next()?;
        self.absolute(line)
    }

    fn choice(&mut self, path: &[u8], slaves: usize) -> Result<Choice, DpkgError> {
        let file = self.absolute(path)?;
        let number = std::str::from_utf8(self.next()?).ok().and_then(|text| text.parse().ok());
        let priority = number.ok_or_else(|| self.malformed("not a priority"))?;
        let slave = |lines: &mut Self| lines.unless_empty()?.map_or_else(|| Ok(Vec::new()), |line| lines.absolute(line));
        Ok(Choice { file, priority, slaves: (0..slaves).map(|_| slave(self)).collect::<Result<_, _>>()? })
    }

    fn absolute(&self, line: &[u8]) -> Result<Vec<u8>, DpkgError> {
        line.strip_prefix(b"/").map(<[u8]>::to_vec).ok_or_else(|| self.malformed("not an absolute path"))
    }

    fn malformed(&self, what: &str) -> DpkgError {
        DpkgError::malformed(self.file, self.at, what)
    }
}

const LIMIT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const AWK: &[u8] = b"auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n/usr/bin/mawk\n5\n/usr/share/man/man1/mawk.1.gz\n/usr/bin/x\n-1\n\n\n";

    #[test]
    fn reads_a_group() {
        let group = Alternative::parse("awk", AWK, "f").unwrap();
        assert_eq!((group.automatic, group.link.as_slice(), group.choices.len()), (true, &b"usr/bin/awk"[..], 2));
        assert_eq!(group.choices[1], Choice { file: b"usr/bin/x".to_vec(), priority: -1, slaves: vec![Vec::new()] });
        assert!(group.links().any(|link| link == b"etc/alternatives/awk.1.gz"));
    }

    #[test]
    fn names_the_bad_line() {
        for (input, line) in
            [(&b"maybe\n"[..], 1), (b"auto\nusr\n", 2), (b"auto\n/a\n\n/b\nx\n\n", 5), (b"auto\n/a\n\n/b\n5", 6), (&AWK[..40], 5)]
        {
            let Err(DpkgError::Malformed { line: found, .. }) = Alternative::parse("awk", input, "f") else { panic!("must be refused") };
            assert_eq!(found, line, "{}", input.escape_ascii());
        }
    }
}
