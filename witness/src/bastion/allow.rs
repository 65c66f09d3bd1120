//! The list of backends that a bastion serves.

use std::collections::BTreeSet;

use super::KeyHash;

/// Largest list in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The key hashes on a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(BTreeSet<KeyHash>);

/// Why a list was refused: the line's number, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadLine(pub usize);

impl Allowed {
    /// Reads a list: a key hash a line, 64 lowercase hexadecimal digits; blank lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// Anything else refuses the list as a whole: a backend that was mistyped would otherwise be turned away in silence.
    pub fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_BYTES).ok_or(BadLine(0))?;
        let mut hashes = BTreeSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !hashes.insert(KeyHash::parse(line).ok_or(BadLine(number))?) {
                return Err(BadLine(number));
            }
        }
        Ok(Self(hashes))
    }

    /// The list again, sorted and without comments.
    #[must_use]
    pub fn encode(&self) -> String {
        self.0.iter().map(|hash| format!("{hash}\n")).collect()
    }

    /// Whether this backend is on it.
    #[must_use]
    pub fn has(&self, hash: &KeyHash) -> bool {
        self.0.contains(hash)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_strictly() {
        let one = "ab".repeat(32);
        let list = Allowed::parse(format!("# ours\n\n{one}\n{}", "0".repeat(64)).as_bytes()).unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.has(&KeyHash::parse(&one).unwrap()) && !list.has(&KeyHash::of(&[1; 32])));
        assert_eq!(Allowed::parse(list.encode().as_bytes()), Ok(list));
        for (text, line) in [(one[1..].to_owned(), 1), (one.to_uppercase(), 1), (format!("{one} "), 1), (format!("{one}\n{one}"), 2)] {
            assert_eq!(Allowed::parse(text.as_bytes()), Err(BadLine(line)), "{text}");
        }
        assert_eq!(Allowed::parse(&[0xff]), Err(BadLine(0)));
        assert_eq!(Allowed::parse(&vec![b'\n'; MAX_BYTES + 1]), Err(BadLine(0)));
    }
}
