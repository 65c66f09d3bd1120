//! The state file of an unfinished check (`specs/fsck.md`): how far it came, the right edge of the tree up to there, and what was
//! found. A file that is damaged, or of another log or history, is refused.

use std::io::{self, Write as _};
use std::path::Path;

use tlog::{Growth, Hash, Tile, Tree, growth};

use super::tally::{Finding, MAX_FINDINGS, MAX_TEXT, Tally};

/// How far a check has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The log's origin.
    pub origin: String,
    /// The checkpoint's tree at the time of saving; any later one must extend it.
    pub tree: Tree,
    /// The tree of the entries that have been hashed.
    pub growth: Growth,
    /// What the entries up to there gave.
    pub structure: Tally,
    /// The last path of the listing that is done; `None` before the listing.
    pub after: Option<String>,
    /// What the listing up to there gave.
    pub listed: Tally,
}

/// Why a state file is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// It cannot be read or written; in words.
    Io(String),
    /// Its closing hash is wrong, or it is not a state file.
    Damaged,
    /// It is of a check of another log, whose origin this is.
    Foreign(String),
    /// The log's tree does not extend the one that was checked, of this size: one of the two is wrong.
    NotExtended(u64),
    /// The tiles that would show that the tree extends the one that was checked cannot be read or do not fit; in words.
    NotProven(String),
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(why) => write!(f, "state file: {why}"),
            Self::Damaged => f.write_str("the state file is damaged, or not one"),
            Self::Foreign(origin) => write!(f, "the state file is of a check of {origin}"),
            Self::NotExtended(size) => {
                write!(f, "the log does not extend the tree of size {size} that was checked before: it is rolled back or rewritten")
            }
            Self::NotProven(why) => write!(f, "whether the log extends the tree that was checked before cannot be told: {why}"),
        }
    }
}
impl std::error::Error for StateError {}

impl State {
    /// A check that has not begun.
    #[must_use]
    pub fn new(origin: &str, tree: Tree) -> Self {
        let (growth, structure, listed) = (Growth::new(), Tally::default(), Tally::default());
        Self { origin: origin.to_owned(), tree, growth, structure, after: None, listed }
    }

    /// Reads a state file; `None` where there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, StateError> {
        if !path.exists() {
            return Ok(None);
        }
        let bytes = client::cli::read_limited(path, MAX_BYTES).map_err(|error| StateError::Io(format!("{error:#}")))?;
        Self::parse(&bytes).map(Some).ok_or(StateError::Damaged)
    }

    /// Replaces a state file. It is not made durable: a lost one costs time, and a torn one is noticed.
    pub fn save(&self, path: &Path) -> Result<(), StateError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let write = || -> io::Result<()> {
            std::fs::File::create(&temporary)?.write_all(&self.encode())?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(|error| StateError::Io(format!("writing {}: {error}", path.display())))
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text =
            format!("{HEADER}origin {}\ntree {} {}\nhashed {}\n", self.origin, self.tree.size, self.tree.root, self.growth.size());
        for (tile, hashes) in self.growth.partials() {
            let hex: String = hashes.iter().map(Hash::to_hex).collect();
            text.push_str(&format!("edge {} {hex}\n", tile.path()));
        }
        encode_tally(&mut text, "structure", &self.structure);
        if let Some(after) = &self.after {
            text.push_str(&format!("after {after}\n"));
        }
        encode_tally(&mut text, "listed", &self.listed);
        let hash = Hash::digest(text.as_bytes());
        text.push_str(&format!("sha256 {hash}\n"));
        text.into_bytes()
    }

    /// Reads a file's bytes; `None` unless they are exactly what [`State::encode`] gives.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= MAX_BYTES)?;
        let mut lines = Lines(text.strip_prefix(HEADER)?.split_inclusive('\n').peekable());
        let origin = lines.next("origin ")?.to_owned();
        let (size, root) = lines.next("tree ")?.split_once(' ')?;
        let tree = Tree { size: size.parse().ok()?, root: Hash::from_hex(root)? };
        let hashed = lines.next("hashed ")?.parse().ok()?;
        let mut edge = Vec::new();
        while let Some(line) = lines.next("edge ") {
            edge.push(parse_edge(line)?);
        }
        let growth = Growth::resume(hashed, &edge)?;
        let structure = parse_tally(&mut lines, "structure")?;
        let after = lines.next("after ").map(str::to_owned);
        let listed = parse_tally(&mut lines, "listed")?;
        let state = Self { origin, tree, growth, structure, after, listed };
        (state.encode() == bytes).then_some(state)
    }
}

struct Lines<'a>(std::iter::Peekable<std::str::SplitInclusive<'a, char>>);

impl<'a> Lines<'a> {
    /// The rest of the next line if it begins with this word; otherwise it stays.
    fn next(&mut self, word: &str) -> Option<&'a str> {
        self.0.next_if(|line| line.starts_with(word))?.strip_prefix(word)?.strip_suffix('\n')
    }
}

fn parse_edge(line: &str) -> Option<(Tile, Vec<Hash>)> {
    let (path, hex) = line.split_once(' ')?;
    let tile = Tile::parse(path)?;
    let hashes = hex.as_bytes().chunks(64).map(|digits| Hash::from_hex(std::str::from_utf8(digits).ok()?)).collect::<Option<Vec<_>>>()?;
    (growth::tile_bytes(&hashes).len() == tile.byte_len()).then_some((tile, hashes))
}

fn encode_tally(text: &mut String, name: &str, tally: &Tally) {
    text.push_str(&format!("{name} {} {} {} {}\n", tally.objects, tally.bytes, tally.manifests, tally.omitted));
    for finding in &tally.findings {
        text.push_str(&format!("found {}\t{}\n", finding.object, finding.what));
    }
}

fn parse_tally(lines: &mut Lines<'_>, name: &str) -> Option<Tally> {
    let mut counts = lines.next(name)?.strip_prefix(' ')?.split(' ').map(str::parse);
    let mut count = || counts.next()?.ok();
    let mut tally = Tally { objects: count()?, bytes: count()?, manifests: count()?, omitted: count()?, ..Tally::default() };
    while let Some(line) = lines.next("found ") {
        let (object, what) = line.split_once('\t')?;
        tally.findings.insert(Finding { object: object.to_owned(), what: what.to_owned() });
    }
    (tally.findings.len() <= MAX_FINDINGS).then_some(tally)
}

const HEADER: &str = "tallystick/fsck/v1\n";
/// Two full lists of the longest findings, and the edge.
const MAX_BYTES: u64 = 2 * MAX_FINDINGS as u64 * (2 * 4 * MAX_TEXT as u64 + 8) + (1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(size: u32) -> State {
        let mut growth = Growth::new();
        for n in 0..size {
            growth.push(Hash::digest(&n.to_be_bytes()), &mut |_, _| {}).unwrap();
        }
        let mut state = State { growth, ..State::new("example.com/log", Tree { size: 70_000, root: Hash::EMPTY }) };
        state.structure = Tally { objects: 3, bytes: 4, manifests: 5, omitted: 6, ..Tally::default() };
        state.structure.find("tile/0/000", "hash 3 differs from\ttile/entries/000\n");
        state.after = Some("tile/0/000.p/7".to_owned());
        state.listed.find("manifest/00", "is missing");
        state
    }

    #[test]
    fn states_survive_their_file() {
        for size in [0, 1, 256, 4096, 65_536, 69_632] {
            let state = state(size);
            assert_eq!(State::parse(&state.encode()).as_ref(), Some(&state), "{size}");
            let begun = State { after: None, ..state };
            assert_eq!(State::parse(&begun.encode()), Some(begun));
        }
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let bytes = state(4_099).encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert_eq!(State::parse(&changed), None, "byte {at}");
            assert_eq!(State::parse(&bytes[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn files_are_replaced_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        assert_eq!(State::load(&path), Ok(None));
        for size in [4096, 8192] {
            state(size).save(&path).unwrap();
            assert_eq!(State::load(&path), Ok(Some(state(size))));
        }
        std::fs::write(&path, "something else").unwrap();
        assert_eq!(State::load(&path), Err(StateError::Damaged));
        assert!(matches!(State::load(dir.path()), Err(StateError::Io(_))));
        assert!(matches!(state(1).save(&dir.path().join("none/state")), Err(StateError::Io(_))));
    }
}
