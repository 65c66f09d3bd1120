//! `path-exclude` and `path-include` of the root's dpkg configuration: what was never unpacked.

use super::DpkgError;
use crate::root::Root;

/// The rules in the order in which dpkg reads them; the last that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathFilters {
    rules: Vec<(bool, Vec<u8>)>,
}

impl PathFilters {
    /// Reads `etc/dpkg/dpkg.cfg.d/*` and then `etc/dpkg/dpkg.cfg`.
    pub(super) fn read(root: &Root) -> Result<Self, DpkgError> {
        let mut filters = Self::default();
        for name in root.list(b"etc/dpkg/dpkg.cfg.d")?.unwrap_or_default() {
            let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
            if name.iter().all(plain) {
                filters.add_file(root, &[b"etc/dpkg/dpkg.cfg.d/", &name[..]].concat())?;
            }
        }
        filters.add_file(root, b"etc/dpkg/dpkg.cfg")?;
        Ok(filters)
    }

    /// Adds the rules of one configuration file; other options are passed over.
    pub fn add(&mut self, input: &[u8]) {
        for line in input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.starts_with(b"#")) {
            let end = line.iter().position(|byte| *byte == b'=' || byte.is_ascii_whitespace()).unwrap_or(line.len());
            let value = line[end..].trim_ascii_start();
            let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii_start();
            let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
            match &line[..end] {
                b"path-include" => self.rules.push((true, value.to_vec())),
                b"path-exclude" => self.rules.push((false, value.to_vec())),
                _ => {}
            }
        }
    }

    /// True where no rule is set.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether dpkg leaves the path (below the root) out when unpacking. Directories and links on the way to
    /// something included are kept.
    pub fn excludes(&self, path: &[u8], is_directory_or_link: bool) -> bool {
        let path = [b"/", path].concat();
        let last = self.rules.iter().rev().find(|(_, pattern)| matches(pattern, &path));
        let excluded = last.is_some_and(|(include, _)| !include);
        excluded && !(is_directory_or_link && self.rules.iter().any(|(include, pattern)| *include && leads_to(&path, pattern)))
    }

    fn add_file(&mut self, root: &Root, path: &[u8]) -> Result<(), DpkgError> {
        // dpkg follows links here; a linked file (outside packages' habits) is passed over and only makes the verdict stricter.
        match root.stat(path)? {
            Some(meta) if meta.kind == crate::root::FileKind::File => self.add(&root.read(path, LIMIT)?.unwrap_or_default()),
            _ => {}
        }
        Ok(())
    }
}

/// dpkg's rule: the path starts with the pattern's part before its first wildcard.
fn leads_to(path: &[u8], pattern: &[u8]) -> bool {
    let fixed = pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len());
    let mut prefix = &pattern[..fixed];
    while let Some(shorter) = prefix.strip_suffix(b"/") {
        prefix = shorter;
    }
    path.starts_with(prefix)
}

/// `fnmatch` without flags: `*` and `?` match slashes too. Linear in memory, at most quadratic in time.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while position < text.len() {
        match step(&pattern[at..], text[position]) {
            Step::Star => {
                retry = Some((at + 1, position));
                at += 1;
            }
            Step::Match(length) => {
                at += length;
                position += 1;
            }
            Step::Differs => {
                let Some((after, from)) = retry else { return false };
                retry = Some((after, from + 1));
                (at, position) = (after, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

enum Step {
    Star,
    Match(usize),
    Differs,
}

fn step(pattern: &[u8], byte: u8) -> Step {
    match pattern {
        [b'*', ..] => Step::Star,
        [b'?', ..] => Step::Match(1),
        [b'[', rest @ ..] => match bracket(rest, byte) {
            Some((true, length)) => Step::Match(length + 1),
            Some((false, _)) => Step::Differs,
            None if byte == b'[' => Step::Match(1),
            None => Step::Differs,
        },
        [b'\\', literal, ..] if *literal == byte => Step::Match(2),
        [literal, ..] if *literal == byte && *literal != b'\\' => Step::Match(1),
        _ => Step::Differs,
    }
}

/// A bracket expression after its `[`: whether it holds the byte, and its length with `]`. `None` if it is not closed.
fn bracket(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    let (mut set, mut found) = (&pattern[start..end], false);
    while let [low, rest @ ..] = set {
        set = match rest {
            [b'-', high, rest @ ..] => {
                found |= (*low..=*high).contains(&byte);
                rest
            }
            _ => {
                found |= *low == byte;
                rest
            }
        };
    }
    Some((found != negated, end + 1))
}

const LIMIT: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("/usr/share/doc/*", "/usr/share/doc/a/b", true),
            ("/usr/share/doc/*", "/usr/share/doc", false),
            ("*/copyright", "/usr/share/doc/a/copyright", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("/[a-c]x", "/bx", true),
            ("/[!a-c]x", "/bx", false),
            ("/[]]x", "/]x", true),
            ("/[a", "/[a", true),
            ("/\\*", "/*", true),
            ("/\\*", "/x", false),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("", "", true),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_last_rule_decides_and_ways_to_included_files_stay() {
        let mut filters = PathFilters::default();
        filters.add(b"# x\nlog /var/log\npath-exclude=/usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n  path-exclude = \"/usr/share/man/*\"\n");
        assert!(filters.excludes(b"usr/share/doc/a/changelog.gz", false));
        assert!(!filters.excludes(b"usr/share/doc/a/copyright", false));
        assert!(!filters.excludes(b"usr/share/doc/a", true));
        assert!(filters.excludes(b"usr/share/man/man1", true));
        assert!(!filters.excludes(b"usr/share/info/a", false));
        assert!(!filters.is_empty());
    }
}
