//! A Berkeley database `Packages`, of the years before SQLite (`specs/installed.md`, section 2).
//!
//! Only what rpm wrote is understood: one hash table, each key once, in the byte order of any machine. Its buckets are walked as the library
//! walks them, so that pages which it has given up are not read.

use super::RpmdbError;
use super::bytes::{RECORD, malformed, read_at};
use std::collections::HashSet;
use std::fs::File;

type Result<T> = std::result::Result<T, RpmdbError>;

/// An open hash table.
struct Table<'a> {
    file: &'a File,
    order: Order,
    page: usize,
    last: u32,
    buckets: u32,
    /// What must be added to a bucket's number to get its page, by the number's length in bits.
    spares: Vec<u32>,
}

/// Which byte of a number comes first.
#[derive(Clone, Copy)]
struct Order {
    word: fn([u8; 2]) -> u16,
    long: fn([u8; 4]) -> u32,
}

/// Hands over the header of every package. The entry of the key 0 is rpm's own: the highest number that it gave away.
pub(super) fn blobs(file: &File, sink: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
    let table = Table::open(file)?;
    let (mut pages, mut keys) = (HashSet::new(), HashSet::new());
    for bucket in 0..table.buckets {
        let mut next = table.page_of(bucket)?;
        while next != 0 {
            let page = table.read(next, &HASH, &mut pages)?;
            next = table.order.long(&page, 16);
            for (key, value) in table.entries(&page)? {
                let key: [u8; 4] = table.item(key, &mut pages)?.try_into().map_err(|_| malformed("a key that is no number"))?;
                if !keys.insert(key) {
                    return Err(malformed("a key that stands twice"));
                }
                let value = table.item(value, &mut pages)?;
                if key != [0; 4] {
                    sink(value)?;
                }
            }
        }
    }
    Ok(())
}

impl<'a> Table<'a> {
    fn open(file: &'a File) -> Result<Self> {
        let meta = read_at(file, 0, META)?;
        let order = match meta[12..16] {
            [0x61, 0x15, 0x06, 0] => Order { word: u16::from_le_bytes, long: u32::from_le_bytes },
            [0, 0x06, 0x15, 0x61] => Order { word: u16::from_be_bytes, long: u32::from_be_bytes },
            _ => return Err(malformed("no Berkeley database with a hash table")),
        };
        let long = |at| order.long(&meta, at);
        let (version, page, last, highest) = (long(16), long(20) as usize, long(32), long(72));
        if !(8..=10).contains(&version) || !page.is_power_of_two() || !(META..=65_536).contains(&page) {
            return Err(malformed("a Berkeley database of a version or page size that is not known"));
        }
        // Encryption, checksums, partitions, entries with several values, databases within databases: rpm uses none of them.
        if meta[24] != 0 || meta[25] != HASH_META || meta[26] != 0 || long(36) != 0 || long(48) != 0 {
            return Err(malformed("a Berkeley database with features that rpm does not use"));
        }
        let pages = file.metadata().map_err(RpmdbError::read)?.len() / page as u64;
        if u64::from(last) >= pages || highest >= last {
            return Err(malformed("a Berkeley database whose pages are not all there"));
        }
        let spares = (0..32).map(|at| long(96 + 4 * at)).collect();
        Ok(Self { file, order, page, last, buckets: highest + 1, spares })
    }

    fn page_of(&self, bucket: u32) -> Result<u32> {
        let bits = (u32::BITS - bucket.leading_zeros()) as usize;
        self.spares
            .get(bits)
            .and_then(|spare| spare.checked_add(bucket))
            .filter(|page| *page != 0)
            .ok_or(malformed("a bucket without a page"))
    }

    /// A page of one of these kinds, which is met for the first time.
    fn read(&self, number: u32, kinds: &[u8], seen: &mut HashSet<u32>) -> Result<Vec<u8>> {
        if number == 0 || number > self.last {
            return Err(malformed("a page that is not there"));
        }
        if !seen.insert(number) {
            return Err(malformed("a page that is met twice"));
        }
        let page = read_at(self.file, u64::from(number) * self.page as u64, self.page)?;
        let is_it = self.order.long(&page, 8) == number && kinds.contains(&page[25]);
        if is_it { Ok(page) } else { Err(malformed("a page of another kind or number than it should have")) }
    }

    /// Keys and values on a page: each begins where the index says and ends where the one before begins.
    fn entries<'p>(&self, page: &'p [u8]) -> Result<Vec<(&'p [u8], &'p [u8])>> {
        let count = usize::from(self.order.word(page, 20));
        let (least, mut end) = (HEADER + 2 * count, self.page);
        let mut items = Vec::with_capacity(count.min(self.page / 2));
        for at in 0..count {
            let start = usize::from(self.order.word(page, HEADER + 2 * at));
            items.push(page.get(start..end).filter(|item| start >= least && !item.is_empty()).ok_or(malformed("an entry off its page"))?);
            end = start;
        }
        let pairs = items.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(malformed("a key without a value"));
        }
        Ok(pairs.map(|pair| (pair[0], pair[1])).collect())
    }

    /// What an item holds: on the page itself, or on a chain of pages of its own.
    fn item(&self, item: &[u8], seen: &mut HashSet<u32>) -> Result<Vec<u8>> {
        match (item[0], item.len()) {
            (KEY_DATA, _) => Ok(item[1..].to_vec()),
            (OFF_PAGE, 12) => self.chain(self.order.long(item, 4), self.order.long(item, 8) as usize, seen),
            _ => Err(malformed("an entry of a kind that rpm does not write")),
        }
    }

    fn chain(&self, first: u32, length: usize, seen: &mut HashSet<u32>) -> Result<Vec<u8>> {
        if length > RECORD {
            return Err(malformed("a record of more than 256 MiB"));
        }
        let (mut bytes, mut next) = (Vec::new(), first);
        while next != 0 {
            let page = self.read(next, &[OVERFLOW], seen)?;
            let piece = page.get(HEADER..HEADER + usize::from(self.order.word(&page, 22))).filter(|piece| !piece.is_empty());
            bytes.extend_from_slice(piece.ok_or(malformed("a record that runs off its page"))?);
            if bytes.len() > length {
                break;
            }
            next = self.order.long(&page, 16);
        }
        if bytes.len() == length && length > 0 { Ok(bytes) } else { Err(malformed("a record of another length than it should have")) }
    }
}

impl Order {
    /// Callers have as many bytes.
    fn word(self, bytes: &[u8], at: usize) -> u16 {
        bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, self.word)
    }

    fn long(self, bytes: &[u8], at: usize) -> u32 {
        bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, self.long)
    }
}

const META: usize = 512;
/// Before a page's index.
const HEADER: usize = 26;

/// Kinds of pages.
const HASH: [u8; 2] = [2, 13];
const OVERFLOW: u8 = 7;
const HASH_META: u8 = 8;

/// Kinds of items.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Written by the library: pages of 512 bytes, two buckets, one package on four pages of its own.
    const SMALL: &[u8] = include_bytes!("../../../testdata/fuzz/rpmdb_bdb/small");

    fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut found = Vec::new();
        blobs(&file, &mut |blob| {
            found.push(blob);
            Ok(())
        })?;
        Ok(found)
    }

    fn refused(page: usize, at: usize, value: u8, why: &str) {
        let mut bytes = SMALL.to_vec();
        assert_ne!(std::mem::replace(&mut bytes[512 * page + at], value), value, "{page} {at}");
        let error = read(&bytes).expect_err(why);
        assert!(error.to_string().contains(why), "page {page}, byte {at}: {error}");
    }

    #[test]
    fn a_sound_one_is_read() {
        let found = read(SMALL).unwrap();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0x704]);
    }

    #[test]
    fn what_its_first_page_says_must_hold() {
        refused(0, 12, 0, "no Berkeley database");
        refused(0, 16, 7, "version or page size");
        refused(0, 21, 3, "version or page size");
        refused(0, 21, 1, "version or page size");
        for (at, value) in [(24, 1), (25, 9), (26, 1), (36, 1), (48, 1)] {
            refused(0, at, value, "features that rpm does not use");
        }
        refused(0, 32, 7, "pages are not all there");
        refused(0, 72, 6, "pages are not all there");
        refused(0, 96, 0, "a bucket without a page");
        refused(0, 100, 0, "met twice");
        refused(0, 100, 9, "a page that is not there");
        assert!(read(&SMALL[..511]).is_err() && read(&SMALL[..SMALL.len() - 1]).is_err());
    }

    #[test]
    fn pages_and_entries_are_where_they_belong() {
        refused(1, 8, 5, "another kind or number");
        refused(1, 25, 5, "another kind or number");
        refused(1, 16, 1, "met twice");
        refused(1, 16, 9, "a page that is not there");
        refused(1, 20, 1, "a key without a value");
        refused(1, 20, 3, "off its page");
        refused(1, 27, 2, "off its page");
        refused(1, 29, 0, "a kind that rpm does not write");
        refused(1, 28, 251, "off its page");
        refused(2, 495, 2, "a kind that rpm does not write");
        refused(2, 507, 3, "a kind that rpm does not write");
        refused(2, 508, 0, "a key that stands twice");
        refused(2, 28, 0xee, "a kind that rpm does not write");
        let mut bytes = SMALL.to_vec();
        // The first key begins one byte earlier.
        (bytes[512 + 26], bytes[512 + 506]) = (250, 1);
        assert_eq!(read(&bytes), Err(malformed("a key that is no number")));
    }

    #[test]
    fn a_chain_is_as_long_as_it_says() {
        refused(2, 503, 5, "another length");
        refused(2, 506, 0x10, "more than 256 MiB");
        refused(2, 499, 4, "another length");
        refused(3, 25, 13, "another kind or number");
        refused(3, 22, 0, "another length");
        refused(3, 23, 2, "runs off its page");
        refused(3, 16, 3, "met twice");
        refused(6, 16, 1, "met twice");
    }
}
