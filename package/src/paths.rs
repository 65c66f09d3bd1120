//! Many paths in one piece of memory: a machine's databases list a hundred thousand of them, most of which nobody asks for.

use std::fmt;

/// Paths in the order in which they were put in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Paths {
    bytes: Box<[u8]>,
    /// Where each path ends in `bytes`.
    ends: Box<[usize]>,
}

impl Paths {
    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> + ExactSizeIterator {
        (0..self.ends.len()).map(|number| self.path(number))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The path of this number, from 0.
    #[must_use]
    pub fn at(&self, number: usize) -> Option<&[u8]> {
        (number < self.len()).then(|| self.path(number))
    }

    fn path(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }
}

impl<P: AsRef<[u8]>> FromIterator<P> for Paths {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for path in paths {
            bytes.extend_from_slice(path.as_ref());
            ends.push(bytes.len());
        }
        Self { bytes: bytes.into(), ends: ends.into() }
    }
}

impl fmt::Debug for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out() {
        for paths in [&[][..], &[&b"usr"[..], b"", b"usr/a b\xff", b""]] {
            let kept: Paths = paths.iter().collect();
            assert_eq!((kept.len(), kept.is_empty()), (paths.len(), paths.is_empty()));
            assert_eq!(((0..).map_while(|at| kept.at(at)).count(), kept.at(paths.len())), (paths.len(), None));
            assert!(kept.iter().eq(paths.iter().copied()) && kept.iter().rev().eq(paths.iter().rev().copied()));
        }
        assert_ne!(Paths::from_iter(["ab", "c"]), Paths::from_iter(["a", "bc"]));
    }
}
