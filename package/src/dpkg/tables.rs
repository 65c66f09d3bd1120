//! File lists, diversions and statoverrides: line-based tables with absolute paths.

use super::DpkgError;

/// One path given way to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// Path below the root as packages ship it.
    pub from: Vec<u8>,
    /// Where other packages' file of that name is put.
    pub to: Vec<u8>,
    /// The package whose own file keeps the name; `None` for a local diversion, which moves everyone's.
    pub by: Option<String>,
}

/// An owner and mode that dpkg applies instead of the package's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatOverride {
    /// User name, or `#` and a number.
    pub user: String,
    /// Group name, or `#` and a number.
    pub group: String,
    /// Permission bits.
    pub mode: u32,
    /// Path below the root.
    pub path: Vec<u8>,
}

/// Absolute paths, one a line; the root itself is left out. Empty lines, relative and cut ones are refused.
pub fn parse_list(input: &[u8], file: &str) -> Result<Vec<Vec<u8>>, DpkgError> {
    let mut paths = Vec::new();
    for (number, line) in lines(input, file)? {
        let path = below_root(line).ok_or_else(|| DpkgError::malformed(file, number, "not an absolute path"))?;
        if !path.is_empty() && path != b"." {
            paths.push(path.to_vec());
        }
    }
    Ok(paths)
}

/// Three lines each: from, to, and the package's name or `:`.
pub fn parse_diversions(input: &[u8], file: &str) -> Result<Vec<Diversion>, DpkgError> {
    let lines = lines(input, file)?;
    let mut diversions: Vec<Diversion> = Vec::new();
    for three in lines.chunks(3) {
        let &[(first, from), (second, to), (third, by)] = three else {
            return Err(DpkgError::malformed(file, three[0].0, "a diversion is cut"));
        };
        let path = |number, line| {
            below_root(line).filter(|p| !p.is_empty()).ok_or_else(|| DpkgError::malformed(file, number, "not an absolute path"))
        };
        let (from, to) = (path(first, from)?.to_vec(), path(second, to)?.to_vec());
        let by = match std::str::from_utf8(by) {
            Ok(":") => None,
            Ok(name) if crate::control::is_package_name(name) => Some(name.to_owned()),
            _ => return Err(DpkgError::malformed(file, third, "not a package name")),
        };
        diversions.push(Diversion { from, to, by });
    }
    match first_conflict(&diversions) {
        Some(at) => Err(DpkgError::malformed(file, 3 * at + 1, "a path is diverted twice, or diverted to")),
        None => Ok(diversions),
    }
}

/// Lines `user group mode path`; the path may hold spaces.
pub fn parse_statoverrides(input: &[u8], file: &str) -> Result<Vec<StatOverride>, DpkgError> {
    let parse = |line: &[u8]| {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let mut word = || fields.next().and_then(|word| std::str::from_utf8(word).ok()).filter(|word| !word.is_empty());
        let (user, group, mode) = (word()?, word()?, word()?);
        let digits = (1..=5).contains(&mode.len()) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| digits && *mode <= 0o7777)?;
        let path = below_root(fields.next()?)?;
        Some(StatOverride { user: user.to_owned(), group: group.to_owned(), mode, path: path.to_vec() })
    };
    let malformed = |number| DpkgError::malformed(file, number, "not \"user group mode path\"");
    lines(input, file)?.into_iter().map(|(number, line)| parse(line).ok_or_else(|| malformed(number))).collect()
}

/// Numbered lines without their newlines. The last one must be ended; no line holds a zero byte or is empty.
pub(super) fn lines<'a>(input: &'a [u8], file: &str) -> Result<Vec<(usize, &'a [u8])>, DpkgError> {
    let Some(body) = input.strip_suffix(b"\n") else {
        return if input.is_empty() { Ok(Vec::new()) } else { Err(DpkgError::malformed(file, 0, "its last line is cut")) };
    };
    let lines: Vec<_> = (1..).zip(body.split(|byte| *byte == b'\n')).collect();
    match lines.iter().find(|(_, line)| line.is_empty() || line.contains(&0)) {
        Some((number, _)) => Err(DpkgError::malformed(file, *number, "an empty line or a zero byte")),
        None => Ok(lines),
    }
}

/// An absolute path without its slash; `..` parts are refused.
fn below_root(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"/").filter(|path| !path.split(|byte| *byte == b'/').any(|part| part == b".."))
}

/// dpkg keeps both ends of every diversion unique.
fn first_conflict(diversions: &[Diversion]) -> Option<usize> {
    let mut ends = std::collections::HashSet::new();
    diversions.iter().position(|diversion| !ends.insert(&diversion.from) | !ends.insert(&diversion.to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of<T: std::fmt::Debug>(result: Result<T, DpkgError>) -> usize {
        match result {
            Err(DpkgError::Malformed { line, .. }) => line,
            other => panic!("must be refused: {other:?}"),
        }
    }

    #[test]
    fn lists() {
        assert_eq!(parse_list(b"/.\n/usr\n/usr/a b\xff\n", "f"), Ok(vec![b"usr".to_vec(), b"usr/a b\xff".to_vec()]));
        assert_eq!(parse_list(b"", "f"), Ok(Vec::new()));
        assert_eq!(line_of(parse_list(b"/a\nb\n", "f")), 2);
        assert_eq!(line_of(parse_list(b"/a\n\n/b\n", "f")), 2);
        assert_eq!(line_of(parse_list(b"/a\n/../b\n", "f")), 2);
        assert_eq!(line_of(parse_list(b"/a\0\n", "f")), 1);
        assert_eq!(line_of(parse_list(b"/a\n/b", "f")), 0);
    }

    #[test]
    fn diversions() {
        let parsed = parse_diversions(b"/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n", "f").unwrap();
        assert_eq!(parsed[0], Diversion { from: b"bin/sh".to_vec(), to: b"bin/sh.distrib".to_vec(), by: Some("dash".into()) });
        assert_eq!(parsed[1].by, None);
        assert_eq!(line_of(parse_diversions(b"/a\n/b\n", "f")), 1);
        assert_eq!(line_of(parse_diversions(b"/a\nb\n:\n", "f")), 2);
        assert_eq!(line_of(parse_diversions(b"/a\n/b\n../x\n", "f")), 3);
        assert_eq!(line_of(parse_diversions(b"/a\n/b\n:\n/b\n/c\n:\n", "f")), 4);
        assert_eq!(line_of(parse_diversions(b"/a\n/a\n:\n", "f")), 1);
    }

    #[test]
    fn statoverrides() {
        let parsed = parse_statoverrides(b"root #7 4754 /usr/a b\n", "f").unwrap();
        assert_eq!(parsed, [StatOverride { user: "root".into(), group: "#7".into(), mode: 0o4754, path: b"usr/a b".to_vec() }]);
        for bad in [
            &b"root root 755 a\n"[..],
            b"root root 8 /a\n",
            b"root root 77777 /a\n",
            b"root root /a\n",
            b"root root +7 /a\n",
            b" root 7 /a\n",
        ] {
            assert_eq!(line_of(parse_statoverrides(bad, "f")), 1);
        }
    }
}
