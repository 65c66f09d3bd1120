//! What was asked about which name, so that the next sync asks only for what came after (`specs/cache.md` section 3).

use std::collections::BTreeMap;

use tlog::Hash;

/// For each name, how far all leaves about it that the log showed are in `known`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every leaf below this index was read, so that nothing can have been withheld; 0 if the log was only asked.
    pub whole: u64,
    /// Subjects and `type:` queries, each with the size up to which it was asked; 0: never.
    pub names: BTreeMap<String, u64>,
}

impl Coverage {
    /// Reads the file that stands beside `known`. If it belongs to another `known`, as after a crash between the two, only its names
    /// count: they are asked again from the first leaf. `None` if it is damaged.
    #[must_use]
    pub fn parse(bytes: &[u8], known: &Hash) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (body, _) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let mut lines = body.strip_prefix(TITLE)?.split('\n');
        let belongs_to = Hash::from_hex(lines.next()?.strip_prefix("known ")?)?;
        let whole = lines.next()?.strip_prefix("whole ")?.parse().ok()?;
        let mut coverage = Self { whole, names: BTreeMap::new() };
        for line in lines {
            let (size, name) = line.split_once(' ')?;
            coverage.names.insert(name.to_owned(), size.parse().ok()?);
        }
        if coverage.encode(&belongs_to) != bytes {
            return None;
        }
        if belongs_to != *known {
            coverage.forget();
        }
        Some(coverage)
    }

    /// The file's bytes, bound to the digest of `known` and closed by the digest of the lines before: a flipped digit would otherwise
    /// hide what was never asked.
    #[must_use]
    pub fn encode(&self, known: &Hash) -> Vec<u8> {
        let mut text = format!("{TITLE}known {known}\nwhole {}\n", self.whole);
        for (name, size) in self.names.iter().filter(|(name, _)| !name.contains('\n')) {
            text.push_str(&format!("{size} {name}\n"));
        }
        let check = Hash::digest(text.as_bytes());
        text.push_str(&format!("{check}\n"));
        text.into_bytes()
    }

    /// Keeps the names, as if none had been asked.
    pub fn forget(&mut self) {
        self.whole = 0;
        self.names.values_mut().for_each(|size| *size = 0);
    }

    /// Names of subjects, without what binds everybody.
    pub fn subjects(&self) -> impl Iterator<Item = &String> {
        self.names.keys().filter(|name| !name.starts_with("type:"))
    }

    /// How many of these names were not looked for in every leaf of a tree of `size`; `None` if not every leaf was read.
    #[must_use]
    pub fn unread<'a>(&self, size: u64, names: impl IntoIterator<Item = &'a String>) -> Option<usize> {
        let is_read = |name: &String| self.names.get(name).is_some_and(|asked| *asked >= size);
        (size > 0 && self.whole == size).then(|| names.into_iter().filter(|name| !is_read(name)).count())
    }

    /// The log's word alone says what the leaves about these names are: where one was not looked for among all that were read so far, it
    /// is not true any more that nothing can have been withheld.
    pub fn took_its_word(&mut self, names: &[String]) {
        if names.iter().any(|name| self.names.get(name).is_none_or(|asked| *asked < self.whole)) {
            self.whole = 0;
        }
    }

    /// These names were asked in a tree of `size` leaves, from where they had been asked before.
    pub fn asked(&mut self, names: &[String], size: u64) {
        self.names.extend(names.iter().map(|name| (name.clone(), size)));
    }

    /// The names to be asked, by the leaf from which on.
    #[must_use]
    pub fn due(&self, names: &[String]) -> BTreeMap<u64, Vec<String>> {
        let mut due: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for name in names {
            due.entry(self.names.get(name).copied().unwrap_or(0)).or_default().push(name.clone());
        }
        due
    }
}

const TITLE: &str = "tallystick names v1\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Coverage {
        Coverage { whole: 4, names: BTreeMap::from([("type:x/v1".into(), 5), ("pkg:a".into(), 7), ("pkg:b".into(), 0)]) }
    }

    #[test]
    fn it_is_read_as_written_and_bound_to_what_is_known() {
        let (known, other) = (Hash::digest(b"known"), Hash::digest(b"other"));
        let bytes = sample().encode(&known);
        assert_eq!(Coverage::parse(&bytes, &known), Some(sample()));
        let forgotten = Coverage::parse(&bytes, &other).unwrap();
        assert_eq!((forgotten.whole, forgotten.names.values().sum::<u64>(), forgotten.names.len()), (0, 0, 3));
        assert_eq!(sample().subjects().collect::<Vec<_>>(), ["pkg:a", "pkg:b"]);
    }

    #[test]
    fn a_damaged_file_covers_nothing() {
        let known = Hash::digest(b"known");
        let bytes = sample().encode(&known);
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert_eq!(Coverage::parse(&damaged, &known), None, "byte {place}");
            assert_eq!(Coverage::parse(&bytes[..place], &known), None, "cut at {place}");
        }
    }

    #[test]
    fn the_whole_log_was_read_for_the_names_that_were_looked_for() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut coverage = sample();
        assert_eq!(coverage.unread(4, &names(&["pkg:a", "type:x/v1"])), Some(0));
        assert_eq!(coverage.unread(4, &names(&["pkg:a", "pkg:b", "pkg:c"])), Some(2), "never asked, and not known at all");
        assert_eq!(coverage.unread(5, &names(&["pkg:a"])), None, "the log has grown");
        assert_eq!(Coverage::default().unread(0, &[]), None);
        coverage.took_its_word(&names(&["pkg:a"]));
        assert_eq!(coverage.whole, 4);
        coverage.took_its_word(&names(&["pkg:a", "pkg:c"]));
        assert_eq!(coverage.whole, 0);
    }

    #[test]
    fn what_is_due_is_grouped() {
        let names: Vec<String> = ["pkg:a", "pkg:b", "pkg:c"].map(str::to_owned).to_vec();
        let due = sample().due(&names);
        assert_eq!(due, BTreeMap::from([(0, vec!["pkg:b".to_owned(), "pkg:c".to_owned()]), (7, vec!["pkg:a".to_owned()])]));
        let mut coverage = sample();
        coverage.asked(&names, 9);
        assert_eq!(coverage.due(&names).keys().collect::<Vec<_>>(), [&9]);
    }
}
