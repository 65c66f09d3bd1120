//! The one table of an SQLite database that matters here, read page by page and never written (`specs/installed.md`, section 2).
//!
//! Only what rpm writes is understood: tables with whole-number keys, and the write-ahead log beside the database. An index is never
//! used, so a forged one hides nothing.

use super::RpmdbError;
use super::bytes::{RECORD, malformed};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// An open database.
pub(super) struct Sqlite<'a> {
    file: &'a File,
    page: usize,
    usable: usize,
    pages: u32,
    /// Pages of the write-ahead log that are committed: where their newest content stands in it.
    newer: HashMap<u32, u64>,
    log: Option<&'a File>,
}

type Result<T> = std::result::Result<T, RpmdbError>;

impl<'a> Sqlite<'a> {
    /// Reads the header, and the write-ahead log's where there is one.
    pub(super) fn open(file: &'a File, log: Option<&'a File>) -> Result<Self> {
        let mut header = [0; 100];
        file.read_exact_at(&mut header, 0).map_err(RpmdbError::read)?;
        if !header.starts_with(b"SQLite format 3\0") {
            return Err(malformed("no SQLite database"));
        }
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(usize::from(header[20]));
        if !page.is_power_of_two() || page < 512 || usable < 480 || header[18] > 2 || header[19] > 2 {
            return Err(malformed("a page size or a version that is not known"));
        }
        let length = file.metadata().map_err(RpmdbError::read)?.len();
        let pages = u32::try_from(length / page as u64).unwrap_or(u32::MAX);
        let mut database = Self { file, page, usable, pages, newer: HashMap::new(), log: None };
        if let Some(log) = log {
            database.read_log(log)?;
            database.log = Some(log);
        }
        Ok(database)
    }

    /// Hands over the second column of every row of a table, in order of keys.
    pub(super) fn blobs(&self, table: &str, sink: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
        let mut root = None;
        self.rows(1, &mut |record| {
            let columns = columns(&record)?;
            let is_table =
                columns.first().is_some_and(|kind| kind == b"table") && columns.get(1).is_some_and(|name| *name == table.as_bytes());
            if is_table {
                let page = columns.get(3).map(|bytes| bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)));
                root = page;
            }
            Ok(())
        })?;
        let root = root.ok_or(malformed("it has no table of packages"))?;
        self.rows(root, &mut |record| sink(columns(&record)?.get(1).ok_or(malformed("a row without content"))?.to_vec()))
    }

    /// Hands over every record of the table at a page.
    fn rows(&self, root: u32, sink: &mut dyn FnMut(Vec<u8>) -> Result<()>) -> Result<()> {
        let mut left = vec![root];
        let mut seen = HashSet::new();
        while let Some(number) = left.pop() {
            // A page that is met twice is a loop.
            if !seen.insert(number) {
                return Err(malformed("a page stands twice in a table"));
            }
            let page = self.page(number)?;
            let start = if number == 1 { 100 } else { 0 };
            let (kind, cells) = (page[start], usize::from(word(&page, start + 3)?));
            let leaf = match kind {
                13 => true,
                5 => false,
                _ => return Err(malformed("a page that belongs to no table")),
            };
            let pointers = start + if leaf { 8 } else { 12 };
            if leaf {
                for cell in 0..cells {
                    let at = usize::from(word(&page, pointers + 2 * cell)?);
                    sink(self.record(&page, at, &mut seen)?)?;
                }
                continue;
            }
            // What is to come first goes on last.
            left.push(long(&page, start + 8)?);
            for cell in (0..cells).rev() {
                left.push(long(&page, usize::from(word(&page, pointers + 2 * cell)?))?);
            }
        }
        Ok(())
    }

    /// The record of a cell, put together from the pages that it runs over.
    fn record(&self, page: &[u8], at: usize, seen: &mut HashSet<u32>) -> Result<Vec<u8>> {
        let (length, used) = varint(page.get(at..).unwrap_or_default())?;
        let (_, key) = varint(page.get(at + used..).unwrap_or_default())?;
        let (at, length) = (at + used + key, usize::try_from(length).unwrap_or(usize::MAX));
        if length > RECORD {
            return Err(malformed("a record of more than 256 MiB"));
        }
        let most = self.usable - 35;
        let local = if length <= most {
            length
        } else {
            let least = (self.usable - 12) * 32 / 255 - 23;
            let wanted = least + (length - least) % (self.usable - 4);
            if wanted <= most { wanted } else { least }
        };
        let mut record = page.get(at..at + local).ok_or(malformed("a cell that runs off its page"))?.to_vec();
        let mut next = if local < length { long(page, at + local)? } else { 0 };
        while record.len() < length {
            if !seen.insert(next) {
                return Err(malformed("a page stands twice in a table"));
            }
            let page = self.page(next)?;
            next = long(&page, 0)?;
            let piece = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(&page[4..4 + piece]);
        }
        Ok(record)
    }

    fn page(&self, number: u32) -> Result<Vec<u8>> {
        let mut page = vec![0; self.page];
        match (self.newer.get(&number), self.log) {
            (Some(at), Some(log)) => log.read_exact_at(&mut page, *at).map_err(RpmdbError::read)?,
            _ if number == 0 || number > self.pages => return Err(malformed("a page that is not there")),
            _ => self.file.read_exact_at(&mut page, u64::from(number - 1) * self.page as u64).map_err(RpmdbError::read)?,
        }
        Ok(page)
    }

    /// Takes up the committed frames: those before the last commit whose salt and running checksum are right.
    fn read_log(&mut self, log: &File) -> Result<()> {
        let length = log.metadata().map_err(RpmdbError::read)?.len();
        if length < LOG_HEADER {
            return Ok(());
        }
        let mut header = [0; 32];
        log.read_exact_at(&mut header, 0).map_err(RpmdbError::read)?;
        let order: fn([u8; 4]) -> u32 = match long(&header, 0)? {
            0x377f_0682 => u32::from_le_bytes,
            0x377f_0683 => u32::from_be_bytes,
            _ => return Err(malformed("no write-ahead log beside it")),
        };
        let sum = checksum(&header[..24], (0, 0), order);
        // As SQLite has it: a log whose beginning is not whole was never used.
        if sum != (long(&header, 24)?, long(&header, 28)?) {
            return Ok(());
        }
        if long(&header, 8)? as usize != self.page {
            return Err(malformed("a write-ahead log with another page size"));
        }
        let mut pending = HashMap::new();
        let (mut sum, mut at) = (sum, LOG_HEADER);
        let mut frame = vec![0; FRAME + self.page];
        while at + frame.len() as u64 <= length {
            log.read_exact_at(&mut frame, at).map_err(RpmdbError::read)?;
            sum = checksum(&frame[FRAME..], checksum(&frame[..8], sum, order), order);
            if frame[8..16] != header[16..24] || sum != (long(&frame, 16)?, long(&frame, 20)?) {
                break;
            }
            pending.insert(long(&frame, 0)?, at + FRAME as u64);
            let size = long(&frame, 4)?;
            if size != 0 {
                self.newer.extend(pending.drain());
                self.pages = size;
            }
            at += frame.len() as u64;
        }
        Ok(())
    }
}

/// SQLite's running checksum over pairs of words.
fn checksum(bytes: &[u8], start: (u32, u32), order: fn([u8; 4]) -> u32) -> (u32, u32) {
    let value = |bytes: &[u8]| bytes.try_into().map_or(0, order);
    bytes.chunks_exact(8).fold(start, |(first, second), pair| {
        let first = first.wrapping_add(value(&pair[..4])).wrapping_add(second);
        (first, second.wrapping_add(value(&pair[4..])).wrapping_add(first))
    })
}

/// The first columns of a record, as many as matter here, as bytes: texts and blobs as they are, whole numbers with the highest byte first, nothing for NULL.
fn columns(record: &[u8]) -> Result<Vec<&[u8]>> {
    let (header, mut at) = varint(record)?;
    let header = usize::try_from(header).unwrap_or(usize::MAX);
    let mut body = header;
    let mut columns = Vec::with_capacity(COLUMNS);
    while at < header && columns.len() < COLUMNS {
        let (kind, used) = varint(record.get(at..).unwrap_or_default())?;
        at += used;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return Err(malformed("a column of no known type")),
            _ => (kind - 12) / 2,
        };
        let end = usize::try_from(length).ok().and_then(|length| body.checked_add(length));
        columns.push(end.and_then(|end| record.get(body..end)).ok_or(malformed("a column that runs off its record"))?);
        body = end.unwrap_or(body);
    }
    Ok(columns)
}

/// A number of one to nine bytes, seven bits each, and how many they were.
fn varint(bytes: &[u8]) -> Result<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Ok((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Ok((value, at + 1));
        }
    }
    Err(malformed("a number that runs off its page"))
}

fn word(page: &[u8], at: usize) -> Result<u16> {
    let bytes = page.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_be_bytes).ok_or(malformed("a pointer that leads off its page"))
}

fn long(page: &[u8], at: usize) -> Result<u32> {
    let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(malformed("a pointer that leads off its page"))
}

/// `type`, `name`, `tbl_name` and `rootpage` of the schema; the packages' own table has two. A record can have as many as it has bytes.
const COLUMNS: usize = 4;
const LOG_HEADER: u64 = 32;
const FRAME: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_many_columns_is_read_no_further_than_it_matters() {
        // A header of 1 MiB, as its first three bytes say: two texts, and then NULL a million times.
        let mut record = vec![0xc0, 0x80, 0, 15, 17];
        record.resize(1 << 20, 0);
        record.extend_from_slice(b"abc");
        assert_eq!(columns(&record).unwrap(), [&b"a"[..], b"bc", b"", b""]);
        assert_eq!(columns(&[3, 15, 17, b'a', b'b', b'c']).unwrap(), [&b"a"[..], b"bc"]);
        assert!(columns(&[2, 10, 0]).is_err() && columns(&[2, 15]).is_err());
    }
}
