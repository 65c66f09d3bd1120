//! `.PKGINFO`: lines of `key = value`.

use super::{Identity, Refusal};

/// All pairs, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info<'a> {
    pairs: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Info<'a> {
    /// Reads the lines; empty ones and those that begin with `#` are passed over.
    pub fn parse(input: &'a [u8]) -> Result<Self, Refusal> {
        let body = input.strip_suffix(b"\n").ok_or(Refusal::Info(0, "its last line is cut"))?;
        let mut pairs = Vec::new();
        for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return Err(Refusal::Info(number, "a control character"));
            }
            let malformed = Refusal::Info(number, "not \"key = value\"");
            let at = line.windows(3).position(|three| three == b" = ");
            // Writers leave nothing after the sign where a value is empty.
            let (key, value) = match at {
                Some(at) => (&line[..at], &line[at + 3..]),
                None => (line.strip_suffix(b" =").ok_or(malformed.clone())?, &b""[..]),
            };
            let is_key = !key.is_empty() && key.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_' || byte.is_ascii_digit());
            let key = std::str::from_utf8(key).ok().filter(|_| is_key).ok_or(malformed)?;
            pairs.push((key, value));
        }
        Ok(Self { pairs })
    }

    /// All values of a key.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &'a [u8]> {
        self.pairs.iter().filter(move |(known, _)| *known == key).map(|(_, value)| *value)
    }

    /// The only value of a key.
    pub fn one(&self, key: &'static str) -> Result<&'a str, Refusal> {
        let mut values = self.all(key);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Refusal::Info(0, "name, version or architecture is missing or stands twice"));
        };
        let plain = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        std::str::from_utf8(value).ok().filter(plain).ok_or(Refusal::Info(0, "name, version or architecture is malformed"))
    }

    /// Name, version and architecture.
    pub fn identity(&self) -> Result<Identity, Refusal> {
        let text = |key| self.one(key).map(str::to_owned);
        Ok(Identity { name: text("pkgname")?, version: text("pkgver")?, architecture: text("arch")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs() {
        let info =
            Info::parse(b"# made\npkgname = a\npkgver = 1:2-3\nurl = \narch = any\nbackup = etc/a\nbackup = etc/b c\xff\nx =\n").unwrap();
        let identity = Identity { name: "a".into(), version: "1:2-3".into(), architecture: "any".into() };
        assert_eq!(info.identity(), Ok(identity));
        assert_eq!(info.all("backup").collect::<Vec<_>>(), [&b"etc/a"[..], b"etc/b c\xff"]);
    }

    #[test]
    fn refusals() {
        for (input, line) in [(&b"a = b"[..], 0), (b"a = b\nc\n", 2), (b" = b\n", 1), (b"A = b\n", 1), (b"a = \x1b\n", 1), (b"", 0)] {
            assert!(matches!(Info::parse(input), Err(Refusal::Info(at, _)) if at == line), "{}", input.escape_ascii());
        }
        for input in [
            &b"pkgname = a\npkgver = 1\n"[..],
            b"pkgname = a\npkgname = b\npkgver = 1\narch = x\n",
            b"pkgname = a b\npkgver = 1\narch = x\n",
        ] {
            assert!(Info::parse(input).unwrap().identity().is_err(), "{}", input.escape_ascii());
        }
    }
}
